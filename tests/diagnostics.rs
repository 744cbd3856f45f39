//! Messages on standard error, with priorities for the journal, and in the operational log.

use std::fs::{self, File};
use std::io::{self, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use mls_tests::{Site, is_root, skip, text, tools};

#[test]
fn log_content_in_messages_has_no_terminal_escapes() {
    let site = Site::new();
    site.write("mail.log", "x\x1b]0;owned\x07 y authentication failed\n");
    let said = text(&site.shell("mls-parse < mail.log").stderr);
    assert!(said.contains("x?]0;owned? y") && said.lines().count() == 1, "{said:?}");
}

#[test]
fn ten_bad_records_are_reported_with_their_lines_and_further_ones_are_counted() {
    let site = Site::new();
    let good =
        r#"{"v":1,"type":"auth","date":"2026-06-01T00:00:00Z","outcome":"failure","attempts":1}"#;
    site.write("in", &("{}\n".repeat(25) + good + "\n"));
    let output = site.shell("mls-csv < in");
    let said = text(&output.stderr);
    assert!(
        output.status.success() && said.starts_with("mls-csv: warning: stdin, line 1: "),
        "{said}"
    );
    assert!(
        said.lines().count() == 11 && said.ends_with("15 more bad records were skipped\n"),
        "{said}"
    );
    assert_eq!(site.shell("mls-csv --strict < in").status.code(), Some(65));
}

#[test]
fn a_wrong_file_ends_with_65_and_says_what_to_do() {
    let mut site = Site::new();
    site.log(2);
    let login = "2026-06-01T10:00:00+00:00 vm postfix/smtps/smtpd[7]: 4A1B2C3D: \
                 client=home.example[192.0.2.7], sasl_method=PLAIN, sasl_username=u7\n";
    site.write("logins.log", login);
    site.write(
        "mail.conf",
        &format!("[paths]\nstate_dir = {}\n[report]\nemail = a@b.test\n", site.path().display()),
    );
    site.write("text", "hello\n");
    site.write("old.csv", "server;date;ip;user;hostname\nvm;01/06/2026 00:00;192.0.2.1;u;null\n");
    assert!(site.shell("mls-parse < mail.log | mls-csv > good.csv").status.success());
    assert!(site.shell("sed 's/,/;/g' good.csv > semicolons.csv").status.success());
    assert!(site.shell("iconv -t UTF-16LE mail.log > utf-16").status.success());
    assert!(site.shell("gzip < mail.log > mail.log.gz").status.success());
    site.write("book.xlsx", "PK\x03\x04\n");
    site.write("events.db", "SQLite format 3\0\n");
    site.write("system.journal", "LPKSHHRH\n");
    assert!(site.shell("mls-parse --outcome success < logins.log > logins").status.success());
    for (command, cure) in [
        ("mls-report old.csv", "mls-csv --decode --legacy < FILE"),
        ("mls-alert --ip 3/10m old.csv", "mls-csv --decode --legacy < FILE"),
        ("mls-csv --decode < old.csv", "mls-csv --decode --legacy < FILE"),
        ("mls-csv --decode < text", "mls-parse < FILE"),
        ("mls-csv --decode < logins", "leave out mls-csv --decode"),
        ("mls-csv --decode --legacy < good.csv", "leave out --legacy"),
        ("mls-csv --decode --legacy < semicolons.csv", "save the table as CSV with commas"),
        ("mls-report semicolons.csv", "save the table as CSV with commas"),
        ("mls-report book.xlsx", "save the sheet as CSV"),
        ("mls-report events.db", "mls-sql dump --url sqlite:FILE"),
        ("mls-csv < utf-16", "iconv --from-code=UTF-16"),
        ("mls-parse < utf-16", "iconv --from-code=UTF-16"),
        ("mls-anonymize < utf-16", "iconv --from-code=UTF-16"),
        ("mls-parse < mail.log.gz", "zcat"),
        ("mls-parse < system.journal", "journalctl --file FILE -o json"),
        ("mls-parse < mail.log | mls-alert --ip 1/1m | mls-csv", "take mls-alert out"),
        ("mls-parse < mail.log | mls-alert --ip 1/1m | mls-report", "take mls-alert out"),
        (
            "mls-parse < mail.log | mls-alert --ip 1/1m | mls-sql load --url sqlite:x.db",
            "take mls-alert out",
        ),
        (
            "mls-parse < mail.log | mls-alert --ip 1/1m | mls-abuse 192.0.2.1 --reporter a@b.test",
            "take mls-alert out",
        ),
        ("mls-report text", "mls-parse < FILE"),
        ("mls-csv < text", "mls-parse < FILE"),
        ("mls-csv < good.csv", "mls-csv --decode < FILE"),
        ("mls-enrich --no-dns < good.csv", "mls-csv --decode < FILE"),
        ("mls-sql load --url sqlite:x.db < good.csv", "mls-csv --decode < FILE"),
        ("mls-parse < text", "give lines of syslog"),
        ("mls-parse < good.csv", "mls-csv --decode < FILE"),
        ("mls-parse < logins", "give them to mls-enrich, mls-csv or mls-report"),
        ("mls-csv < logins", "mls-csv --outcome success"),
        ("mls-csv --append F < logins", "mls-csv --outcome success"),
        ("mls-parse < mail.log | mls-csv --outcome success", "mls-parse --outcome success"),
        ("mls-parse < mail.log | mls-block", "put mls-alert before this tool"),
        ("mls-parse < mail.log | mls-mail --config mail.conf", "put mls-alert before this tool"),
        ("mls-mail --config mail.conf < mail.log", "fields such as Subject: hello"),
        ("mls-mail --config mail.conf < good.csv", "fields such as Subject: hello"),
        ("mls-mail --config mail.conf --dry-run < /dev/null", "fields such as Subject: hello"),
    ] {
        let output = site.shell(command);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(65), "{command}: {said}");
        assert!(said.lines().last().unwrap_or_default().contains(cure), "{command}: {said}");
        let bad = |line: &&str| line.contains(", line ") || line.contains(", byte ");
        assert!(said.lines().filter(bad).count() <= 1, "{command}: {said}");
    }
}

