//! Tokens are used once, certificates take each other's place, and who was revoked stays out.
#![allow(clippy::indexing_slicing, reason = "a test that finds nothing there has failed")]

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const HOUR: Duration = Duration::from_secs(3_600);

fn digest(of: u8) -> Fingerprint {
    Fingerprint::new([of; 32])
}

/// Signed some seconds after NOW: as many as twice the last digit of the serial number.
fn issued(serial: &str) -> Issued {
    let digit = serial.chars().last().and_then(|last| last.to_digit(16)).unwrap();
    let expires_at = NOW + 24 * HOUR + Duration::from_secs(2 * u64::from(digit));
    Issued { serial: serial.parse().unwrap(), expires_at }
}

fn token(of: u8, node: Option<&str>) -> Token {
    let digest = digest(of);
    let grant = Grant { pool: Some("web".to_owned()), ..Grant::default() };
    let node = node.map(|node| node.parse().unwrap());
    let (made_by, expires_at) = ("kim".to_owned(), NOW + HOUR);
    Token { id: digest.token_id(), digest, grant, node, made_by, expires_at, used: None }
}

fn join(token: u8, node: &str, key: u8, serial: &str) -> Asked {
    let (token, key) = (digest(token), digest(key));
    Asked::Join(Join { token, node: node.parse().unwrap(), key, issued: issued(serial) })
}

/// A ledger in which time passes only when it is said.
#[derive(Default)]
struct Desk(Ledger);

impl Desk {
    fn ask_at(&mut self, asked: &Asked, now: Timestamp) -> Result<(), Refusal> {
        let changes = self.0.decide(asked, now)?;
        changes.iter().for_each(|change| self.0.apply(change));
        Ok(())
    }

    fn ask(&mut self, asked: &Asked) -> Result<(), Refusal> {
        self.ask_at(asked, NOW)
    }

    fn admits(&self, node: &str, serial: &str) -> bool {
        self.0.admits(&node.parse().unwrap(), &issued(serial)).is_ok()
    }

    fn with_node() -> Self {
        let mut desk = Self::default();
        desk.ask(&Asked::CreateToken(token(1, None))).unwrap();
        desk.ask(&join(1, "n1", 100, "a1")).unwrap();
        desk
    }
}

#[test]
fn t1_a_token_lets_one_node_in_and_only_once() {
    let mut desk = Desk::with_node();
    assert!(desk.admits("n1", "a1"));
    assert_eq!(desk.0.grant(&"n1".parse().unwrap()).unwrap().pool.as_deref(), Some("web"));
    let used = |refusal| matches!(refusal, Err(Refusal::TokenUsed(..)));
    assert!(used(desk.ask(&join(1, "n2", 101, "a2"))), "by another node");
    assert!(used(desk.ask(&join(1, "n1", 101, "a2"))), "by the same name with another key");
    assert!(used(desk.ask(&join(1, "n2", 100, "a2"))), "by the same key under another name");
    assert!(!desk.admits("n2", "a2") && desk.admits("n1", "a1"), "nothing has changed");
}

#[test]
fn a_join_whose_answer_was_lost_is_answered_again_and_the_first_answer_counts_no_more() {
    let mut desk = Desk::with_node();
    let before = desk.0.tokens().next().unwrap().used.clone();
    desk.ask_at(&join(1, "n1", 100, "a2"), NOW + HOUR / 2).unwrap();
    assert!(desk.admits("n1", "a2") && !desk.admits("n1", "a1"));
    assert_eq!(desk.0.tokens().next().unwrap().used, before, "it was used when it was used");
}

#[test]
fn a_token_that_is_forged_expired_removed_or_of_another_node_opens_nothing() {
    let mut desk = Desk::default();
    desk.ask(&Asked::CreateToken(token(1, Some("n1")))).unwrap();
    assert_eq!(desk.ask(&join(9, "n1", 100, "a1")), Err(Refusal::UnknownToken));
    let other = desk.ask(&join(1, "n2", 100, "a1"));
    assert!(matches!(other, Err(Refusal::TokenOfAnother(..))), "{other:?}");
    let late = desk.ask_at(&join(1, "n1", 100, "a1"), NOW + HOUR);
    assert!(matches!(late, Err(Refusal::TokenExpired(..))), "{late:?}");
    desk.ask(&Asked::RemoveToken(digest(1).token_id())).unwrap();
    assert_eq!(desk.ask(&join(1, "n1", 100, "a1")), Err(Refusal::UnknownToken));
    assert_eq!(desk.0.admissions.len(), 0);
}

