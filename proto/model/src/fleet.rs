//! Machines of Auto Scaling groups: what an operator wants of a group, what the cloud says of it, and what it waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use crate::id::NodeId;
use crate::policy::Profile;
use crate::refresh::{Blueprint, Version};
use crate::resources::Resources;
use crate::schedule::Window;
use crate::time::Timestamp;

/// How long a machine that leaves may wait for what the services on it do not allow, unless it is told otherwise.
pub const DRAIN_USUALLY: Duration = Duration::from_secs(900);
/// How long a new machine may take to become a node, unless it is told otherwise.
pub const JOIN_USUALLY: Duration = Duration::from_secs(600);
/// The shortest and the longest of either: a group waits for two days at most, whatever it is told (Auto Scaling's global
/// timeout).
pub const WAIT_LIMITS: (Duration, Duration) =
    (Duration::from_secs(30), Duration::from_secs(47 * 3_600));
/// How long nothing has needed a machine when it is emptied, unless it is told otherwise. A machine costs a minute to launch and
/// is paid for by the minute: what is gone for shorter than this is likely to come back.
pub const SHRINK_USUALLY: Duration = Duration::from_secs(600);
/// The shortest and the longest of that: a pool that is made smaller sooner than a machine boots swings to and fro.
pub const SHRINK_LIMITS: (Duration, Duration) =
    (Duration::from_secs(30), Duration::from_secs(7 * 86_400));
/// How long a machine is silent when it is ended, where silent machines are, unless it is told otherwise.
pub const UNREACHABLE_USUALLY: Duration = Duration::from_secs(600);
/// The shortest and the longest of that. Two minutes are one until a machine counts as unreachable, and one in which two looks
/// show that it runs.
pub const UNREACHABLE_LIMITS: (Duration, Duration) =
    (Duration::from_secs(120), Duration::from_secs(7 * 86_400));
/// Of the machines of a zone no more than one is ended for its silence in so long: what has silenced the first has had the time to
/// show that it is something else.
pub const UNREACHABLE_EVERY: Duration = Duration::from_secs(300);
/// The hooks that we set are called so. Others belong to others, and are theirs to answer.
pub const LAUNCHING_HOOK: &str = "wharf-launching";
/// See [`LAUNCHING_HOOK`].
pub const TERMINATING_HOOK: &str = "wharf-terminating";
/// What a group waits for a sign of ours: after so long without one it goes on by itself. Auto Scaling allows 30 s to 2 h and
/// a hundred times that in all. A coordinator that is away for a quarter of an hour costs an undrained machine, one that never
/// comes back keeps none for longer.
pub const HOOK_PATIENCE: Duration = Duration::from_secs(900);

/// An Auto Scaling group whose machines are nodes, and what an operator wants of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// The name of the group.
    pub name: String,
    /// Since when.
    pub since: Timestamp,
    /// How its machines come and go.
    pub policy: PoolPolicy,
    /// Machines that its group is asked to end because they are empty and nothing needs them.
    pub ending: BTreeSet<NodeId>,
    /// What was last asked of its size.
    pub asked: Option<Asked>,
    /// Its machines are replaced only while one of these is open; at all times when there are none.
    pub windows: Vec<Window>,
    /// Machines whose root volume was replaced, and which version of their template they are as if launched from since.
    pub roots: BTreeMap<NodeId, Version>,
    /// Machines that its group is asked to end because their agents were silent for too long, and since when. Each is until it is
    /// proven gone, or not in the group any more.
    pub condemned: BTreeMap<NodeId, Timestamp>,
    /// When the last of those of each zone was condemned; one that is long past may be forgotten.
    pub condemned_in: BTreeMap<String, Timestamp>,
}

/// What was asked of the size of a group. It is written down before it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// When.
    pub at: Timestamp,
    /// So many machines it wanted.
    pub from: u32,
    /// So many it is to want.
    pub to: u32,
    /// Why, in the operator's words.
    pub why: String,
}

/// Room that is kept free in a pool: so many tasks more that ask for so much would find a place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Headroom {
    /// How many.
    pub count: u32,
    /// What each asks for.
    pub each: Resources,
}

/// A pool keeps room for no more tasks than this: each is put somewhere at every count.
pub const HEADROOM_LIMIT: u32 = 1_000;

