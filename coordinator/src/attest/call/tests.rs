//! What AWS answers, and what only looks like it.

#[path = "../../../../tests/fuzz/replay.rs"]
mod replay;

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message as _;

use self::replay::{corpus, replay};
use super::*;
use crate::attest::InstancesFile;

fn aws() -> Aws {
    Aws {
        accounts: vec!["123456789012".to_owned()],
        regions: vec!["eu-central-1".to_owned()],
        roles: vec!["web-nodes".to_owned()],
        sts: Some("http://127.0.0.1:1".to_owned()),
        signers: BTreeMap::new(),
        instances: Arc::new(InstancesFile::new("/nowhere".into())),
    }
}

fn answer(arn: &str, account: &str) -> String {
    format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <GetCallerIdentityResult>\n    <Arn>{arn}</Arn>\n    <UserId>AROAEXAMPLE:i-0123456789abcdef0</UserId>\n    <Account>{account}</Account>\n  </GetCallerIdentityResult>\n</GetCallerIdentityResponse>"
    )
}

const OWN: &str = "arn:aws:sts::123456789012:assumed-role/aws:ec2-instance/i-0123456789abcdef0";

fn shown(arn: &str, account: &str) -> Result<Shown, Refused> {
    instance(&aws(), &read(&answer(arn, account)).unwrap(), "eu-central-1")
}

#[test]
fn an_instance_is_known_by_its_own_role_and_by_those_that_are_named() {
    let own = shown(OWN, "123456789012").unwrap();
    assert_eq!(
        (own.instance.as_str(), own.account.as_str()),
        ("i-0123456789abcdef0", "123456789012")
    );
    let named = "arn:aws:sts::123456789012:assumed-role/web-nodes/i-0123456789abcdef0";
    assert!(shown(named, "123456789012").is_ok());
}

#[test]
fn t2_whoever_is_no_instance_of_ours_is_foreign() {
    for arn in [
        "arn:aws:iam::123456789012:user/kim",
        "arn:aws:sts::123456789012:assumed-role/web-nodes/kim",
        "arn:aws:sts::123456789012:assumed-role/web-nodes2/i-0123456789abcdef0",
        "arn:aws:sts::123456789012:assumed-role/web-nodes/x/i-0123456789abcdef0",
        "arn:aws:sts::123456789012:assumed-role/i-0123456789abcdef0",
        "arn:aws:sts::123456789012:federated-user/i-0123456789abcdef0",
        "arn:aws-cn:sts::123456789012:assumed-role/aws:ec2-instance/i-0123456789abcdef0",
        "arn:aws:sts:x:123456789012:assumed-role/aws:ec2-instance/i-0123456789abcdef0",
        "arn:aws:sts::999999999999:assumed-role/aws:ec2-instance/i-0123456789abcdef0",
        "xarn:aws:sts::123456789012:assumed-role/aws:ec2-instance/i-0123456789abcdef0",
        "",
    ] {
        assert!(matches!(shown(arn, "123456789012"), Err(Refused::Foreign(_))), "{arn}");
    }
    // That the account is one that is let in is looked at once it is known.
    let other = OWN.replace("123456789012", "999999999999");
    let other = shown(&other, "999999999999").unwrap();
    assert!(check(&aws(), &other.account, &other.region).is_err());
}

#[test]
fn an_answer_of_another_form_is_no_answer() {
    let whole = answer(OWN, "123456789012");
    assert!(read(&whole).is_some());
    for wrong in [
        String::new(),
        "<Arn>a</Arn><Account>1</Account>".to_owned(),
        whole.replace("</Arn>", ""),
        whole.replace("</Arn>", "</Arn><Arn>arn:aws:iam::1:root</Arn>"),
        whole.replace("123456789012</Account>", "<b>1</b></Account>"),
        whole.replace("GetCallerIdentityResponse ", "ErrorResponse "),
        whole.replace(OWN, "a&amp;b"),
    ] {
        assert_eq!(read(&wrong), None, "{wrong}");
    }
    for length in
        0..whole.len() - "</GetCallerIdentityResult>\n</GetCallerIdentityResponse>".len() - 3
    {
        assert_eq!(read(whole.get(..length).unwrap()), None, "{length}");
    }
}

#[test]
fn a_call_is_fresh_for_five_minutes_by_either_clock() {
    let now: jiff::Timestamp = "2026-11-26T19:00:00Z".parse().unwrap();
    let now = Timestamp::from_millis(now.as_millisecond().try_into().unwrap());
    assert!(is_fresh("20261126T190000Z", now).is_ok());
    assert!(is_fresh("20261126T185501Z", now).is_ok() && is_fresh("20261126T190459Z", now).is_ok());
    for stale in ["20261126T185459Z", "20261126T190501Z", "20251126T190000Z"] {
        assert!(matches!(is_fresh(stale, now), Err(Refused::Stale { .. })), "{stale}");
    }
    assert!(matches!(is_fresh("20261326T190000Z", now), Err(Refused::Malformed(_))));
}

#[test]
fn calls_are_limited() {
    let caller = Caller::new(&aws()).unwrap();
    let made = (0..100).filter(|_| caller.may()).count();
    assert!((20..30).contains(&made), "{made}");
}

fn inputs(name: &str) -> Vec<Vec<u8>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus");
    corpus(&folder.join(name))
}

#[test]
fn t14_of_an_answer_that_was_changed_nobody_is_let_in_who_is_none_of_ours() {
    let aws = aws();
    let read = |bytes: &[u8]| {
        let Some(said) = std::str::from_utf8(bytes).ok().and_then(read) else { return };
        let Ok(shown) = instance(&aws, &said, "eu-central-1") else { return };
        assert!(trust::attest::is_instance(&shown.instance) && said.arn.contains(&shown.account));
        if check(&aws, &shown.account, &shown.region).is_ok() {
            assert_eq!(shown.account, "123456789012");
        }
    };
    replay("answers of the token service", &inputs("caller"), (20_000, &read));
}

#[test]
fn t14_a_proof_that_was_changed_is_refused_or_makes_the_same_kind_of_request() {
    let signed = |session_token: &str| wire::SignedCall {
        region: "eu-central-1".to_owned(),
        date: "20261127T150000Z".to_owned(),
        access_key: "ASIAIOSFODNN7EXAMPLE".to_owned(),
        session_token: session_token.to_owned(),
        signature: "0123456789abcdef".repeat(4),
    };
    let inputs = ["IQoJb3JpZ2luX2VjEJr//token==", "a b", "a\r\nhost: evil", ""];
    let inputs = inputs.map(|token| signed(token).encode_to_vec());
    let read = |bytes: &[u8]| {
        let Ok(signed) = wire::SignedCall::decode(bytes) else { return };
        let binding = trust::digest::sha256(b"a binding");
        let Ok(call) = sound(&signed, binding) else { return };
        let headers = call.headers(&signed.access_key, &signed.signature);
        assert_eq!(headers.len(), 6);
        for (name, value) in headers {
            let is_line =
                !value.is_empty() && value.chars().all(|c| c == ' ' || c.is_ascii_graphic());
            assert!(is_line, "{name}: {value:?}");
        }
        let domain = host(&call.region);
        assert!(
            domain.starts_with("sts.") && !domain.contains(['/', '@', ':', '?', '#']),
            "{domain}"
        );
    };
    replay("proofs", &inputs, (20_000, &read));
}
