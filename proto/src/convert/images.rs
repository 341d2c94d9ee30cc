//! From where images may come.

use model::policy::images::{ImagePolicy, PATTERNS_LIMIT};

use super::{Invalid, Valid};
use crate::wire;

/// A reason is no longer than this, in bytes.
const TEXT_LIMIT: usize = 512;

/// Reads a policy of images.
///
/// # Errors
/// Says where and what is wrong.
pub fn image_policy_from_wire(from: &wire::StoredImagePolicy) -> Valid<ImagePolicy> {
    if from.patterns.is_empty() || from.patterns.len() > PATTERNS_LIMIT {
        let why = format!("a policy has 1 to {PATTERNS_LIMIT} patterns");
        return Err(Invalid::new("policy.patterns", why));
    }
    if from.why.len() > TEXT_LIMIT || from.why.chars().any(char::is_control) {
        let why = format!("a reason is plain text of at most {TEXT_LIMIT} bytes");
        return Err(Invalid::new("policy.why", why));
    }
    let read = |text: &String| {
        text.parse().map_err(|error| Invalid::new("policy.patterns", format!("{error}")))
    };
    Ok(ImagePolicy {
        patterns: from.patterns.iter().map(read).collect::<Valid<_>>()?,
        made_by: from.made_by.clone(),
        why: from.why.clone(),
    })
}

/// Writes a policy of images.
#[must_use]
pub fn image_policy_to_wire(policy: &ImagePolicy) -> wire::StoredImagePolicy {
    wire::StoredImagePolicy {
        patterns: policy.patterns.iter().map(ToString::to_string).collect(),
        made_by: policy.made_by.clone(),
        why: policy.why.clone(),
    }
}
