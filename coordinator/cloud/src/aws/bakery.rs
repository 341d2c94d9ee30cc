//! Machine images by the SDK.

use async_trait::async_trait;
use aws_sdk_ec2::types::{
    Filter, HttpTokensState, IamInstanceProfileSpecification, Image,
    InstanceMetadataOptionsRequest, InstanceStateName, InstanceType, ResourceType,
    ShutdownBehavior, Tag, TagSpecification,
};
use aws_sdk_ssm::types::ParameterType;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use model::bake::{Architecture, Base, BaseSource};
use model::id::{AmiId, NodeId};

use super::{Aws, failed};
use crate::bakery::{Bakery, BuilderPower, ImageProgress, LaunchOrder, Owned, Tags};
use crate::{CloudError, words};

fn tag_list(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

fn tagged(kind: ResourceType, tags: &Tags) -> TagSpecification {
    TagSpecification::builder().resource_type(kind).set_tags(Some(tag_list(tags))).build()
}

fn filter(name: impl Into<String>, value: impl Into<String>) -> Filter {
    Filter::builder().name(name).values(value).build()
}

fn by_tags(tags: &Tags) -> Vec<Filter> {
    tags.iter().map(|(key, value)| filter(format!("tag:{key}"), value)).collect()
}

fn read_tags(tags: &[Tag]) -> Tags {
    let pair =
        |tag: &Tag| Some((tag.key()?.to_owned(), tag.value().unwrap_or_default().to_owned()));
    tags.iter().filter_map(pair).collect()
}

fn odd(request: &'static str, why: &str) -> CloudError {
    let (code, why) = ("an answer that says nothing".to_owned(), why.to_owned());
    CloudError::Refused { request, code, why }
}

fn base_of(image: &Image) -> Option<Base> {
    let name = image.name().unwrap_or_default().to_owned();
    Some(Base { ami: image.image_id()?.parse().ok()?, name })
}

impl Aws {
    async fn images_by(&self, filters: Vec<Filter>, owner: &str) -> Result<Vec<Image>, CloudError> {
        let request = self.ec2.describe_images().owners(owner).set_filters(Some(filters));
        let mut pages = request.into_paginator().send();
        let mut images = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failed("DescribeImages", &error))?;
            images.extend(page.images().iter().cloned());
        }
        Ok(images)
    }

    /// By a filter: one id that is not known fails a request by ids as a whole.
    async fn image_by_id(&self, ami: &str) -> Result<Option<Image>, CloudError> {
        let request = self.ec2.describe_images().filters(filter("image-id", ami));
        let found = request.send().await.map_err(|error| failed("DescribeImages", &error))?;
        Ok(found.images().first().cloned())
    }
}

fn snapshots(image: &Image) -> Vec<String> {
    let mappings = image.block_device_mappings().iter();
    let disks = mappings.filter_map(|mapping| mapping.ebs()?.snapshot_id());
    disks.map(str::to_owned).collect()
}

#[async_trait]
impl Bakery for Aws {
    async fn find_base(
        &self,
        source: &BaseSource,
        architecture: Architecture,
    ) -> Result<Option<Base>, CloudError> {
        let is_fit = |image: &Image| {
            let own = image.architecture().map(|own| own.as_str().to_owned());
            own.as_deref() == Some(architecture.as_str())
        };
        let id = match source {
            BaseSource::Parameter(name) => {
                let asked = self.parameters.get_parameter().name(name).send().await;
                let asked = asked.map_err(|error| failed("GetParameter", &error))?;
                let value = asked.parameter().and_then(|parameter| parameter.value());
                value.ok_or_else(|| odd("GetParameter", "no value"))?.to_owned()
            }
            BaseSource::Newest { owner, name } => {
                let filters = vec![
                    filter("name", name),
                    filter("state", "available"),
                    filter("architecture", architecture.as_str()),
                ];
                let images = self.images_by(filters, owner).await?;
                let newest = images.iter().max_by_key(|image| image.creation_date());
                return Ok(newest.and_then(base_of));
            }
            BaseSource::Id(id) => id.to_string(),
        };
        let image = self.image_by_id(&id).await?;
        Ok(image.filter(is_fit).as_ref().and_then(base_of))
    }

