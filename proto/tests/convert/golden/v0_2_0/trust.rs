//! Who is let in.

use model::audit::{Act, Object, Verdict};
use model::policy::images::ImagePolicy;
use model::policy::{Permit, Right};
use model::time::Timestamp;
use model::trust::{
    Admission, Attested, Fingerprint, Grant, Issued, Machine, Method, Operator, Role, Standing,
    Token, Use,
};
use proto::wire;

use super::super::Records;
use super::super::stored::Stored;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000 + seconds * 1_000)
}

fn issued(serial: &str) -> Issued {
    Issued { serial: serial.parse().unwrap(), expires_at: at(86_400) }
}

pub(crate) fn records() -> Records {
    let mut records = vec![
        ("authority-passphrase", authority(wire::SealKind::Passphrase)),
        ("authority-credential", authority(wire::SealKind::Credential)),
    ];
    records.extend(tokens());
    records.extend(admissions());
    records.extend(operators());
    records.extend(audit());
    records.push(("grant", permit()));
    records.push(("image-policy", images()));
    records
}

fn authority(kind: wire::SealKind) -> Stored {
    let (memory_kib, passes) = match kind {
        wire::SealKind::Passphrase => (19_456, 2),
        wire::SealKind::Credential | wire::SealKind::Unspecified => (0, 0),
    };
    let key = wire::SealedKey {
        kind: kind.into(),
        salt: vec![1; 16],
        nonce: vec![2; 24],
        ciphertext: vec![3; 40],
        memory_kib,
        passes,
    };
    Stored::Authority(wire::Authority { certificate: vec![0x30, 4, 5], key: Some(key) })
}

fn grant() -> Grant {
    let labels = [("disk".to_owned(), "ssd".to_owned())].into();
    Grant { pool: Some("web".to_owned()), labels, machine: Machine::default() }
}

fn tokens() -> Records {
    let digest = Fingerprint::new([0xab; 32]);
    let open = Token {
        id: digest.token_id(),
        digest,
        grant: grant(),
        node: None,
        made_by: "kim (admin)".to_owned(),
        expires_at: at(3_600),
        used: None,
    };
    let node = "i-0123456789abcdef0".parse().unwrap();
    let used = Use { node, key: Fingerprint::new([0xcd; 32]), at: at(60) };
    let named = Token { node: Some(used.node.clone()), used: Some(used), ..open.clone() };
    vec![("token-open", Stored::Token(open)), ("token-used", Stored::Token(named))]
}

fn admissions() -> Records {
    let (current, next) = (issued("40ab"), Some(issued("41cd")));
    let admitted = |next| {
        let standing = Standing::Admitted { current: current.clone(), next };
        let node = "i-0123456789abcdef0".parse().unwrap();
        Admission { node, grant: grant(), standing, attested: None }
    };
    let revoked = Admission { standing: Standing::Revoked { at: at(7) }, ..admitted(None) };
    let said = |text: &str| Some(text.to_owned());
    let machine = Machine {
        zone: said("eu-central-1a"),
        ami: said("ami-0123456789abcdef0"),
        instance_type: said("m7g.xlarge"),
    };
    let attested = |by| {
        let attested = Some(Attested { by, key: Fingerprint::new([0xef; 32]), at: at(5) });
        let grant = Grant { machine: machine.clone(), ..grant() };
        Stored::Admission(Admission { grant, attested, ..admitted(None) })
    };
    vec![
        ("admission-aws-sts", attested(Method::AwsSts)),
        ("admission-aws-iid", attested(Method::AwsIid)),
        ("admission", Stored::Admission(admitted(None))),
        ("admission-renewing", Stored::Admission(admitted(next))),
        ("admission-revoked", Stored::Admission(revoked)),
    ]
}

fn operators() -> Records {
    let globs = ["shop/*", "mail/web-*"].map(|glob| glob.parse().unwrap()).to_vec();
    let roles = [
        ("operator-viewer", Role::Viewer),
        ("operator-deployer", Role::Deployer(globs)),
        ("operator-operator", Role::Operator),
        ("operator-admin", Role::Admin),
    ];
    let record = |(name, role)| {
        let (issued, made_by) = (issued("42ef"), "user 0".to_owned());
        (name, Stored::Operator(Operator { name: "kim".parse().unwrap(), role, issued, made_by }))
    };
    roles.map(record).into()
}

fn permit() -> Stored {
    let rights = vec![
        Right::HostPath { path: "/srv/data".to_owned(), writable: true },
        Right::HostVolume { name: "models-v3".to_owned(), writable: true },
        Right::HostNetwork,
        Right::Capability("NET_ADMIN".to_owned()),
    ];
    let services = "shop/*".parse().unwrap();
    let (made_by, why) = ("kim (admin)".to_owned(), "ticket 7".to_owned());
    Stored::Permit(Permit { services, rights, made_by, why })
}

fn images() -> Stored {
    let patterns = ["registry.example.com:5000/team/*", "nginx"];
    let patterns = patterns.map(|pattern| pattern.parse().unwrap()).to_vec();
    let (made_by, why) = ("kim (admin)".to_owned(), "ticket 9".to_owned());
    Stored::ImagePolicy(ImagePolicy { patterns, made_by, why })
}

fn audit() -> Records {
    let act = |verdict, count| {
        let web = Object { name: "shop/web".to_owned(), before: Some(3), after: Some(4) };
        let act = Act {
            at: at(9),
            who: "kim (deployer)".to_owned(),
            from: "10.0.0.7:50000".to_owned(),
            what: "deploy".to_owned(),
            objects: vec![web, Object::named("node i-1")],
            why: "ticket 7".to_owned(),
            request: "40ab41cd42ef43ab".to_owned(),
            verdict,
            note: "in words".to_owned(),
            count,
        };
        Stored::Act(17, act)
    };
    let (hash, seal) = (vec![0xab; 32], vec![0xcd; 32]);
    let record = wire::AuditRecord { act: vec![8, 17], hash: hash.clone() };
    vec![
        ("act-done", act(Verdict::Done, 1)),
        ("act-refused", act(Verdict::Refused, 1)),
        ("act-denied", act(Verdict::Denied, 900)),
        ("act-alarm", act(Verdict::Alarm, 1)),
        ("audit-record", Stored::AuditRecord(record)),
        ("audit-mark", Stored::AuditMark(wire::AuditMark { sequence: 17, hash, seal })),
    ]
}
