//! Records as files that people can compare: what a record says, as comment, and its bytes in hexadecimal.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use prost_reflect::ReflectMessage;
use prost_reflect::text_format::FormatOptions;

use super::stored::Stored;
use crate::schema;

/// When this is set, files that are missing are written. No file is ever written again.
const WRITE: &str = "WRITE_GOLDEN";

/// The folder of a release.
pub(crate) fn folder(release: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(release)
}

/// The bytes of a record of a release; those that this version writes are kept first, when there are none and it is
/// asked for.
pub(crate) fn bytes(release: &str, name: &str, record: &Stored) -> Vec<u8> {
    let path = folder(release).join(name).with_extension("txt");
    // Tests run beside each other, and none may read what another has half written.
    static WRITING: Mutex<()> = Mutex::new(());
    let writing = WRITING.lock().unwrap();
    if std::env::var_os(WRITE).is_some() && !path.exists() {
        fs::create_dir_all(folder(release)).unwrap();
        let mut file = File::create_new(&path).unwrap();
        file.write_all(show(record).as_bytes()).unwrap();
    }
    drop(writing);
    let text = fs::read_to_string(&path);
    let text = text.unwrap_or_else(|error| {
        panic!("{}: {error}; with {WRITE}=1 records that are missing are written", path.display())
    });
    parse(&text)
}

fn show(record: &Stored) -> String {
    let bytes = record.write();
    let message = schema::read(record.message(), &bytes);
    let said = message.to_text_format_with_options(&FormatOptions::new().pretty(true));
    let mut text = format!("# {}\n", message.descriptor().full_name());
    said.lines().for_each(|line| writeln!(text, "#   {line}").unwrap());
    for line in bytes.chunks(32) {
        line.iter().for_each(|byte| write!(text, "{byte:02x}").unwrap());
        text.push('\n');
    }
    text
}

fn parse(text: &str) -> Vec<u8> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let digits: Vec<u8> = lines.flat_map(str::bytes).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}
