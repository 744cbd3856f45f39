//! `--purge` moves the data away.

use std::fs;

use mls_tests::terminal;

use crate::site::Front;

#[test]
fn a_purge_moves_a_log_with_the_name_of_the_csv_once() {
    let mut front = Front::new("conf", "");
    let config = front.site.read("conf").replace("log_file = x.log", "log_file = F.log");
    front.site.write("conf", &config);
    front.site.log(4);
    front.succeeds(&[]);
    front.succeeds(&["--yes", "--purge"]);
    assert_eq!(front.archive(), ["F", "F.log", "state.offset"]);
}

#[test]
fn a_purge_moves_everything_home_and_the_next_run_starts_over() {
    let mut front = Front::new("conf", "");
    front.site.log(4);
    front.succeeds(&[]);
    let silent = front.command(&["--purge"]).stdin(std::process::Stdio::null()).output().unwrap();
    assert_eq!(silent.status.code(), Some(64), "it asks, and nobody is there");
    let (code, said) = terminal(&mut front.command(&["--purge"]), &[("Go on?", "n\n")]);
    assert!(code == 64 && said.contains("nothing was changed"), "{code}: {said}");
    front.site.assert_exact();
    let (code, said) = terminal(&mut front.command(&["--purge"]), &[("Go on?", "y\n")]);
    assert!(code == 0 && said.contains("Moved to"), "{code}: {said}");
    assert_eq!(front.archive(), ["F", "state.offset", "x.log"]);
    assert!(front.site.files("F").iter().all(|name| name == "F.lock"), "the CSV is still there");
    front.succeeds(&[]);
    front.site.assert_exact();
}

#[test]
fn a_purge_does_not_wait_and_does_not_disturb_a_running_pipeline() {
    let mut front = Front::new("conf", "");
    front.site.log(4);
    front.succeeds(&[]);
    let lock = front.site.command("exec 9>>F.lock; flock 9; echo locked; read x; echo done");
    let mut lock = { lock }
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = [0; 7];
    std::io::Read::read_exact(lock.stdout.as_mut().unwrap(), &mut line).unwrap();
    assert_eq!(front.run(&["--yes", "--reset"]).status.code(), Some(75));
    front.site.assert_exact();
    drop(lock.stdin.take());
    lock.wait().unwrap();
    front.succeeds(&["--yes", "--reset"]);
}

#[test]
fn two_purges_within_a_second_leave_nothing_in_hidden_directories() {
    let mut front = Front::new("conf", "");
    for n in 1..=3 {
        front.site.log(1);
        front.succeeds(&[]);
        front.succeeds(&["--yes", "--purge"]);
        let home = fs::read_dir(front.site.path().join("home")).unwrap();
        assert_eq!(home.count(), n);
        let state = fs::read_dir(front.site.path().join("state")).unwrap().flatten();
        let names: Vec<_> = state.map(|entry| entry.file_name()).collect();
        assert!(names.iter().all(|name| !name.to_str().unwrap().starts_with('.')), "{names:?}");
    }
}

#[test]
fn a_running_pipeline_is_reported_before_a_purge_asks() {
    let mut front = Front::new("conf", "");
    front.site.log(1);
    front.succeeds(&[]);
    let mut lock = front.site.command("exec 9>>F.lock; flock 9; echo locked; read x");
    let mut lock = lock
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Read::read_exact(lock.stdout.as_mut().unwrap(), &mut [0; 7]).unwrap();
    let (code, said) = terminal(&mut front.command(&["--purge"]), &[("another run is active", "")]);
    assert!(code == 75 && !said.contains("Go on?"), "{said}");
    drop(lock.stdin.take());
    lock.wait().unwrap();
}
