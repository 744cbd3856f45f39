//! Setup replaces the Python original.

use std::process::Command;

use mls_tests::text;

use crate::system::System;

#[test]
fn units_can_be_enabled_under_the_names_of_the_python_original() {
    let Some(system) = System::new() else { return };
    assert!(system.automated("[systemd]\nextraction_schedule = never\n").status.success());
    for (name, unit) in [
        ("maillogsentinel.timer", "maillogsentinel-extract.timer"),
        ("maillogsentinel-report.timer", "maillogsentinel-report.timer"),
        ("ipinfo-update.timer", "ipinfo-update.timer"),
    ] {
        let mut systemctl = Command::new("systemctl");
        systemctl.arg("--root").arg(system.path("")).args(["--quiet", "enable", name]);
        assert!(systemctl.status().unwrap().success(), "{name}");
        assert!(system.enabled(unit), "{name}");
    }
}

#[test]
fn an_original_keeps_its_user_and_settings_and_its_units_are_moved_away() {
    let Some(system) = System::new() else { return };
    system.write(
        "etc/maillogsentinel.conf",
        "[paths]\nworking_dir = /var/log/maillogsentinel\nstate_dir = /var/lib/maillogsentinel\n\
         mail_log = /var/log/mail.log\n[report]\nemail = a@example.org\n[User]\nrun_as_user = bob\n\
         [systemd]\nextraction_schedule = *:0/10\n",
    );
    for name in ["maillogsentinel.service", "maillogsentinel-extract.timer", "ipinfo-update.timer"]
    {
        system.write(&format!("etc/systemd/system/{name}"), "[Unit]\n# the original\n");
    }
    let output = system.run(&["--migrate"]);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("maillogsentinel.service of the Python original is moved"), "{said}");
    assert!(said.contains("its data was not migrated"), "{said}");
    for name in ["maillogsentinel.service", "ipinfo-update.timer"] {
        assert!(!system.path(&format!("etc/systemd/system/{name}")).exists(), "{name}");
        let kept = system.read(&format!("etc/systemd/system/{name}.original"));
        assert_eq!(kept, "[Unit]\n# the original\n");
    }
    let conf = system.read("etc/maillogsentinel.conf");
    assert!(conf.contains("log_file = /var/log/maillogsentinel/maillogsentinel.log\n"), "{conf}");
    let settings = system.read("etc/systemd/system/maillogsentinel.service.d/setup.conf");
    assert!(settings.contains("User=bob\n"), "{settings}");
    let timer = system.read("etc/systemd/system/maillogsentinel-extract.timer.d/setup.conf");
    assert!(timer.contains("OnCalendar=*:0/10\n"), "{timer}");
    assert!(
        system.enabled("maillogsentinel-extract.timer") && system.enabled("ipinfo-update.timer")
    );
    let migrated = system.snapshot();
    assert!(system.run(&["--migrate"]).status.success());
    assert_eq!(system.snapshot(), migrated, "the second run changes nothing");
}

#[test]
fn a_failed_migration_puts_the_units_of_the_original_back() {
    let Some(system) = System::new() else { return };
    system.write("etc/maillogsentinel.conf", "[User]\nrun_as_user = bob\n");
    system.write("etc/systemd/system/maillogsentinel.service", "[Unit]\n");
    // Setup must create a directory, but this file has its name. So the migration fails.
    system.write("var/lib/maillogsentinel", "");
    let before = system.snapshot();
    let output = system.run(&["--migrate"]);
    assert!(!output.status.success(), "{}", text(&output.stdout));
    assert_eq!(system.snapshot(), before);
}
