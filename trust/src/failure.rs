//! Why a connection does not come about, in the words of somebody who has to repair it.

use std::error::Error;
use std::time::Duration;

use model::time::Timestamp;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};
use thiserror::Error as ThisError;

use crate::certificate::Certificate;

/// Why a connection did not come about, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[error("{message}")]
pub struct DialError {
    /// What happened, and where.
    pub message: String,
    /// What to do next.
    pub hint: String,
    /// It is about who we are, and not about the way there.
    pub is_denied: bool,
}

/// Finds what [`explain`] has said in an error that others have wrapped.
#[must_use]
pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a DialError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<DialError>().or_else(|| inner(error)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// An I/O error does not name what it carries as its source.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a DialError> {
    error.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref()
}

/// Says what an attempt to dial `address` has failed of. `shown` is the certificate that was shown there.
#[must_use]
pub fn explain(
    error: &std::io::Error,
    address: &str,
    shown: Option<&Certificate>,
    now: Timestamp,
) -> DialError {
    let found = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match found {
        Some(rustls::Error::InvalidCertificate(why)) => certificate(why, address),
        Some(rustls::Error::AlertReceived(alert)) => refused(*alert, address, shown, now),
        Some(other) => DialError {
            message: format!("{address} does not speak as it should: {other}"),
            hint: "is it a coordinator, and does it listen with TLS?".to_owned(),
            is_denied: false,
        },
        None => DialError {
            message: format!("{address} can not be reached: {error}"),
            hint: String::new(),
            is_denied: false,
        },
    }
}

/// Their certificate is not good for us.
fn certificate(why: &CertificateError, address: &str) -> DialError {
    let (message, hint) = match why {
        CertificateError::NotValidYetContext { time, not_before } => (
            format!(
                "the clock of this machine is at least {} behind that of the coordinator at {address}: its certificate holds from {} on, and here it is {}",
                span(since(*not_before, *time)),
                timestamp(*not_before),
                timestamp(*time)
            ),
            "set the clock of this machine, best with NTP (`timedatectl`)",
        ),
        CertificateError::ExpiredContext { time, not_after } => (
            format!(
                "the certificate of the coordinator at {address} has expired at {}, and here it is {}: either the clock of this machine is {} ahead, or the coordinator does not renew it",
                timestamp(*not_after),
                timestamp(*time),
                span(since(*time, *not_after))
            ),
            "compare the clocks of both machines (`timedatectl`); a coordinator renews its certificate by itself while it runs",
        ),
        CertificateError::ApplicationVerificationFailure => (
            format!(
                "{address} is not of the cluster that the join token is for: its authority is another one. Nothing was sent to it"
            ),
            "is the address right? Otherwise make a new token there with `wharf token create`",
        ),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => (
            format!(
                "{address} is not of this cluster: its certificate is of another authority. Nothing was sent to it"
            ),
            "is the address right? When the coordinator's store was made anew, everybody has to join it anew",
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            format!("the certificate of the coordinator is not for the address {address}"),
            "start the coordinator with `--name` and the host by which it is dialled, or dial it by another name",
        ),
        other => (format!("the certificate of {address} is not accepted: {other}"), ""),
    };
    DialError { message, hint: hint.to_owned(), is_denied: false }
}

/// Our certificate is not good for them.
fn refused(
    alert: AlertDescription,
    address: &str,
    shown: Option<&Certificate>,
    now: Timestamp,
) -> DialError {
    let denied =
        |message: String, hint: &str| DialError { message, hint: hint.to_owned(), is_denied: true };
    match (alert, shown) {
        (AlertDescription::CertificateExpired, Some(shown)) if shown.not_after <= now => denied(
            format!("the certificate of {} has expired at {}", shown.name, shown.not_after),
            "it has to be let in anew",
        ),
        (AlertDescription::CertificateExpired, Some(shown)) => {
            // It holds by our clock and not by theirs, which is therefore past one of its ends.
            let (to_end, from_start) = (shown.not_after.since(now), now.since(shown.not_before));
            denied(
                format!(
                    "the coordinator at {address} finds that the certificate of {} does not hold now, and by the clock of this machine it does, from {} until {}: the two clocks differ by at least {}",
                    shown.name,
                    shown.not_before,
                    shown.not_after,
                    span(to_end.min(from_start))
                ),
                "set the clocks of both machines, best with NTP (`timedatectl`)",
            )
        }
        (
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::DecryptError
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied,
            Some(shown),
        ) => denied(
            format!(
                "the coordinator at {address} does not accept the certificate of {}: it is not of its authority",
                shown.name
            ),
            "it belongs to another cluster, or to this one before its store was made anew",
        ),
        (other, _) => DialError {
            message: format!("the coordinator at {address} ends the handshake: {other:?}"),
            hint: String::new(),
            is_denied: false,
        },
    }
}

fn timestamp(time: UnixTime) -> Timestamp {
    Timestamp::from_millis(time.as_secs().saturating_mul(1_000))
}

fn since(later: UnixTime, earlier: UnixTime) -> Duration {
    Duration::from_secs(later.as_secs().saturating_sub(earlier.as_secs()))
}

/// A span as people say it: its two largest units.
#[must_use]
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [("d", seconds / 86_400), ("h", seconds / 3_600 % 24), ("min", seconds / 60 % 60)];
    let all = units.into_iter().chain([("s", seconds % 60)]);
    let said: Vec<String> = all
        .skip_while(|(_, count)| *count == 0)
        .take(2)
        .filter(|(_, count)| *count > 0)
        .map(|(unit, count)| format!("{count} {unit}"))
        .collect();
    if said.is_empty() { "0 s".to_owned() } else { said.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_said_as_people_say_them() {
        for (seconds, said) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_720, "1 h 2 min"),
            (3_601, "1 h"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), said);
        }
    }
}