/// Two secrets whose names begin alike are still two.
#[test]
fn the_name_of_a_token_does_not_open() {
    let mut desk = Desk::default();
    desk.ask(&Asked::CreateToken(token(1, None))).unwrap();
    let mut near = *digest(1).as_bytes();
    near[31] ^= 1;
    let near = Fingerprint::new(near);
    assert_eq!(near.token_id(), digest(1).token_id());
    let node = "n1".parse().unwrap();
    let join = Join { token: near, node, key: digest(100), issued: issued("a1") };
    assert_eq!(desk.ask(&Asked::Join(join)), Err(Refusal::UnknownToken));
}

#[test]
fn t5_who_has_a_token_for_some_node_does_not_become_one_that_is_there() {
    let mut desk = Desk::with_node();
    desk.ask(&Asked::CreateToken(token(2, None))).unwrap();
    let taken = desk.ask(&join(2, "n1", 101, "b1"));
    assert_eq!(taken, Err(Refusal::NodeTaken("n1".parse().unwrap())));
    assert!(desk.admits("n1", "a1") && !desk.admits("n1", "b1"));
    // Nor after it was revoked: then all the less.
    desk.ask(&Asked::Revoke("n1".parse().unwrap())).unwrap();
    assert!(matches!(desk.ask(&join(2, "n1", 101, "b1")), Err(Refusal::NodeTaken(_))));
    // A token that names it is how an administrator says that it is that one.
    desk.ask(&Asked::CreateToken(token(3, Some("n1")))).unwrap();
    desk.ask(&join(3, "n1", 101, "b1")).unwrap();
    assert!(desk.admits("n1", "b1") && !desk.admits("n1", "a1"));
}

#[test]
fn the_old_certificate_holds_until_the_new_one_is_used() {
    let mut desk = Desk::with_node();
    let node: NodeId = "n1".parse().unwrap();
    let renew = |shown: &str, serial: &str| Asked::Renew {
        node: "n1".parse().unwrap(),
        shown: issued(shown),
        issued: issued(serial),
    };
    let shown = |serial: &str| Asked::Shown { node: "n1".parse().unwrap(), shown: issued(serial) };
    desk.ask(&renew("a1", "a2")).unwrap();
    assert!(desk.admits("n1", "a1") && desk.admits("n1", "a2"), "both hold");
    assert!(desk.0.is_next(&node, &issued("a2")));
    // The answer was lost: asked again, what was lost counts for nothing.
    desk.ask(&renew("a1", "a3")).unwrap();
    assert!(desk.admits("n1", "a1") && !desk.admits("n1", "a2") && desk.admits("n1", "a3"));
    desk.ask(&shown("a1")).unwrap();
    assert!(desk.admits("n1", "a3"), "to show the old one takes nothing away");
    desk.ask(&shown("a3")).unwrap();
    assert!(!desk.admits("n1", "a1") && desk.admits("n1", "a3"));
    let old = desk.ask(&renew("a1", "a4"));
    assert!(matches!(old, Err(Refusal::Denied(Denial::Superseded(_)))), "{old:?}");
    // A new one that asks before it was seen in a session is what the node has.
    desk.ask(&renew("a3", "a4")).unwrap();
    desk.ask(&renew("a4", "a5")).unwrap();
    assert!(!desk.admits("n1", "a3") && desk.admits("n1", "a4") && desk.admits("n1", "a5"));
}

#[test]
fn t12_a_node_that_renews_without_end_is_told_to_wait() {
    let mut desk = Desk::with_node();
    let renew = |after: Duration| Asked::Renew {
        node: "n1".parse().unwrap(),
        shown: issued("a1"),
        issued: Issued { expires_at: NOW + 25 * HOUR + after, ..issued("a2") },
    };
    desk.ask(&renew(Duration::ZERO)).unwrap();
    let soon = desk.ask(&renew(RENEWAL_PAUSE / 2));
    assert!(matches!(soon, Err(Refusal::TooSoon(_))), "{soon:?}");
    desk.ask(&renew(RENEWAL_PAUSE)).unwrap();
}

