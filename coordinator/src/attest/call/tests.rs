//! What AWS answers, and what only looks like it.

use std::collections::BTreeMap;
use std::sync::Arc;

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
