//! The checked-in wire types are what the `.proto` files say. `UPDATE_WIRE=1 cargo test -p lowtouch-handoff --test
//! wire_is_current` writes them again.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// (the file, its package, the module in `src/wire`)
const FILES: [(&str, &str, &str); 3] = [
    ("dps_config.proto", "lowtouch.dps_config.v1", "dps_config"),
    ("device_state.proto", "lowtouch.device_state.v1", "device_state"),
    ("prov.proto", "prov", "prov"),
];

/// Their fields carry secrets: src/wire/mod.rs writes their `Debug`.
const SECRET: [&str; 6] = [
    ".lowtouch.dps_config.v1.SymmetricKeyCredential",
    ".lowtouch.dps_config.v1.StageRequest",
    ".lowtouch.dps_config.v1.Chunk",
    ".lowtouch.device_state.v1.Kept",
    ".lowtouch.device_state.v1.Staged",
    ".prov.SetWifi",
];

#[test]
fn the_checked_in_wire_types_are_what_the_proto_files_say() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let includes: Vec<PathBuf> = vec![here.join("../../docs"), here.join("proto")];
    for (file, package, module) in FILES {
        let out = tempfile::tempdir().unwrap();
        let descriptors = protox::compile([file], &includes).unwrap();
        let mut config = prost_build::Config::new();
        config.out_dir(out.path()).skip_debug(SECRET);
        if package != "lowtouch.dps_config.v1" {
            config.extern_path(".lowtouch.dps_config.v1", "crate::wire::dps_config");
        }
        config.compile_fds(descriptors).unwrap();
        let generated = fs::read_to_string(out.path().join(format!("{package}.rs"))).unwrap();
        let kept_at = here.join(format!("src/wire/{module}.rs"));
        if std::env::var_os("UPDATE_WIRE").is_some() {
            fs::write(&kept_at, &generated).unwrap();
        }
        let kept = fs::read_to_string(&kept_at).unwrap_or_default();
        assert!(kept == generated, "src/wire/{module}.rs is not what {file} says: run with UPDATE_WIRE=1");
    }
}
