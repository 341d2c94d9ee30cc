//! What a benchmark says in the end.

use serde_json::{Map, Value, json};

/// Which side of the goal is good.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    /// The more the better.
    AtLeast(f64),
    /// The less the better.
    AtMost(f64),
}

/// One number with its goal.
#[derive(Debug)]
pub(crate) struct Line {
    /// What was measured.
    pub(crate) name: &'static str,
    /// With its unit, for people.
    pub(crate) shown: String,
    pub(crate) value: f64,
    pub(crate) goal: Goal,
}

impl Line {
    fn is_ok(&self) -> bool {
        match self.goal {
            Goal::AtLeast(goal) => self.value >= goal,
            Goal::AtMost(goal) => self.value <= goal,
        }
    }
}

/// Prints the table and the last line. The first line of the table is the benchmark's own number.
pub(crate) fn print(bench: &str, lines: &[Line]) {
    println!();
    println!("{:<44} {:>26} {:>12}  ok", "what", "measured", "goal");
    for line in lines {
        let goal = match line.goal {
            Goal::AtLeast(goal) => format!("≥ {goal}"),
            Goal::AtMost(goal) => format!("≤ {goal}"),
        };
        let ok = if line.is_ok() { "yes" } else { "NO" };
        println!("{:<44} {:>26} {goal:>12}  {ok}", line.name, line.shown);
    }
    let mut all = Map::new();
    for line in lines {
        let (Goal::AtLeast(goal) | Goal::AtMost(goal)) = line.goal;
        all.insert(
            line.name.to_owned(),
            json!({ "value": rounded(line.value), "goal": goal, "ok": line.is_ok() }),
        );
    }
    let first = lines.first();
    let (Goal::AtLeast(goal) | Goal::AtMost(goal)) =
        first.map_or(Goal::AtLeast(0.0), |line| line.goal);
    let last = json!({
        "bench": bench,
        "value": first.map(|line| rounded(line.value)),
        "goal": goal,
        "ok": lines.iter().all(Line::is_ok),
        "all": Value::Object(all),
    });
    println!("{last}");
}

fn rounded(value: f64) -> f64 {
    (value * 1_000.0).round() / 1_000.0
}
