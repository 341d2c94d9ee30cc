//! Machines of AWS show which one they are, to a token service and by documents of this test's own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use coordinator::{Aws, Instance, Instances, Known, Question};
use model::audit::Verdict;
use proto::wire;
use proto::wire::enrolment_client::EnrolmentClient;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tonic::{Code, Status};
use trust::attest::binding;
use trust::attest::caller::{BODY, Call, Credentials};
use trust::attest::document::Signer;
use trust::digest::sha256;
use trust::key::Key;
use trust::tls::Client;
use trust::{Bundle, JoinToken};
use zeroize::Zeroizing;

use crate::audit::acts;
use crate::world::{Session, World, machine, nodes};

const INSTANCE: &str = "i-0123456789abcdef0";
const OTHER: &str = "i-0aaaaaaaaaaaaaaaa";
const ACCOUNT: &str = "123456789012";
const REGION: &str = "eu-central-1";

/// The credentials of an instance.
fn credentials(instance: &str) -> Credentials {
    Credentials {
        access_key: "ASIAEXAMPLEEXAMPLE00".to_owned(),
        secret: Zeroizing::new(format!("secret of {instance}")),
        session_token: format!("token-of-{instance}"),
    }
}

/// A token service that knows the credentials of some instances, each by its session token: whose they are, and what
/// signs. It computes the signature of exactly the request that it hears.
#[derive(Debug, Default)]
struct Sts {
    /// By session token.
    known: Mutex<BTreeMap<String, (String, String)>>,
    asked: AtomicU32,
}

impl Sts {
    async fn start() -> (Arc<Self>, String) {
        let sts = Arc::<Self>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = Arc::clone(&sts);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&serving).answer(stream));
            }
        });
        for instance in [INSTANCE, OTHER] {
            sts.knows(
                instance,
                &format!("arn:aws:sts::{ACCOUNT}:assumed-role/aws:ec2-instance/{instance}"),
            );
        }
        (sts, url)
    }

    fn knows(&self, whose: &str, arn: &str) {
        let credentials = credentials(whose);
        let secret = credentials.secret.to_string();
        self.known.lock().unwrap().insert(credentials.session_token, (arn.to_owned(), secret));
    }

    async fn answer(self: Arc<Self>, stream: tokio::net::TcpStream) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut stream = BufReader::new(stream);
        let (mut first, mut headers) = (String::new(), BTreeMap::new());
        stream.read_line(&mut first).await.unwrap();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let mut body = vec![0; headers["content-length"].parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        assert_eq!(first, "POST / HTTP/1.1\r\n");
        assert_eq!(body, BODY.as_bytes());
        assert_eq!(headers["host"], format!("sts.{REGION}.amazonaws.com"));
        let known = self.known.lock().unwrap().get(&headers["x-amz-security-token"]).cloned();
        let genuine = known.filter(|(_, secret)| {
            let call = Call {
                region: REGION.to_owned(),
                date: headers["x-amz-date"].clone(),
                session_token: headers["x-amz-security-token"].clone(),
                binding: headers["x-wharf-binding"].parse().unwrap(),
            };
            let credentials = Credentials {
                access_key: String::new(),
                secret: Zeroizing::new(secret.clone()),
                session_token: String::new(),
            };
            headers["authorization"].ends_with(&format!("Signature={}", call.sign(&credentials)))
        });
        let (status, text) = match genuine {
            Some((arn, _)) => {
                let account = arn.split(':').nth(4).unwrap();
                (
                    200,
                    format!(
                        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult><Arn>{arn}</Arn><UserId>A:b</UserId><Account>{account}</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"
                    ),
                )
            }
            None => (
                403,
                "<ErrorResponse><Code>SignatureDoesNotMatch</Code></ErrorResponse>".to_owned(),
            ),
        };
        let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{text}", text.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

/// Knows two instances, of which one is being terminated when that is said.
#[derive(Debug, Default)]
struct Fleet {
    unfit: Mutex<Option<String>>,
    asked: Mutex<Vec<Question>>,
}

#[tonic::async_trait]
impl Instances for Fleet {
    async fn find(&self, question: &Question) -> anyhow::Result<Known> {
        self.asked.lock().unwrap().push(question.clone());
        if let Some(why) = self.unfit.lock().unwrap().clone() {
            return Ok(Known::Unfit(why));
        }
        if ![INSTANCE, OTHER].contains(&question.instance.as_str()) {
            return Ok(Known::Foreign);
        }
        Ok(Known::Ours(Instance {
            pool: "web".to_owned(),
            labels: [("disk".to_owned(), "ssd".to_owned())].into(),
            zone: Some("eu-central-1b".to_owned()),
            ami: Some("ami-0123456789abcdef0".to_owned()),
            instance_type: Some("m7g.large".to_owned()),
        }))
    }
}

/// A region of AWS, and a cluster that lets in its machines.
struct Region {
    world: World,
    sts: Arc<Sts>,
    fleet: Arc<Fleet>,
    authority: model::trust::Fingerprint,
    cluster: model::id::ClusterId,
    signer: KeyPair,
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&[tag, 0x82], &length[..], &body].concat()
}

