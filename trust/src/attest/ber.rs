//! Reads BER as far as a signed document of AWS needs it, which is not DER: lengths are not always said, and a text may come
//! in pieces. Bounded in length by whoever calls, and in depth here; nothing is ever read behind the end.

/// Deeper is nothing that AWS makes.
const DEPTH_LIMIT: usize = 16;

/// One element: its tag, what it holds, and all of it as it was written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) body: &'a [u8],
    /// With its tag and its length.
    pub(super) whole: &'a [u8],
    /// Whether its length was said.
    pub(super) is_definite: bool,
}

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const NAME: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
/// What is marked with a number instead of its kind.
pub(super) const MARKED_0: u8 = 0xa0;
pub(super) const MARKED_1: u8 = 0xa1;

const CONSTRUCTED: u8 = 0x20;
const END: [u8; 2] = [0, 0];

/// Takes the first element off.
pub(super) fn take<'a>(input: &mut &'a [u8]) -> Option<Element<'a>> {
    take_at(input, 0)
}

fn take_at<'a>(input: &mut &'a [u8], depth: usize) -> Option<Element<'a>> {
    let all = *input;
    let (&tag, rest) = all.split_first()?;
    // Tags of more than one byte are of nothing that we read, and 0 ends something else.
    if depth > DEPTH_LIMIT || tag & 0x1f == 0x1f || tag == 0 {
        return None;
    }
    let (&first, rest) = rest.split_first()?;
    let (body, after, is_definite) = match first {
        0..=0x7f => {
            let (body, after) = rest.split_at_checked(usize::from(first))?;
            (body, after, true)
        }
        0x80 if tag & CONSTRUCTED != 0 => {
            let mut inner = rest;
            loop {
                if let Some(after) = inner.strip_prefix(&END) {
                    let (body, _) = rest.split_at_checked(rest.len() - inner.len())?;
                    break (body, after, false);
                }
                take_at(&mut inner, depth + 1)?;
            }
        }
        // Two bytes of length are more than anybody who calls lets in.
        0x81..=0x83 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x0f))?;
            let length = length.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
            let (body, after) = rest.split_at_checked(length)?;
            (body, after, true)
        }
        _ => return None,
    };
    let (whole, _) = all.split_at_checked(all.len() - after.len())?;
    *input = after;
    Some(Element { tag, body, whole, is_definite })
}

/// Takes the first element off, which has to have this tag.
pub(super) fn expect<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    take(input).filter(|element| element.tag == tag).map(|element| element.body)
}

/// The bytes of a text, which may come in pieces.
pub(super) fn octets(input: &mut &[u8]) -> Option<Vec<u8>> {
    let element = take(input)?;
    if element.tag == OCTETS {
        return Some(element.body.to_vec());
    }
    let mut pieces = element.body;
    let mut bytes = Vec::new();
    if element.tag != OCTETS | CONSTRUCTED {
        return None;
    }
    while !pieces.is_empty() {
        bytes.extend_from_slice(expect(&mut pieces, OCTETS)?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_lengths_are_read() {
        let mut input: &[u8] =
            &[0x30, 0x80, 0x24, 0x80, 4, 1, 7, 4, 2, 8, 9, 0, 0, 2, 1, 5, 0, 0, 1];
        let outer = take(&mut input).unwrap();
        assert_eq!(input, [1]);
        assert!(!outer.is_definite && outer.whole.len() == 18);
        let mut body = outer.body;
        assert_eq!(octets(&mut body).unwrap(), [7, 8, 9]);
        assert_eq!(expect(&mut body, INTEGER).unwrap(), [5]);
        assert!(body.is_empty());
        let mut long: &[u8] = &[&[4, 0x82, 1, 0][..], &[3; 256]].concat();
        assert_eq!(octets(&mut long).unwrap(), [3; 256]);
    }

    #[test]
    fn nothing_is_read_behind_the_end_and_nothing_goes_on_for_ever() {
        let whole: &[u8] = &[0x30, 0x80, 0x30, 5, 2, 3, 1, 2, 3, 0, 0];
        for length in 0..whole.len() {
            assert!(take(&mut &whole[..length]).is_none(), "{length}");
        }
        assert!(take(&mut &[0x30, 0x80].repeat(5_000)[..]).is_none());
        assert!(take(&mut &[0x04, 0x80, 0, 0][..]).is_none(), "only what has parts has no length");
        assert!(take(&mut &[0x04, 0x84, 0xff, 0xff, 0xff, 0xff][..]).is_none());
        assert!(take(&mut &[0x1f, 1, 0][..]).is_none());
    }
}
