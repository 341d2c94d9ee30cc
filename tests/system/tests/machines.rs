//! Machines behind the instances of a region: with systemd, an engine of their own and the agent from its package.
#![allow(clippy::unwrap_used, reason = "a test that can not set up its world has failed")]

use std::collections::BTreeSet;
use std::time::Duration;

use system_tests::docker::IMAGE;
use system_tests::program::built;
use system_tests::region::{Machines, Pool, Region, Service, values};
use system_tests::{Cluster, Options, until};

/// A machine boots, and its disk is copied, while much else is done on this one.
const PATIENCE: Duration = Duration::from_secs(300);

#[track_caller]
fn booted(region: &Region, instance: &str) {
    until("the machine has booted", PATIENCE, || {
        let said = region.run_on(instance, "systemctl is-system-running");
        let is_up = ["running", "degraded"].contains(&said.out.trim());
        if is_up { Ok(()) } else { Err(format!("{}{}\n{}", said.out, said.err, region.log())) }
    });
}

/// What somebody who bakes an image does before it is taken.
const SCRUB: &str = "echo baked > /etc/baked; systemctl stop wharf-agent; \
                     rm -rf /var/lib/wharf/agent/* /etc/docker/key.json; truncate --size 0 /etc/machine-id";

/// Asks the metadata service where every instance has it, with nothing but a shell.
const WHO_AM_I: &str = r#"exec bash -ec '
ask() { exec 3<>/dev/tcp/169.254.169.254/80; printf "$1

" >&3; tail -n 1 <&3; }
token=$(ask "PUT /latest/api/token HTTP/1.0
X-aws-ec2-metadata-token-ttl-seconds: 60")
ask "GET /latest/meta-data/instance-id HTTP/1.0
X-aws-ec2-metadata-token: $token"'"#;

#[track_caller]
fn baked(region: &Region, instance: &str) -> String {
    let asked = [("InstanceId", instance), ("Name", "baked")];
    let answer = region.call(Service::Ec2, "CreateImage", &asked).unwrap();
    let image = values(&answer, "imageId").remove(0);
    until("the image is available", PATIENCE, || {
        let answer = region.call(Service::Ec2, "DescribeImages", &[("ImageId.1", &image)]);
        let state = values(&answer.unwrap(), "imageState");
        if state == ["available"] { Ok(()) } else { Err(format!("{state:?}\n{}", region.log())) }
    });
    image
}

fn a_replaced_root_begins_with_the_image(region: &Region, instance: &str, image: &str) {
    let _changed = region.run_on(instance, "echo changed > /etc/baked").good();
    let asked = [("InstanceId", instance), ("ImageId", image)];
    region.call(Service::Ec2, "CreateReplaceRootVolumeTask", &asked).unwrap();
    until("its files are those of the image", PATIENCE, || {
        let said = region.run_on(instance, "cat /etc/baked");
        if said.out.trim() == "baked" { Ok(()) } else { Err(said.out + &said.err) }
    });
    booted(region, instance);
}

#[test]
fn what_is_launched_has_what_was_baked_and_joins() {
    let region = Region::with(&Machines::Debian);
    let host = region.host().to_owned();
    let cluster = Cluster::with(Options { nodes: 0, host, ..Options::default() });
    region.create_pool(&Pool { name: "builder", ..Pool::default() });
    let builder = region.members("builder")[0].id.clone();
    booted(&region, &builder);
    region.docker_of(&builder).need_image();
    let _scrubbed = region.run_on(&builder, SCRUB).good();
    let image = baked(&region, &builder);
    region.set_desired("builder", 0);

    let token = format!(
        "HOME={} WHARF_ADDR={} {} token create --node $WHARF_NODE --pool web",
        cluster.scratch.path().display(),
        cluster.address,
        built("wharf").display()
    );
    let user_data = format!("WHARF_ADDR={}\nREGION_TOKEN_COMMAND={token}\n", cluster.address);
    let pool = Pool { size: 2, image: &image, user_data: &user_data, ..Pool::default() };
    region.create_pool(&pool);
    let members: BTreeSet<String> =
        region.members("web").into_iter().map(|member| member.id).collect();
    until("the machines are ready nodes", PATIENCE, || {
        let nodes = cluster.wharf(&["node", "ls", "-o", "json"]).json();
        let nodes = nodes.as_array().unwrap();
        let ready = nodes.iter().filter(|node| node["state"] == "ready" && node["pool"] == "web");
        let ready: BTreeSet<String> =
            ready.map(|node| node["id"].as_str().unwrap().to_owned()).collect();
        if ready == members { Ok(()) } else { Err(format!("{nodes:?}\n{}", region.log())) }
    });
    let mut identities = BTreeSet::new();
    for member in &members {
        assert_eq!(region.run_on(member, "cat /etc/baked").good().trim(), "baked");
        assert_eq!(region.run_on(member, WHO_AM_I).good().trim(), member);
        identities.insert(region.run_on(member, "cat /etc/machine-id").good());
        let found = region.docker_of(member).run(&["images", "-q", IMAGE]);
        assert!(!found.is_empty(), "{member} has not the image that was baked");
    }
    assert_eq!(identities.len(), 2);

    a_replaced_root_begins_with_the_image(&region, members.first().unwrap(), &image);
    region.set_desired("web", 0);
    until("the machines are gone", PATIENCE, || {
        let is_there = |id: &&String| {
            let container = region.docker().container(&format!("wharf-{id}"));
            container.is_some() || region.instance(id).state != "terminated"
        };
        let left: Vec<&String> = members.iter().filter(is_there).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}\n{}", region.log())) }
    });
    let docker = region.docker().clone();
    let label = format!("label=wharf.region={}", region.folder().display());
    drop(region);
    for list in [["ps", "-aq"], ["volume", "ls"], ["images", "-q"]] {
        let left = docker.run(&[&list[..], &["-q", "--filter", &label]].concat());
        assert_eq!(left, "", "{list:?}");
    }
}