    async fn launch(&self, order: &LaunchOrder) -> Result<NodeId, CloudError> {
        const REQUEST: &str = "RunInstances";
        let LaunchOrder { token, ami, launch, user_data, tags } = order;
        let profile = launch.profile.as_ref();
        let profile =
            profile.map(|name| IamInstanceProfileSpecification::builder().name(name).build());
        let metadata = InstanceMetadataOptionsRequest::builder()
            .http_tokens(HttpTokensState::Required)
            .http_put_response_hop_limit(1)
            .build();
        let groups = Some(launch.security_groups.clone()).filter(|groups| !groups.is_empty());
        let request = self
            .ec2
            .run_instances()
            .client_token(token)
            .image_id(ami.as_str())
            .instance_type(InstanceType::from(launch.instance_type.as_str()))
            .min_count(1)
            .max_count(1)
            .user_data(BASE64_STANDARD.encode(user_data))
            .set_subnet_id(launch.subnet.clone())
            .set_security_group_ids(groups)
            .set_iam_instance_profile(profile)
            .metadata_options(metadata)
            // A machine that ends by itself takes its disk with it.
            .instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate)
            .tag_specifications(tagged(ResourceType::Instance, tags))
            .tag_specifications(tagged(ResourceType::Volume, tags));
        let launched = request.send().await.map_err(|error| failed(REQUEST, &error))?;
        let machine = launched.instances().first().and_then(words::id);
        machine.ok_or_else(|| odd(REQUEST, "no machine"))
    }

    async fn power(&self, machine: &NodeId) -> Result<BuilderPower, CloudError> {
        let found = self.machines(std::slice::from_ref(machine)).await?;
        let state = found.first().and_then(|one| one.state()).and_then(|state| state.name());
        Ok(state.map_or(BuilderPower::Unknown, power))
    }

    async fn stop(&self, machine: &NodeId) -> Result<(), CloudError> {
        let request = self.ec2.stop_instances().instance_ids(machine.as_str());
        match request.send().await.map_err(|error| failed("StopInstances", &error)) {
            // It is on its way, or on its way out: what it is shows when it is looked at.
            Err(CloudError::Refused { code, .. }) if code == "IncorrectInstanceState" => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Ok(()),
        }
    }

    async fn image(&self, machine: &NodeId, name: &str, tags: &Tags) -> Result<AmiId, CloudError> {
        const REQUEST: &str = "CreateImage";
        // CreateImage knows no token: what is there under the name was made when it was asked before.
        let known = self.images_by(vec![filter("name", name)], "self").await?;
        if let Some(image) = known.first() {
            let ours =
                tags.iter().all(|(key, value)| read_tags(image.tags()).get(key) == Some(value));
            let id = image.image_id().and_then(|id| id.parse().ok());
            return match id.filter(|_| ours) {
                Some(id) => Ok(id),
                None => Err(odd(REQUEST, "an image of this name is there, and of somebody else")),
            };
        }
        let request = self
            .ec2
            .create_image()
            .instance_id(machine.as_str())
            .name(name)
            .description(format!("baked by wharf on {machine}"))
            .tag_specifications(tagged(ResourceType::Image, tags))
            .tag_specifications(tagged(ResourceType::Snapshot, tags));
        let made = request.send().await.map_err(|error| failed(REQUEST, &error))?;
        let id = made.image_id().and_then(|id| id.parse().ok());
        id.ok_or_else(|| odd(REQUEST, "no image"))
    }

    async fn progress(&self, ami: &AmiId) -> Result<ImageProgress, CloudError> {
        let Some(image) = self.image_by_id(ami.as_str()).await? else {
            return Ok(ImageProgress::Pending);
        };
        let reason = image.state_reason().and_then(|reason| reason.message());
        let state = image.state().map(|state| state.as_str().to_owned()).unwrap_or_default();
        Ok(match state.as_str() {
            "available" => ImageProgress::Available,
            "pending" | "transient" => ImageProgress::Pending,
            other => ImageProgress::Failed(format!(
                "{other}: {}",
                reason.unwrap_or("no reason is given")
            )),
        })
    }

    async fn tag_image(&self, ami: &AmiId, tags: &Tags) -> Result<(), CloudError> {
        let image = self.image_by_id(ami.as_str()).await?;
        let image = image.ok_or_else(|| odd("DescribeImages", "the image is not there"))?;
        let all = [ami.to_string()].into_iter().chain(snapshots(&image));
        let request = self.ec2.create_tags().set_resources(Some(all.collect()));
        let request = request.set_tags(Some(tag_list(tags)));
        request.send().await.map_err(|error| failed("CreateTags", &error))?;
        Ok(())
    }

    async fn put_parameter(&self, name: &str, value: &str) -> Result<(), CloudError> {
        let request = self.parameters.put_parameter().name(name).value(value);
        let request = request.r#type(ParameterType::String).overwrite(true);
        request.send().await.map_err(|error| failed("PutParameter", &error))?;
        Ok(())
    }

    async fn terminate(&self, machines: &[NodeId]) -> Result<(), CloudError> {
        // Only what is there: one that is not known fails the request as a whole.
        let there = self.machines(machines).await?;
        let ids: Vec<String> =
            there.iter().filter_map(|one| one.instance_id()).map(str::to_owned).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let request = self.ec2.terminate_instances().set_instance_ids(Some(ids));
        request.send().await.map_err(|error| failed("TerminateInstances", &error))?;
        Ok(())
    }

    async fn machines_with(&self, tags: &Tags) -> Result<Vec<Owned>, CloudError> {
        let request = self.ec2.describe_instances().set_filters(Some(by_tags(tags)));
        let mut pages = request.into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failed("DescribeInstances", &error))?;
            for one in page.reservations().iter().flat_map(|one| one.instances()) {
                let state = one.state().and_then(|state| state.name());
                let is_gone = state == Some(&InstanceStateName::Terminated);
                if let Some(id) = one.instance_id().filter(|_| !is_gone) {
                    let (id, tags) = (id.to_owned(), read_tags(one.tags()));
                    found.push(Owned { id, name: None, tags });
                }
            }
        }
        Ok(found)
    }

    async fn images_with(&self, tags: &Tags) -> Result<Vec<Owned>, CloudError> {
        let images = self.images_by(by_tags(tags), "self").await?;
        let owned = |image: &Image| {
            let (id, tags) = (image.image_id()?.to_owned(), read_tags(image.tags()));
            Some(Owned { id, name: image.name().map(str::to_owned), tags })
        };
        Ok(images.iter().filter_map(owned).collect())
    }

    async fn remove_image(&self, ami: &AmiId) -> Result<(), CloudError> {
        let Some(image) = self.image_by_id(ami.as_str()).await? else { return Ok(()) };
        let request = self.ec2.deregister_image().image_id(ami.as_str());
        let request = request.delete_associated_snapshots(true);
        request.send().await.map_err(|error| failed("DeregisterImage", &error))?;
        for snapshot in snapshots(&image) {
            let request = self.ec2.delete_snapshot().snapshot_id(&snapshot);
            let deleted = request.send().await.map_err(|error| failed("DeleteSnapshot", &error));
            match deleted {
                // It went with its image, or another image has it too.
                Err(CloudError::Refused { code, .. })
                    if code == "InvalidSnapshot.NotFound" || code == "InvalidSnapshot.InUse" => {}
                other => drop(other?),
            }
        }
        Ok(())
    }
}

