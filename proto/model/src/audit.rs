//! The record of who did what: one act for each call that changed something, or was not allowed to.

use std::fmt;

use crate::time::Timestamp;

/// So many things of an act are named one by one: a deployment may have a thousand services.
pub const OBJECTS_LIMIT: usize = 100;
/// A text of an act is no longer than this, in bytes: what comes from outside does not make a record large.
pub const TEXT_LIMIT: usize = 512;

/// What somebody did, or was not allowed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// When it was decided.
    pub at: Timestamp,
    /// Who: an operator with their role, a node, root of the coordinator's machine.
    pub who: String,
    /// The address that they called from.
    pub from: String,
    /// The call, in lower case: `deploy`, `create-token`.
    pub what: String,
    /// To what.
    pub objects: Vec<Object>,
    /// Why, in the words of whoever called; empty when they gave no reason.
    pub why: String,
    /// What tells this call from every other, in logs too.
    pub request: String,
    /// What became of it.
    pub verdict: Verdict,
    /// What else there is to say: why it was refused, what exactly was asked for. Never a secret.
    pub note: String,
    /// How many calls alike this stands for. Who is refused again and again fills no store.
    pub count: u64,
}

/// What an act is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// A service, or a kind and a name: `shop/web`, `node i-0abc`.
    pub name: String,
    /// Of a service: the generation that was the target until then.
    pub before: Option<u64>,
    /// Of a service: the generation that is the target since.
    pub after: Option<u64>,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was done.
    Done,
    /// Whoever called might have, and it could not be done.
    Refused,
    /// Whoever called may not.
    Denied,
    /// The coordinator itself has found something that somebody must look at.
    Alarm,
}

impl Verdict {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Denied => "denied",
            Self::Alarm => "alarm",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Object {
    /// Something that has no generations.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), before: None, after: None }
    }
}

impl Act {
    /// Cuts what is too long or not plain. Whoever is refused may have chosen each word of it.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        for text in
            [&mut self.who, &mut self.from, &mut self.what, &mut self.why, &mut self.request]
        {
            *text = plain(text);
        }
        self.note = plain(&self.note);
        let left = self.objects.len().saturating_sub(OBJECTS_LIMIT);
        if left > 0 {
            self.objects.truncate(OBJECTS_LIMIT);
            self.objects.push(Object::named(format!("and {left} more")));
        }
        for object in &mut self.objects {
            object.name = plain(&object.name);
        }
        self
    }
}

fn plain(text: &str) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        let c = if c.is_control() { ' ' } else { c };
        if plain.len() + c.len_utf8() > TEXT_LIMIT {
            break;
        }
        plain.push(c);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_makes_no_record_large_or_takes_over_a_terminal() {
        let long = "é\u{1b}[31m\n".repeat(1_000);
        let objects = (0..1_000).map(|number| Object::named(format!("a/b{number}{long}")));
        let act = Act {
            at: Timestamp::default(),
            who: long.clone(),
            from: long.clone(),
            what: long.clone(),
            objects: objects.collect(),
            why: long.clone(),
            request: long.clone(),
            verdict: Verdict::Denied,
            note: long,
            count: 1,
        };
        let act = act.bounded();
        assert_eq!(act.objects.len(), OBJECTS_LIMIT + 1);
        assert_eq!(act.objects.last().unwrap().name, "and 900 more");
        let names = act.objects.iter().map(|object| &object.name);
        for text in names.chain([&act.who, &act.from, &act.what, &act.why, &act.request, &act.note])
        {
            assert!(text.len() <= TEXT_LIMIT && !text.chars().any(char::is_control), "{text:?}");
        }
        assert_eq!(act.clone().bounded().note, act.note);
    }
}
