//! Bakes in every phase, recipes with all that they can say, and machine images.

use std::sync::Arc;
use std::time::Duration;

use model::bake::{
    Ami, AmiState, Architecture, Bake, BakePhase, Base, BaseSource, Build, Cause, Chosen, End,
    Facts, File, ImageSet, Launch, Publish, Recipe, Rest, Script, Step, StepKind, Taken, Trial,
    Tried, Triggers,
};
use model::image::{Image, Pin};

use super::super::Records;
use super::super::stored::Stored;
use super::at;

fn image() -> Image {
    let pin = Pin::Manifest(format!("sha256:{}", "0a".repeat(32)).parse().unwrap());
    Image { reference: "nginx:1.29".parse().unwrap(), pin }
}

pub(super) fn recipe(base: BaseSource) -> Recipe {
    let step = |name: &str, kind| Step {
        name: name.to_owned(),
        kind,
        timeout: Duration::from_secs(600),
        retries: 2,
    };
    let file = File { path: "/etc/motd".to_owned(), mode: 0o644, content: b"hello\n".to_vec() };
    Recipe {
        name: "web".parse().unwrap(),
        base,
        architecture: Architecture::Arm64,
        launch: Launch {
            instance_type: "m7g.large".to_owned(),
            subnet: Some("subnet-0123456789abcdef0".to_owned()),
            security_groups: vec!["sg-0123456789abcdef0".to_owned()],
            profile: Some("wharf-builder".to_owned()),
            coordinator: "wharf.internal:7421".to_owned(),
            agent: Some(("https://example.com/agent.deb".to_owned(), "0a".repeat(32))),
        },
        steps: vec![
            step("engine", StepKind::Packages(vec!["docker.io".to_owned()])),
            step("settings", StepKind::Files(vec![file])),
            step("script", StepKind::Script("true\n".to_owned())),
        ],
        images: ImageSet { what_runs: true, extra: vec![image()], budget_bytes: 20_000_000_000 },
        trial: Trial {
            scripts: vec![Script { name: "web".to_owned(), text: "true\n".to_owned() }],
            within: Duration::from_secs(300),
        },
        publish: Publish {
            pools: vec!["web".to_owned()],
            parameter: Some("/wharf/web".to_owned()),
        },
        triggers: Triggers::default(),
    }
}

pub(super) fn bake(recipe: Recipe, phase: BakePhase) -> Stored {
    let chosen = Chosen { image: image(), why: "the recipe asks for it".to_owned() };
    Stored::Bake(Bake {
        id: "web-20261126-221530".parse().unwrap(),
        recipe: Arc::new(recipe),
        images: Arc::new(vec![chosen]),
        keeps: true,
        cause: Cause::Asked,
        started_at: at(0),
        retries: 1,
        since: at(60),
        phase,
    })
}

pub(crate) fn records() -> Records {
    let base = || Base { ami: "ami-0123456789abcdef0".parse().unwrap(), name: "debian".to_owned() };
    let build = || Build { base: base(), builder: "i-0123456789abcdef0".parse().unwrap() };
    let facts = || {
        Arc::new(Facts {
            agent_version: "0.2.0".to_owned(),
            packages: vec![("bash".to_owned(), "5.2.37-2".to_owned())],
            kernel: "6.12.41".to_owned(),
        })
    };
    let taken =
        || Taken { build: build(), facts: facts(), ami: "ami-0aaaaaaaaaaaaaaaa".parse().unwrap() };
    let tried = || Tried { taken: taken(), tester: "i-0aaaaaaaaaaaaaaaa".parse().unwrap() };
    let failed =
        || End::Failed { during: "doing step".to_owned(), why: "exit status: 1".to_owned() };
    let rest = Rest {
        machines: vec!["i-0123456789abcdef0".parse().unwrap()],
        ami: Some("ami-0aaaaaaaaaaaaaaaa".parse().unwrap()),
    };
    let parameter = || recipe(BaseSource::Parameter("/aws/service/debian".to_owned()));
    let newest =
        BaseSource::Newest { owner: "136693071363".to_owned(), name: "debian-13-*".to_owned() };
    let intel = Recipe {
        architecture: Architecture::X86_64,
        ..recipe(BaseSource::Id("ami-0123456789abcdef0".parse().unwrap()))
    };
    let (at_stopping, until) = (BakePhase::Stopping { build: build(), facts: facts() }, at(86_400));
    let phases = [
        ("bake-joining", BakePhase::Joining { build: build() }),
        ("bake-working", BakePhase::Working { build: build(), step: 2 }),
        ("bake-stopping", at_stopping.clone()),
        ("bake-imaging", BakePhase::Imaging { build: build(), facts: facts() }),
        ("bake-settling", BakePhase::Settling { taken: taken() }),
        ("bake-trial-launching", BakePhase::TrialLaunching { taken: taken() }),
        ("bake-trial-joining", BakePhase::TrialJoining { tried: tried() }),
        ("bake-trying", BakePhase::Trying { tried: tried() }),
        ("bake-publishing", BakePhase::Publishing { tried: tried() }),
        (
            "bake-kept",
            BakePhase::Kept { at: Box::new(at_stopping), why: "too late".to_owned(), until },
        ),
        ("bake-clearing", BakePhase::Clearing { rest, end: failed() }),
        ("bake-failed", BakePhase::Ended { end: failed() }),
        ("bake-removed", BakePhase::Ended { end: End::Removed }),
        ("bake-published", BakePhase::Ended { end: End::Published { ami: taken().ami } }),
    ];
    let mut records: Records = vec![
        ("bake-resolving", bake(recipe(newest), BakePhase::Resolving)),
        ("bake-launching", bake(intel, BakePhase::Launching { base: base() })),
    ];
    records.extend(phases.map(|(name, phase)| (name, bake(parameter(), phase))));
    records.extend(amis(&taken()));
    records
}

/// Images, far enough to be trusted and not.
fn amis(taken: &Taken) -> Records {
    let manifest = format!("sha256:{}", "0b".repeat(32)).parse().unwrap();
    let ami = |state, architecture| {
        Stored::Ami(Ami {
            id: taken.ami.clone(),
            name: "wharf-web-20261126-221530".to_owned(),
            bake: "web-20261126-221530".parse().unwrap(),
            recipe: "web".parse().unwrap(),
            base: taken.build.base.clone(),
            made_at: at(60),
            architecture,
            images: vec![image()],
            facts: Arc::clone(&taken.facts),
            pools: vec!["web".to_owned()],
            state,
        })
    };
    let published = AmiState::Published { at: at(120), manifest };
    vec![
        ("ami-quarantined", ami(AmiState::Quarantined, Architecture::X86_64)),
        ("ami-published", ami(published, Architecture::Arm64)),
        ("ami-retired", ami(AmiState::Retired { at: at(180) }, Architecture::Arm64)),
    ]
}
