//! Which libraries and tools each tool depends on.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::LazyLock;

use mls_tests::text;

/// Libraries that open connections or encrypt them, and runtimes for them.
const NETWORK: [&str; 9] =
    ["hickory-net", "hyper", "native-tls", "openssl", "reqwest", "rustls", "sqlx", "tokio", "ureq"];

/// The crates that may use network libraries, because each of them speaks a network protocol.
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

/// Our crates, each with the packages that it needs to run. `xtask` is not one of them, because it
/// depends on all tools.
static CRATES: LazyLock<BTreeMap<String, BTreeSet<String>>> = LazyLock::new(|| {
    let crates = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../crates")).unwrap();
    let crates: BTreeMap<_, _> = crates
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("Cargo.toml").exists())
        .map(|entry| entry.file_name().into_string().unwrap())
        .filter(|name| name != "xtask")
        .map(|name| (name.clone(), needed(&name)))
        .collect();
    assert!(crates.len() > 20, "{crates:?}");
    crates
});

#[test]
fn only_tools_that_speak_a_protocol_bring_network_code() {
    for (package, needed) in &*CRATES {
        let network: Vec<_> = NETWORK.iter().filter(|name| needed.contains(**name)).collect();
        let is_speaker = SPEAKERS.contains(&package.as_str());
        assert_eq!(!network.is_empty(), is_speaker, "{package} brings {network:?}");
    }
}

#[test]
fn no_tool_is_built_on_another_tool() {
    let is_tool = |name: &&String| {
        let main = format!("{}/../crates/{name}/src/main.rs", env!("CARGO_MANIFEST_DIR"));
        std::path::Path::new(&main).exists()
    };
    let tools: Vec<_> = CRATES.keys().filter(is_tool).collect();
    assert!(tools.len() > 10, "{tools:?}");
    for (package, needed) in &*CRATES {
        let below: Vec<_> =
            tools.iter().filter(|name| **name != package && needed.contains(**name)).collect();
        // mls-anonymize replaces the text that the parser finds, so it needs mls-parse.
        let allowed: &[&str] = if package == "mls-anonymize" { &["mls-parse"] } else { &[] };
        assert!(below.iter().all(|name| allowed.contains(&name.as_str())), "{package}: {below:?}");
    }
}
