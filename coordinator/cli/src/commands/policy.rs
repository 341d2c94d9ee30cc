//! Commands of administrators: what is true of every deployment.

use proto::wire;
use serde_json::json;

use crate::args::Global;
use crate::args::trust::Policy;
use crate::client::{Client, unary};
use crate::exit::{Exit, from_status};
use crate::output::{self, Listing, Row};

/// What stands for every repository.
const ANY: &str = "any";

pub(crate) async fn policy(
    client: &Client,
    global: &Global,
    command: Policy,
) -> anyhow::Result<Exit> {
    match command {
        Policy::Set { images } => {
            let is_any = images.iter().any(|image| image == ANY);
            anyhow::ensure!(
                !is_any || images.len() == 1,
                "`{ANY}` stands alone: it is every image"
            );
            let patterns = if is_any { Vec::new() } else { images };
            let request = unary(wire::SetImagePolicyRequest { patterns });
            let set = client.trust.clone().set_image_policy(request).await;
            set.map_err(|status| from_status(&status))?;
        }
        Policy::Show => {
            let request = unary(wire::GetImagePolicyRequest {});
            let shown = client.trust.clone().get_image_policy(request).await;
            let policy = shown.map_err(|status| from_status(&status))?.into_inner().policy;
            let policy = policy.unwrap_or_else(|| wire::StoredImagePolicy {
                patterns: vec![ANY.to_owned()],
                ..wire::StoredImagePolicy::default()
            });
            let head = vec!["IMAGES", "SET BY", "WHY"];
            let rows = policy.patterns.iter().map(|pattern| row(pattern, &policy)).collect();
            output::print(Listing { head, wide: 3, rows }, global.format(), &global.filters)?;
        }
    }
    Ok(Exit::Done)
}

fn row(pattern: &str, policy: &wire::StoredImagePolicy) -> Row {
    Row {
        id: pattern.to_owned(),
        cells: vec![pattern.to_owned(), policy.made_by.clone(), policy.why.clone()],
        json: json!({ "images": pattern, "set_by": policy.made_by, "why": policy.why }),
    }
}
