//! A call of AWS's token service that a machine has signed, made here: the host, the path, the body and the headers are ours,
//! always the same, and of the machine there is nothing in it but a signature and what that is over. (CVE-2020-16250 was a
//! verifier that sent what it was given.)

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::civil::DateTime;
use jiff::tz::Offset;
use model::time::Timestamp;
use model::trust::Fingerprint;
use proto::wire;
use tokio::sync::Semaphore;
use trust::attest::caller::{BODY, Call, host, is_access_key, is_signature};
use trust::http::{Ask, Place, World};

use super::{Aws, Refused, Shown, check};

/// A call was signed at most so long ago, by either clock. AWS itself takes a quarter of an hour.
const FRESH: Duration = Duration::from_secs(300);
/// Calls at the same time.
const CALLS: usize = 8;
/// Calls in a second, and how many of them may come at once: AWS limits those of an account.
const RATE: f64 = 10.0;
const BURST: f64 = 20.0;
/// The role that every instance has of itself, and that nobody else can assume.
const OWN_ROLE: &str = "aws:ec2-instance";

/// Makes calls.
#[derive(Debug)]
pub(super) struct Caller {
    /// Where calls go instead of to AWS.
    instead: Option<Place>,
    /// None where no call goes to AWS.
    world: Option<World>,
    calls: Semaphore,
    /// How many may be made at once by now, and when that was counted.
    left: Mutex<(f64, Instant)>,
}

impl Caller {
    pub(super) fn new(aws: &Aws) -> anyhow::Result<Self> {
        let instead = aws.sts.as_deref().map(Place::nearby).transpose()?;
        let world = if instead.is_none() { Some(World::load()?) } else { None };
        let calls = Semaphore::new(CALLS);
        Ok(Self { instead, world, calls, left: Mutex::new((BURST, Instant::now())) })
    }

    /// Says which instance has signed it.
    ///
    /// # Errors
    /// When it is not genuine, of somebody else, or can not be asked.
    pub(super) async fn verify(
        &self,
        aws: &Aws,
        signed: &wire::SignedCall,
        binding: Fingerprint,
    ) -> Result<Shown, Refused> {
        let call = sound(signed, binding)?;
        // Before anybody outside is asked.
        if !aws.regions.contains(&call.region) {
            let why = format!("region {:?} is not let in here", call.region);
            return Err(Refused::Foreign(why));
        }
        is_fresh(&call.date, trust::now())?;
        let said = self.ask(&call, signed).await?;
        let caller = read(&said).ok_or_else(|| {
            Refused::Unavailable("its answer has another form than it always has".to_owned())
        })?;
        let shown = instance(aws, &caller, &call.region)?;
        check(aws, &shown.account, &shown.region)?;
        Ok(shown)
    }

    async fn ask(&self, call: &Call, signed: &wire::SignedCall) -> Result<String, Refused> {
        if !self.may() {
            return Err(Refused::Busy);
        }
        let _turn = self.calls.acquire().await.map_err(|_| Refused::Busy)?;
        let place = match (&self.instead, &self.world) {
            (Some(instead), _) => Ok(instead.clone()),
            (None, Some(world)) => Place::of_world(&host(&call.region), world),
            (None, None) => Err(anyhow::anyhow!("there is nobody to ask")),
        };
        let unavailable = |error: anyhow::Error| Refused::Unavailable(format!("{error:#}"));
        let headers = call.headers(&signed.access_key, &signed.signature);
        let method = "POST".parse().map_err(|_| Refused::Busy)?;
        let ask = Ask { method, path: "/".to_owned(), headers, body: BODY.to_owned() };
        let answer = place.map_err(unavailable)?.ask(ask).await.map_err(unavailable)?;
        let text = String::from_utf8(answer.body)
            .map_err(|_| Refused::Unavailable("its answer is no text".to_owned()))?;
        match answer.status {
            200 => Ok(text),
            // What it says may hold what was sent.
            400..=499 if answer.status != 429 => Err(Refused::Unsigned(answer.status.to_string())),
            status => Err(Refused::Unavailable(format!("it answers with {status}"))),
        }
    }