#[test]
fn a_service_that_gets_only_logins_warns_and_continues() {
    let site = Site::new();
    site.write(
        "mail.log",
        "2026-06-01T10:00:00+00:00 vm postfix/smtps/smtpd[7]: 4A1B2C3D: \
         client=home.example[192.0.2.7], sasl_method=PLAIN, sasl_username=u7\n",
    );
    let pipeline = "mls-tail --framed --cursor-file S mail.log | mls-parse --outcome success | \
                    mls-csv --append F --cursor-file S";
    let output = site.shell(pipeline);
    assert!(output.status.success());
    assert!(text(&output.stderr).contains("the input has no failed login"));
}

#[test]
fn an_append_that_does_not_commit_the_position_says_so() {
    let mut site = Site::new();
    site.log(1);
    let pipeline = "mls-tail --framed --cursor-file S mail.log | mls-parse | mls-csv --append F";
    let output = site.shell(pipeline);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("F: without --cursor-file, mls-csv does not save the position in the log"),
        "{said}"
    );
    let output = site.shell("mls-tail mail.log | mls-parse | mls-csv --append F");
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn errors_of_wrong_command_lines_name_the_right_one() {
    let mut site = Site::new();
    site.log(1);
    assert!(site.shell("mls-parse < mail.log > 'my records'").status.success());
    assert!(site.shell("mls-csv < 'my records' > f.csv && gzip -k f.csv").status.success());
    for (command, cure) in [
        ("mls-parse mail.log", "mls-tail mail.log | mls-parse"),
        ("mls-enrich --no-dns 'my records'", "mls-enrich --no-dns < 'my records'"),
        ("mls-csv --decode f.csv", "mls-csv --decode < f.csv"),
        ("mls-csv --decode f.csv.gz", "zcat f.csv.gz | mls-csv --decode"),
        ("mls-csv --append out.csv 'my records'", "mls-csv --append out.csv < 'my records'"),
        ("mls-mail 'my records'", "mls-mail < 'my records'"),
        ("mls-block 'my records'", "mls-block < 'my records'"),
        ("mls-anonymize mail.log", "mls-anonymize < mail.log"),
        ("mls-sql load 'my records'", "mls-sql load < 'my records'"),
        ("mls-sql export 'my records'", "mls-sql export < 'my records'"),
        ("mls-tail --show-cursor", "--show-cursor needs --cursor-file or --config"),
    ] {
        let output = site.shell(command);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{command}: {said}");
        assert!(said.contains(cure), "{command}: {said}");
    }
    site.write("conf", &format!("[paths]\nstate_dir = {}\n", site.path().display()));
    site.extract();
    fs::rename(site.path().join("S"), site.path().join("state.offset")).unwrap();
    let shown = site.shell("mls-tail --config conf --show-cursor");
    assert!(text(&shown.stdout).contains("mail.log"), "{}", text(&shown.stderr));
}

