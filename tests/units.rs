//! The systemd units are valid and sandboxed, and their tools and options exist.

use std::fs;
use std::process::Command;

use mls_tests::units::{commands, directory, files};
use mls_tests::{has, skip, text, tools};

#[test]
fn systemd_analyze_verify_reports_nothing() {
    if !has("systemd-analyze") {
        return skip("systemd-analyze is not installed");
    }
    let units = [files(".service"), files(".timer"), files(".path")].concat();
    assert_eq!(units.len(), 32, "a unit was added or removed; check that this test covers it");
    // Do not check the manual page, because only the package contains it.
    let output =
        Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&units).output().unwrap();
    assert_eq!((output.status.success(), text(&output.stderr)), (true, String::new()));
}

#[test]
fn a_restarting_unit_reaches_its_start_limit_so_that_on_failure_runs() {
    let seconds = |text: &str| {
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap());
        number.parse::<u64>().unwrap()
            * [("s", 1), ("min", 60), ("h", 3600)].iter().find(|(u, _)| *u == unit).unwrap().1
    };
    for path in files(".service") {
        let unit = fs::read_to_string(&path).unwrap();
        let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(&format!("{key}=")));
        if value("Restart").is_none() {
            continue;
        }
        // The seconds from one attempt to the next while a server is down.
        let each = seconds(value("RestartSec").unwrap()) + 20;
        let tries: u64 = value("StartLimitBurst").unwrap().parse().unwrap();
        let within = seconds(value("StartLimitIntervalSec").unwrap());
        assert!(
            tries * each <= within,
            "{}: {tries} tries take longer than {within} s",
            path.display()
        );
        assert!(value("OnFailure").is_some(), "{}", path.display());
    }
}

#[test]
fn units_have_a_low_exposure_and_the_lowest_without_network() {
    if !has("systemd-analyze") {
        return skip("systemd-analyze is not installed");
    }
    for unit in files(".service") {
        let output = Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager"])
            .arg(&unit)
            .output();
        let output = text(&output.unwrap().stdout);
        let exposure =
            output.lines().last().and_then(|line| line.rsplit_once(".service: ")).unwrap().1;
        let exposure: f64 = exposure.split(' ').next().unwrap().parse().unwrap();
        let without_network = fs::read_to_string(&unit).unwrap().contains("PrivateNetwork=yes");
        let name = unit.file_name().unwrap().to_str().unwrap();
        assert_eq!(
            without_network,
            [
                "maillogsentinel-sql-export.service",
                "maillogsentinel-metrics.service",
                "maillogsentinel-failed@.service",
                "maillogsentinel-block.service",
                "maillogsentinel-block-postfix.service"
            ]
            .contains(&name),
            "{name}"
        );
        let most = match name {
            // This unit needs more rights, because it changes the packet filter.
            "maillogsentinel-block-nft.service" => 1.3,
            // This unit runs as root, because it reloads Postfix.
            "maillogsentinel-block-postfix.service" => 1.0,
            _ if without_network => 0.5,
            _ => 1.2,
        };
        assert!(exposure <= most, "{name}: {exposure} is more than {most}");
    }
}

#[test]
fn every_service_is_in_the_shared_sandbox() {
    let sandbox =
        fs::read_to_string(directory().join("maillogsentinel-.service.d/sandbox.conf")).unwrap();
    for line in ["NoNewPrivileges=yes", "ProtectSystem=strict", "MemoryMax=256M", "LimitCORE=0"] {
        assert!(sandbox.lines().any(|there| there == line), "{line}");
    }
    for path in files(".service") {
        let name = path.file_name().unwrap().to_str().unwrap();
        // systemd.unit(5): a drop-in for a prefix applies only to names with a dash after the prefix.
        let directory = if name.starts_with("maillogsentinel-") {
            "maillogsentinel-.service.d".to_owned()
        } else {
            format!("{name}.d")
        };
        let there = fs::read_to_string(path.with_file_name(directory).join("sandbox.conf"));
        assert_eq!(there.unwrap_or_default(), sandbox, "{name}");
        // A unit must not repeat a line of the sandbox: it does nothing, or hides a later change.
        let unit = fs::read_to_string(&path).unwrap();
        let keys = sandbox.lines().filter_map(|line| line.split_once('=')).map(|(key, _)| key);
        for key in keys {
            let set = unit.lines().any(|line| line.starts_with(&format!("{key}=")));
            assert!(!set, "{name} sets {key}, which the sandbox sets");
        }
    }
}

#[test]
fn systemd_and_maillogsentinel_run_the_same_pipeline() {
    for (unit, command) in commands() {
        // systemd.service(5) interprets these characters, but `maillogsentinel` gives them to bash.
        let plain = !command.replace("$$", "").contains(['$', '\\', '%']);
        assert!(plain || unit == "maillogsentinel-failed@.service", "{unit}: {command}");
        assert_eq!(command.matches('\'').count(), 2, "{unit}: {command}");
    }
}

#[test]
fn pipelines_use_existing_tools_and_options_and_name_only_the_configuration_file() {
    let mut stages = 0;
    for (unit, command) in commands() {
        let Some(script) = command.strip_prefix("/usr/bin/bash -o pipefail -c 'trap : TERM; ")
        else {
            assert_eq!(unit, "maillogsentinel-failed@.service", "{command}");
            continue;
        };
        let pipeline = script.trim_end_matches('\'').split(';').next().unwrap();
        for stage in pipeline.split('|') {
            let mut words = stage.split_whitespace();
            let tool = words.next().unwrap();
            if !tool.starts_with("mls-") {
                continue;
            }
            let root = directory();
            if !root.with_file_name("crates").join(tool).exists() {
                skip(&format!("{tool} is not in this tree"));
                continue;
            }
            let words: Vec<_> = words.collect();
            let verb: Vec<_> =
                words.iter().copied().filter(|word| !word.starts_with(['-', '/'])).collect();
            let help = Command::new(tools().join(tool)).args(&verb).arg("--help").output().unwrap();
            assert!(help.status.success(), "{unit}: {stage}: {}", text(&help.stderr));
            let help = text(&help.stdout);
            for word in words.iter().filter(|word| !verb.contains(*word)) {
                let known = ["/etc/maillogsentinel.conf", "-"].contains(word)
                    || help
                        .split([' ', ',', '\n'])
                        .any(|flag| Some(flag) == word.split('=').next());
                assert!(known, "{unit}: {tool} has no {word}");
            }
            stages += 1;
        }
    }
    assert!(stages >= 10, "{stages} stages were looked at");
}
