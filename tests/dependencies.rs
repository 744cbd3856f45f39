//! Which libraries the tools bring with them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::BTreeSet;
use std::process::Command;

use mls_tests::text;

/// Libraries that open connections or encrypt them, and runtimes for them.
const NETWORK: [&str; 9] =
    ["hickory-net", "hyper", "native-tls", "openssl", "reqwest", "rustls", "sqlx", "tokio", "ureq"];

/// The crates that may use them: each speaks a protocol itself, and no tool is built on it.
const SPEAKERS: [&str; 4] = ["mls-enrich", "mls-ipdb", "mls-mail", "mls-sql"];

/// Returns the names of the packages that `package` needs to run.
fn needed(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .args(["--package", package])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{package}: {}", text(&output.stderr));
    text(&output.stdout)
        .lines()
        .map(|line| line.split_once(' ').map_or(line, |(name, _)| name).to_owned())
        .collect()
}

#[test]
fn only_tools_that_speak_a_protocol_bring_network_code() {
    let crates = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../crates")).unwrap();
    let ours: BTreeSet<String> = crates
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("Cargo.toml").exists())
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name != "xtask")
        .collect();
    assert!(ours.len() > 20, "{ours:?}");
    for package in &ours {
        let needed = needed(package);
        let network: Vec<_> = NETWORK.iter().filter(|name| needed.contains(**name)).collect();
        let is_speaker = SPEAKERS.contains(&package.as_str());
        assert_eq!(!network.is_empty(), is_speaker, "{package} brings {network:?}");
        let below: Vec<_> =
            SPEAKERS.iter().filter(|name| **name != package && needed.contains(**name)).collect();
        assert!(below.is_empty(), "{package} is built on {below:?}");
    }
}