const DATA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
const SIGNED: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
const SHA: &[u8] = &[0x30, 11, 6, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const RSA: &[u8] = &[0x30, 11, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b];

/// A document as AWS signs it, but without attributes.
fn sign(key: &KeyPair, document: &str) -> Vec<u8> {
    let mut signature = vec![0; key.public_modulus_len()];
    let random = SystemRandom::new();
    key.sign(&RSA_PKCS1_SHA256, &random, document.as_bytes(), &mut signature).unwrap();
    let content = der(0xa0, &[&der(4, &[document.as_bytes()])]);
    let one = [2, 1, 1];
    let signer = der(0x30, &[&one, &[0x30, 0], SHA, RSA, &der(4, &[&signature])]);
    let data = der(
        0x30,
        &[&one, &der(0x31, &[SHA]), &der(0x30, &[DATA, &content]), &der(0x31, &[&signer])],
    );
    der(0x30, &[SIGNED, &der(0xa0, &[&data])])
}

fn document(instance: &str, launched: model::time::Timestamp) -> String {
    format!(
        "{{\"accountId\": \"{ACCOUNT}\", \"region\": \"{REGION}\", \"instanceId\": \"{instance}\", \"pendingTime\": \"{launched}\", \"imageId\": \"ami-1\"}}"
    )
}

/// A certificate over this key, PEM: it is pinned, so it matters to nobody who has signed it.
fn certificate(key: &KeyPair) -> String {
    let spki = key.public_key();
    let spki =
        aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(spki);
    let spki = spki.unwrap();
    let public = rcgen::SubjectPublicKeyInfo::from_der(spki.as_ref()).unwrap();
    let issuer = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let params = rcgen::CertificateParams::default();
    let issuer = rcgen::Issuer::new(params.clone(), issuer);
    params.signed_by(&public, &issuer).unwrap().pem()
}

impl Region {
    async fn start() -> Self {
        let (sts, url) = Sts::start().await;
        let (mut world, fleet) = (World::start().await, Arc::<Fleet>::default());
        let token: JoinToken = world.token().await;
        world.end().await;
        let signer = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let pinned = Signer::from_pem(certificate(&signer).as_bytes()).unwrap();
        world.aws = Some(Aws {
            accounts: vec![ACCOUNT.to_owned()],
            regions: vec![REGION.to_owned()],
            roles: Vec::new(),
            sts: Some(url),
            signers: [(REGION.to_owned(), pinned)].into(),
            instances: Arc::<Fleet>::clone(&fleet),
        });
        world.begin().await;
        Self { world, sts, fleet, authority: token.authority, cluster: token.cluster, signer }
    }

    fn client(&self) -> EnrolmentClient<tonic::transport::Channel> {
        EnrolmentClient::new(self.world.dial(Client::pinned(self.authority).unwrap()))
    }

    async fn challenge(&self) -> Vec<u8> {
        let challenged = self.client().challenge(wire::ChallengeRequest {}).await.unwrap();
        challenged.into_inner().challenge
    }

    /// What an instance sends.
    async fn signed(&self, instance: &str, key: &Key) -> wire::JoinRequest {
        let challenge = self.challenge().await;
        let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        self.signed_at(instance, key, (challenge, now))
    }

    fn signed_at(
        &self,
        instance: &str,
        key: &Key,
        (challenge, date): (Vec<u8>, String),
    ) -> wire::JoinRequest {
        let credentials = credentials(instance);
        let call = Call {
            region: REGION.to_owned(),
            date,
            session_token: credentials.session_token.clone(),
            binding: binding(&self.cluster, &challenge, &key.fingerprint()),
        };
        let signature = call.sign(&credentials);
        let Call { region, date, session_token, .. } = call;
        let access_key = credentials.access_key;
        let call = wire::SignedCall { region, date, access_key, session_token, signature };
        wire::JoinRequest {
            node: instance.to_owned(),
            request: key.request().unwrap(),
            challenge,
            aws_sts: Some(call),
            ..Default::default()
        }
    }

    async fn documented(&self, instance: &str, key: &Key, document: &str) -> wire::JoinRequest {
        let (pkcs7, region) = (sign(&self.signer, document), REGION.to_owned());
        wire::JoinRequest {
            node: instance.to_owned(),
            request: key.request().unwrap(),
            challenge: self.challenge().await,
            aws_iid: Some(wire::SignedDocument { pkcs7, region }),
            ..Default::default()
        }
    }

    async fn join(&self, request: wire::JoinRequest) -> Result<wire::JoinResponse, Status> {
        Ok(self.client().join(request).await?.into_inner())
    }

    async fn refused(&self, what: &str, request: wire::JoinRequest) -> Status {
        let refused = self.join(request).await.err();
        refused.unwrap_or_else(|| panic!("{what} is let in"))
    }

    async fn joined(&self, instance: &str) -> Bundle {
        let key = Key::generate().unwrap();
        let answer = self.join(self.signed(instance, &key).await).await.unwrap();
        Bundle::new(key, answer.certificate, answer.authority).unwrap()
    }
}

#[tokio::test]
async fn an_instance_joins_by_a_signed_call_and_is_what_is_known_of_it() {
    let region = Region::start().await;
    let bundle = region.joined(INSTANCE).await;
    assert_eq!(bundle.about.name, trust::Name::Node(INSTANCE.parse().unwrap()));
    let mut liar = machine(INSTANCE);
    liar.pool = Some("secrets".to_owned());
    liar.labels.insert("gpu".to_owned(), "many".to_owned());
    (liar.zone, liar.ami) = ("elsewhere".to_owned(), Some("ami-f".to_owned()));
    let _session = Session::open(region.world.channel(&bundle), liar).await.unwrap();
    let node = nodes(region.world.local()).await.remove(0);
    assert_eq!((node.pool.as_deref(), node.zone.as_str()), (Some("web"), "eu-central-1b"));
    assert_eq!(node.labels, [("disk".to_owned(), "ssd".to_owned())].into());
    assert_eq!(node.ami.as_deref(), Some("ami-0123456789abcdef0"));
    assert_eq!(node.instance_type.as_deref(), Some("m7g.large"));
    let asked = region.fleet.asked.lock().unwrap().clone();
    let instance = INSTANCE.to_owned();
    let (account, region) = (ACCOUNT.to_owned(), REGION.to_owned());
    assert_eq!(asked, [Question { account, region, instance }]);
}

#[tokio::test]
async fn t1_f33_a_proof_is_good_once_for_one_key_one_node_and_one_cluster() {
    let region = Region::start().await;
    let key = Key::generate().unwrap();
    let request = region.signed(INSTANCE, &key).await;
    // By another key, and as another node, of which each takes its challenge with it.
    let thief = Key::generate().unwrap().request().unwrap();
    let stolen = wire::JoinRequest { request: thief, ..request.clone() };
    assert_eq!(region.refused("another key", stolen).await.code(), Code::Unauthenticated);
    let again = region.refused("a challenge that was used", request).await;
    assert!(again.message().contains("used already"), "{again:?}");
    let mut renamed = region.signed(INSTANCE, &key).await;
    renamed.node = OTHER.to_owned();
    let refused = region.refused("another node", renamed).await;
    assert!(refused.message().contains(INSTANCE) && refused.message().contains(OTHER));
    let request = region.signed(INSTANCE, &key).await;
    assert!(region.join(request.clone()).await.is_ok());
    assert_eq!(region.refused("a replay", request).await.code(), Code::Unauthenticated);
    // With a challenge of its own making, of another start, or none.
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let theirs = Region::start().await;
    for challenge in [Vec::new(), vec![7; 56], theirs.challenge().await] {
        let request = region.signed_at(INSTANCE, &key, (challenge, now.clone()));
        assert_eq!(region.refused("no challenge", request).await.code(), Code::Unauthenticated);
    }
    // Bound to another cluster, with a challenge of this one.
    let challenge = region.challenge().await;
    let foreign = theirs.signed_at(INSTANCE, &key, (challenge, now));
    assert_eq!(region.refused("another cluster", foreign).await.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn f33_a_call_that_is_forged_stale_or_cut_is_refused() {
    type Forge = fn(&mut wire::SignedCall);
    let region = Region::start().await;
    let forgeries: [(&str, Forge); 11] = [
        ("a signature", |call| call.signature = "ab".repeat(32)),
        ("half a signature", |call| drop(call.signature.split_off(32))),
        ("no signature", |call| call.signature.clear()),
        ("another date", |call| call.date = call.date.replace('Z', "0Z")),
        ("an old date", |call| call.date = "20200101T000000Z".to_owned()),
        ("another region", |call| call.region = "us-east-1".to_owned()),
        ("a host", |call| call.region = "eu-central-1.evil.example/".to_owned()),
        ("another session", |call| call.session_token.push('x')),
        ("somebody else's session", |call| call.session_token = format!("token-of-{OTHER}")),
        ("a header", |call| call.session_token.push_str("\r\nx-evil: 1")),
        ("a long one", |call| call.session_token = "a".repeat(9_000)),
    ];
    for (what, forge) in forgeries {
        let mut request = region.signed(INSTANCE, &Key::generate().unwrap()).await;
        forge(request.aws_sts.as_mut().unwrap());
        let code = region.refused(what, request).await.code();
        assert!(matches!(code, Code::Unauthenticated | Code::InvalidArgument), "{what}: {code:?}");
    }
    let both = wire::JoinRequest {
        token: region.world.token().await.secret().to_owned(),
        ..region.signed(INSTANCE, &Key::generate().unwrap()).await
    };
    assert_eq!(region.refused("a token and a proof", both).await.code(), Code::InvalidArgument);
    let made_up = region.signed("n1", &Key::generate().unwrap()).await;
    let refused = region.refused("a name", made_up).await;
    assert!(refused.message().contains("no id of an instance"), "{refused:?}");
    assert!(nodes(region.world.local()).await.is_empty());
}

#[tokio::test]
async fn t2_f34_whoever_is_no_instance_of_a_pool_here_is_refused() {
    let region = Region::start().await;
    let strangers = [
        (
            "i-0bbbbbbbbbbbbbbbb",
            format!("arn:aws:sts::{ACCOUNT}:assumed-role/aws:ec2-instance/i-0bbbbbbbbbbbbbbbb"),
            "in no pool",
        ),
        (
            "i-0cccccccccccccccc",
            "arn:aws:sts::999999999999:assumed-role/aws:ec2-instance/i-0cccccccccccccccc"
                .to_owned(),
            "account",
        ),
        (
            "i-0dddddddddddddddd",
            format!("arn:aws:sts::{ACCOUNT}:assumed-role/ci/i-0dddddddddddddddd"),
            "role",
        ),
        (
            "i-0eeeeeeeeeeeeeeee",
            format!("arn:aws:iam::{ACCOUNT}:user/i-0eeeeeeeeeeeeeeee"),
            "no instance",
        ),
    ];
    for (instance, arn, why) in strangers {
        region.sts.knows(instance, &arn);
        let request = region.signed(instance, &Key::generate().unwrap()).await;
        let refused = region.refused(&arn, request).await;
        assert_eq!(refused.code(), Code::Unauthenticated);
        assert!(refused.message().contains(why), "{arn}: {refused:?}");
    }
    *region.fleet.unfit.lock().unwrap() = Some("it is being terminated".to_owned());
    let request = region.signed(INSTANCE, &Key::generate().unwrap()).await;
    let refused = region.refused("an instance that ends", request).await;
    assert!(refused.message().contains("being terminated"), "{refused:?}");
}

#[tokio::test]
async fn t3_whoever_shows_an_instance_anew_takes_its_place_and_that_is_on_the_record() {
    let region = Region::start().await;
    let first = region.joined(INSTANCE).await;
    let session = Session::open(region.world.channel(&first), machine(INSTANCE)).await.unwrap();
    let second = region.joined(INSTANCE).await;
    session.ended().await;
    let denied =
        Session::open(region.world.channel(&first), machine(INSTANCE)).await.err().unwrap();
    assert_eq!(denied.code(), Code::Unauthenticated);
    let _session = Session::open(region.world.channel(&second), machine(INSTANCE)).await.unwrap();
    let joins: Vec<_> = acts(&region.world).await;
    let joins: Vec<_> =
        joins.iter().filter(|act| act.what == "join" && act.verdict == Verdict::Done).collect();
    let [one, other] = joins.as_slice() else { panic!("{joins:#?}") };
    assert!(one.note.starts_with("aws-sts, certificate ") && !one.note.contains("in place of"));
    assert!(other.note.contains("in place of "), "{}", other.note);
    // Who was revoked is let in by an administrator alone, and AWS is not even asked.
    let revoke = wire::RevokeNodeRequest { node: INSTANCE.to_owned() };
    region.world.admin().revoke_node(revoke).await.unwrap();
    let asked = region.sts.asked.load(Ordering::SeqCst);
    let request = region.signed(INSTANCE, &Key::generate().unwrap()).await;
    let refused = region.refused("a revoked one", request).await;
    assert!(refused.message().contains("was revoked"), "{refused:?}");
    assert_eq!(region.sts.asked.load(Ordering::SeqCst), asked);
    let token = wire::CreateTokenRequest {
        node: Some(INSTANCE.to_owned()),
        valid_ms: 60_000,
        ..Default::default()
    };
    let token = region.world.token_for(token).await;
    assert!(region.world.join(&token, INSTANCE, &Key::generate().unwrap()).await.is_ok());
    let _again = region.joined(INSTANCE).await;
}

#[tokio::test]
async fn an_instance_joins_by_its_document_once_and_shortly_after_its_launch() {
    let region = Region::start().await;
    let (key, now) = (Key::generate().unwrap(), trust::now());
    let fresh = document(INSTANCE, now);
    let request = region.documented(INSTANCE, &key, &fresh).await;
    let answer = region.join(request.clone()).await.unwrap();
    let bundle =
        Bundle::new(Key::from_pem(&key.to_pem()).unwrap(), answer.certificate, answer.authority);
    let _session =
        Session::open(region.world.channel(&bundle.unwrap()), machine(INSTANCE)).await.unwrap();
    // The answer was lost: the same key asks again. Any other has only copied it.
    assert!(region.join(region.documented(INSTANCE, &key, &fresh).await).await.is_ok());
    let copied = region.documented(INSTANCE, &Key::generate().unwrap(), &fresh).await;
    let refused = region.refused("a copy", copied).await;
    assert!(refused.message().contains("lets it in once"), "{refused:?}");
    assert_eq!(region.refused("a replay", request).await.code(), Code::Unauthenticated);
    let hour = Duration::from_secs(3_600);
    for wrong in [now - hour, now + hour] {
        let stale = region.documented(OTHER, &key, &document(OTHER, wrong)).await;
        let refused = region.refused("a stale one", stale).await;
        assert!(refused.message().contains("is a clock wrong"), "{refused:?}");
    }
}

#[tokio::test]
async fn f34_a_document_of_somebody_else_is_refused() {
    let region = Region::start().await;
    let (key, now) = (Key::generate().unwrap(), trust::now());
    let good = document(INSTANCE, now);
    let mut refused = Vec::new();
    for (what, said) in [
        ("another account", good.replace(ACCOUNT, "999999999999")),
        ("another region", good.replace(REGION, "us-east-1")),
        ("another instance", good.replace(INSTANCE, OTHER)),
        ("no pool", good.replace(INSTANCE, "i-0bbbbbbbbbbbbbbbb")),
        ("no instance", good.replace(INSTANCE, "web-1")),
        ("no time", good.replace("pendingTime", "time")),
        ("no document", "[]".to_owned()),
        ("no text", String::new()),
    ] {
        refused.push((what, region.documented(INSTANCE, &key, &said).await));
    }
    let mut foreign = region.documented(INSTANCE, &key, &good).await;
    let theirs = KeyPair::generate(KeySize::Rsa2048).unwrap();
    foreign.aws_iid.as_mut().unwrap().pkcs7 = sign(&theirs, &good);
    refused.push(("another key", foreign));
    let mut unpinned = region.documented(INSTANCE, &key, &good).await;
    unpinned.aws_iid.as_mut().unwrap().region = "us-east-1".to_owned();
    refused.push(("a region without certificate", unpinned));
    let mut cut = region.documented(INSTANCE, &key, &good).await;
    cut.aws_iid.as_mut().unwrap().pkcs7.truncate(300);
    refused.push(("half of one", cut));
    let mut edited = region.documented(INSTANCE, &key, &good).await;
    let pkcs7 = &mut edited.aws_iid.as_mut().unwrap().pkcs7;
    let at = pkcs7.windows(5).position(|window| window == b"ami-1").unwrap();
    pkcs7[at + 4] = b'2';
    refused.push(("an edited one", edited));
    let mut said = String::new();
    for (what, request) in refused {
        let status = region.refused(what, request).await;
        assert!(matches!(status.code(), Code::Unauthenticated | Code::InvalidArgument), "{what}");
        writeln!(said, "{what}: {}", status.message()).unwrap();
    }
    assert!(said.contains("not signed by the certificate of its region"), "{said}");
    assert!(nodes(region.world.local()).await.is_empty());
    assert_eq!(sha256(good.as_bytes()), sha256(document(INSTANCE, now).as_bytes()));
}

#[tokio::test]
async fn a_coordinator_that_lets_in_no_machines_of_aws_says_so() {
    let world = World::start().await;
    let token = world.token().await;
    let mut client = EnrolmentClient::new(world.dial(Client::pinned(token.authority).unwrap()));
    let refused = client.challenge(wire::ChallengeRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("no machines of AWS"), "{refused:?}");
}
