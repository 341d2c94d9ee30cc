//! What services ask of machines: refused to whoever does not decide about machines, unless an administrator has allowed it.

use proto::wire;
use proto::wire::control_client::ControlClient;
use proto::wire::right::Kind;
use proto::wire::secrets_client::SecretsClient;
use proto::wire::trust_client::TrustClient;
use tonic::{Code, Status};

use crate::calls::{service, spec};
use crate::world::World;

type Asks = fn(&mut wire::ServiceSpec);

fn container(service: &mut wire::ServiceSpec) -> &mut wire::ContainerSpec {
    &mut service.task.as_mut().unwrap().containers[0]
}

fn bind(service: &mut wire::ServiceSpec, path: &str, read_only: bool) {
    container(service).mounts.push(wire::Mount {
        source: Some(wire::mount::Source::Bind(path.to_owned())),
        target: "/host".to_owned(),
        read_only,
    });
}

fn asks(ask: Asks) -> wire::DeployRequest {
    let mut service = spec("shop", "web");
    ask(&mut service);
    wire::DeployRequest { services: vec![service], ..Default::default() }
}

const ASKS: [(&str, Asks, &str); 7] = [
    (
        "the engine's socket",
        |it| bind(it, "/var/run/docker.sock", false),
        "/var/run/docker.sock:rw",
    ),
    ("a path to read", |it| bind(it, "/srv/data/a", true), "--host-path '/srv/data/a'"),
    ("a path to write", |it| bind(it, "/srv/data/a", false), "--host-path '/srv/data/a:rw'"),
    ("a path beside it", |it| bind(it, "/srv/data2", true), "--host-path '/srv/data2'"),
    (
        "the host's network",
        |it| {
            let kind = Some(wire::network::Kind::Host(wire::HostNetwork {}));
            it.task.as_mut().unwrap().network = Some(wire::Network { kind });
        },
        "--host-network",
    ),
    (
        "a capability",
        |it| container(it).security.as_mut().unwrap().cap_add.push("NET_ADMIN".to_owned()),
        "--capability NET_ADMIN",
    ),
    (
        "all of them",
        |it| container(it).security.as_mut().unwrap().cap_add.push("ALL".to_owned()),
        "--capability ALL",
    ),
];

async fn deploy(
    control: &mut ControlClient<tonic::transport::Channel>,
    ask: Asks,
) -> Result<(), Status> {
    control.deploy(asks(ask)).await.map(drop)
}

#[tokio::test]
async fn t7_f37_who_deploys_gets_nothing_of_the_host_that_nobody_has_allowed() {
    let world = World::start().await;
    let kim = world.operator("kim", wire::OperatorRole::Deployer, &["shop/*"]).await;
    let lee = world.operator("lee", wire::OperatorRole::Operator, &[]).await;
    let mut controls = [&kim, &lee].map(|bundle| ControlClient::new(world.channel(bundle)));
    for control in &mut controls {
        for (what, ask, option) in ASKS {
            let refused = deploy(control, ask).await.unwrap_err();
            assert_eq!(refused.code(), Code::PermissionDenied, "{what}");
            assert!(refused.message().contains(option), "{what}: {refused:?}");
            let plan = wire::DeployRequest { dry_run: true, ..asks(ask) };
            assert!(control.deploy(plan).await.is_err(), "a plan says so too: {what}");
        }
        // What every container has may be asked for, and a volume is nobody's but the project's.
        let plain: Asks = |it| {
            let container = container(it);
            container.security.as_mut().unwrap().cap_add.push("CHOWN".to_owned());
            let source = Some(wire::mount::Source::Volume("data".to_owned()));
            let target = "/data".to_owned();
            container.mounts.push(wire::Mount { source, target, read_only: false });
        };
        deploy(control, plain).await.unwrap();
    }
    // Whoever could allow it needs nobody's leave.
    let mut admin = ControlClient::new(world.local());
    for (what, ask, _) in ASKS {
        deploy(&mut admin, ask).await.unwrap_or_else(|error| panic!("{what}: {error:?}"));
    }
}