#[test]
fn a_wrong_time_zone_in_the_environment_is_refused_where_dates_depend_on_it() {
    let mut site = Site::new();
    site.log(1);
    for tool in ["mls-parse", "mls-csv", "mls-report"] {
        let said = site.fail(64, &format!("TZ=Mars/Olympus {tool} < mail.log"));
        assert!(said.contains("the environment variable TZ is \"Mars/Olympus\""), "{said}");
        assert!(said.contains("set it to a name in /usr/share/zoneinfo (Europe/Paris)"), "{said}");
    }
    for (zone, hour) in [(":UTC", "00"), ("Asia/Tokyo", "09"), ("UTC-2", "02")] {
        let csv = format!("export TZ={zone}; mls-parse < mail.log | mls-csv | tail -n 1");
        let row = site.succeed(&csv);
        assert!(row.starts_with(&format!("vm,2026-06-01 {hour}:00,")), "{zone}: {row}");
    }
    assert_eq!(site.succeed("TZ=Mars/Olympus mls-parse --timezone UTC < mail.log | wc -l"), "1\n");
}

#[test]
fn the_error_about_an_unexpected_file_does_not_suggest_standard_input() {
    let mut site = Site::new();
    site.log(1);
    for command in [
        "mls-block list mail.log",
        "mls-sql dump mail.log",
        "mls-setup mail.log",
        "mls-alert mail.log mail.log",
        "mls-abuse 192.0.2.1 mail.log mail.log",
    ] {
        let output = site.shell(command);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{command}: {said}");
        assert!(!said.contains("standard input"), "{command}: {said}");
    }
}

#[test]
fn a_tool_that_waits_for_the_terminal_says_so() {
    let site = Site::new();
    let state = site.path().display();
    let conf = format!("[paths]\nstate_dir = {state}\n[report]\nemail = a@example.org\n");
    site.write("conf", &conf);
    for tool in ["mls-parse", "mls-csv", "mls-block", "mls-mail --config conf"] {
        let run = format!("script --quiet --command '{tool}' /dev/null < /dev/null");
        let said = site.succeed(&run);
        assert!(said.contains("reading from the terminal until Ctrl-D; give the input"), "{said}");
    }
}

#[test]
fn a_full_disk_behind_standard_output_is_reported() {
    let site = Site::new();
    site.write("conf", "");
    for command in ["mls-tail --help", "mls-tail --version", "mls-tail --config conf --show-config"]
    {
        let said = site.fail(74, &format!("{command} > /dev/full"));
        assert!(said.contains("writing standard output: No space left on device"), "{said}");
    }
}

#[test]
fn a_missing_server_or_secret_says_what_to_check() {
    let mut site = Site::new();
    site.log(1);
    assert!(site.shell("mls-parse < mail.log > records").status.success());
    let directory = site.path().display().to_string();
    let message = r"printf 'Subject: x\n\nx\n' | mls-mail --config mls.conf";
    // A label of a host name has at most 63 characters, so the resolver asks no server.
    let no_host = format!("smtp_host = {}.invalid", "x".repeat(64));
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let tls = format!("smtp_tls = tls\nsmtp_port = {}", plain.local_addr().unwrap().port());
    std::thread::spawn(move || {
        while let Ok((mut client, _)) = plain.accept() {
            let _ = client.write_all(b"220 mx.example.org ESMTP\r\n");
            // Read all bytes, because unread bytes would reset the connection.
            let _ = io::copy(&mut client, &mut io::sink());
        }
    });
    for (report, code, cure) in [
        ("smtp_port = 1", 75, "check [report] smtp_host and smtp_port"),
        (tls.as_str(), 75, "does not use TLS from the start on this port"),
        (no_host.as_str(), 75, "check the name of the mail server in [report] smtp_host"),
        (
            "smtp_user = u\nsmtp_password_file = /none",
            66,
            "write the secret to this file with mode 0600",
        ),
    ] {
        site.write(
            "mls.conf",
            &format!("[paths]\nworking_dir = {directory}\nstate_dir = {directory}\n[report]\nemail = a@b.test\n{report}\n"),
        );
        let output = site.shell(message);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{report}: {said}");
        assert!(said.contains(cure), "{report}: {said}");
    }
    // mls-sql retries for twenty seconds.
    let output = site.shell("mls-sql load --url postgres://u@localhost:1/db < records");
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(75), "{said}");
    assert!(said.contains("check that it runs, and check db_host and db_port"), "{said}");
}

