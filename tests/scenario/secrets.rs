//! Secrets, as operators of a script set them.

use coordinator_core::event::{Event, SecretEvent};
use coordinator_core::view::secret::{followed, idle, secrets_for};
use model::id::SecretName;
use model::secret::{Sealed, SecretVersion};

use super::play::Play;

impl Play {
    /// `set NAME VALUE`, `rm NAME`, `ls`, or `ask NODE SERVICE SLOT` as the agent of a node would.
    pub(crate) fn secret(&mut self, words: &[&str]) {
        match words {
            ["set", name, value] => {
                let name: SecretName = name.parse().unwrap();
                let newest = self.cluster.secrets().get(&name).map_or(0, |known| known.newest());
                let version = SecretVersion {
                    number: newest + 1,
                    set_at: self.now,
                    set_by: "ada".to_owned(),
                    // What is sealed is of no account to what is decided.
                    digest: format!("digest of {value}"),
                    sealed: Sealed::default(),
                    origin: None,
                };
                self.hear(&[Event::Secret(SecretEvent::Set { name, version })]);
            }
            ["rm", name] => {
                self.hear(&[Event::Secret(SecretEvent::Remove(name.parse().unwrap()))]);
            }
            ["for", name, owners @ ..] => {
                let owners = owners.iter().map(|owner| owner.parse().unwrap()).collect();
                let name = name.parse().unwrap();
                self.hear(&[Event::Secret(SecretEvent::Own { name, owners })]);
            }
            ["ls"] => self.list_secrets(),
            ["followed"] => {
                let followed = followed(&self.cluster);
                self.told.extend(followed.iter().map(|name| format!("{name} is read again")));
            }
            ["idle"] => {
                let idle = idle(&self.cluster, self.now);
                self.told.extend(idle.iter().map(|name| format!("{name} is for nobody")));
            }
            ["ask", node, id, slot] => {
                let task = self.newest(&id.parse().unwrap(), slot);
                let given = secrets_for(&self.cluster, &node.parse().unwrap(), &task.id);
                let given = given.map(|given| {
                    let named = given.iter();
                    let named = named.map(|(secret, version)| {
                        format!("{} version {}", secret.name, version.number)
                    });
                    named.collect::<Vec<_>>().join(", ")
                });
                self.told.push(given.unwrap_or_else(|| "nothing that is for this node".to_owned()));
            }
            _ => panic!(
                "secret set NAME VALUE, secret rm NAME, secret ls, secret followed, secret idle, secret ask NODE SERVICE SLOT"
            ),
        }
    }

    fn list_secrets(&mut self) {
        let mut lines = Vec::new();
        for secret in self.cluster.secrets().values() {
            for version in &secret.versions {
                let tasks = self.cluster.pins(&secret.name, version.number);
                lines.push(format!(
                    "{} version {}: {tasks} tasks have it",
                    secret.name, version.number
                ));
            }
        }
        self.told.extend(lines);
    }
}
