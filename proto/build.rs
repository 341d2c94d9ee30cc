//! Generates the messages and services without a protoc on the machine, and keeps the descriptors for reflection.
#![allow(clippy::unwrap_used, reason = "a build script can only stop")]

use std::path::PathBuf;

use prost::Message;

fn main() {
    let files = [
        "v1/objects.proto",
        "v1/dispatcher.proto",
        "v1/control.proto",
        "v1/flight.proto",
        "v1/trust.proto",
        "v1/fleet.proto",
        "v1/audit.proto",
        "v1/refresh.proto",
        "v1/release.proto",
        "v1/bake.proto",
        "v1/traffic.proto",
        "v1/secrets.proto",
    ];
    println!("cargo:rerun-if-changed=v1");
    let descriptors = protox::compile(files, ["."]).unwrap_or_else(|error| panic!("{error:?}"));
    let out = PathBuf::from(std::env::var("OUT_DIR").unwrap());
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec()).unwrap();
    // A value that is nowhere in a text is in no log.
    let builder =
        tonic_prost_build::configure().btree_map(".").skip_debug([".wharf.v1.SecretValue"]);
    builder.compile_fds(descriptors).unwrap();
}