#[test]
fn who_is_revoked_is_out_and_can_not_renew() {
    let mut desk = Desk::with_node();
    let node: NodeId = "n1".parse().unwrap();
    desk.ask(&Asked::Revoke(node.clone())).unwrap();
    assert!(!desk.admits("n1", "a1"));
    let renew = Asked::Renew { node: node.clone(), shown: issued("a1"), issued: issued("a2") };
    assert!(matches!(desk.ask(&renew), Err(Refusal::Denied(Denial::Revoked(..)))));
    // Nor with what it has joined by.
    let same = desk.ask(&join(1, "n1", 100, "a3"));
    assert!(matches!(same, Err(Refusal::Denied(Denial::Revoked(..)))), "{same:?}");
    assert!(!desk.admits("n1", "a3"));
}

/// A store that was restored does not know what was signed since, and nobody has to join anew for that.
#[test]
fn a_certificate_that_was_signed_after_the_store_was_copied_still_lets_its_node_in() {
    let mut desk = Desk::with_node();
    let node: NodeId = "n1".parse().unwrap();
    let copied = desk.0.clone();
    let later = |serial: &str| Issued { expires_at: NOW + 48 * HOUR, ..issued(serial) };
    let renew = Asked::Renew { node: node.clone(), shown: issued("a1"), issued: later("a2") };
    desk.ask(&renew).unwrap();
    let mut restored = Desk(copied);
    let shown = Asked::Shown { node: node.clone(), shown: later("a2") };
    restored.ask(&shown).unwrap();
    assert_eq!(restored.0.admits(&node, &later("a2")), Ok(()));
    assert!(!restored.admits("n1", "a1"), "and takes the place of the one that the store knew");
    // What ends no later than what is known was signed before it.
    assert!(restored.0.admits(&node, &later("a3")).is_err());
    // Nor does any certificate help a node that is revoked, or one that the store has never heard of.
    restored.ask(&Asked::Revoke(node.clone())).unwrap();
    let last = Issued { expires_at: NOW + 480 * HOUR, ..issued("a4") };
    assert!(restored.0.admits(&node, &last).is_err());
    assert!(restored.0.admits(&"n9".parse().unwrap(), &last).is_err());
}

#[test]
fn there_are_limits_on_everything() {
    let mut desk = Desk::default();
    let life =
        |life: Duration| Asked::CreateToken(Token { expires_at: NOW + life, ..token(1, None) });
    assert!(matches!(desk.ask(&life(Duration::ZERO)), Err(Refusal::TokenLife(_))));
    assert!(matches!(desk.ask(&life(LONGEST_TOKEN + HOUR)), Err(Refusal::TokenLife(_))));
    let make = |number: usize| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        let digest = Fingerprint::new(bytes);
        Asked::CreateToken(Token { id: digest.token_id(), digest, ..token(1, None) })
    };
    (0..TOKENS_LIMIT).for_each(|number| desk.ask(&make(number)).unwrap());
    assert_eq!(desk.ask(&make(TOKENS_LIMIT)), Err(Refusal::TooManyTokens));
    // Those that open nothing any more make room after a while.
    let later = NOW + 26 * HOUR;
    let Asked::CreateToken(token) = make(TOKENS_LIMIT) else { return };
    let token = Asked::CreateToken(Token { expires_at: later + HOUR, ..token });
    desk.ask_at(&token, later).unwrap();
    assert_eq!(desk.0.tokens().count(), 1);
}

