//! Formats the manual pages with man(1) and checks their references.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop")]

use std::fs;
use std::path::Path;
use std::process::Command;

fn names(directory: &Path) -> Vec<String> {
    let entries =
        fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn tools() -> Vec<String> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    names(crates)
        .into_iter()
        .filter(|name| crates.join(name).join("src/main.rs").exists() && name.starts_with("mls-"))
        .collect()
}

#[test]
fn every_tool_has_a_page_and_completions_and_man_reports_no_warning() {
    let dir = tempfile::tempdir().unwrap();
    xtask::man::write(dir.path(), "2026-06-01").unwrap();
    let directory = |name: &str| names(&dir.path().join(name));
    let mut pages = directory("man/man1");
    // Leave out pages of subcommands (names with two hyphens).
    pages.retain(|page| page.matches('-').count() == 1);
    assert_eq!(pages, tools().iter().map(|tool| format!("{tool}.1")).collect::<Vec<_>>());
    let mut expected = tools();
    expected.insert(0, "maillogsentinel".into());
    assert_eq!(directory("bash-completion/completions"), expected);
    assert_eq!(
        directory("zsh/vendor-completions"),
        expected.iter().map(|tool| format!("_{tool}")).collect::<Vec<_>>()
    );

    for section in ["man1", "man5", "man7", "man8"] {
        for page in directory(&format!("man/{section}")) {
            let mut man = Command::new("man");
            man.args(["--warnings", "--encoding=utf8", "--local-file"])
                .arg(dir.path().join("man").join(section).join(&page));
            let output = man.env("MANWIDTH", "80").env("LC_ALL", "C.UTF-8").output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{page}");
            assert!(output.status.success() && output.stdout.len() > 500, "{page}");
        }
    }
}

/// Whether `text` contains a path of Rust (`a::b`). An IPv6 address is not a path.
fn has_path(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices("::").any(|(at, separator)| {
        let after = &text[at + separator.len()..];
        text[..at].ends_with(word) && after.starts_with(|c: char| c.is_ascii_alphabetic())
    })
}

#[test]
fn every_reference_to_a_page_or_section_exists() {
    let dir = tempfile::tempdir().unwrap();
    xtask::man::write(dir.path(), "").unwrap();
    let man = dir.path().join("man");
    let pages: Vec<_> = names(&man).iter().flat_map(|section| names(&man.join(section))).collect();
    assert!(pages.contains(&"mls-event.5".to_owned()), "{pages:?}");
    for page in &pages {
        let path = man.join(format!("man{}", &page[page.len() - 1..])).join(page);
        let text = fs::read_to_string(path).unwrap().replace("\\-", "-").replace("\\%", "");
        // No names of Rust and no Markdown links may remain.
        assert!(!has_path(&text), "{page} has a path of Rust");
        for rest in ["mls_", "](", ".rs"] {
            assert!(!text.contains(rest), "{page} has {rest}");
        }
        // Check references to our own pages and, after "see", references to sections.
        for (at, _) in text.match_indices("\\fB") {
            let (name, after) = text[at + 3..].split_once("\\fR").unwrap();
            if let Some(section) = after.strip_prefix('(').and_then(|after| after.chars().next()) {
                let other = format!("{name}.{section}");
                assert!(
                    pages.contains(&other) || !name.starts_with('m'),
                    "{page} refers to {other}"
                );
            } else if text[..at].ends_with("see ") {
                assert!(text.contains(&format!("\n.SH {name}\n")), "{page} refers to {name}");
            }
        }
    }
}
