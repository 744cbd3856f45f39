//! Owners and modes of the files that setup writes; links and directories that other users control.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use mls_tests::text;
use tempfile::TempDir;

use crate::system::{System, put};

#[test]
fn node_exporter_can_read_metrics_in_another_directory() {
    let Some(system) = System::new() else { return };
    let metrics = |file: &str| {
        let conf =
            format!("[paths]\nmetrics_file = {file}\n[systemd]\nmetrics_schedule = hourly\n");
        let output = system.automated(&conf);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let directory = Path::new(file.trim_start_matches('/')).parent().unwrap();
        fs::metadata(system.path("").join(directory)).unwrap().mode() & 0o777
    };
    assert_eq!(metrics("/srv/node/metrics/mls.prom"), 0o755);
    assert_eq!(fs::metadata(system.path("srv/node")).unwrap().mode() & 0o777, 0o755);
    let dropin = system.read("etc/systemd/system/maillogsentinel-metrics.service.d/setup.conf");
    assert!(dropin.contains("ReadWritePaths=\"/srv/node/metrics\""), "{dropin}");
    assert_eq!(metrics("/var/lib/maillogsentinel/mls.prom"), 0o750, "with other files");
}

#[test]
fn each_directory_of_the_service_is_made_wherever_it_is() {
    let Some(system) = System::new() else { return };
    let conf = "[paths]\ncsv_filename = csv/failures.csv\nlogins_filename = csv/logins/logins.csv\n\
                metrics_file = metrics/mls.prom\n[general]\nlog_file = log/mls.log\n\
                [geolocation]\ncountry_db_path = geo/country.csv\n[logins]\nrecord = yes\n\
                [database]\ndb_type = sqlite\ndb_path = db/mls.db\n[alert]\nip = 20/10m\n\
                [block]\nenforce = postfix\ndirectory = /srv/block\n[systemd]\nmetrics_schedule = hourly\n";
    let output = system.automated(conf);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(said.contains("note: [paths] metrics_file is in /var/lib/maillogsentinel"), "{said}");
    let owner = fs::metadata(system.path("var/lib/maillogsentinel")).unwrap().uid();
    for (directory, mode) in [
        ("var/log/maillogsentinel/csv", 0o750),
        ("var/log/maillogsentinel/csv/logins", 0o750),
        ("var/log/maillogsentinel/log", 0o750),
        ("var/lib/maillogsentinel/metrics", 0o755),
        ("var/lib/maillogsentinel/geo", 0o750),
        ("var/lib/maillogsentinel/db", 0o750),
        ("srv/block", 0o750),
    ] {
        let meta = fs::metadata(system.path(directory)).unwrap();
        assert_eq!((meta.uid(), meta.mode() & 0o777), (owner, mode), "{directory}");
    }
    let dropin = system.read("etc/systemd/system/maillogsentinel-block.service.d/setup.conf");
    assert!(dropin.contains("ReadWritePaths=\"/srv/block\"\n"), "{dropin}");
}

#[test]
fn a_password_in_the_configuration_is_read_by_nobody_else() {
    let Some(system) = System::new() else { return };
    let output = system.automated("[database]\ndb_password = hush\n");
    // Setup succeeds, although everybody may read the file of answers.
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(
        !text(&output.stdout).contains("hush") && !text(&output.stderr).contains("hush"),
        "it is shown"
    );
    assert_eq!(fs::metadata(system.path("etc/maillogsentinel.conf")).unwrap().mode() & 0o007, 0);
}

#[test]
fn a_configuration_that_is_closed_is_open_to_the_service() {
    let Some(system) = System::new() else { return };
    let conf = "[report]\nemail = admin@localhost\n[systemd]\nuser = bob\n";
    for (mode, there, expected) in
        [(0o600, "", 0o640), (0o600, conf, 0o640), (0o640, "", 0o640), (0o644, "", 0o644)]
    {
        system.write("etc/maillogsentinel.conf", there);
        let path = system.path("etc/maillogsentinel.conf");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        std::os::unix::fs::chown(&path, Some(0), Some(0)).unwrap();
        let output = system.automated(conf);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let meta = fs::metadata(&path).unwrap();
        let group = if expected == 0o640 { 1000 } else { 0 };
        assert_eq!(
            (meta.mode() & 0o777, meta.uid(), meta.gid()),
            (expected, 0, group),
            "{mode:o} {there:?}"
        );
    }
}