#[tokio::test]
async fn what_was_allowed_is_allowed_to_whom_it_was_and_until_it_is_taken_back() {
    let mut world = World::start().await;
    let kim = world.operator("kim", wire::OperatorRole::Deployer, &["*/*"]).await;
    let right = |kind| wire::Right { kind: Some(kind) };
    let path = wire::HostPath { path: "/srv//data/".to_owned(), writable: false };
    let rights = vec![
        right(Kind::HostPath(path)),
        right(Kind::HostNetwork(wire::HostNetworkRight {})),
        right(Kind::Capability("cap_net_admin".to_owned())),
    ];
    let services = "shop/*".to_owned();
    let grant = wire::AddGrantRequest { services: services.clone(), rights, why: "a".to_owned() };
    world.admin().add_grant(grant.clone()).await.unwrap();
    world.end().await;
    world.begin().await;
    let mut control = ControlClient::new(world.channel(&kim));
    for (at, is_allowed) in [false, true, false, false, true, true, false].into_iter().enumerate() {
        let (what, ask, _) = ASKS[at];
        assert_eq!(deploy(&mut control, ask).await.is_ok(), is_allowed, "{what}");
    }
    let mut other = asks(ASKS[1].1);
    other.services[0].project = "shop2".to_owned();
    assert!(control.deploy(other).await.is_err(), "to others it is not");
    let listed = world.admin().list_grants(wire::ListGrantsRequest {}).await.unwrap().into_inner();
    assert_eq!(listed.grants[0].services, "shop/*");
    world.admin().remove_grant(wire::RemoveGrantRequest { services }).await.unwrap();
    assert!(deploy(&mut control, ASKS[1].1).await.is_err());
    for wrong in ["srv", "/srv/../etc", ""] {
        let path = wire::HostPath { path: wrong.to_owned(), writable: true };
        let grant =
            wire::AddGrantRequest { rights: vec![right(Kind::HostPath(path))], ..grant.clone() };
        let refused = world.admin().add_grant(grant).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{wrong:?}");
    }
    let nothing = wire::AddGrantRequest { rights: Vec::new(), ..grant };
    assert!(world.admin().add_grant(nothing).await.is_err());
}

fn names(service: &str, secret: &str) -> wire::DeployRequest {
    let mut service = spec("shop", service);
    container(&mut service).secret_files.push(wire::SecretFile {
        secret: secret.to_owned(),
        target: format!("/run/secrets/{secret}"),
        mode: 0o400,
        ..Default::default()
    });
    wire::DeployRequest { services: vec![service], ..Default::default() }
}

fn set(name: &str, value: Option<&str>, owners: &[&str]) -> wire::SetSecretRequest {
    wire::SetSecretRequest {
        name: name.to_owned(),
        value: value.map(|value| wire::SecretValue { value: value.into() }),
        owners: owners.iter().map(ToString::to_string).collect(),
    }
}

#[tokio::test]
async fn who_deploys_gets_no_secret_that_is_for_others() {
    let mut world = World::start().await;
    let kim = world.operator("kim", wire::OperatorRole::Deployer, &["shop/*"]).await;
    let lee = world.operator("lee", wire::OperatorRole::Operator, &[]).await;
    let mut secrets = SecretsClient::new(world.channel(&lee));
    secrets.set_secret(set("new", Some("1"), &[])).await.unwrap();
    secrets.set_secret(set("web", Some("1"), &["shop/web", "mail/*"])).await.unwrap();
    secrets.set_secret(set("mail", Some("1"), &["mail/*"])).await.unwrap();
    let mut control = ControlClient::new(world.channel(&kim));
    for (service, secret, option) in [
        ("web", "new", "secret set new --keep-value --for 'shop/web'"),
        ("api", "web", "--for 'shop/web' --for 'mail/*' --for 'shop/api'"),
        ("web", "mail", "--for 'mail/*' --for 'shop/web'"),
    ] {
        let refused = control.deploy(names(service, secret)).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{service} {secret}");
        assert!(refused.message().contains(option), "{service} {secret}: {refused:?}");
        let plan = wire::DeployRequest { dry_run: true, ..names(service, secret) };
        assert!(control.deploy(plan).await.is_err(), "a plan says so too: {service} {secret}");
    }
    control.deploy(names("web", "web")).await.unwrap();
    // A value that is set again leaves the owners as they are, and so does a start.
    secrets.set_secret(set("web", Some("2"), &[])).await.unwrap();
    world.end().await;
    world.begin().await;
    let mut control = ControlClient::new(world.channel(&kim));
    let mut secrets = SecretsClient::new(world.channel(&lee));
    control.deploy(names("web", "web")).await.unwrap();
    assert!(control.deploy(names("api", "web")).await.is_err());
    // Whoever may set them needs nobody's leave, and what has one of nobody's goes on being deployed with it.
    let mut operators = ControlClient::new(world.channel(&lee));
    operators.deploy(names("api", "new")).await.unwrap();
    control.deploy(names("api", "new")).await.unwrap();
    assert!(control.deploy(names("web", "new")).await.is_err(), "others do not come to it");
    // Once somebody has said whose it is nothing else counts.
    let kept = secrets.set_secret(set("new", None, &["mail/*"])).await.unwrap().into_inner();
    assert_eq!((kept.version, kept.changed), (1, false));
    assert!(control.deploy(names("api", "new")).await.is_err());
    let listed = wire::ListSecretsRequest { name: "new".to_owned() };
    let listed = secrets.list_secrets(listed).await.unwrap().into_inner();
    assert_eq!(listed.secrets[0].owners, ["mail/*"]);
    // Nothing is said of what is not there, or is no pattern.
    let code = |refused: Result<_, Status>| refused.map(drop).unwrap_err().code();
    assert_eq!(code(secrets.set_secret(set("gone", None, &["a/*"])).await), Code::NotFound);
    assert_eq!(code(secrets.set_secret(set("new", None, &[])).await), Code::InvalidArgument);
    assert_eq!(code(secrets.set_secret(set("new", None, &["shop"])).await), Code::InvalidArgument);
}