#[test]
fn an_error_about_permission_names_the_owner() {
    if !is_root() {
        return skip("only root can take a permission away from another user");
    }
    let site = Site::new();
    fs::set_permissions(site.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(site.path().join("mail.log"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::create_dir(site.path().join("private")).unwrap();
    fs::set_permissions(site.path().join("private"), fs::Permissions::from_mode(0o700)).unwrap();
    let nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups";
    for (command, code) in [
        ("mls-tail mail.log", 77),
        ("mls-tail private/mail.log", 77),
        ("mls-report mail.log", 77),
        ("mls-csv --append F", 73),
        ("mls-sql load --url sqlite:private/x.db", 73),
    ] {
        let tool = tools().join(command.split(' ').next().unwrap());
        if !tool.is_file()
            || site.shell(&format!("{nobody} {} --version", tool.display())).status.code()
                != Some(0)
        {
            return skip("the tools are in a directory that others cannot see");
        }
        let output = site.shell(&format!("{nobody} {command} < /dev/null"));
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{command}: {said}");
        assert!(said.contains(" belongs to root:root with mode 0"), "{command}: {said}");
        assert!(said.contains("and this process runs as nobody"), "{command}: {said}");
    }
}

#[test]
fn messages_have_priorities_if_standard_error_is_the_journal() {
    let site = Site::new();
    let err = File::create(site.path().join("err")).unwrap();
    let stat = err.metadata().unwrap();
    let mut command = site.command("echo '{}' | mls-csv; mls-tail no-such.log");
    command
        .env("JOURNAL_STREAM", format!("{}:{}", stat.dev(), stat.ino()))
        .stderr(err)
        .stdout(std::process::Stdio::null());
    assert_eq!(command.status().unwrap().code(), Some(66));
    let said = site.read("err");
    assert!(
        said.starts_with("<4>mls-csv: warning: ") && said.contains("\n<3>mls-tail: error: "),
        "{said}"
    );
}

#[test]
fn the_operational_log_has_messages_up_to_its_level() {
    let mut site = Site::new();
    site.log(1);
    site.append("mail.log", "2026-06-01T00:00:00+00:00 vm sshd[7]: PAM authentication failed\n");
    let extract = "mls-tail --framed --cursor-file S --config mls.conf mail.log | mls-parse --config mls.conf | \
                   mls-csv --append F --cursor-file S --config mls.conf";
    for (level, lines) in [("DEBUG", 6), ("INFO", 3), ("WARNING", 0)] {
        site.write(
            "mls.conf",
            &format!(
                "[paths]\nworking_dir = {}\n[general]\nlog_level = {level}\nlog_file = log\n",
                site.path().display()
            ),
        );
        let output = site.shell(extract);
        assert!(output.status.success() && output.stderr.is_empty(), "{}", text(&output.stderr));
        let log = site.read("log");
        assert_eq!(log.lines().count(), lines, "{log}");
        if level == "DEBUG" {
            assert!(
                log.contains(" DEBUG mls-parse: not an attempt: PAM authentication failed\n"),
                "{log}"
            );
            assert!(log.contains(" DEBUG mls-csv: F: committed "), "{log}");
        }
        if level != "WARNING" {
            for part in [
                "mls-tail: read ",
                "mls-parse: found 1 failed ",
                "mls-csv: recorded 1 failed login in F",
            ] {
                assert!(log.contains(&format!(" INFO {part}")), "{part} is not in {log}");
            }
        }
        for name in ["log", "S", "F"] {
            fs::remove_file(site.path().join(name)).unwrap_or_default();
        }
    }
}

#[test]
fn a_block_list_that_is_empty_because_all_blocks_have_ended_says_so() {
    let mut site = Site::new();
    site.log(30);
    let list = "mls-parse < mail.log | mls-alert --ip 1/1m | mls-block";
    let output = site.shell(list);
    assert!(output.status.success() && output.stdout.is_empty(), "{output:?}");
    let said = text(&output.stderr);
    assert!(said.contains("no address is blocked") && said.contains("--now TIME"), "{said}");
    let output = site.shell(&format!("{list} --now 2026-06-01T00:00:00Z"));
    assert!(!text(&output.stderr).contains("no address is blocked"), "{output:?}");
    assert!(!output.stdout.is_empty(), "{output:?}");
}
