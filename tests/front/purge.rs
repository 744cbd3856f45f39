//! `--purge` moves the data into an archive.

use std::fs;

use mls_tests::{is_root, skip, terminal};

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

#[test]
fn services_that_a_purge_stops_are_started_again_if_it_fails() {
    if !is_root() {
        return skip("only root can mount a directory");
    }
    let mut front = Front::new("conf", "");
    front.site.log(1);
    front.succeeds(&[]);
    fs::create_dir(front.site.path().join("bin")).unwrap();
    let calls = front.site.path().join("calls");
    let systemctl = format!("#!/bin/sh\necho $1 $2 >> {}\n[ $1 != start ]\n", calls.display());
    front.site.write("bin/systemctl", &systemctl);
    front.site.write("bin/tar", "#!/bin/sh\nexit 2\n");
    let program = front.command(&[]).get_program().to_str().unwrap().to_owned();
    front.site.write(
        "script",
        &format!(
            "chmod +x bin/* && mount -t tmpfs none /run && mkdir -p /run/systemd/system &&\n\
             PATH=$PWD/bin:$PATH HOME=$PWD/home exec {program} --config conf --yes --purge\n"
        ),
    );
    let output = front.site.shell("unshare --mount bash script");
    // The purge fails with 73. The services cannot start, but the exit code must stay 73.
    assert_eq!(output.status.code(), Some(73), "{output:?}");
    let calls = front.site.read("calls");
    let stopped = "stop maillogsentinel-follow.service\nstart maillogsentinel-follow.service\n";
    assert!(calls.ends_with(stopped), "{calls}");
}