#[test]
fn an_operator_is_known_by_one_certificate_and_is_not_replaced_by_adding_one() {
    let mut desk = Desk::default();
    let operator = |serial: &str, role: Role| Operator {
        name: "kim".parse().unwrap(),
        role,
        issued: issued(serial),
        made_by: "root".to_owned(),
    };
    let kim = "kim".parse().unwrap();
    desk.ask(&Asked::AddOperator(operator("c1", Role::Viewer))).unwrap();
    let again = desk.ask(&Asked::AddOperator(operator("c2", Role::Admin)));
    assert!(matches!(again, Err(Refusal::OperatorExists(_))));
    assert_eq!(desk.0.role(&kim, &"c1".parse().unwrap()), Ok(&Role::Viewer));
    assert!(desk.0.role(&kim, &"c2".parse().unwrap()).is_err());
    desk.ask(&Asked::RemoveOperator(kim.clone())).unwrap();
    assert!(desk.0.role(&kim, &"c1".parse().unwrap()).is_err());
    assert!(matches!(desk.ask(&Asked::RemoveOperator(kim)), Err(Refusal::NoOperator(_))));
}

#[test]
fn machines_that_will_not_be_back_are_forgotten_and_those_that_may_are_not() {
    let mut desk = Desk::with_node();
    let (month, n2) = (30 * 24 * HOUR, "n2".parse().unwrap());
    desk.ask(&Asked::CreateToken(token(2, None))).unwrap();
    desk.ask(&join(2, "n2", 101, "b1")).unwrap();
    desk.ask_at(&Asked::Revoke(n2), NOW + 2 * month).unwrap();
    let mut come = |number: u8, now: Timestamp| {
        let token = Token { expires_at: now + HOUR, ..token(number, None) };
        desk.ask_at(&Asked::CreateToken(token), now).unwrap();
        desk.ask_at(&join(number, &format!("m{number}"), number, "c1"), now).unwrap();
        desk.0.admissions.keys().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(come(10, NOW + 3 * month), ["m10", "n1", "n2"]);
    // All certificates of these tests end a day after NOW.
    assert_eq!(come(11, NOW + 3 * month + 25 * HOUR), ["m11", "n2"]);
    assert_eq!(come(12, NOW + 5 * month + HOUR), ["m12"]);
}

#[test]
fn what_is_stored_rebuilds_it() {
    let mut desk = Desk::default();
    let mut stored = Vec::new();
    for asked in [
        Asked::CreateToken(token(1, None)),
        Asked::CreateToken(token(2, Some("n2"))),
        join(1, "n1", 100, "a1"),
        join(2, "n2", 101, "b1"),
        Asked::Revoke("n2".parse().unwrap()),
        Asked::RemoveToken(digest(1).token_id()),
    ] {
        let changes = desk.0.decide(&asked, NOW).unwrap();
        changes.iter().for_each(|change| desk.0.apply(change));
        stored.extend(changes);
    }
    assert_eq!(Ledger::load(&stored), desk.0);
}

fn attest(by: Method, node: &str, key: u8, serial: &str) -> Asked {
    let (node, key) = (node.parse().unwrap(), digest(key));
    let grant = Grant { pool: Some("aws".to_owned()), ..Grant::default() };
    Asked::Attest(Attest { node, by, key, grant, issued: issued(serial) })
}

#[test]
fn a_machine_that_shows_itself_anew_takes_its_own_place() {
    let mut desk = Desk::default();
    desk.ask(&attest(Method::AwsSts, "i-1", 1, "a1")).unwrap();
    assert!(desk.admits("i-1", "a1"));
    desk.ask(&attest(Method::AwsSts, "i-1", 2, "a2")).unwrap();
    assert!(desk.admits("i-1", "a2") && !desk.admits("i-1", "a1"));
    // Also one that has joined by a token before, and what it belongs to is what is known of it now.
    let mut desk = Desk::with_node();
    desk.ask(&attest(Method::AwsSts, "n1", 2, "a2")).unwrap();
    assert!(desk.admits("n1", "a2") && !desk.admits("n1", "a1"));
    assert_eq!(desk.0.grant(&"n1".parse().unwrap()).unwrap().pool.as_deref(), Some("aws"));
}

#[test]
fn t3_a_document_lets_in_once_and_again_only_who_has_the_key() {
    let mut desk = Desk::default();
    desk.ask(&attest(Method::AwsIid, "i-1", 1, "a1")).unwrap();
    let copied = desk.ask(&attest(Method::AwsIid, "i-1", 2, "a0"));
    assert_eq!(copied, Err(Refusal::DocumentUsed("i-1".parse().unwrap())));
    assert!(desk.admits("i-1", "a1") && !desk.admits("i-1", "a0"));
    desk.ask(&attest(Method::AwsIid, "i-1", 1, "a3")).unwrap();
    assert!(desk.admits("i-1", "a3"), "the answer was lost");
    // Nor does it take the place of somebody who has come in by other means.
    let mut desk = Desk::with_node();
    assert!(desk.ask(&attest(Method::AwsIid, "n1", 2, "a2")).is_err());
    desk.ask(&attest(Method::AwsSts, "i-2", 5, "a4")).unwrap();
    assert!(desk.ask(&attest(Method::AwsIid, "i-2", 6, "a5")).is_err());
}

#[test]
fn no_proof_lets_in_who_was_revoked() {
    let mut desk = Desk::default();
    desk.ask(&attest(Method::AwsSts, "i-1", 1, "a1")).unwrap();
    desk.ask(&Asked::Revoke("i-1".parse().unwrap())).unwrap();
    for method in [Method::AwsSts, Method::AwsIid] {
        let refused = desk.ask(&attest(method, "i-1", 1, "a2"));
        assert!(matches!(refused, Err(Refusal::Denied(Denial::Revoked(..)))), "{refused:?}");
    }
    desk.ask(&Asked::CreateToken(token(3, Some("i-1")))).unwrap();
    desk.ask(&join(3, "i-1", 9, "a3")).unwrap();
    assert!(desk.admits("i-1", "a3"));
    desk.ask(&attest(Method::AwsSts, "i-1", 1, "a4")).unwrap();
}

#[test]
fn images_come_from_where_was_said_last_and_from_everywhere_before_and_after() {
    let mut desk = Desk::default();
    assert_eq!(desk.0.images(), None);
    for pattern in ["registry.example.com/team/*", "docker.io/library/nginx"] {
        let patterns = vec![pattern.parse().unwrap()];
        let policy = ImagePolicy { patterns, made_by: "kim".to_owned(), why: String::new() };
        desk.ask(&Asked::SetImages(Some(policy.clone()))).unwrap();
        assert_eq!(desk.0.images(), Some(&policy));
    }
    desk.ask(&Asked::SetImages(None)).unwrap();
    assert_eq!(desk.0.images(), None);
}

fn permit(services: &str, rights: Vec<Right>) -> Asked {
    let (made_by, why) = ("kim".to_owned(), String::new());
    Asked::AddPermit(Permit { services: services.parse().unwrap(), rights, made_by, why })
}

#[test]
fn t7_a_service_may_ask_of_machines_what_somebody_has_allowed_it_and_no_more() {
    let path = |path: &str, writable| Right::HostPath { path: path.to_owned(), writable };
    let mut desk = Desk::default();
    desk.ask(&permit("shop/*", vec![path("/srv/shop", false)])).unwrap();
    desk.ask(&permit("shop/web", vec![Right::HostNetwork])).unwrap();
    let rights = |desk: &Desk, service: &str| {
        let (project, name) = service.split_once('/').unwrap();
        let (project, name) = (project.parse().unwrap(), name.parse().unwrap());
        let service = model::id::ServiceId { project, name };
        let permits = desk.0.permits().filter(|permit| permit.services.matches(&service));
        permits.flat_map(|permit| permit.rights.clone()).collect::<Vec<_>>()
    };
    assert_eq!(rights(&desk, "shop/db"), [path("/srv/shop", false)]);
    assert_eq!(rights(&desk, "shop/web").len(), 2);
    assert!(rights(&desk, "shop2/web").is_empty());
    // Said again, it is what was said last; taken back, it is gone.
    desk.ask(&permit("shop/*", vec![path("/srv/other", true)])).unwrap();
    assert_eq!(rights(&desk, "shop/db"), [path("/srv/other", true)]);
    let all: ServiceGlob = "shop/*".parse().unwrap();
    desk.ask(&Asked::RemovePermit(all.clone())).unwrap();
    assert!(rights(&desk, "shop/db").is_empty());
    assert_eq!(desk.ask(&Asked::RemovePermit(all.clone())), Err(Refusal::NoPermit(all)));
}
