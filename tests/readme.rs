//! Runs the commands in README.md and in the guide exactly as written.

use std::fs;
use std::path::Path;
use std::process::Command;

use mls_tests::{Site, text};
use tempfile::TempDir;

const README: &str = include_str!("../README.md");
const GUIDE: &str = include_str!("../crates/GUIDE.md");
const LOG: &str = include_str!("data/postfix-3.7.11-debian12.log");

/// The code blocks of `page` in the language `fence`, for example `sh`.
fn blocks(page: &str, fence: &str) -> Vec<String> {
    let blocks = page.split("\n```").skip(1).step_by(2);
    blocks
        .filter_map(|block| block.strip_prefix(&format!("{fence}\n")))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_command_prints_something_and_succeeds() {
    let site = Site::new();
    site.write("mail.log.2", &LOG.replace("2026-11-21", "2026-11-19"));
    assert!(site.shell("gzip mail.log.2").status.success());
    site.write("mail.log", &LOG.replace("127.0.1.11", "192.0.2.1"));
    let (readme, guide) = (blocks(README, "sh"), blocks(GUIDE, "sh"));
    assert_eq!((readme.len(), guide.len()), (3, 15), "a command came or went: is it run here?");
    for command in readme.into_iter().chain(guide) {
        let output = site.shell(&command.replace("/var/log/", ""));
        assert!(output.status.success(), "{command}: {}", text(&output.stderr));
        let silent = ["mls-csv", "--output", "mls-sql", "mls-block"]
            .iter()
            .any(|tool| command.contains(tool));
        assert!(silent || text(&output.stdout).lines().count() >= 1, "{command} prints nothing");
    }
    assert!(site.read("yesterday.html").starts_with("<!DOCTYPE html>"));
    assert!(site.read("logins.prom").contains("\nmaillogsentinel_csv_rows 88\n"));
    for (database, rows) in [("events.db", 44), ("new.db", 88), ("copy.db", 88), ("both.db", 45)] {
        let count = site
            .shell(&format!("sqlite3 {database} 'SELECT count(*) FROM maillogsentinel_events'"));
        assert_eq!(text(&count.stdout).trim(), rows.to_string(), "{database}");
    }
    assert_eq!(site.read("one.csv").lines().count(), 3);
    assert_eq!(site.read("maillogsentinel.csv").lines().count(), 1 + 2 * 44);
}

#[test]
fn the_first_command_shows_the_digest_and_says_where_the_page_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    assert_eq!(blocks(README, "bash")[0].trim(), "scripts/demo");
    // The demo must ignore this variable, because the directory could contain old tools.
    let elsewhere = TempDir::new().unwrap();
    let output = Command::new(root.join("scripts/demo"))
        .env("CARGO_TARGET_DIR", elsewhere.path())
        .output()
        .unwrap();
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(
        fs::read_dir(elsewhere.path()).unwrap().count(),
        0,
        "what was built is not what was run"
    );
    for part in ["1 account to check now", "carla@example.org", "target/demo/digest.html"] {
        assert!(printed.contains(part), "{part} is not in {printed}");
    }
    let said = text(&output.stderr);
    for part in [
        "recorded 89 failed logins",
        "the server could not check 2 logins",
        "recorded 25 successful",
        "recorded 0 failed logins",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let page = fs::read_to_string(root.join("target/demo/digest.html")).unwrap();
    let rows = fs::read_to_string(root.join("target/demo/maillogsentinel.csv")).unwrap();
    let digest = fs::read_to_string(root.join("target/demo/digest.txt")).unwrap();
    assert!(digest.contains("2 logins could not be checked"), "{digest}");
    let (_, shown) = README.split_once("The text digest begins like this:\n\n").unwrap();
    let (shown, _) = shown.split_once("\n\n").unwrap();
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words(&digest).contains(&words(shown)), "README shows another digest than {digest}");
    assert!(page.contains("</html>") && rows.contains(",BR,64497,Example Hosting\n"), "{rows}");
}

#[test]
fn the_rust_that_readme_names_builds_every_crate() {
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let own = env!("CARGO_PKG_RUST_VERSION");
    assert!(README.contains(&format!("{own} or later")));
    let version = |text: &str| {
        text.split('.').take(2).map(|part| part.parse::<u32>().unwrap()).collect::<Vec<_>>()
    };
    let beyond = |package: &&serde_json::Value| {
        package["rust_version"].as_str().is_some_and(|needed| version(needed) > version(own))
    };
    let packages = metadata["packages"].as_array().unwrap();
    assert_eq!(packages.iter().find(beyond).map(|package| &package["name"]), None);
}
