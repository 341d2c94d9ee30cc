//! Calls of the region's APIs, as anybody makes them. They name a service in their signature, and nobody looks at the rest.

use std::fmt;

use serde_json::{Value, json};

use super::http::{ask, encoded};
use super::{NAME, Region};

/// A service that is called with a form and answers in XML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// EC2.
    Ec2,
    /// Auto Scaling.
    AutoScaling,
    /// Load balancers and their target groups.
    LoadBalancing,
    /// SNS.
    Sns,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Self::Ec2 => "ec2",
            Self::AutoScaling => "autoscaling",
            Self::LoadBalancing => "elasticloadbalancing",
            Self::Sns => "sns",
        }
    }

    fn version(self) -> &'static str {
        match self {
            Self::Ec2 => "2016-11-15",
            Self::AutoScaling => "2011-01-01",
            Self::LoadBalancing => "2015-12-01",
            Self::Sns => "2010-03-31",
        }
    }
}

/// What a call was refused with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// `ValidationError`, `Throttling`, …
    pub code: String,
    /// What it says about that.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({}): {}", self.code, self.status, self.message)
    }
}

impl Region {
    /// Calls an action with flat parameters (`LaunchTemplateData.ImageId`, `InstanceIds.member.1`) and gives the XML.
    ///
    /// # Errors
    /// When it is refused.
    ///
    /// # Panics
    /// When the region does not answer.
    pub fn call(
        &self,
        service: Service,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Result<String, Refusal> {
        let mut form = format!("Action={action}&Version={}", service.version());
        for (name, value) in parameters {
            form += &format!("&{}={}", encoded(name), encoded(value));
        }
        let kind = ("content-type", "application/x-www-form-urlencoded");
        let headers = [kind, ("authorization", &signed(service.name()))];
        let answer = ask("POST", self.endpoint(), &headers, &form);
        let answer = answer.unwrap_or_else(|error| panic!("{action}: {error}"));
        if answer.status < 300 {
            return Ok(answer.body);
        }
        let said = |tag: &str| values(&answer.body, tag).first().cloned().unwrap_or_default();
        let (code, message) = (said("Code"), said("Message"));
        Err(Refusal { status: answer.status, code, message })
    }

    /// Calls an action of a service that speaks JSON; `target` is `AmazonSQS.SendMessage` and the like.
    ///
    /// # Errors
    /// When it is refused.
    ///
    /// # Panics
    /// When the region does not answer.
    pub fn call_json(&self, target: &str, parameters: &Value) -> Result<Value, Refusal> {
        let service = match target.split('.').next() {
            Some("AmazonSQS") => "sqs",
            Some("AWSEvents") => "events",
            Some("AmazonSSM") => "ssm",
            Some("secretsmanager") => "secretsmanager",
            other => panic!("nobody has said which service {other:?} is"),
        };
        let kind = ("content-type", "application/x-amz-json-1.1");
        let headers = [kind, ("x-amz-target", target), ("authorization", &signed(service))];
        let answer = ask("POST", self.endpoint(), &headers, &parameters.to_string());
        let answer = answer.unwrap_or_else(|error| panic!("{target}: {error}"));
        let body: Value = serde_json::from_str(&answer.body).unwrap_or_else(|_| json!({}));
        if answer.status < 300 {
            return Ok(body);
        }
        let said = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        Err(Refusal { status: answer.status, code: said("__type"), message: said("message") })
    }

    /// The same where a refusal is a failure of the test.
    #[track_caller]
    pub(super) fn must(
        &self,
        service: Service,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> String {
        let answer = self.call(service, action, parameters);
        answer.unwrap_or_else(|refusal| panic!("{action}: {refusal}"))
    }

    /// The same where a refusal is a failure of the test.
    #[track_caller]
    pub(super) fn must_json(&self, target: &str, parameters: &Value) -> Value {
        let answer = self.call_json(target, parameters);
        answer.unwrap_or_else(|refusal| panic!("{target}: {refusal}"))
    }
}

/// A signature by which the region finds the service.
fn signed(service: &str) -> String {
    let scope = format!("AKIAIOSFODNN7EXAMPLE/20260101/{NAME}/{service}/aws4_request");
    format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0")
}

/// What is in each element of this name, in their order, without what is nested in another of the name.
#[must_use]
pub fn values(xml: &str, tag: &str) -> Vec<String> {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let parts = xml.split(open.as_str()).skip(1);
    parts
        .filter_map(|part| part.split_once(close.as_str()))
        .map(|(text, _)| text.to_owned())
        .collect()
}
