//! What a service would rather have of the nodes of its tasks.

use std::collections::BTreeMap;

use model::constraint::Attribute;
use model::preference::{PREFERENCES_LIMIT, Preference, Preferred, Spread};

use crate::convert::checks::{quoted, word};
use crate::convert::constraint::constraint_from_text;
use crate::convert::{At, Invalid, Valid};
use crate::wire;
use crate::wire::preference::Of;

const PATH: &str = "preferences";

pub(crate) fn preferences_from_wire(from: &[wire::Preference]) -> Valid<Vec<Preference>> {
    if from.len() > PREFERENCES_LIMIT {
        let why = format!("{} are more than the {PREFERENCES_LIMIT} allowed", from.len());
        return Err(Invalid::new(PATH, why));
    }
    from.iter().map(preference_from_wire).collect()
}

fn preference_from_wire(from: &wire::Preference) -> Valid<Preference> {
    let of = match from.of.as_ref().at("preferences.of")? {
        Of::Nodes(text) => Preferred::Nodes(constraint_from_text(PATH, text)?),
        Of::Spread(spread) => Preferred::Spread(spread_from_wire(spread)?),
    };
    let preference = Preference { of, weight: from.weight };
    preference.check().map_err(|why| Invalid::new(PATH, why))?;
    Ok(preference)
}

fn spread_from_wire(from: &wire::SpreadOver) -> Valid<Spread> {
    let over = Attribute::named(&word(PATH, &from.attribute)?);
    let unknown = || format!("{} is no attribute of a node", quoted(&from.attribute));
    let over = over.ok_or_else(|| Invalid::new(PATH, unknown()))?;
    let share = |(value, share): (&String, &u32)| Ok((word(PATH, value)?, *share));
    let shares = from.shares.iter().map(share).collect::<Valid<BTreeMap<_, _>>>()?;
    Ok(Spread { over, shares })
}

pub(crate) fn preference_to_wire(preference: &Preference) -> wire::Preference {
    let of = match &preference.of {
        Preferred::Nodes(nodes) => Of::Nodes(nodes.to_string()),
        Preferred::Spread(Spread { over, shares }) => {
            let attribute = match over {
                // As it is, whatever is in it.
                Attribute::Label(key) => format!("node.labels.{key}"),
                other => other.to_string(),
            };
            Of::Spread(wire::SpreadOver { attribute, shares: shares.clone() })
        }
    };
    wire::Preference { weight: preference.weight, of: Some(of) }
}
