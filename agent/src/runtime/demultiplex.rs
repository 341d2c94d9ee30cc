//! Takes apart the stream in which the engine mixes standard output and standard error.
//!
//! Each frame has a header of eight bytes: the kind of stream, three zeroes and the length. The format is that of
//! "Stream format" in the engine's API: <https://docs.docker.com/reference/api/engine/>. A frame is passed on in pieces
//! as it comes, so that its length, which may be 4 GiB, costs no memory.

use bytes::{Buf, Bytes};

use super::logs::Output;

/// The longest piece that is passed on, in bytes: what a message of a relay may carry.
pub(super) const PIECE: usize = 64 << 10;

const HEADER: usize = 8;

/// Where in a stream we are.
#[derive(Debug)]
pub(super) enum Demultiplexer {
    /// A terminal has one stream without headers.
    Raw,
    /// Between frames, with the bytes of a header that have come already.
    Header { bytes: [u8; HEADER], filled: usize },
    /// In a frame of which so much is still to come.
    Frame { output: Output, left: usize },
}

/// A header that is none: the stream is not what it should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Garbled(pub(super) u8);

impl Demultiplexer {
    pub(super) const fn new(is_terminal: bool) -> Self {
        if is_terminal { Self::Raw } else { Self::Header { bytes: [0; HEADER], filled: 0 } }
    }

    /// Takes the next piece out of `bytes`; nothing when more has to come first.
    pub(super) fn next(&mut self, bytes: &mut Bytes) -> Result<Option<(Output, Bytes)>, Garbled> {
        while !bytes.is_empty() {
            match self {
                Self::Raw => return Ok(Some((Output::Stdout, take(bytes, usize::MAX)))),
                Self::Header { bytes: header, filled } => {
                    fill(header, filled, bytes);
                    if *filled == HEADER {
                        let output = output(header[0])?;
                        *self = Self::Frame { output, left: length(header) };
                    }
                }
                Self::Frame { left: 0, .. } => *self = Self::new(false),
                Self::Frame { output, left } => {
                    let piece = take(bytes, *left);
                    *left -= piece.len();
                    return Ok(Some((*output, piece)));
                }
            }
        }
        Ok(None)
    }
}

fn take(bytes: &mut Bytes, limit: usize) -> Bytes {
    bytes.split_to(bytes.len().min(limit).min(PIECE))
}

fn fill(header: &mut [u8; HEADER], filled: &mut usize, bytes: &mut Bytes) {
    while *filled < HEADER && bytes.has_remaining() {
        header[*filled] = bytes.get_u8();
        *filled += 1;
    }
}

fn length(header: &[u8; HEADER]) -> usize {
    let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// 3 is the engine itself, with an error; what is said there is for the same eyes as standard error.
const fn output(kind: u8) -> Result<Output, Garbled> {
    match kind {
        0 | 1 => Ok(Output::Stdout),
        2 | 3 => Ok(Output::Stderr),
        other => Err(Garbled(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, text: &[u8]) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap().to_be_bytes();
        [&[kind, 0, 0, 0][..], &length, text].concat()
    }

    /// What comes out when the stream arrives in pieces of `size`.
    fn read(stream: &[u8], size: usize) -> Vec<(Output, Vec<u8>)> {
        let mut demultiplexer = Demultiplexer::new(false);
        let mut read: Vec<(Output, Vec<u8>)> = Vec::new();
        for piece in stream.chunks(size) {
            let mut bytes = Bytes::copy_from_slice(piece);
            while let Some((output, text)) = demultiplexer.next(&mut bytes).unwrap() {
                assert!(text.len() <= PIECE && !text.is_empty());
                match read.last_mut() {
                    Some((last, whole)) if *last == output => whole.extend(text),
                    _ => read.push((output, text.to_vec())),
                }
            }
        }
        read
    }

    #[test]
    fn a_stream_comes_out_the_same_however_it_is_cut() {
        let long = vec![b'x'; 200_000];
        let stream = [frame(1, b"one"), frame(1, b""), frame(2, b"two"), frame(1, &long)].concat();
        let whole = [
            (Output::Stdout, b"one".to_vec()),
            (Output::Stderr, b"two".to_vec()),
            (Output::Stdout, long),
        ];
        for size in [1, 2, 7, 8, 9, 1_000, 1 << 20] {
            assert_eq!(read(&stream, size), whole, "in pieces of {size}");
        }
    }

    #[test]
    fn the_bytes_of_a_terminal_are_no_headers() {
        let mut bytes = Bytes::from_static(b"\x01\x02");
        let piece = Demultiplexer::new(true).next(&mut bytes);
        assert_eq!(piece, Ok(Some((Output::Stdout, Bytes::from_static(b"\x01\x02")))));
    }

    #[test]
    fn what_is_no_header_is_an_error_and_not_a_length() {
        let mut bytes = Bytes::from_static(b"plain text");
        assert_eq!(Demultiplexer::new(false).next(&mut bytes), Err(Garbled(b'p')));
    }
}
