//! Bugs of a rim that the world can be told to have. A core can not notice them; the invariants must.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The agent carries out orders without having written its journal.
    JournalNotWritten,
    /// The agent takes a list that failed for an engine without containers.
    FailedListIsEmpty,
    /// The agent's list leaves out what could not be inspected.
    ListIsPartial,
    /// The agent's list shows containers of other clusters.
    ListShowsForeign,
    /// The engine starts containers again by itself.
    EngineRestarts,
    /// A name that is taken is no reason not to make another container.
    ConflictMakesAnother,
    /// The coordinator says what it has not committed.
    SaysBeforeCommit,
    /// A coordinator that is started again counts its revisions from 1 in the same epoch.
    EpochStays,
    /// A coordinator that takes over holds every node for dead.
    TakeoverBuriesNodes,
    /// The coordinator disowns containers that it knows.
    DisownsEverything,
    /// The coordinator gives one node's assignments to another.
    MixesUpNodes,
}

/// Each with a sentence for the table of the mutation gate.
#[allow(dead_code, reason = "the simulation alone has none of them")]
pub(crate) const FLAWS: &[(&str, Flaw)] = &[
    ("rim: orders are carried out before the journal is written", Flaw::JournalNotWritten),
    ("rim: a list that failed is an empty one", Flaw::FailedListIsEmpty),
    ("rim: a list leaves out what could not be inspected", Flaw::ListIsPartial),
    ("rim: a list shows containers of other clusters", Flaw::ListShowsForeign),
    ("rim: the engine starts containers by itself", Flaw::EngineRestarts),
    ("rim: a taken name leads to another container", Flaw::ConflictMakesAnother),
    ("rim: the coordinator speaks before it commits", Flaw::SaysBeforeCommit),
    ("rim: the epoch stays after a restart", Flaw::EpochStays),
    ("rim: a takeover buries every node", Flaw::TakeoverBuriesNodes),
    ("rim: every orphan is disowned", Flaw::DisownsEverything),
    ("rim: a node gets the assignments of another", Flaw::MixesUpNodes),
];
