//! Which rule keeps containers from the instance metadata service, and what is to be done for it to be there.
//!
//! What a container sends from a network of its own goes through the chain `FORWARD` of its machine. There Docker asks
//! `DOCKER-USER` before its own chains, which it makes for the rules of others and leaves alone. So that is where the rule
//! is; where nothing goes through it, the rule is in `FORWARD` itself. What stands before it counts before it, unless that is
//! for all packets: so an administrator lets a network of containers through.

/// By what a rule is known for ours, beside all that it says.
const COMMENT: &str = "wharf-metadata";

/// One version of the internet protocol: it has rules of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// The program that shows its rules and changes them.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::V4 => "iptables",
            Self::V6 => "ip6tables",
        }
    }

    /// What the rule says, as the program shows it. It refuses instead of dropping: a program that looks for credentials
    /// goes on at once without.
    fn rule(self) -> [&'static str; 10] {
        // https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html has the addresses.
        let (address, refusal) = match self {
            Self::V4 => ("169.254.169.254/32", "icmp-port-unreachable"),
            Self::V6 => ("fd00:ec2::254/128", "icmp6-port-unreachable"),
        };
        [
            "-d",
            address,
            "-m",
            "comment",
            "--comment",
            COMMENT,
            "-j",
            "REJECT",
            "--reject-with",
            refusal,
        ]
    }
}

/// What an operator wants of the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// It is there.
    There,
    /// It is not there.
    Gone,
}

/// Where the rule can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chain {
    /// Docker's, for rules of others.
    DockerUser,
    /// The machine's.
    Forward,
}

impl Chain {
    fn name(self) -> &'static str {
        match self {
            Self::DockerUser => "DOCKER-USER",
            Self::Forward => "FORWARD",
        }
    }
}

/// One thing to be done. None of them is about a rule of somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Put the rule before all others of this chain.
    Insert(Chain),
    /// Take it out of this chain, once.
    Delete(Chain),
}

impl Change {
    /// What the program of this family is told.
    #[must_use]
    pub fn arguments(self, family: Family) -> Vec<&'static str> {
        let (verb, chain) = match self {
            Self::Insert(chain) => ("-I", chain),
            Self::Delete(chain) => ("-D", chain),
        };
        [&[verb, chain.name()][..], &family.rule()].concat()
    }
}

/// What is to be done, in this order, by what `iptables -S` has shown.
///
/// Nothing, when all is as it is wished. Once it is done and nobody else has done anything, nothing is to be done.
#[must_use]
pub fn changes(shown: &str, family: Family, wish: Wish) -> Vec<Change> {
    let rules: Vec<Rule<'_>> = shown.lines().filter_map(Rule::read).collect();
    let ours = family.rule();
    let home = match wish {
        Wish::Gone => None,
        Wish::There if is_reached(&rules, Chain::Forward, &["-j", Chain::DockerUser.name()]) => {
            Some(Chain::DockerUser)
        }
        Wish::There => Some(Chain::Forward),
    };
    let mut changes = Vec::new();
    // What is put comes before what is taken away elsewhere: in between there are two rules and never none.
    let chains = match home {
        Some(Chain::Forward) => [Chain::Forward, Chain::DockerUser],
        Some(Chain::DockerUser) | None => [Chain::DockerUser, Chain::Forward],
    };
    for chain in chains {
        let is_home = home == Some(chain);
        if is_home && is_reached(&rules, chain, &ours) {
            continue;
        }
        let there = rules.iter().filter(|rule| rule.chain == chain.name() && rule.says == ours);
        changes.extend(there.map(|_| Change::Delete(chain)));
        if is_home {
            changes.push(Change::Insert(chain));
        }
    }
    changes
}

/// What is to be done when `changes` had no effect that could be seen: what was put is taken away again.
#[must_use]
pub fn undone(changes: &[Change]) -> Vec<Change> {
    let put = changes.iter().filter_map(|change| match change {
        Change::Insert(chain) => Some(Change::Delete(*chain)),
        Change::Delete(_) => None,
    });
    put.collect()
}

