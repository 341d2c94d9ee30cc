//! What constraints mean, and that they are printed as they are read.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::node::Availability;
use crate::resources::Resources;

fn node() -> Node {
    Node {
        id: "i-1".parse().unwrap(),
        hostname: "h1".to_owned(),
        engine: "e".to_owned(),
        zone: String::new(),
        arch: "arm64".to_owned(),
        labels: BTreeMap::from([
            ("disk".to_owned(), "ssd".to_owned()),
            ("gpus".to_owned(), "4".to_owned()),
            ("floor".to_owned(), "ground floor (east)".to_owned()),
        ]),
        capacity: Resources::default(),
        availability: Availability::Active,
        pool: Some("web".to_owned()),
        ami: None,
        instance_type: Some("m7g.large".to_owned()),
        os: Some("linux".to_owned()),
        engine_version: Some("28.2.2".to_owned()),
        kernel_version: Some("6.1.0-18-amd64".to_owned()),
        preparing_until: None,
        drain: None,
    }
}

fn read(text: &str) -> Constraint {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn wrong(text: &str) -> (usize, String, String) {
    let error = text.parse::<Constraint>().expect_err(text);
    (error.position, error.why, error.hint)
}

fn digest(number: u32) -> Digest {
    format!("sha256:{number:064x}").parse().unwrap()
}

#[test]
fn what_swarm_writes_means_what_it_means_there() {
    let label = |key: &str| Attribute::Label(key.to_owned());
    let of = |attribute, test: fn(String) -> Test, value: &str| {
        Constraint::Of(attribute, test(value.to_owned()))
    };
    let cases = [
        ("node.labels.disk==ssd", of(label("disk"), Test::Equal, "ssd")),
        ("  node.hostname  !=  h 1  ", of(Attribute::Hostname, Test::NotEqual, "h 1")),
        ("node.labels.a.b/c == x (y) <z>", of(label("a.b/c"), Test::Equal, "x (y) <z>")),
        ("node.labels.a == it's", of(label("a"), Test::Equal, "it's")),
        ("node.labels.a == land", of(label("a"), Test::Equal, "land")),
        ("node.zone == eu-1a|b", of(Attribute::Zone, Test::Equal, "eu-1a|b")),
    ];
    for (text, expected) in cases {
        assert_eq!(read(text), expected, "{text}");
    }
}

#[test]
fn a_node_meets_what_holds_of_it() {
    let holds = [
        "node.labels.disk == ssd and node.pool == web",
        "node.labels.disk == hdd or node.platform.os == linux",
        "not node.labels.disk == hdd",
        "!(node.labels.disk == hdd || node.labels.disk == nvme) && node.id in [i-1, i-2]",
        "node.instance_type =~ '^m7g\\.' and node.instance_type !~ \"metal$\"",
        "node.engine.version >= 28 and node.engine.version < v28.3",
        "node.kernel.version > 6.1 and node.kernel.version <= 6.1.99",
        "node.labels.gpus >= 4",
        "node.labels.floor == \"ground floor (east)\"",
        "node.labels.'disk' == ssd",
        // What is not there equals nothing.
        "node.ami != ami-1 and node.ami not in [ami-1] and node.ami !~ a and not node.ami =~ ''",
        "node.zone != a and not node.zone == a and node.labels.none != x",
        // `and` binds more closely than `or`.
        "node.id == i-1 or node.id == i-2 and node.id == i-3",
    ];
    for text in holds {
        assert!(read(text).is_met(&node(), None), "{text}");
    }
    let fails = [
        "node.labels.disk == ssd and node.pool == batch",
        "(node.id == i-1 or node.id == i-2) and node.id == i-3",
        "node.ami == ami-1",
        "node.ami in [ami-1]",
        "node.ami =~ ''",
        "node.ami > 0",
        "node.ami <= 9",
        "node.labels.disk > 1",
        "node.engine.version > 28.2.2",
        "node.zone =~ '.*'",
    ];
    for text in fails {
        assert!(!read(text).is_met(&node(), None), "{text}");
    }
}

#[test]
fn images_count_once_they_are_known() {
    let (there, images) = (digest(1), BTreeSet::from([digest(1)]));
    let by_digest = read(&format!("image.present(\"{there}\")"));
    let by_name = read(&format!("image.present(shop/web:1@{there})"));
    for constraint in [&by_digest, &by_name] {
        assert!(constraint.is_met(&node(), Some(&images)) && constraint.needs_images());
        assert!(!constraint.is_met(&node(), Some(&BTreeSet::new())));
        assert!(!constraint.is_met(&node(), None) && constraint.could_be_met(&node()));
    }
    let absent = read(&format!("not image.present('{there}')"));
    assert!(absent.is_met(&node(), Some(&BTreeSet::new())) && !absent.is_met(&node(), None));
    let never = read(&format!("image.present('{there}') and node.id == i-9"));
    assert!(!never.could_be_met(&node()));
    let unnamed = read("image.present('shop/web:1')");
    assert!(!unnamed.is_met(&node(), Some(&images)) && unnamed.needs_images());
    let name = ImageName::Digest(there.clone());
    assert!(unnamed.with_images(&|_| name.clone()).is_met(&node(), Some(&images)));
}

#[test]
fn an_error_says_where_and_what_to_do() {
    let cases = [
        ("node.lables.disk == ssd", 0, "can not be a constraint", "use `node.id`"),
        ("node.zoen == a", 0, "`node.zoen` can not be a constraint", "did you mean `node.zone`?"),
        (
            "node.id == a && node.engine.verison > 1",
            16,
            "node.engine.verison",
            "`node.engine.version`?",
        ),
        ("node.instance-type == a", 0, "node.instance-type", "did you mean `node.instance_type`?"),
        ("node.role == worker", 0, "`node.role` can not be", "every node can run services"),
        ("node.id = a", 8, "nothing is asked", "write `==`"),
        ("node.id", 7, "nothing is asked", "node.labels.disk == ssd"),
        ("node.id ==", 10, "ends where a value should be", "quotes"),
        ("node.labels. == x", 0, "`node.labels.` can not be", "the key of the label"),
        ("node.id in []", 12, "an empty list", "at least one"),
        ("node.id in [a, ", 15, "ends where a value should be", "quotes"),
        ("node.id in [a b]", 14, "`b]` stands where `]` should be", "put `]` there"),
        ("(node.id == a or node.id == b", 29, "ends where `)` should be", "put `)` there"),
        ("node.id == a and node.id == b c", 30, "`c` does not belong to it", "in quotes"),
        ("node.id not == a", 8, "`not` stands before", "not in"),
        ("node.id =~ \"(\"", 11, "is not a regular expression", "give a regular"),
        ("node.engine.version > new", 22, "`new` is not a version", "give a version"),
        ("node.id == \"a", 11, "a quote that does not end", "the same quote"),
        ("image.present(UPPER)", 14, "is not an image reference", "`image`"),
        ("", 0, "ends where an attribute should be", "node.labels.disk"),
    ];
    for (text, position, why, hint) in cases {
        let found = wrong(text);
        assert_eq!(found.0, position, "{text}: {found:?}");
        assert!(found.1.contains(why) && found.2.contains(hint), "{text}: {found:?}");
    }
}

#[test]
fn what_is_too_long_too_deep_or_too_large_is_refused() {
    let nested = |depth: usize| format!("{}node.id == a{}", "(".repeat(depth), ")".repeat(depth));
    assert!(nested(DEPTH_LIMIT - 1).parse::<Constraint>().is_ok());
    assert!(wrong(&nested(DEPTH_LIMIT)).1.contains("within each other"));
    assert!(wrong(&format!("{}node.id == a", "!".repeat(LENGTH_LIMIT / 2))).1.contains("within"));
    let long = |length: usize| format!("node.id == {}", "a".repeat(length));
    assert!(long(LENGTH_LIMIT - 11).parse::<Constraint>().is_ok());
    assert!(wrong(&long(LENGTH_LIMIT)).1.contains("at most"));
    // Short as it is written, and long as it is printed.
    let grows = format!("node.id == {}", "\u{1}\\".repeat(LENGTH_LIMIT / 2 - 10));
    assert!(wrong(&grows).1.contains("at most"));
    assert!(wrong("node.id =~ 'a{1000}{1000}'").1.contains("not a regular expression"));
}

#[test]
fn what_no_node_can_meet_is_found() {
    let certain = [
        ["node.id == a", "node.id == b"],
        ["node.id == a", "node.id != a"],
        ["node.id == a", "node.id in [b, c]"],
        ["node.id in [a, b]", "node.id in [c]"],
        ["node.id in [a, b]", "node.id not in [b, a]"],
        ["node.id == a", "node.id =~ '^b'"],
        ["node.engine.version == 27.1", "node.engine.version >= 28"],
        ["node.engine.version < 28", "node.engine.version >= v28.0"],
        ["node.engine.version > 2", "node.engine.version <= 2"],
        ["node.id == a or node.id == b", "not (node.id == a or node.id == b)"],
        ["node.zone == x and node.id == a", "node.pool == p and node.id == b"],
    ];
    for texts in certain {
        let (one, other) = (read(texts[0]), read(texts[1]));
        let found = Some(Conflict { first: 1, second: 2 });
        let first = read("node.labels.disk == ssd");
        assert_eq!(conflict(&[&first, &one, &other]), found, "{texts:?}");
        assert_eq!(conflict(&[&first, &other, &one]), found, "{texts:?}");
    }
    let alone = read("node.id == a and node.id == b");
    assert_eq!(conflict(&[&alone]), Some(Conflict { first: 0, second: 0 }));
    let possible = [
        ["node.id == a", "node.zone == b"],
        ["node.id == a", "node.id == a"],
        ["node.id != a", "node.id != b"],
        ["node.id in [a, b]", "node.id in [b, c]"],
        ["node.engine.version <= 28", "node.engine.version >= 28"],
        ["node.labels.x == a", "node.labels.y == b"],
        ["node.id == a or node.id == b", "node.id == b"],
    ];
    for texts in possible {
        let (one, other) = (read(texts[0]), read(texts[1]));
        assert_eq!(conflict(&[&one, &other]), None, "{texts:?}");
    }
}

fn attribute() -> impl Strategy<Value = Attribute> {
    prop_oneof![
        Just(Attribute::Id),
        Just(Attribute::InstanceType),
        Just(Attribute::KernelVersion),
        "[a-z./-]{1,6}".prop_map(Attribute::Label),
        "\\PC{1,8}".prop_map(Attribute::Label),
        prop::sample::select(vec!["and", "or", "in", "not", "\"", "a b"])
            .prop_map(|key| Attribute::Label(key.to_owned())),
    ]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9.:/-]{1,8}", "\\PC{0,8}", "(and|or|not|in|\"|\\\\|'| )"]
}