fn allow(references: &str, services: &[&str]) -> wire::AllowReferencesRequest {
    let services = services.iter().map(ToString::to_string).collect();
    wire::AllowReferencesRequest { references: references.to_owned(), services }
}

#[tokio::test]
async fn who_deploys_names_of_what_aws_keeps_what_an_operator_has_allowed() {
    let mut world = World::start().await;
    let kim = world.operator("kim", wire::OperatorRole::Deployer, &["*/*"]).await;
    let lee = world.operator("lee", wire::OperatorRole::Operator, &[]).await;
    let mut control = ControlClient::new(world.channel(&kim));
    for (reference, option) in [
        ("ssm:/shop/db", "secret allow 'ssm:/shop/db' --for 'shop/web'"),
        ("ssm:/shop/db:3", "secret allow 'ssm:/shop/db' --for 'shop/web'"),
        ("secretsmanager:a/b#c", "secret allow 'secretsmanager:a/b' --for 'shop/web'"),
    ] {
        for dry_run in [true, false] {
            let request = wire::DeployRequest { dry_run, ..names("web", reference) };
            let refused = control.deploy(request).await.unwrap_err();
            assert_eq!(refused.code(), Code::PermissionDenied, "{reference}");
            assert!(refused.message().contains(option), "{refused:?}");
        }
    }
    let mut theirs = SecretsClient::new(world.channel(&kim));
    let refused = theirs.allow_references(allow("ssm:*", &["*/*"])).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let mut secrets = SecretsClient::new(world.channel(&lee));
    secrets.allow_references(allow("ssm:/shop/*", &["shop/w*"])).await.unwrap();
    world.end().await;
    world.begin().await;
    let mut control = ControlClient::new(world.channel(&kim));
    let mut secrets = SecretsClient::new(world.channel(&lee));
    // Who may goes on to where AWS is asked, and there is none here.
    let mut may = async |service: &str, reference: &str| {
        let refused = control.deploy(names(service, reference)).await.unwrap_err();
        let asks = refused.message().contains("nobody here can ask AWS");
        assert!(asks || refused.code() == Code::PermissionDenied, "{refused:?}");
        asks
    };
    assert!(may("web", "ssm:/shop/db").await);
    assert!(may("web", "ssm:/shop/db:live").await);
    assert!(!may("web", "ssm:/shopping").await);
    assert!(!may("web", "ssm:/mail/db").await);
    assert!(!may("web", "secretsmanager:/shop/db").await);
    assert!(!may("api", "ssm:/shop/db").await);
    let listed = secrets.list_secrets(wire::ListSecretsRequest::default()).await.unwrap();
    let [allowed] = &listed.into_inner().allowed[..] else { panic!("one is allowed") };
    assert_eq!(
        (&*allowed.references, &allowed.services[..]),
        ("ssm:/shop/*", &["shop/w*".to_owned()][..])
    );
    // What is at AWS is not set here, and nothing is read that nobody has deployed.
    let code = |refused: Result<_, Status>| refused.map(drop).unwrap_err().code();
    for (request, meant) in [
        (set("ssm:/shop/db", Some("1"), &[]), Code::InvalidArgument),
        (set("ssm:/shop/db", None, &["a/*"]), Code::InvalidArgument),
        (set("ssm:/shop/db", None, &[]), Code::NotFound),
        (set("ssm:shop db", Some("1"), &[]), Code::InvalidArgument),
    ] {
        assert_eq!(code(secrets.set_secret(request).await), meant);
    }
    secrets.allow_references(allow("ssm:/shop/*", &[])).await.unwrap();
    assert!(!may("web", "ssm:/shop/db").await);
    for (references, services) in
        [("ssm:/shop/*", &[][..]), ("*", &["a/*"]), ("ssm:/a:3", &["a/*"]), ("ssm:/a", &["a"])]
    {
        assert!(
            secrets.allow_references(allow(references, services)).await.is_err(),
            "{references}"
        );
    }
}