/// How the machines of a pool come and go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolPolicy {
    /// A machine that leaves waits for so long for what the services on it do not allow; then what is left is stopped.
    pub drain_within: Duration,
    /// A machine that is not a node by then is given back.
    pub join_within: Duration,
    /// Whether machines are asked for when tasks find no room, up to the greatest size of the group.
    pub grows: bool,
    /// Whether machines that nothing needs are emptied and ended, down to the least size of the group.
    pub shrinks: bool,
    /// It is not made smaller than this by us, and one that grows is made as large.
    pub least: u32,
    /// It is not made larger than this by us; none where the group's own limit is enough.
    pub most: Option<u32>,
    /// What is to stay free.
    pub headroom: Headroom,
    /// Nothing has needed a machine for so long when it is emptied.
    pub shrink_after: Duration,
    /// No service of a lesser profile gets a new task on its machines.
    pub profile: Profile,
    /// What is done with a machine of which EC2 warns.
    pub precaution: Precaution,
    /// What is done with a machine whose agent is silent, though EC2 says that it runs.
    pub unreachable: Unreachable,
    /// For so long it has been silent then.
    pub unreachable_after: Duration,
}

/// What is done with a machine whose agent is silent for long, though EC2 says that it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unreachable {
    /// It is waited for.
    #[default]
    Keep,
    /// Its group is asked to put another in its place, unless it is protected from scale-in.
    End,
    /// The same, also if it is protected.
    EndProtected,
}

impl Unreachable {
    /// Says whether machines are ended for their silence.
    #[must_use]
    pub const fn ends(self) -> bool {
        match self {
            Self::Keep => false,
            Self::End | Self::EndProtected => true,
        }
    }
}

/// What is done with a machine that EC2 recommends to leave, or will stop or restart for maintenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precaution {
    /// It is emptied, as far as its services allow that.
    #[default]
    Drain,
    /// It gets no new tasks.
    Close,
    /// Nothing.
    Ignore,
}

impl Default for PoolPolicy {
    fn default() -> Self {
        Self {
            drain_within: DRAIN_USUALLY,
            join_within: JOIN_USUALLY,
            grows: false,
            shrinks: false,
            least: 0,
            most: None,
            headroom: Headroom::default(),
            shrink_after: SHRINK_USUALLY,
            profile: Profile::Default,
            precaution: Precaution::default(),
            unreachable: Unreachable::default(),
            unreachable_after: UNREACHABLE_USUALLY,
        }
    }
}

/// What one look at the cloud has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// The groups that were asked for and are there.
    pub groups: Vec<Group>,
    /// Those that were asked for and are not.
    pub missing: BTreeSet<String>,
    /// The machines of those groups, and others that were asked for by id.
    pub instances: Vec<Instance>,
    /// Ids that were asked for and are not known to the cloud. That alone proves nothing: what it says may lag behind.
    pub unknown: BTreeSet<NodeId>,
    /// Of versions of launch templates that were asked for the machine image that each names; none where there is no such version,
    /// or it names none.
    pub images: BTreeMap<Version, Option<String>>,
}

/// An Auto Scaling group as the cloud describes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Never fewer machines than this.
    pub min: u32,
    /// Never more.
    pub max: u32,
    /// So many are wanted.
    pub desired: u32,
    /// Its zones.
    pub zones: Vec<String>,
    /// What it was told not to do by itself, in Auto Scaling's words: `AZRebalance`.
    pub suspended: BTreeSet<String>,
    /// What new machines are launched from, in words: `lt-0123456789abcdef0 version 7`.
    pub template: Option<String>,
    /// The same in numbers; none where it is not launched from a template, or from two versions of one.
    pub blueprint: Option<Blueprint>,
    /// An instance refresh that is not ours and replaces its machines, in words: `instance refresh 08b9-…, InProgress, 33% done`.
    pub foreign: Option<String>,
    /// Whether it keeps machines in store, which start without being launched.
    pub has_warm_pool: bool,
    /// Why it launches fewer machines than it wants, in Auto Scaling's words, if the last launch has failed.
    pub failure: Option<String>,
    /// Its hooks.
    pub hooks: Vec<GroupHook>,
}

/// A lifecycle hook as the group has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupHook {
    /// Its name, of which a group has one of each.
    pub name: String,
    /// When it is called.
    pub transition: Transition,
    /// What the group waits for a sign.
    pub patience: Duration,
    /// What it takes for an answer when none comes.
    pub otherwise: Answer,
}

