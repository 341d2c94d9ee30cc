//! The identity document of an instance: what it says is read from what AWS has signed, and it is good shortly after the
//! instance was made. Any process that reaches the metadata service has it, for ever.

use std::time::Duration;

use model::time::Timestamp;
use proto::wire;
use serde_json::Value;

use super::{Aws, Refused, Shown, check};

/// A document is good for so long after the instance was launched: by then its agent has joined.
const FRESH: Duration = Duration::from_secs(300);

/// Says which instance it is of.
///
/// # Errors
/// When it is not genuine, of somebody else, or too old.
pub(super) fn verify(
    aws: &Aws,
    signed: &wire::SignedDocument,
    now: Timestamp,
) -> Result<Shown, Refused> {
    let signer = aws.signers.get(&signed.region).ok_or_else(|| {
        let region = &signed.region;
        Refused::Foreign(format!("no certificate of region {region:?} is configured here"))
    })?;
    let document = signer.verify(&signed.pkcs7);
    let document = document.map_err(|error| Refused::Malformed(format!("{error:#}")))?;
    let document: Value = serde_json::from_slice(&document)
        .map_err(|error| Refused::Malformed(format!("the document is no JSON: {error}")))?;
    let said = |name: &str| {
        let text = document.get(name).and_then(Value::as_str).map(str::to_owned);
        text.ok_or_else(|| Refused::Malformed(format!("the document has no {name}")))
    };
    let shown = Shown {
        account: said("accountId")?,
        region: said("region")?,
        instance: said("instanceId")?,
    };
    if shown.region != signed.region {
        let why = format!("a document of region {:?} is signed by that of another", shown.region);
        return Err(Refused::Foreign(why));
    }
    check(aws, &shown.account, &shown.region)?;
    if !trust::attest::is_instance(&shown.instance) {
        return Err(Refused::Malformed(format!("{:?} is no id of an instance", shown.instance)));
    }
    let launched = said("pendingTime")?;
    let at = launched.parse::<jiff::Timestamp>().ok();
    let at = at.and_then(|at| u64::try_from(at.as_millisecond()).ok()).map(Timestamp::from_millis);
    let at = at.ok_or_else(|| Refused::Malformed("pendingTime is no instant".to_owned()))?;
    // A clock that is behind makes a document of the future, which is as wrong as one of the past.
    if now.since(at) > FRESH || at.since(now) > FRESH {
        return Err(Refused::Stale { made: launched, now: now.to_string() });
    }
    Ok(shown)
}
