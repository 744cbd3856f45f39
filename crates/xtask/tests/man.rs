//! The manual pages, as man(1) reads them.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop")]

use std::fs;
use std::path::Path;
use std::process::Command;

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The tools of the workspace.
fn tools() -> Vec<String> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    names(crates).into_iter().filter(|name| crates.join(name).join("src/main.rs").exists() && name != "xtask").collect()
}

#[test]
fn every_tool_has_a_page_and_completions_and_no_page_has_a_mistake() {
    let dir = tempfile::tempdir().unwrap();
    xtask::man::write(dir.path(), "2026-06-01").unwrap();
    let folder = |name: &str| names(&dir.path().join(name));
    let mut pages = folder("man/man1");
    // Those of subcommands.
    pages.retain(|page| page.matches('-').count() == 1);
    assert_eq!(pages, tools().iter().map(|tool| format!("{tool}.1")).collect::<Vec<_>>());
    let mut expected = tools();
    expected.insert(0, "maillogsentinel".into());
    assert_eq!(folder("bash-completion/completions"), expected);
    assert_eq!(folder("zsh/vendor-completions"), expected.iter().map(|tool| format!("_{tool}")).collect::<Vec<_>>());

    for section in ["man1", "man5", "man8"] {
        for page in folder(&format!("man/{section}")) {
            let mut man = Command::new("man");
            man.args(["--warnings", "--encoding=utf8", "--local-file"])
                .arg(dir.path().join("man").join(section).join(&page));
            let output = man.env("MANWIDTH", "80").env("LC_ALL", "C.UTF-8").output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{page}");
            assert!(output.status.success() && output.stdout.len() > 500, "{page}");
        }
    }
}
