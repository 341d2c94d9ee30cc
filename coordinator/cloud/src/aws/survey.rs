//! One look at groups and machines: few requests for many machines, and never one for each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use aws_sdk_ec2::types::Filter;
use model::fleet::{Group, GroupHook, Instance, Survey};
use model::id::NodeId;
use model::refresh::{Blueprint, Version};

use super::{Aws, failed};
use crate::{CloudError, words};

/// So many groups are asked for by name at once, and so many machines by id: what the two services allow.
const GROUPS: usize = 50;
const MACHINES: usize = 200;
/// Hooks and refreshes cost a request for each group, and change rarely.
const SLOW: Duration = Duration::from_secs(300);

/// What was seen of each group when it was last looked at closely.
#[derive(Debug, Default)]
pub(super) struct Slow(BTreeMap<String, Close>);

#[derive(Debug, Clone)]
struct Close {
    at: Instant,
    hooks: Vec<GroupHook>,
    foreign: Option<String>,
    /// The numbers of versions that the group names otherwise: `$Latest` of a template is the fourth.
    numbers: BTreeMap<(String, String), u64>,
}

/// An instance refresh that is not ours, and is not over.
#[derive(Debug)]
pub(super) struct Foreign {
    id: String,
    status: String,
    done: i32,
}

impl Foreign {
    /// Says whether somebody has cancelled it already.
    pub(super) fn is_being_cancelled(&self) -> bool {
        self.status == "Cancelling"
    }
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "instance refresh {}, {}, {}% done", self.id, self.status, self.done)
    }
}

/// Launch templates that a group names, and what it says of the version of each.
pub(super) type Named = Vec<(String, String)>;

/// What a group launches, in numbers. None when it launches one template in two versions.
fn blueprint(named: &Named, numbers: &BTreeMap<(String, String), u64>) -> Option<Blueprint> {
    let mut versions = BTreeMap::new();
    for one in named {
        let number = one.1.parse().ok().or_else(|| numbers.get(one).copied())?;
        if versions.insert(one.0.clone(), number).is_some_and(|other| other != number) {
            return None;
        }
    }
    (!versions.is_empty()).then_some(Blueprint(versions))
}