fn power(from: &InstanceStateName) -> BuilderPower {
    match from {
        InstanceStateName::Pending | InstanceStateName::Running | InstanceStateName::Stopping => {
            BuilderPower::On
        }
        InstanceStateName::Stopped => BuilderPower::Stopped,
        InstanceStateName::ShuttingDown | InstanceStateName::Terminated => BuilderPower::Gone,
        _ => BuilderPower::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_on_its_way_out_has_lost_its_disk_and_one_that_stops_has_not_yet() {
        for (word, expected) in [
            ("stopping", BuilderPower::On),
            ("stopped", BuilderPower::Stopped),
            ("shutting-down", BuilderPower::Gone),
            ("a word of next year", BuilderPower::Unknown),
        ] {
            assert_eq!(power(&InstanceStateName::from(word)), expected, "{word}");
        }
    }

    #[test]
    fn what_never_can_be_done_is_told_from_what_can_be_tried_again() {
        let refused = |code: &str| CloudError::Refused {
            request: "x",
            code: code.to_owned(),
            why: String::new(),
        };
        assert!(refused("ParameterNotFound").is_hopeless());
        assert!(!refused("InsufficientInstanceCapacity").is_hopeless());
        assert!(
            !refused("InvalidParameterValue").is_hopeless(),
            "a new profile is not seen at once"
        );
    }
}
