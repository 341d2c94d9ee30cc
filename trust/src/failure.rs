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
            message: format!("the coordinator at {address} does not answer: {error}"),
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
    use crate::name::Name;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000 + seconds))
    }

    fn said(error: rustls::Error, shown: Option<&Certificate>, now: UnixTime) -> DialError {
        let error = std::io::Error::new(std::io::ErrorKind::InvalidData, error);
        explain(&error, "wharf.test:7421", shown, timestamp(now))
    }

    fn shown() -> Certificate {
        Certificate {
            cluster: "c1".parse().unwrap(),
            name: Name::Node("n1".parse().unwrap()),
            serial: "1".parse().unwrap(),
            not_before: timestamp(at(0)),
            not_after: timestamp(at(86_400)),
        }
    }

    #[test]
    fn a_clock_that_is_wrong_is_named_with_by_how_much() {
        let time = at(0);
        let behind = CertificateError::NotValidYetContext { time, not_before: at(5_400) };
        let said_behind = said(behind.into(), None, time);
        assert!(said_behind.message.contains("at least 1 h 30 min behind"), "{said_behind:?}");
        assert!(said_behind.hint.contains("timedatectl"), "{said_behind:?}");
        let ahead = CertificateError::ExpiredContext { time: at(90_000), not_after: at(0) };
        let said_ahead = said(ahead.into(), None, at(90_000));
        assert!(said_ahead.message.contains("1 d 1 h ahead"), "{said_ahead:?}");
    }

    #[test]
    fn of_a_refusal_it_is_said_whose_clock_is_doubted() {
        let expired = || rustls::Error::AlertReceived(AlertDescription::CertificateExpired);
        let ours = said(expired(), Some(&shown()), at(86_400));
        assert!(ours.is_denied && ours.message.contains("node n1 has expired at"), "{ours:?}");
        // It holds here: the other clock is past its nearer end.
        let theirs = said(expired(), Some(&shown()), at(86_400 - 7_200));
        assert!(theirs.message.contains("differ by at least 2 h"), "{theirs:?}");
        let theirs = said(expired(), Some(&shown()), at(600));
        assert!(theirs.message.contains("differ by at least 10 min"), "{theirs:?}");
    }

    #[test]
    fn every_reason_that_an_operator_can_do_something_about_has_a_hint() {
        let reasons = [
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer),
            rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure),
            rustls::Error::InvalidCertificate(CertificateError::NotValidForName),
            rustls::Error::AlertReceived(AlertDescription::UnknownCA),
            rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType),
        ];
        for reason in reasons {
            let said = said(reason, Some(&shown()), at(0));
            assert!(said.message.contains("wharf.test:7421") && !said.hint.is_empty(), "{said:?}");
        }
    }

    #[test]
    fn what_was_wrapped_by_others_is_found() {
        let dial = said(CertificateError::UnknownIssuer.into(), None, at(0));
        let wrapped = std::io::Error::other(dial.clone());
        assert_eq!(find(&wrapped), Some(&dial));
        assert_eq!(find(&tonic::Status::from_error(Box::new(dial.clone()))), Some(&dial));
    }

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