    /// Takes one of the calls that may be made.
    fn may(&self) -> bool {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, at) = *left;
        let now = Instant::now();
        let count = (count + RATE * now.duration_since(at).as_secs_f64()).min(BURST);
        *left = (if count >= 1.0 { count - 1.0 } else { count }, now);
        count >= 1.0
    }
}

/// The call that was signed, if all that the machine has said of it has its form.
fn sound(signed: &wire::SignedCall, binding: Fingerprint) -> Result<Call, Refused> {
    let malformed = |what: &str| Refused::Malformed(what.to_owned());
    let call = Call {
        region: signed.region.clone(),
        date: signed.date.clone(),
        session_token: signed.session_token.clone(),
        binding,
    };
    if !call.is_sound() {
        return Err(malformed("its region, date or session token has a form of its own"));
    }
    if !is_access_key(&signed.access_key) || !is_signature(&signed.signature) {
        return Err(malformed("its access key or signature has a form of its own"));
    }
    Ok(call)
}

fn is_fresh(date: &str, now: Timestamp) -> Result<(), Refused> {
    let at = DateTime::strptime("%Y%m%dT%H%M%SZ", date).ok();
    let at = at.and_then(|at| Offset::UTC.to_timestamp(at).ok());
    let at = at.and_then(|at| u64::try_from(at.as_millisecond()).ok());
    let at = at.map(Timestamp::from_millis);
    let at = at.ok_or_else(|| Refused::Malformed("its date is none".to_owned()))?;
    if now.since(at) > FRESH || at.since(now) > FRESH {
        return Err(Refused::Stale { made: at.to_string(), now: now.to_string() });
    }
    Ok(())
}

/// Who has called, by what AWS has answered.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    arn: String,
    account: String,
}

/// Reads the answer, which has one form (<https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html>).
fn read(answer: &str) -> Option<Said> {
    let only = |name: &str| {
        let (begin, end) = (format!("<{name}>"), format!("</{name}>"));
        let (_, rest) = answer.split_once(&begin)?;
        let (text, after) = rest.split_once(&end)?;
        let is_only = !after.contains(&begin) && !text.contains(['<', '&']);
        is_only.then(|| text.trim().to_owned())
    };
    let is_answer = answer.contains("<GetCallerIdentityResponse ")
        && answer.contains("<GetCallerIdentityResult>");
    let said = Said { arn: only("Arn")?, account: only("Account")? };
    is_answer.then_some(said)
}

fn partition(region: &str) -> &'static str {
    match region {
        _ if region.starts_with("cn-") => "aws-cn",
        _ if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// `arn:PARTITION:sts::ACCOUNT:assumed-role/ROLE/INSTANCE`, and nothing like it.
fn instance(aws: &Aws, said: &Said, region: &str) -> Result<Shown, Refused> {
    let foreign = || Refused::Foreign(format!("{} is no instance that is let in here", said.arn));
    let parts: Vec<&str> = said.arn.splitn(6, ':').collect();
    let ["arn", of, "sts", "", account, role] = parts.as_slice() else { return Err(foreign()) };
    let role: Vec<&str> = role.split('/').collect();
    let ["assumed-role", role, instance] = role.as_slice() else { return Err(foreign()) };
    if *of != partition(region) || *account != said.account {
        return Err(foreign());
    }
    if *role != OWN_ROLE && !aws.roles.iter().any(|known| known == role) {
        return Err(Refused::Foreign(format!(
            "role {role:?} is not let in here: instances show their own one, and others have to be named in the configuration"
        )));
    }
    if !trust::attest::is_instance(instance) {
        return Err(foreign());
    }
    let (account, region) = ((*account).to_owned(), region.to_owned());
    Ok(Shown { account, region, instance: (*instance).to_owned() })
}

#[cfg(test)]
mod tests;
