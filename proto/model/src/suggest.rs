//! Finds what somebody probably meant.

/// The longest word that is compared: no key is longer, and the comparison takes the product of both lengths.
const LENGTH_LIMIT: usize = 40;

/// Gives the word that is nearest, if one is near enough for a slip of the hand.
/// Longer words have none, and neither have words that differ by more than a slip.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.chars().count() > LENGTH_LIMIT {
        return None;
    }
    let word = word.to_lowercase().replace('-', "_");
    let measured = known.map(|other| (distance(&word, other), other));
    let (distance, nearest) = measured.min()?;
    let is_near = distance <= 1 + nearest.len() / 5 && distance < nearest.len();
    is_near.then_some(nearest)
}

/// Counts the characters that have to be put in, taken out or exchanged (Levenshtein), where two neighbours that
/// changed places are one slip.
fn distance(one: &str, two: &str) -> usize {
    let (one, two): (Vec<char>, Vec<char>) = (one.chars().collect(), two.chars().collect());
    let mut rows = vec![vec![0; two.len() + 1]; one.len() + 1];
    for i in 0..=one.len() {
        for j in 0..=two.len() {
            rows[i][j] = match (i, j) {
                (0, rest) | (rest, 0) => rest,
                (i, j) => {
                    let exchange = rows[i - 1][j - 1] + usize::from(one[i - 1] != two[j - 1]);
                    let best = exchange.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                    let is_swap =
                        i > 1 && j > 1 && one[i - 1] == two[j - 2] && one[i - 2] == two[j - 1];
                    if is_swap { best.min(rows[i - 2][j - 2] + 1) } else { best }
                }
            };
        }
    }
    rows[one.len()][two.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_finds_the_key_and_another_word_finds_none() {
        let known = ["image", "ports", "replicas", "restart_policy"];
        let find = |word: &str| nearest(word, known.into_iter());
        assert_eq!(find("replica"), Some("replicas"));
        assert_eq!(find("prots"), Some("ports"));
        assert_eq!(find("restart-policy"), Some("restart_policy"));
        assert_eq!(find("Image"), Some("image"));
        assert_eq!(find("banana"), None);
        assert_eq!(find(&"a".repeat(1_000_000)), None);
    }
}
