//! Which GPUs a container is given. The engine gives out devices by their number and keeps no books: two containers that
//! ask it for one GPU get the same one. So the agent chooses, and the label of each container says what was chosen.
//!
//! A container that has ended has given its devices back: what is started again is made anew and chooses anew.

use std::collections::{BTreeSet, HashMap};
use std::fs::read_dir;

use bollard::models::{ContainerCreateBody, ContainerSummary, DeviceRequest};
use bollard::query_parameters::ListContainersOptions;

use super::ask::{Trouble, ask};
use super::{Docker, label, limit};

/// Where NVIDIA's driver has a folder for each GPU. `/dev/nvidia0` and so on may appear only with their first use, and our
/// systemd unit hides them.
const DRIVER: &str = "/proc/driver/nvidia/gpus";

/// The states of a container that holds devices, as the engine's filter names them.
const HOLDING: [&str; 4] = ["created", "running", "paused", "restarting"];

impl Docker {
    /// GPUs that containers of this node can be given.
    pub(super) fn gpus(&self) -> u64 {
        self.settings().gpus.unwrap_or_else(installed)
    }

    /// Has the body of a container ask for so many GPUs that no other container has. To be called in turn: what was
    /// chosen is known to others only when the container is there.
    pub(super) async fn give_gpus(
        &self,
        (name, count): (&str, u64),
        body: &mut ContainerCreateBody,
    ) -> Result<(), Trouble> {
        let filters = HashMap::from([
            ("label".to_owned(), vec![label::GPUS.to_owned()]),
            ("status".to_owned(), HOLDING.map(str::to_owned).into()),
        ]);
        let options =
            ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let holders = ask(limit::LIST, self.client().list_containers(Some(options))).await?;
        let taken = taken(&holders, name);
        let chosen = choose(self.gpus(), &taken, count).map_err(Trouble::Stream)?;
        let labels = body.labels.get_or_insert_default();
        labels.insert(label::GPUS.to_owned(), chosen.join(","));
        let host = body.host_config.get_or_insert_default();
        host.device_requests = Some(vec![request(chosen)]);
        Ok(())
    }
}

/// The GPUs of this machine, as NVIDIA's driver lists them.
fn installed() -> u64 {
    let found = read_dir(DRIVER).map(|entries| entries.filter_map(Result::ok).count());
    found.unwrap_or_default().try_into().unwrap_or(u64::MAX)
}

/// What `docker run --gpus '"device=0,2"'` asks for.
fn request(devices: Vec<String>) -> DeviceRequest {
    DeviceRequest {
        device_ids: Some(devices),
        capabilities: Some(vec![vec!["gpu".to_owned()]]),
        ..DeviceRequest::default()
    }
}

/// The devices that containers hold, but for those of this name: it may have been made by a try before this one.
fn taken(holders: &[ContainerSummary], name: &str) -> BTreeSet<u64> {
    let is_own = |holder: &ContainerSummary| {
        let names = holder.names.iter().flatten();
        names.map(|known| known.trim_start_matches('/')).any(|known| known == name)
    };
    let others = holders.iter().filter(|holder| !is_own(holder));
    let labels = others.filter_map(|holder| holder.labels.as_ref()?.get(label::GPUS));
    labels.flat_map(|label| label.split(',')).filter_map(|id| id.parse().ok()).collect()
}

/// The first that are free.
fn choose(all: u64, taken: &BTreeSet<u64>, count: u64) -> Result<Vec<String>, String> {
    let free = || (0..all).filter(|device| !taken.contains(device));
    let chosen: Vec<String> = free().zip(0..count).map(|(device, _)| device.to_string()).collect();
    if (chosen.len() as u64) < count {
        let free = free().count();
        return Err(format!(
            "it needs {count} GPUs, and of {all} that this node gives away {free} are free"
        ));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(name: &str, gpus: &str) -> ContainerSummary {
        ContainerSummary {
            names: Some(vec![format!("/{name}")]),
            labels: Some(HashMap::from([(label::GPUS.to_owned(), gpus.to_owned())])),
            ..ContainerSummary::default()
        }
    }

    #[test]
    fn no_two_containers_get_the_same_device() {
        let holders = [holder("one", "0,2"), holder("two", "3")];
        let taken = taken(&holders, "three");
        assert_eq!(choose(8, &taken, 3).unwrap(), ["1", "4", "5"]);
        assert_eq!(choose(5, &taken, 2).unwrap(), ["1", "4"]);
        let why = choose(5, &taken, 3).unwrap_err();
        assert_eq!(why, "it needs 3 GPUs, and of 5 that this node gives away 2 are free");
    }

    #[test]
    fn a_container_that_was_made_before_is_not_in_its_own_way() {
        let holders = [holder("one", "0")];
        assert!(choose(1, &taken(&holders, "two"), 1).is_err());
        assert_eq!(choose(1, &taken(&holders, "one"), 1).unwrap(), ["0"]);
    }

    #[test]
    fn the_request_names_devices_and_no_number_of_them() {
        let request = request(vec!["1".to_owned()]);
        assert_eq!((request.count, request.driver), (None, None));
        assert_eq!(request.capabilities.unwrap(), [["gpu"]]);
    }
}