impl Aws {
    /// Has the group looked at closely the next time.
    pub(super) fn forget_slow(&self, pool: &str) {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner).0.remove(pool);
    }

    pub(super) async fn look(
        &self,
        groups: &BTreeSet<String>,
        others: &BTreeSet<NodeId>,
    ) -> Result<Survey, CloudError> {
        let (found, mut instances) = self.groups(groups).await?;
        let mut groups_found = Vec::new();
        for (mut group, named) in found {
            let close = self.close(&group.name, &named).await?;
            group.blueprint = blueprint(&named, &close.numbers);
            group.hooks = close.hooks;
            group.foreign = close.foreign;
            let members = instances.values().filter(|one| one.pool.as_ref() == Some(&group.name));
            if members.count() < group.desired as usize {
                group.failure = self.failure(&group.name).await?;
            }
            groups_found.push(group);
        }
        let found = groups_found;
        let lone = others.iter().filter(|id| !instances.contains_key(*id));
        let lone: Vec<NodeId> = lone.cloned().collect();
        let asked: Vec<NodeId> = instances.keys().chain(&lone).cloned().collect();
        let mut described = BTreeSet::new();
        for ids in asked.chunks(MACHINES) {
            for from in self.machines(ids).await? {
                let Some(id) = words::id(&from) else { continue };
                described.insert(id.clone());
                let instance = instances.entry(id.clone()).or_insert_with(|| words::lone(id));
                words::complete(instance, &from);
            }
        }
        let names: BTreeSet<&String> = found.iter().map(|group| &group.name).collect();
        let missing = groups.iter().filter(|name| !names.contains(name)).cloned().collect();
        let unknown = lone.into_iter().filter(|id| !described.contains(id)).collect();
        let instances = instances.into_values().collect();
        Ok(Survey { groups: found, missing, instances, unknown, images: BTreeMap::new() })
    }

    /// What a group launches that names these.
    pub(super) async fn blueprint(&self, named: &Named) -> Result<Option<Blueprint>, CloudError> {
        Ok(blueprint(named, &self.numbers(named).await?))
    }

    pub(super) async fn groups(
        &self,
        names: &BTreeSet<String>,
    ) -> Result<(Vec<(Group, Named)>, BTreeMap<NodeId, Instance>), CloudError> {
        let names: Vec<String> = names.iter().cloned().collect();
        let (mut groups, mut instances) = (Vec::new(), BTreeMap::new());
        for names in names.chunks(GROUPS) {
            let request = self.groups.describe_auto_scaling_groups();
            let request = request.set_auto_scaling_group_names(Some(names.to_vec()));
            let mut pages = request.into_paginator().send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| failed("DescribeAutoScalingGroups", &error))?;
                for from in page.auto_scaling_groups() {
                    let Some(group) = words::group(from) else { continue };
                    let members = from.instances().iter();
                    let members = members.filter_map(|from| words::member(&group.name, from));
                    instances.extend(members.map(|member| (member.id.clone(), member)));
                    groups.push((group, words::named_templates(from)));
                }
            }
        }
        Ok((groups, instances))
    }

    /// How many machines a group wants, if it is there.
    pub(super) async fn desired(&self, pool: &str) -> Result<Option<u32>, CloudError> {
        let (groups, _) = self.groups(&BTreeSet::from([pool.to_owned()])).await?;
        Ok(groups.first().map(|(group, _)| group.desired))
    }

    /// Why the last launch of a group has failed, if it has: it wants more machines than it gets.
    async fn failure(&self, pool: &str) -> Result<Option<String>, CloudError> {
        // Machines may have ended since.
        const LATEST: i32 = 20;
        let request = self.groups.describe_scaling_activities().auto_scaling_group_name(pool);
        let found = request.max_records(LATEST).send().await;
        let found = found.map_err(|error| failed("DescribeScalingActivities", &error))?;
        let mut launches = found.activities().iter().filter(|one| {
            one.description().is_some_and(|description| description.starts_with("Launching"))
        });
        let last = launches
            .next()
            .filter(|one| one.status_code().is_some_and(|status| status.as_str() == "Failed"));
        Ok(last.map(|one| one.status_message().unwrap_or("it did not say why").to_owned()))
    }

    /// Looks at a group closely, unless that was done lately.
    async fn close(&self, pool: &str, named: &Named) -> Result<Close, CloudError> {
        let known = self.slow.lock().unwrap_or_else(PoisonError::into_inner).0.get(pool).cloned();
        let is_known = |known: &Close| {
            let mut others = named.iter().filter(|(_, version)| version.parse::<u64>().is_err());
            known.at.elapsed() < SLOW && others.all(|one| known.numbers.contains_key(one))
        };
        if let Some(known) = known.filter(is_known) {
            return Ok(known);
        }
        let request = self.groups.describe_lifecycle_hooks().auto_scaling_group_name(pool);
        let hooks =
            request.send().await.map_err(|error| failed("DescribeLifecycleHooks", &error))?;
        let hooks = hooks.lifecycle_hooks().iter().filter_map(words::hook).collect();
        let foreign = self.foreign(pool).await?.map(|foreign| foreign.to_string());
        let numbers = self.numbers(named).await?;
        let close = Close { at: Instant::now(), hooks, foreign, numbers };
        let mut slow = self.slow.lock().unwrap_or_else(PoisonError::into_inner);
        slow.0.insert(pool.to_owned(), close.clone());
        Ok(close)
    }

    /// The instance refresh of a group that is not over: we begin none ourselves.
    pub(super) async fn foreign(&self, pool: &str) -> Result<Option<Foreign>, CloudError> {
        let request = self.groups.describe_instance_refreshes().auto_scaling_group_name(pool);
        let refreshes = request.max_records(1).send().await;
        let refreshes = refreshes.map_err(|error| failed("DescribeInstanceRefreshes", &error))?;
        let is_over = |status: &str| {
            matches!(
                status,
                "Successful" | "Failed" | "Cancelled" | "RollbackSuccessful" | "RollbackFailed"
            )
        };
        let told = refreshes.instance_refreshes().iter().find_map(|one| {
            let status = one.status().map(|status| status.as_str().to_owned());
            let status = status.filter(|status| !is_over(status))?;
            let id = one.instance_refresh_id().unwrap_or("without an id");
            let done = one.percentage_complete().unwrap_or_default();
            Some(Foreign { id: id.to_owned(), status, done })
        });
        Ok(told)
    }

    /// The numbers of versions that are named by something else.
    async fn numbers(&self, named: &Named) -> Result<BTreeMap<(String, String), u64>, CloudError> {
        let mut numbers = BTreeMap::new();
        for (id, version) in named.iter().filter(|(_, version)| version.parse::<u64>().is_err()) {
            let request = self.ec2.describe_launch_template_versions().launch_template_id(id);
            let found = request.versions(version).send().await;
            let found = found.map_err(|error| failed("DescribeLaunchTemplateVersions", &error))?;
            let number = found.launch_template_versions().first();
            let number = number.and_then(|found| u64::try_from(found.version_number()?).ok());
            numbers.extend(number.map(|number| ((id.clone(), version.clone()), number)));
        }
        Ok(numbers)
    }

    /// The machine images that versions of launch templates name. A version never changes, so each is asked for once.
    pub(super) async fn look_up(
        &self,
        versions: &BTreeSet<Version>,
    ) -> Result<BTreeMap<Version, Option<String>>, CloudError> {
        let mut found = BTreeMap::new();
        for version in versions {
            let known = || self.images.lock().unwrap_or_else(PoisonError::into_inner);
            let remembered = known().get(version).cloned();
            let image = match remembered {
                Some(image) => Some(image),
                None => self.image(version).await?,
            };
            if let Some(image) = &image {
                known().insert(version.clone(), image.clone());
            }
            found.insert(version.clone(), image);
        }
        // What nobody asks for any more is not remembered.
        let mut known = self.images.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|version, _| versions.contains(version));
        Ok(found)
    }

    /// The machine image that a version of a launch template names, if there is such a version, and it names one.
    async fn image(&self, version: &Version) -> Result<Option<String>, CloudError> {
        let (id, number) = version;
        let request = self.ec2.describe_launch_template_versions().launch_template_id(id);
        let found = match request.versions(number.to_string()).send().await {
            Ok(found) => found,
            Err(error) => {
                let error = failed("DescribeLaunchTemplateVersions", &error);
                let is_gone =
                    matches!(&error, CloudError::Refused { code, .. } if is_missing(code));
                return if is_gone { Ok(None) } else { Err(error) };
            }
        };
        let mut data =
            found.launch_template_versions().iter().filter_map(|one| one.launch_template_data());
        Ok(data.find_map(|data| data.image_id()).map(str::to_owned))
    }

    /// The machines of these ids that EC2 knows. Asked for by a filter, because one id that is not known fails a request
    /// by ids as a whole.
    pub(super) async fn machines(
        &self,
        ids: &[NodeId],
    ) -> Result<Vec<aws_sdk_ec2::types::Instance>, CloudError> {
        let ids = ids.iter().map(ToString::to_string).collect();
        let filter = Filter::builder().name("instance-id").set_values(Some(ids)).build();
        let mut pages = self.ec2.describe_instances().filters(filter).into_paginator().send();
        let mut machines = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failed("DescribeInstances", &error))?;
            let reservations = page.reservations().iter();
            machines.extend(reservations.flat_map(|one| one.instances().iter().cloned()));
        }
        Ok(machines)
    }
}

/// The codes by which EC2 says that there is no such template, or no such version of it.
fn is_missing(code: &str) -> bool {
    matches!(
        code,
        "InvalidLaunchTemplateId.NotFound"
            | "InvalidLaunchTemplateId.VersionNotFound"
            | "InvalidLaunchTemplateName.NotFoundException"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(all: &[(&str, &str)]) -> Named {
        all.iter().map(|(id, version)| ((*id).to_owned(), (*version).to_owned())).collect()
    }

    #[test]
    fn a_blueprint_is_in_numbers_only() {
        let numbers = BTreeMap::from([(("lt-1".to_owned(), "$Latest".to_owned()), 4)]);
        let of = |all: &[(&str, &str)]| blueprint(&named(all), &numbers).map(|found| found.0);
        assert_eq!(of(&[("lt-1", "$Latest"), ("lt-2", "7"), ("lt-2", "7")]).unwrap()["lt-1"], 4);
        assert_eq!(of(&[("lt-1", "$Default")]), None);
        assert_eq!(of(&[("lt-2", "7"), ("lt-2", "8")]), None);
        assert_eq!(of(&[]), None);
    }
}
