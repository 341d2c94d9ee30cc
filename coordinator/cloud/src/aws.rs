//! AWS by its SDK.

mod bakery;
mod balancers;
mod references;
mod refresh;
mod survey;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_autoscaling::error::{ProvideErrorMetadata, SdkError};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{self};
use model::fleet::{Answer, GroupHook, HookId, Survey};
use model::id::NodeId;
use model::refresh::{Blueprint, Version};

use self::balancers::Groups;
use self::survey::Slow;
use crate::message::Message;
use crate::words::{answer_word, hook_word, transition_word};
use crate::{Cloud, CloudError, Letter, Rooted, Told};

/// A connection is there by then, or the request has failed.
const CONNECT: Duration = Duration::from_secs(3);
/// One attempt at a request.
const ATTEMPT: Duration = Duration::from_secs(10);
/// A request with all its attempts.
const OPERATION: Duration = Duration::from_secs(30);
/// So often a request is made that the cloud could not take; its SDK waits longer each time.
const ATTEMPTS: u32 = 4;
/// So long a queue waits for something to tell: the most that SQS allows.
const LISTEN: Duration = Duration::from_secs(20);
/// A message that we have not struck off by then comes again.
const HIDDEN: Duration = Duration::from_secs(60);

/// Where the cloud is.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The region; that of the environment when there is none.
    pub region: Option<String>,
    /// The queue to listen to, by its URL.
    pub queue: Option<String>,
}

/// AWS in one region.
pub struct Aws {
    ec2: aws_sdk_ec2::Client,
    groups: aws_sdk_autoscaling::Client,
    queue: Option<(aws_sdk_sqs::Client, String)>,
    parameters: aws_sdk_ssm::Client,
    secrets: aws_sdk_secretsmanager::Client,
    balancers: aws_sdk_elasticloadbalancingv2::Client,
    target_groups: Groups,
    region: String,
    /// What is looked at less often.
    slow: Mutex<Slow>,
    /// The machine images that versions of launch templates name.
    images: Mutex<BTreeMap<Version, String>>,
}

impl fmt::Debug for Aws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aws").field("region", &self.region).finish_non_exhaustive()
    }
}

impl Aws {
    /// Finds region and credentials as every AWS tool does: environment, files, the metadata service.
    ///
    /// # Errors
    /// When no region is named anywhere.
    pub async fn connect(settings: &Settings) -> Result<Self, String> {
        let client = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc))
            .build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(OPERATION)
            .build();
        let loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(client)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
        let loader = match &settings.region {
            Some(region) => loader.region(Region::new(region.clone())),
            None => loader,
        };
        let config = loader.load().await;
        let region = config.region().map(ToString::to_string);
        let region = region.ok_or(
            "no AWS region: say --aws-region, set AWS_REGION, or run where the metadata service answers",
        )?;
        // To listen takes longer than any other request.
        let patient = config.timeout_config().cloned().unwrap_or_else(TimeoutConfig::disabled);
        let patient = patient
            .to_builder()
            .operation_attempt_timeout(ATTEMPT + LISTEN)
            .operation_timeout(OPERATION + LISTEN)
            .build();
        let queue = settings.queue.as_ref().map(|url| {
            let queue = aws_sdk_sqs::config::Builder::from(&config).timeout_config(patient).build();
            (aws_sdk_sqs::Client::from_conf(queue), url.clone())
        });
        let ec2 = aws_sdk_ec2::Client::new(&config);
        let groups = aws_sdk_autoscaling::Client::new(&config);
        let parameters = aws_sdk_ssm::Client::new(&config);
        let secrets = aws_sdk_secretsmanager::Client::new(&config);
        let balancers = aws_sdk_elasticloadbalancingv2::Client::new(&config);
        let (slow, images) = (Mutex::default(), Mutex::default());
        let target_groups = Groups::default();
        Ok(Self {
            ec2,
            groups,
            queue,
            parameters,
            secrets,
            balancers,
            target_groups,
            region,
            slow,
            images,
        })
    }
}

