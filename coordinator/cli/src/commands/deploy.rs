//! Compose files: deployed, planned, or only checked.

use std::path::PathBuf;

use proto::wire;
use serde_json::{Value, json};

use crate::args::{Deploy, Files, Global, Validate};
use crate::client::Client;
use crate::commands::wait::{self, Wanted};
use crate::compose::{self, DiskFiles, Options, Project};
use crate::context;
use crate::exit::{Exit, Failure};
use crate::json::image;
use crate::output::{self, Format, clean};
use crate::terminal;

fn options(files: &Files) -> Options {
    // A file that was named after -f stands before the default that is then not meant.
    let is_default = files.files == [PathBuf::from("compose.yaml")] && !files.more.is_empty();
    let named = if is_default { Vec::new() } else { files.files.clone() };
    Options {
        files: named.into_iter().chain(files.more.clone()).collect(),
        project_name: files.project.clone(),
        profiles: files.profile.clone(),
        env_files: files.env_file.clone(),
        environment: std::env::vars().collect(),
    }
}

fn read(files: &Files) -> anyhow::Result<Project> {
    match compose::read(&options(files), &DiskFiles) {
        Ok(project) => {
            project.warnings.iter().for_each(|warning| anstream::eprintln!("{warning}\n"));
            Ok(project)
        }
        Err(diagnostics) => {
            let errors = diagnostics.len();
            diagnostics.iter().for_each(|diagnostic| anstream::eprintln!("{diagnostic}\n"));
            let message = if errors == 1 {
                "the file is not valid".to_owned()
            } else {
                format!("{errors} things are not right")
            };
            Err(Failure::error(Exit::Error, message, "nothing was sent to the coordinator"))
        }
    }
}

pub(crate) fn validate(global: &Global, arguments: &Validate) -> anyhow::Result<Exit> {
    if arguments.support {
        match global.format() {
            Format::Table | Format::Wide | Format::Name => print!("{}", compose::plain()),
            Format::Json | Format::Jsonl | Format::Yaml => print!("{}", compose::markdown()),
        }
        return Ok(Exit::Done);
    }
    let project = read(&arguments.files)?;
    println!("project {} with {} services is valid", project.name, project.services.len());
    Ok(Exit::Done)
}

/// What is asked of the coordinator for a project.
pub(crate) fn request(project: &Project) -> wire::DeployRequest {
    wire::DeployRequest {
        services: project.services.clone(),
        dry_run: false,
        prune: false,
        project: project.name.to_string(),
        expect: Vec::new(),
    }
}

/// Deploys, and says what is to be waited for.
pub(crate) async fn send(
    client: &Client,
    request: wire::DeployRequest,
) -> anyhow::Result<(wire::DeployResponse, Wanted)> {
    let answer = client.deploy(request).await?;
    let wanted = answer.services.iter().map(|service| {
        let is_gone = service.action() == wire::PlannedAction::Remove;
        (
            (service.project.clone(), service.name.clone()),
            if is_gone { 0 } else { service.generation },
        )
    });
    let wanted = wanted.collect();
    Ok((answer, wanted))
}

pub(crate) async fn plan(client: &Client, global: &Global, files: &Files) -> anyhow::Result<Exit> {
    let project = read(files)?;
    let request = wire::DeployRequest { dry_run: true, prune: files.prune, ..request(&project) };
    let answer = client.deploy(request).await?;
    let exit = show_plan(global, &answer.services)?;
    if matches!(global.format(), Format::Table | Format::Wide) {
        unnamed(&answer);
        expectation(&answer);
    }
    Ok(exit)
}

/// Prints what would become of services, and says whether anything would.
pub(crate) fn show_plan(
    global: &Global,
    services: &[wire::PlannedService],
) -> anyhow::Result<Exit> {
    if matches!(global.format(), Format::Table | Format::Wide) {
        services.iter().for_each(describe);
    } else {
        let all = Value::Array(services.iter().map(planned).collect());
        output::print_one(&all, global.format())?;
    }
    let changes = services.iter().any(|service| service.action() != wire::PlannedAction::None);
    Ok(if changes { Exit::Changes } else { Exit::Done })
}