/// Whether packets come to the rule that says this: none before it is for all of them.
fn is_reached(rules: &[Rule<'_>], chain: Chain, says: &[&str]) -> bool {
    let mut of_chain = rules.iter().filter(|rule| rule.chain == chain.name());
    let first = of_chain.find(|rule| rule.says == says || rule.lets_everything_pass());
    first.is_some_and(|rule| rule.says == says)
}

/// A rule as it was shown.
struct Rule<'a> {
    chain: &'a str,
    says: Vec<&'a str>,
}

impl<'a> Rule<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let mut words = line.split_whitespace();
        if words.next() != Some("-A") {
            return None;
        }
        let chain = words.next()?;
        // Some releases show a comment of one word in quotes.
        Some(Self { chain, says: words.map(|word| word.trim_matches('"')).collect() })
    }

    /// It is for all packets, which come to no later rule of the chain, and refuses none.
    fn lets_everything_pass(&self) -> bool {
        let is_end =
            self.says.ends_with(&["-j", "ACCEPT"]) || self.says.ends_with(&["-j", "RETURN"]);
        let asks = self.says.iter().any(|word| {
            word.starts_with('-') && !["-m", "--comment", "-j"].contains(word) || *word == "!"
        });
        is_end && !asks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "-d 169.254.169.254/32 -m comment --comment wharf-metadata -j REJECT --reject-with icmp-port-unreachable";

    /// What Docker 20.10 makes, with these rules in its chain for others.
    fn docker(others: &[&str]) -> String {
        let mut lines = vec![
            "-P INPUT ACCEPT",
            "-P FORWARD DROP",
            "-P OUTPUT ACCEPT",
            "-N DOCKER",
            "-N DOCKER-ISOLATION-STAGE-1",
            "-N DOCKER-USER",
            "-A FORWARD -j DOCKER-USER",
            "-A FORWARD -j DOCKER-ISOLATION-STAGE-1",
            "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
            "-A FORWARD -i docker0 ! -o docker0 -j ACCEPT",
            "-A DOCKER-ISOLATION-STAGE-1 -j RETURN",
        ];
        lines.extend(others);
        lines.push("-A DOCKER-USER -j RETURN");
        lines.join("\n")
    }

    fn wanted(shown: &str) -> Vec<Change> {
        changes(shown, Family::V4, Wish::There)
    }

    #[test]
    fn the_rule_is_put_where_docker_leaves_it_alone() {
        assert_eq!(wanted(&docker(&[])), [Change::Insert(Chain::DockerUser)]);
        let arguments = Change::Insert(Chain::DockerUser).arguments(Family::V4).join(" ");
        assert_eq!(arguments, format!("-I DOCKER-USER {OURS}"));
    }

    #[test]
    fn where_it_is_nothing_is_done() {
        assert_eq!(wanted(&docker(&[&format!("-A DOCKER-USER {OURS}")])), []);
        let quoted = OURS.replace("wharf-metadata", "\"wharf-metadata\"");
        assert_eq!(wanted(&docker(&[&format!("-A DOCKER-USER {quoted}")])), []);
    }

    #[test]
    fn an_exception_that_stands_before_it_is_the_administrators_to_make() {
        let exception = "-A DOCKER-USER -s 172.30.0.0/16 -d 169.254.169.254/32 -j ACCEPT";
        assert_eq!(wanted(&docker(&[exception, &format!("-A DOCKER-USER {OURS}")])), []);
    }

    #[test]
    fn behind_what_is_for_all_packets_it_would_be_worth_nothing_and_is_moved() {
        for end in ["-j RETURN", "-j ACCEPT", "-m comment --comment \"all of it\" -j ACCEPT"] {
            let end = format!("-A DOCKER-USER {end}");
            let shown = docker(&[&end, &format!("-A DOCKER-USER {OURS}")]);
            let moved = [Change::Delete(Chain::DockerUser), Change::Insert(Chain::DockerUser)];
            assert_eq!(wanted(&shown), moved, "{end}");
        }
        for some in
            ["-i eth0 -j ACCEPT", "! -s 10.0.0.0/8 -j RETURN", "-m mark --mark 0x1 -j ACCEPT"]
        {
            let some = format!("-A DOCKER-USER {some}");
            assert_eq!(wanted(&docker(&[&some, &format!("-A DOCKER-USER {OURS}")])), [], "{some}");
        }
    }

    #[test]
    fn a_rule_that_says_something_else_is_somebody_elses() {
        for other in [
            format!("-s 172.17.0.0/16 {OURS}"),
            OURS.replace("wharf-metadata", "other"),
            OURS.replace("REJECT --reject-with icmp-port-unreachable", "DROP"),
        ] {
            let shown = docker(&[&format!("-A DOCKER-USER {other}")]);
            assert_eq!(wanted(&shown), [Change::Insert(Chain::DockerUser)], "{other}");
            assert_eq!(changes(&shown, Family::V4, Wish::Gone), [], "{other}");
        }
    }

    #[test]
    fn without_a_chain_of_docker_it_is_in_the_machines_and_moves_when_docker_comes() {
        let none = "-P INPUT ACCEPT\n-P FORWARD ACCEPT\n-P OUTPUT ACCEPT";
        assert_eq!(wanted(none), [Change::Insert(Chain::Forward)]);
        let there = format!("{none}\n-A FORWARD {OURS}");
        assert_eq!(wanted(&there), []);
        let both = format!("{}\n-A FORWARD {OURS}", docker(&[]));
        let moved = [Change::Insert(Chain::DockerUser), Change::Delete(Chain::Forward)];
        assert_eq!(wanted(&both), moved);
    }

    #[test]
    fn a_chain_through_which_nothing_goes_is_none() {
        let unused = "-P FORWARD ACCEPT\n-N DOCKER-USER\n-A DOCKER-USER -j RETURN";
        assert_eq!(wanted(unused), [Change::Insert(Chain::Forward)]);
        let behind = "-A FORWARD -j ACCEPT\n-A FORWARD -j DOCKER-USER";
        assert_eq!(wanted(behind), [Change::Insert(Chain::Forward)]);
        let some = "-A FORWARD -i docker0 -j DOCKER-USER";
        assert_eq!(wanted(some), [Change::Insert(Chain::Forward)]);
    }

    #[test]
    fn taken_away_it_is_taken_away_everywhere_and_nothing_else_is() {
        let rule = format!("-A DOCKER-USER {OURS}");
        let shown = format!("{}\n-A FORWARD {OURS}", docker(&[&rule, &rule]));
        let gone = [
            Change::Delete(Chain::DockerUser),
            Change::Delete(Chain::DockerUser),
            Change::Delete(Chain::Forward),
        ];
        assert_eq!(changes(&shown, Family::V4, Wish::Gone), gone);
        assert_eq!(changes(&docker(&[]), Family::V4, Wish::Gone), []);
    }

    #[test]
    fn each_family_has_a_rule_of_its_own() {
        let v6 = "-d fd00:ec2::254/128 -m comment --comment wharf-metadata -j REJECT --reject-with icmp6-port-unreachable";
        let arguments = Change::Insert(Chain::Forward).arguments(Family::V6).join(" ");
        assert_eq!(arguments, format!("-I FORWARD {v6}"));
        let shown = format!("-P FORWARD ACCEPT\n-A FORWARD {v6}");
        assert_eq!(changes(&shown, Family::V6, Wish::There), []);
        assert_eq!(wanted(&shown), [Change::Insert(Chain::Forward)]);
    }

    #[test]
    fn only_what_was_put_is_undone() {
        let done = [Change::Delete(Chain::Forward), Change::Insert(Chain::DockerUser)];
        assert_eq!(undone(&done), [Change::Delete(Chain::DockerUser)]);
    }
}
