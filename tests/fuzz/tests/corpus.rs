//! Runs each target on every input of the corpus, without libFuzzer. An input that once found a
//! fault must pass.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::Path;

use mls_fuzz::TARGETS;

fn corpus() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus"))
}

#[test]
fn all_checks_pass_for_every_file_of_the_corpus() {
    let mut failures = Vec::new();
    for target in TARGETS {
        for entry in fs::read_dir(corpus().join(target.name)).unwrap() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            if catch_unwind(|| (target.run)(&bytes)).is_err() {
                failures.push(path);
            }
        }
    }
    assert!(failures.is_empty(), "see above: {failures:#?}");
}

#[test]
fn every_target_has_a_directory_of_the_corpus_and_every_directory_a_target() {
    let targets: BTreeSet<_> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(targets.len(), TARGETS.len());
    let names = fs::read_dir(corpus()).unwrap();
    let directories: BTreeSet<_> =
        names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(directories, targets);
}

#[test]
fn the_corpus_stays_small() {
    let (mut files, mut bytes) = (0, 0);
    for directory in fs::read_dir(corpus()).unwrap() {
        for entry in fs::read_dir(directory.unwrap().path()).unwrap() {
            files += 1;
            bytes += entry.unwrap().metadata().unwrap().len();
        }
    }
    assert!(files <= 1000 && bytes <= 1 << 20, "{files} files, {bytes} bytes");
}