#[test]
fn a_directory_of_the_service_cannot_redirect_a_chown() {
    let Some(system) = System::new() else { return };
    for directory in ["srv/bob", "srv/precious"] {
        fs::create_dir(system.path(directory)).unwrap();
    }
    std::os::unix::fs::chown(system.path("srv/bob"), Some(1000), Some(1000)).unwrap();
    std::os::unix::fs::symlink(system.path("srv/precious"), system.path("srv/bob/link")).unwrap();
    let output =
        system.automated("[paths]\nworking_dir = /srv/bob/link/new\n[systemd]\nuser = bob\n");
    assert!(!output.status.success(), "{}", text(&output.stdout));
    assert!(fs::read_dir(system.path("srv/precious")).unwrap().next().is_none());
    let output = system.automated("[paths]\nworking_dir = /srv/bob/new\n[systemd]\nuser = bob\n");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(fs::metadata(system.path("srv/bob/new")).unwrap().uid(), 1000);
}

#[test]
fn a_new_user_gets_new_directories_inside_those_of_the_old_user() {
    let Some(system) = System::new() else { return };
    let output = system.automated("[systemd]\nuser = bob\n");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let passwd = system.read("etc/passwd") + "eve:x:1001:1001::/:/bin/sh\n";
    system.write("etc/passwd", &passwd);
    let group = system.read("etc/group") + "eve:x:1001:\n";
    system.write("etc/group", &group);
    let conf = "[systemd]\nuser = eve\n[database]\ndb_type = sqlite\nmode = files\n";
    let output = system.automated(conf);
    assert!(output.status.success(), "{}", text(&output.stderr));
    // When a service starts, systemd gives the whole directory to the new user. Setup does not.
    let owner = |path: &str| fs::metadata(system.path(path)).unwrap().uid();
    assert_eq!(owner("var/log/maillogsentinel"), 1000);
    assert_eq!(owner("var/log/maillogsentinel/sql"), 1000);
}

/// In Ubuntu, the group syslog may write to `/var/log`.
#[test]
fn a_group_that_may_write_next_to_the_log_cannot_redirect_root() {
    let Some(system) = System::new() else { return };
    let directory = system.path("var/log");
    std::os::unix::fs::chown(&directory, Some(0), Some(4)).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o775)).unwrap();
    fs::create_dir(directory.join("audit")).unwrap();
    system.write("srv/precious", "");
    std::os::unix::fs::symlink(
        system.path("srv/precious"),
        directory.join("maillogsentinel_setup.log"),
    )
    .unwrap();
    let file = TempDir::new().unwrap();
    let file = file.path().join("answers");
    put(&file, "");
    let output = system.run(&["--automated", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(system.read("srv/precious"), "");
    assert!(text(&output.stderr).contains("could not log its actions"), "{}", text(&output.stderr));
    assert_eq!(fs::metadata(directory.join("audit")).unwrap().uid(), 0);
    let made = fs::metadata(directory.join("maillogsentinel")).unwrap();
    assert!(system.read("etc/passwd").contains(&format!(
        "maillogsentinel:x:{}:{}:",
        made.uid(),
        made.gid()
    )));
    assert_eq!(made.mode() & 0o777, 0o750);
    // Setup leaves no other file here. If its log belongs to root, setup appends to the log.
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 4);
    fs::remove_file(directory.join("maillogsentinel_setup.log")).unwrap();
    for n in 1..=2 {
        assert!(system.automated(&format!("[report]\nemail = a{n}@localhost\n")).status.success());
        let done = system.read("var/log/maillogsentinel_setup.log");
        assert_eq!(done.matches("wrote /etc/maillogsentinel.conf\n").count(), n, "{done}");
    }
}
