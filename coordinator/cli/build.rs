//! Compiles the program of the hello example into one static file, which `wharf dev` carries along: its image needs
//! neither a registry nor the internet.
#![allow(clippy::unwrap_used, reason = "a build script can only stop")]

use std::path::PathBuf;
use std::process::Command;

fn main() {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap());
    let source = root.join("../../examples/hello/hello.rs");
    println!("cargo:rerun-if-changed={}", source.display());
    let hello = PathBuf::from(std::env::var("OUT_DIR").unwrap()).join("hello");
    let mut compile = Command::new(std::env::var("RUSTC").unwrap());
    compile.args(["--edition=2024", "--crate-name=hello", "--target"]);
    compile.arg(std::env::var("TARGET").unwrap());
    compile.args([
        "-Ctarget-feature=+crt-static",
        "-Copt-level=s",
        "-Cpanic=abort",
        "-Cstrip=symbols",
    ]);
    let status = compile.arg("-o").arg(&hello).arg(&source).status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "examples/hello/hello.rs does not compile"
    );
}