/// What a request came to, in our words.
fn failed<E>(request: &'static str, error: &SdkError<E>) -> CloudError
where
    E: ProvideErrorMetadata,
{
    let Some(service) = error.as_service_error() else {
        return CloudError::Unanswered { request, why: depth(error) };
    };
    let code = service.code().unwrap_or("an error without a code").to_owned();
    let why = service.message().unwrap_or("it does not say why").to_owned();
    match code.as_str() {
        "UnauthorizedOperation"
        | "AccessDenied"
        | "AccessDeniedException"
        | "AuthFailure"
        | "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "ExpiredToken"
        | "UnrecognizedClientException" => CloudError::Denied { request, code, why },
        "Throttling" | "ThrottlingException" | "RequestLimitExceeded" | "RequestThrottled" => {
            CloudError::Throttled { request, code }
        }
        _ => CloudError::Refused { request, code, why },
    }
}

/// The innermost reason: the outer ones say that something failed.
fn depth<E>(error: &SdkError<E>) -> String {
    let outer = match error {
        SdkError::TimeoutError(_) => return "it took too long".to_owned(),
        SdkError::DispatchFailure(failure) => {
            failure.as_connector_error().map(|error| innermost(error))
        }
        SdkError::ConstructionFailure(_)
        | SdkError::ResponseError(_)
        | SdkError::ServiceError(_)
        | _ => None,
    };
    outer.unwrap_or_else(|| error.to_string())
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(inner) = error.source() {
        error = inner;
    }
    error.to_string()
}

/// An answer that no action waits for is no failure: it was given before, or time has passed.
fn told<T>(request: &'static str, result: Result<T, CloudError>) -> Result<Told, CloudError> {
    match result {
        Ok(_) => Ok(Told::Heard),
        Err(CloudError::Refused { code, why, .. })
            if code == "ValidationError" && is_over(&why) =>
        {
            tracing::debug!(request, why, "nothing waits any more");
            Ok(Told::NothingWaits)
        }
        Err(error) => Err(error),
    }
}

/// Auto Scaling has one code for everything that is wrong with a request: its words tell it apart.
fn is_over(why: &str) -> bool {
    let why = why.to_lowercase();
    ["no active lifecycle action", "not found", "no lifecycle hook"]
        .iter()
        .any(|over| why.contains(over))
}

#[async_trait]
impl Cloud for Aws {
    async fn survey(
        &self,
        groups: &BTreeSet<String>,
        others: &BTreeSet<NodeId>,
    ) -> Result<Survey, CloudError> {
        self.look(groups, others).await
    }

    async fn images(
        &self,
        versions: &BTreeSet<Version>,
    ) -> Result<BTreeMap<Version, Option<String>>, CloudError> {
        self.look_up(versions).await
    }

    async fn letters(&self) -> Option<Result<Vec<Letter>, CloudError>> {
        let (client, url) = self.queue.as_ref()?;
        let seconds = |time: Duration| i32::try_from(time.as_secs()).unwrap_or(i32::MAX);
        let request = client.receive_message().queue_url(url).max_number_of_messages(10);
        let request =
            request.wait_time_seconds(seconds(LISTEN)).visibility_timeout(seconds(HIDDEN));
        let received = request.send().await.map_err(|error| failed("ReceiveMessage", &error));
        Some(received.map(|received| {
            let letter = |from: &aws_sdk_sqs::types::Message| {
                let message = Message::read(from.body().unwrap_or_default());
                Some(Letter { message, receipt: from.receipt_handle()?.to_owned() })
            };
            received.messages().iter().filter_map(letter).collect()
        }))
    }

    async fn received(&self, receipt: &str) -> Result<(), CloudError> {
        let Some((client, url)) = &self.queue else { return Ok(()) };
        let request = client.delete_message().queue_url(url).receipt_handle(receipt);
        request.send().await.map_err(|error| failed("DeleteMessage", &error))?;
        Ok(())
    }

    async fn answer(
        &self,
        pool: &str,
        (hook, token): (&HookId, Option<&str>),
        answer: Answer,
    ) -> Result<Told, CloudError> {
        const REQUEST: &str = "CompleteLifecycleAction";
        let request = self
            .groups
            .complete_lifecycle_action()
            .auto_scaling_group_name(pool)
            .lifecycle_hook_name(hook_word(hook.transition))
            .lifecycle_action_result(answer_word(answer))
            .set_lifecycle_action_token(token.map(str::to_owned))
            .instance_id(hook.instance.as_str());
        told(REQUEST, request.send().await.map_err(|error| failed(REQUEST, &error)))
    }

    async fn beat(
        &self,
        pool: &str,
        (hook, token): (&HookId, Option<&str>),
    ) -> Result<Told, CloudError> {
        const REQUEST: &str = "RecordLifecycleActionHeartbeat";
        let request = self
            .groups
            .record_lifecycle_action_heartbeat()
            .auto_scaling_group_name(pool)
            .lifecycle_hook_name(hook_word(hook.transition))
            .set_lifecycle_action_token(token.map(str::to_owned))
            .instance_id(hook.instance.as_str());
        told(REQUEST, request.send().await.map_err(|error| failed(REQUEST, &error)))
    }

    async fn set_hook(&self, pool: &str, hook: &GroupHook) -> Result<(), CloudError> {
        let patience = i32::try_from(hook.patience.as_secs()).unwrap_or(i32::MAX);
        let request = self
            .groups
            .put_lifecycle_hook()
            .auto_scaling_group_name(pool)
            .lifecycle_hook_name(&hook.name)
            .lifecycle_transition(transition_word(hook.transition))
            .heartbeat_timeout(patience)
            .default_result(answer_word(hook.otherwise));
        request.send().await.map_err(|error| failed("PutLifecycleHook", &error))?;
        self.forget_slow(pool);
        Ok(())
    }

    async fn remove_hook(&self, pool: &str, name: &str) -> Result<(), CloudError> {
        const REQUEST: &str = "DeleteLifecycleHook";
        let request = self.groups.delete_lifecycle_hook();
        let request = request.auto_scaling_group_name(pool).lifecycle_hook_name(name);
        // A group or a hook that is not there waits for nothing.
        told(REQUEST, request.send().await.map_err(|error| failed(REQUEST, &error)))?;
        self.forget_slow(pool);
        Ok(())
    }

    async fn grow(&self, pool: &str, from: u32, to: u32) -> Result<(), CloudError> {
        // There is no compare-and-set: what is read just before is as close as it gets.
        if self.desired(pool).await? != Some(from) {
            return Ok(());
        }
        let request = self
            .groups
            .set_desired_capacity()
            .auto_scaling_group_name(pool)
            .desired_capacity(i32::try_from(to).unwrap_or(i32::MAX))
            .honor_cooldown(false);
        request.send().await.map_err(|error| failed("SetDesiredCapacity", &error))?;
        Ok(())
    }

    async fn make_template(
        &self,
        token: &str,
        from: &Blueprint,
        ami: &str,
    ) -> Result<Blueprint, CloudError> {
        self.make_versions(token, from, ami).await
    }

    async fn set_template(
        &self,
        pool: &str,
        from: &Blueprint,
        to: &Blueprint,
    ) -> Result<(), CloudError> {
        self.launch_from(pool, from, to).await
    }

    async fn set_max(&self, pool: &str, to: u32) -> Result<(), CloudError> {
        self.allow(pool, to).await
    }

    async fn set_process(
        &self,
        pool: &str,
        process: &str,
        suspended: bool,
    ) -> Result<(), CloudError> {
        self.suspend(pool, process, suspended).await
    }

    async fn terminate(&self, pool: &str, instance: &NodeId, keep: u32) -> Result<(), CloudError> {
        self.end(pool, instance, keep).await
    }

    async fn replace_root(
        &self,
        instance: &NodeId,
        token: &str,
        ami: &str,
    ) -> Result<Rooted, CloudError> {
        self.root_volume(instance, token, ami).await
    }

    async fn cancel_refresh(&self, pool: &str) -> Result<bool, CloudError> {
        self.cancel_foreign(pool).await
    }

    fn forget(&self, pool: &str) {
        self.forget_slow(pool);
    }

    async fn has_ami(&self, ami: &str) -> Result<bool, CloudError> {
        self.knows_ami(ami).await
    }

    fn bakery(&self) -> Option<&dyn crate::Bakery> {
        Some(self)
    }

    fn balancers(&self) -> Option<&dyn crate::Balancers> {
        Some(self)
    }

    fn references(&self) -> Option<&dyn crate::References> {
        Some(self)
    }

    fn region(&self) -> &str {
        &self.region
    }

    fn describe(&self) -> String {
        let queue = self.queue.as_ref().map(|(_, url)| format!(", listening to {url}"));
        format!("AWS in {}{}", self.region, queue.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(why: &str) -> Result<(), CloudError> {
        let code = "ValidationError".to_owned();
        Err(CloudError::Refused { request: "x", code, why: why.to_owned() })
    }

    #[test]
    fn an_action_that_is_over_is_told_from_a_request_that_is_wrong() {
        let over = "No active Lifecycle Action found with instance ID i-1";
        assert_eq!(told("x", refused(over)), Ok(Told::NothingWaits));
        assert!(told("x", refused("1 validation error detected")).is_err());
        assert_eq!(told("x", Ok(())), Ok(Told::Heard));
    }
}