/// A machine as the cloud describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: NodeId,
    /// The group that it belongs to.
    pub pool: Option<String>,
    /// Where it is in the life that its group leads it through.
    pub lifecycle: Lifecycle,
    /// Whether it runs.
    pub power: Power,
    /// Its availability zone.
    pub zone: String,
    /// What kind of machine it is: `m7g.large`.
    pub instance_type: Option<String>,
    /// The machine image that it was launched from.
    pub ami: Option<String>,
    /// What it was launched from: the id of a launch template.
    pub template_id: Option<String>,
    /// And the number of its version.
    pub template_version: Option<String>,
    /// Whether it may be taken back at two minutes' notice.
    pub is_spot: bool,
    /// Whether its group may not choose it when it becomes smaller.
    pub is_protected: bool,
}

/// Where a machine is in the life that its group leads it through. Auto Scaling has more words; those beside the way are
/// [`Lifecycle::Aside`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lifecycle {
    /// On its way into the group.
    Launching,
    /// The same, and it waits for hooks.
    LaunchingWaits,
    /// In the group.
    InService,
    /// On its way out. There is no way back.
    Terminating,
    /// The same, and it waits for hooks.
    TerminatingWaits,
    /// Out.
    Terminated,
    /// In no group, in standby, in a warm pool, or in a state that this version does not know.
    Aside,
}

impl Lifecycle {
    /// Says whether it is on its way out, or out.
    #[must_use]
    pub const fn is_leaving(self) -> bool {
        match self {
            Self::Terminating | Self::TerminatingWaits | Self::Terminated => true,
            Self::Launching | Self::LaunchingWaits | Self::InService | Self::Aside => false,
        }
    }
}

/// Whether a machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Power {
    /// It starts.
    Pending,
    /// It runs, as far as the cloud knows.
    Running,
    /// It ends, and may run for a moment still.
    Stopping,
    /// It does not run, and can be started again.
    Stopped,
    /// It does not run and never will.
    Terminated,
    /// The cloud did not say.
    Unknown,
}

impl Power {
    /// Says whether this proves that nothing runs there.
    #[must_use]
    pub const fn is_off(self) -> bool {
        match self {
            Self::Stopped | Self::Terminated => true,
            Self::Pending | Self::Running | Self::Stopping | Self::Unknown => false,
        }
    }
}

/// When a hook is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transition {
    /// Before a machine counts.
    Launching,
    /// Before a machine ends.
    Terminating,
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Launching => "launching",
            Self::Terminating => "terminating",
        })
    }
}

/// What a hook is told. A machine that leaves ends with either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// Go on.
    Continue,
    /// Give the machine back.
    Abandon,
}

/// Which action of which hook.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HookId {
    /// Of which machine.
    pub instance: NodeId,
    /// When it is called. A machine is launched once and ends once.
    pub transition: Transition,
}

impl fmt::Display for HookId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.instance, self.transition)
    }
}

/// A lifecycle action: a group that waits for our answer about a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Which.
    pub id: HookId,
    /// The group.
    pub pool: String,
    /// By which the group knows this action; none when it was found by looking and not told.
    pub token: Option<String>,
    /// When we first heard of it.
    pub since: Timestamp,
    /// From then on it is answered, whatever that costs.
    pub deadline: Timestamp,
    /// How far it is.
    pub phase: HookPhase,
}

/// How far a lifecycle action is. Only moves forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookPhase {
    /// The machine is not ready for it.
    Waiting,
    /// What the group is told, until it knows it.
    Answered {
        /// What.
        answer: Answer,
        /// Why, in the operator's words.
        why: String,
        /// Since when.
        at: Timestamp,
    },
    /// The group knows the answer, or waits no more. Remembered for a while, so that a message that comes twice is known.
    Done {
        /// Since when.
        at: Timestamp,
        /// What it was told; none when it went on by itself.
        answer: Option<Answer>,
    },
}

/// Somebody says that a group waits for an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookCall {
    /// For which.
    pub id: HookId,
    /// The group.
    pub pool: String,
    /// By which the group knows this action.
    pub token: Option<String>,
}

/// What the cloud says that a machine has to expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// It is taken back, and ends then.
    Interrupted {
        /// When.
        at: Timestamp,
    },
    /// It is more likely than others to be taken back.
    AtRisk,
}

/// EC2 says so long before it that it takes a machine back.
pub const SPOT_NOTICE: Duration = Duration::from_secs(120);

/// All that a machine has to expect, as its metadata service says to its agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outlook {
    /// When it is taken back, if it is.
    pub interrupted_at: Option<Timestamp>,
    /// When it will be stopped or restarted for maintenance, if it will.
    pub maintained_at: Option<Timestamp>,
    /// Whether it is more likely than others to be taken back.
    pub is_at_risk: bool,
    /// Whether its Auto Scaling group ends it.
    pub is_leaving: bool,
}
