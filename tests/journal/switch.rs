//! Switching from a log to the journal that has the same lines, and back.

use std::fs;

use mls_tests::{Site, text};

use crate::{BOOT, failures, log_at, new_site, numbers, users};

/// Writes the same failures to the log and to the journal, one every half second. The time in the
/// log is 0.3 ms later than in the journal.
fn log_in_both(site: &Site, from: u64, n: u64) {
    let messages = failures(from, n);
    for (user, message) in (from..).zip(&messages) {
        let at = user * 500_000;
        log_at(site, "a.journal", BOOT, &[(at, at, message.as_slice())]);
        let (second, micros) = (at / 1_000_000, at % 1_000_000 + 300);
        site.append(
            "mail.log",
            &format!(
                "2026-06-01T00:00:{second:02}.{micros:06}+00:00 vm postfix/smtpd[74]: {}\n",
                text(message)
            ),
        );
    }
}

/// Runs the pipeline of a configuration that reads `mail_log`.
fn extract_from(site: &Site, mail_log: &str) -> String {
    let dir = site.path().display();
    let conf = format!("[paths]\nworking_dir = {dir}\nstate_dir = {dir}\nmail_log = {mail_log}\n");
    site.write("conf", &conf);
    let output = site.shell(
        "mls-tail --config conf --framed --cursor-file S --journal-directory journal | mls-parse --timezone UTC | \
         mls-csv --append F --cursor-file S --timezone UTC",
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stderr)
}

#[test]
fn switching_between_log_and_journal_neither_loses_nor_doubles_a_failure() {
    let Some(site) = new_site() else { return };
    let log = site.path().join("mail.log").display().to_string();
    let mut n = 0;
    for source in [&log, "journal", &log, "journal", "journal", &log] {
        for _ in 0..2 {
            log_in_both(&site, n, 3);
            n += 3;
            let said = extract_from(&site, source);
            assert_eq!((said, users(&site)), (String::new(), numbers(n)), "{source}");
        }
        // These lines are written after the last run and before the switch.
        log_in_both(&site, n, 2);
        n += 2;
    }
}

#[test]
fn switching_to_a_log_that_was_rotated_meanwhile_reads_its_rest() {
    let Some(site) = new_site() else { return };
    let log = site.path().join("mail.log").display().to_string();
    log_in_both(&site, 0, 8);
    extract_from(&site, "journal");
    log_in_both(&site, 8, 4);
    assert!(
        site.shell("mv mail.log mail.log.1 && touch -d 2026-06-01T00:00:06Z mail.log.1")
            .status
            .success()
    );
    log_in_both(&site, 12, 4);
    extract_from(&site, &log);
    assert_eq!(users(&site), numbers(16));
}

#[test]
fn switching_from_a_removed_journal_continues_by_time_with_a_warning() {
    let Some(site) = new_site() else { return };
    let log = site.path().join("mail.log").display().to_string();
    log_in_both(&site, 0, 10);
    extract_from(&site, "journal");
    fs::remove_file(site.path().join("journal/a.journal")).unwrap();
    log_in_both(&site, 10, 2);
    let said = extract_from(&site, &log);
    assert!(said.contains("failures within two seconds of it may be recorded twice"), "{said}");
    let found = users(&site);
    assert!(numbers(12).iter().all(|user| found.contains(user)), "{found:?}");
    assert!(found.len() < 12 + 6, "{found:?}");
}