#[tokio::test]
async fn what_is_strict_and_could_never_start_is_refused_when_it_is_deployed() {
    let world = World::start().await;
    let mut control = ControlClient::new(world.local());
    let strict = |change: Asks| {
        let mut service = spec("shop", "web");
        service.task.as_mut().unwrap().profile = Some(wire::Profile::Strict.into());
        change(&mut service);
        wire::DeployRequest { services: vec![service], ..Default::default() }
    };
    let wrong: [(&str, Asks); 4] = [
        ("runs as root", |it| {
            container(it).process.as_mut().unwrap().user = Some("0:7".to_owned())
        }),
        ("only a number tells", |it| {
            container(it).process.as_mut().unwrap().user = Some("app".to_owned());
        }),
        ("configs", |it| {
            let (target, content) = ("/etc/app".to_owned(), b"x".to_vec());
            let file = wire::FileSpec { target, content, mode: 0o444, ..Default::default() };
            container(it).files.push(file);
        }),
        ("all capabilities", |it| {
            container(it).security.as_mut().unwrap().cap_add.push("ALL".to_owned());
        }),
    ];
    for (what, change) in wrong {
        let refused = control.deploy(strict(change)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{what}");
        assert!(refused.message().contains(what), "{what}: {refused:?}");
    }
    // What the image says is seen by the agent.
    control.deploy(strict(|_| {})).await.unwrap();
}

fn runs(reference: &str) -> wire::DeployRequest {
    let mut service = spec("shop", "web");
    container(&mut service).image.as_mut().unwrap().reference = reference.to_owned();
    wire::DeployRequest { services: vec![service], ..Default::default() }
}

fn from(patterns: &[&str]) -> wire::SetImagePolicyRequest {
    let patterns = patterns.iter().map(ToString::to_string).collect();
    wire::SetImagePolicyRequest { patterns }
}

#[tokio::test]
async fn t11_images_come_from_where_an_administrator_has_said_whoever_deploys() {
    let mut world = World::start().await;
    let kim = world.operator("kim", wire::OperatorRole::Deployer, &["shop/*"]).await;
    let mut control = ControlClient::new(world.channel(&kim));
    control.deploy(runs("evil.org/app:1")).await.unwrap();
    world.admin().set_image_policy(from(&["registry.example.com/team/*", "bench"])).await.unwrap();
    world.end().await;
    world.begin().await;
    let mut control = ControlClient::new(world.channel(&kim));
    let mut admin = ControlClient::new(world.local());
    for (image, meant) in [
        ("evil.org/app:1", "evil.org/app"),
        ("app", "docker.io/library/app"),
        ("registry.example.com/team2/app", "registry.example.com/team2/app"),
        ("Registry.example.com/team/app", "Registry.example.com/team/app"),
        ("registry.example.com:5000/team/app", "registry.example.com:5000/team/app"),
    ] {
        let named = format!("container app of shop/web has the image {image}, which is {meant}:");
        for control in [&mut control, &mut admin] {
            for dry_run in [true, false] {
                let request = wire::DeployRequest { dry_run, ..runs(image) };
                let refused = control.deploy(request).await.unwrap_err();
                assert_eq!(refused.code(), Code::FailedPrecondition, "{image}");
                let patterns = "registry.example.com/team/*, docker.io/library/bench only";
                let is_said =
                    [&named, patterns].iter().all(|text| refused.message().contains(*text));
                assert!(is_said, "{refused:?}");
            }
        }
    }
    // Nobody is asked what a name means that may not run.
    let mut unpinned = runs("evil.org/app:1");
    container(&mut unpinned.services[0]).image.as_mut().unwrap().pin = None;
    assert_eq!(control.deploy(unpinned).await.unwrap_err().code(), Code::FailedPrecondition);
    // What only an engine has may be called anything.
    let mut local = runs("registry.example.com/team/app");
    let id = format!("sha256:{}", "cd".repeat(32));
    let pin = Some(wire::image::Pin::Local(id));
    container(&mut local.services[0]).image.as_mut().unwrap().pin = pin;
    let refused = control.deploy(local).await.unwrap_err();
    assert!(refused.message().contains("which only an engine has"), "{refused:?}");
    for image in ["registry.example.com/team/a/b:2", "docker.io/library/bench"] {
        control.deploy(runs(image)).await.unwrap();
    }
    // What was accepted can be gone back to.
    let back = wire::RollbackRequest { service: service("shop", "web"), to: Some(1) };
    control.rollback(back).await.unwrap();
    for wrong in ["*", "registry.example.com", "a b", "nginx:1"] {
        let refused = world.admin().set_image_policy(from(&[wrong])).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{wrong}");
    }
    let mut viewer = TrustClient::new(world.channel(&kim));
    let shown = viewer.get_image_policy(wire::GetImagePolicyRequest {}).await.unwrap().into_inner();
    assert_eq!(shown.policy.unwrap().patterns.len(), 2);
    let refused = viewer.set_image_policy(from(&[])).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    world.admin().set_image_policy(from(&[])).await.unwrap();
    control.deploy(runs("evil.org/app:2")).await.unwrap();
}