fn test() -> impl Strategy<Value = Test> {
    let orders = vec![Order::Less, Order::AtMost, Order::Greater, Order::AtLeast];
    let version = "v?[0-9]{1,3}(\\.[0-9]{1,3}){0,3}([-~][a-z0-9.]{1,5})?(\\+[a-z]{0,3})?";
    let pattern = "[a-z.^$*\\\\\"' ]{0,8}".prop_filter_map("a pattern", |text| text.parse().ok());
    let patterns = pattern.clone();
    prop_oneof![
        value().prop_map(Test::Equal),
        value().prop_map(Test::NotEqual),
        prop::collection::vec(value(), 1..4).prop_map(Test::In),
        prop::collection::vec(value(), 1..4).prop_map(Test::NotIn),
        pattern.prop_map(Test::Matches),
        patterns.prop_map(Test::NotMatches),
        (prop::sample::select(orders), version)
            .prop_map(|(order, text)| Test::Compares(order, text.parse().unwrap())),
    ]
}

fn constraint() -> impl Strategy<Value = Constraint> {
    let image = prop_oneof![
        any::<u32>().prop_map(|number| ImageName::Digest(digest(number))),
        "[a-z]{1,4}(:[a-z]{1,3})?".prop_map(|name| ImageName::Reference(name.parse().unwrap())),
    ];
    let leaf = prop_oneof![
        8 => (attribute(), test()).prop_map(|(attribute, test)| Constraint::Of(attribute, test)),
        1 => image.prop_map(Constraint::ImagePresent),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| Constraint::Not(Box::new(inner))),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Constraint::All),
            prop::collection::vec(inner, 2..4).prop_map(Constraint::Any),
        ]
    })
}

fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "node.id",
        "node.labels.",
        "node.engine.version",
        "image.present",
        "not",
        "in",
        "and",
        "or",
        "!",
        "(",
        ")",
        "[",
        "]",
        ",",
        "==",
        "!=",
        "=~",
        "!~",
        "<",
        ">=",
        "&&",
        "||",
        "\"",
        "'",
        "\\",
        "a",
        "1.2",
        "é",
        " ",
        "\u{202e}",
        "\0",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_is_read_as_the_same(constraint in constraint()) {
        let text = constraint.to_string();
        prop_assume!(text.len() <= LENGTH_LIMIT);
        let again: Constraint = text.parse().map_err(|error| TestCaseError::fail(format!("{text}: {error:?}")))?;
        prop_assert_eq!(again, constraint, "{}", text);
    }

    #[test]
    fn no_text_is_too_much(text in prop_oneof![pieces(), any::<String>()]) {
        match text.parse::<Constraint>() {
            Ok(constraint) => {
                let (images, printed) = (BTreeSet::new(), constraint.to_string());
                prop_assert_eq!(&printed.parse::<Constraint>().unwrap(), &constraint);
                if constraint.is_met(&node(), Some(&images)) {
                    prop_assert!(constraint.could_be_met(&node()));
                }
            }
            Err(error) => {
                prop_assert!(error.position <= text.chars().count());
                prop_assert!(error.why.len() < 1_000 && !error.why.contains(char::is_control));
            }
        }
    }
}
