//! The units: sound, locked down, and made of tools and flags that there are.

use std::fs;
use std::process::Command;

use mls_tests::units::{commands, files, folder};
use mls_tests::{has, skip, text, tools};

#[test]
fn systemd_has_nothing_to_say_against_them() {
    if !has("systemd-analyze") {
        return skip("systemd-analyze is not installed");
    }
    let units = [files(".service"), files(".timer"), files(".path")].concat();
    assert_eq!(units.len(), 27, "a unit came or went: is it looked at here?");
    // The manual page comes with the package.
    let output =
        Command::new("systemd-analyze").args(["verify", "--man=no"]).args(&units).output().unwrap();
    assert_eq!((output.status.success(), text(&output.stderr)), (true, String::new()));
}

#[test]
fn a_unit_that_is_tried_again_gives_up_and_says_so() {
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
        // As long as a try takes where a server is down.
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
fn little_is_exposed_and_least_where_no_network_is_needed() {
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
                "maillogsentinel-failed@.service",
                "maillogsentinel-block.service",
                "maillogsentinel-block-postfix.service"
            ]
            .contains(&name),
            "{name}"
        );
        let most = match name {
            // It changes the packet filter.
            "maillogsentinel-block-nft.service" => 1.3,
            // It is root, to ask for the reload.
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
        fs::read_to_string(folder().join("maillogsentinel-.service.d/sandbox.conf")).unwrap();
    for line in ["NoNewPrivileges=yes", "ProtectSystem=strict", "MemoryMax=256M"] {
        assert!(sandbox.lines().any(|there| there == line), "{line}");
    }
    for path in files(".service") {
        let name = path.file_name().unwrap().to_str().unwrap();
        // systemd.unit(5): drop-ins of a prefix hold for names with a dash after it, and for no others.
        let folder = if name.starts_with("maillogsentinel-") {
            "maillogsentinel-.service.d".to_owned()
        } else {
            format!("{name}.d")
        };
        let there = fs::read_to_string(path.with_file_name(folder).join("sandbox.conf"));
        assert_eq!(there.unwrap_or_default(), sandbox, "{name}");
        // A line that the sandbox has as well would not change anything, or be changed unseen.
        let unit = fs::read_to_string(&path).unwrap();
        let keys = sandbox.lines().filter_map(|line| line.split_once('=')).map(|(key, _)| key);
        for key in keys {
            let set = unit.lines().any(|line| line.starts_with(&format!("{key}=")));
            assert!(!set, "{name} sets {key}, which the sandbox sets");
        }
    }
}

#[test]
fn a_pipeline_reads_the_same_for_systemd_and_for_the_front_end() {
    for (unit, command) in commands() {
        // systemd.service(5) has ideas of its own about these; the front end hands the text to bash.
        let plain = !command.replace("$$", "").contains(['$', '\\', '%']);
        assert!(plain || unit == "maillogsentinel-failed@.service", "{unit}: {command}");
        assert_eq!(command.matches('\'').count(), 2, "{unit}: {command}");
    }
}

#[test]
fn pipelines_call_tools_and_flags_that_there_are_and_name_no_file_but_the_configuration() {
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
            let root = folder();
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