pub(crate) async fn deploy(
    client: &Client,
    global: &Global,
    arguments: &Deploy,
) -> anyhow::Result<Exit> {
    let project = read(&arguments.files)?;
    have_images(global, &project).await?;
    let mut request = request(&project);
    let expect = arguments.expect.iter();
    request.expect = expect
        .map(|(service, generation)| wire::Expectation {
            service: service.clone(),
            generation: *generation,
        })
        .collect();
    if arguments.files.prune {
        let dry = wire::DeployRequest { dry_run: true, prune: true, ..request.clone() };
        let planned = client.deploy(dry).await?;
        let gone = planned
            .services
            .iter()
            .filter(|service| service.action() == wire::PlannedAction::Remove);
        let gone: Vec<&str> = gone.map(|service| service.name.as_str()).collect();
        if !gone.is_empty() {
            terminal::confirm(&format!("remove {}?", gone.join(", ")), arguments.yes)?;
        }
        request.prune = true;
    }
    let (answer, wanted) = send(client, request).await?;
    if global.format() == Format::Json {
        output::print_one(
            &Value::Array(answer.services.iter().map(planned).collect()),
            Format::Json,
        )?;
    } else {
        answer.services.iter().for_each(describe);
        unnamed(&answer);
    }
    wait::report(client, &wanted, &arguments.waiting).await
}

/// Builds what the files build, where the nodes will find it.
async fn have_images(global: &Global, project: &Project) -> anyhow::Result<()> {
    let Some(first) = project.builds.first() else { return Ok(()) };
    #[cfg(feature = "dev")]
    {
        if let Some(engine) = context::choose(global)?.engine {
            return super::build::build(&project.builds, &engine).await;
        }
    }
    let (service, context) = (&first.service, first.context.display());
    let message = format!(
        "service {service} is built from {context}, and a cluster only runs images that it can fetch"
    );
    let hint = format!(
        "build it and push it, then name it: docker build -t REGISTRY/{0} {context} && docker push REGISTRY/{0}",
        first.image
    );
    Err(Failure::error(Exit::Error, message, hint))
}

/// Says how to deploy what was planned and nothing else.
fn expectation(answer: &wire::DeployResponse) {
    let stays = |service: &&wire::PlannedService| match service.action() {
        wire::PlannedAction::Create
        | wire::PlannedAction::Replace
        | wire::PlannedAction::Adjust
        | wire::PlannedAction::None => true,
        wire::PlannedAction::Remove | wire::PlannedAction::Unspecified => false,
    };
    let expected = answer.services.iter().filter(stays);
    let expected = expected.map(|one| format!("{}={}", clean(&one.name), one.generation));
    let expected: Vec<String> = expected.collect();
    if answer.services.iter().any(|one| one.action() != wire::PlannedAction::None)
        && !expected.is_empty()
    {
        println!("this and nothing else: wharf deploy --expect {}", expected.join(","));
    }
}

fn unnamed(answer: &wire::DeployResponse) {
    if !answer.unnamed.is_empty() {
        println!(
            "not in the files, and left alone: {} (--prune removes them)",
            clean(&answer.unnamed.join(", "))
        );
    }
}

const fn action(action: wire::PlannedAction) -> &'static str {
    match action {
        wire::PlannedAction::Create => "create",
        wire::PlannedAction::Replace => "replace",
        wire::PlannedAction::Adjust => "adjust",
        wire::PlannedAction::None => "unchanged",
        wire::PlannedAction::Remove => "remove",
        wire::PlannedAction::Unspecified => "unknown",
    }
}

fn planned(service: &wire::PlannedService) -> Value {
    let task = |task: &wire::PlannedTask| json!({ "slot": task.slot, "node": task.node, "note": task.note, "preempts": task.preempts });
    json!({
        "project": service.project,
        "service": service.name,
        "action": action(service.action()),
        "generation": service.generation,
        "differences": service.differences,
        "warnings": service.warnings,
        "images": service.images.iter().map(|one| image(Some(one))).collect::<Vec<_>>(),
        "tasks": service.tasks.iter().map(task).collect::<Vec<_>>(),
    })
}

fn describe(service: &wire::PlannedService) {
    let sign = match service.action() {
        wire::PlannedAction::Create => "+",
        wire::PlannedAction::Replace => "±",
        wire::PlannedAction::Adjust => "~",
        wire::PlannedAction::Remove => "-",
        wire::PlannedAction::None | wire::PlannedAction::Unspecified => " ",
    };
    let (project, name) = (clean(&service.project), clean(&service.name));
    println!(
        "{sign} {project}/{name}: {} (generation {})",
        action(service.action()),
        service.generation
    );
    service.differences.iter().for_each(|line| println!("    {}", clean(line)));
    service.warnings.iter().for_each(|line| println!("    warning: {}", clean(line)));
    for task in &service.tasks {
        match &task.node {
            Some(node) if task.note.is_empty() => {
                println!("    slot {} on {}", clean(&task.slot), clean(node));
            }
            Some(node) => {
                let (slot, node, note) = (clean(&task.slot), clean(node), clean(&task.note));
                println!("    slot {slot} on {node}: {note}");
            }
            None => println!("    slot {} {}", clean(&task.slot), clean(&task.note)),
        }
        task.preempts.iter().for_each(|stops| println!("      {} stops for it", clean(stops)));
    }
}
