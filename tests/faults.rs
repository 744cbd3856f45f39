//! The pipeline on a disk that is full or fails, and with input that is too large or no log: after one
//! clean run, each line is one row. `kills.rs` kills the pipelines, and `power_loss` cuts the power.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

use mls_tests::{EXTRACT, Mounted, Site, has, is_root, skip, text};

/// In each run, another system call of mls-csv that changes a file fails.
#[test]
fn the_sink_fails_at_each_of_its_calls_in_turn() {
    if !has("strace") {
        return skip("strace is not installed");
    }
    let mut failed = 0;
    for call in ["write", "fdatasync", "fsync", "rename", "ftruncate", "openat"] {
        for fault in ["signal=KILL", "error=EIO", "error=ENOSPC"] {
            let mut site = Site::new();
            site.log(20);
            site.extract();
            // This row was never committed, so mls-csv must move it out of the CSV.
            site.append("F", "vm,2026-06-01 00:00,192.0.2.1,lost,null,N/A,N/A,N/A,N/A\n");
            for nth in 1..60 {
                site.log(20);
                let inject = format!(
                    "strace -f -o trace -e trace={call} -e inject={call}:{fault}:when={nth} mls-csv"
                );
                let output = site.shell(&EXTRACT.replace("mls-csv", &inject));
                let injected = site.read("trace").contains("(INJECTED)")
                    || site.read("trace").contains("killed by SIGKILL");
                failed += u64::from(!output.status.success());
                if !injected {
                    assert!(
                        output.status.success(),
                        "{call} {fault} {nth}: {}",
                        text(&output.stderr)
                    );
                    break;
                }
            }
            site.extract_until_clean();
            site.assert_exact();
        }
    }
    assert!(failed > 40, "only {failed} runs failed: the faults were not injected");
}

#[test]
fn a_full_disk_is_an_error_and_the_rows_are_written_when_there_is_room() {
    if !is_root() {
        return skip("mounting a small tmpfs needs root");
    }
    let mounted = Mounted::tmpfs("256k");
    let mut site = Site::within(mounted.path());
    site.log(300);
    site.extract();
    site.log(200);
    let ballast = File::create(site.path().join("ballast")).unwrap();
    let filled = site.shell("cat /dev/zero > ballast; true");
    assert!(filled.status.success());
    let said = site.extract_fails(74);
    assert!(said.contains("No space left on device"), "{said}");
    ballast.set_len(0).unwrap();
    site.extract();
    site.assert_exact();
}

#[test]
fn a_file_size_limit_is_an_error_and_not_a_death() {
    let mut site = Site::new();
    site.log(200);
    let output = site.shell(&EXTRACT.replace("mls-csv", "prlimit --fsize=8192 -- mls-csv"));
    assert_eq!(output.status.code(), Some(74), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("File too large"), "{}", text(&output.stderr));
    site.extract();
    site.assert_exact();
}

#[test]
fn rows_that_cannot_be_moved_aside_leave_no_part_of_a_copy() {
    let mut site = Site::new();
    site.log(3);
    site.extract();
    let surplus = "vm,2026-06-01 00:00,192.0.2.1,lost,null,N/A,N/A,N/A,N/A\n".repeat(400);
    site.append("F", &surplus);
    let before = site.read("F");
    for _ in 0..3 {
        let output = site.shell(&EXTRACT.replace("mls-csv", "prlimit --fsize=8192 -- mls-csv"));
        assert_eq!(output.status.code(), Some(74), "{}", text(&output.stderr));
        assert_eq!((site.files("F.recovered-").len(), site.read("F") == before), (0, true));
    }
    site.extract();
    site.assert_exact();
    let recovered = site.files("F.recovered-");
    assert_eq!((recovered.len(), site.read(&recovered[0]) == surplus), (1, true));
}

#[test]
fn reused_inode_numbers_do_no_harm() {
    if !is_root() {
        return skip("mounting a small ext4 needs root");
    }
    let mounted = Mounted::ext4("8M");
    let mut site = Site::within(mounted.path());
    let mut inodes = Vec::new();
    for _ in 0..25 {
        site.log(20);
        site.extract();
        site.log(5);
        inodes.push(fs::metadata(site.path().join("mail.log")).unwrap().ino());
        let rotated = site
            .shell("mv mail.log mail.log.1 && gzip -c mail.log.1 > mail.log.2.gz && rm mail.log.1 && touch mail.log");
        assert!(rotated.status.success());
        site.log(5);
        site.extract();
    }
    site.assert_exact();
    inodes.sort_unstable();
    inodes.dedup();
    assert!(inodes.len() < 25, "no inode was used again: the test has tested nothing");
}

#[test]
fn a_line_of_a_gibibyte_passes_in_64_mib() {
    let mut site = Site::new();
    site.log(5);
    assert!(site.shell("head -c 1G /dev/zero | tr '\\0' x >> mail.log").status.success());
    let limit = "prlimit --data=67108864 --";
    let limited = EXTRACT.replace("mls-", &format!("{limit} mls-"));
    let output = site.shell(&limited);
    assert!(output.status.success(), "{}", text(&output.stderr));
    site.append("mail.log", "\n");
    site.log(5);
    let output = site.shell(&limited);
    assert!(
        output.status.success() && text(&output.stderr).contains("a line longer than 1 MiB"),
        "{}",
        text(&output.stderr)
    );
    site.assert_exact();
}

#[test]
fn a_gzip_bomb_passes_in_64_mib() {
    let mut site = Site::new();
    let after = site.failures(3);
    site.write("after", &after);
    let made = site.shell(
        "{ head -c 1G /dev/zero | tr '\\0' x; echo; cat after; } | gzip --fast > mail.log.1.gz",
    );
    assert!(made.status.success());
    let output = site.shell(&EXTRACT.replace("mls-", "prlimit --data=67108864 -- mls-"));
    assert!(
        output.status.success() && text(&output.stderr).contains("a line of 1,073,741,825 bytes"),
        "{}",
        text(&output.stderr)
    );
    site.assert_exact();
}

#[test]
fn an_input_that_is_not_a_regular_file_is_refused_at_once() {
    for (make, named) in [
        ("mkfifo mail.log", "mail.log is not a regular file"),
        ("mkdir mail.log", "mail.log is not a regular file"),
        ("ln -s mail.log mail.log", "mail.log: Too many levels of symbolic links"),
        ("ln -s /dev/zero mail.log", "mail.log is not a regular file"),
        ("true", "mail.log does not exist"),
    ] {
        let site = Site::new();
        assert!(site.shell(&format!("rm mail.log && {make}")).status.success());
        let output = site.shell("timeout 20 mls-tail mail.log");
        assert_eq!(output.status.code(), Some(66), "{make}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(named), "{make}: {}", text(&output.stderr));
    }
    // A FIFO or a directory with the name of a rotated log is ignored.
    let mut site = Site::new();
    site.log(3);
    assert!(site.shell("mkfifo mail.log.1; mkdir mail.log.2").status.success());
    site.extract();
    site.assert_exact();
}

#[test]
fn a_user_name_that_looks_like_a_control_record_is_a_user_name() {
    let site = Site::new();
    let head = "2026-06-01T00:00:00+00:00 vm postfix/smtpd[7]: warning: x[192.0.2.1]: SASL LOGIN authentication failed: x, sasl_username=";
    let users = [
        r#"{"v":1,"type":"end"}"#,
        r#"{"v":1,"type":"checkpoint","cursor":null}"#,
        r#"x"},"type":"begin","base":9}"#,
    ];
    site.write("mail.log", &users.map(|user| format!("{head}{user}\n{user}\n")).concat());
    site.extract();
    let decoded = text(&site.shell("mls-csv --decode < F | jq -r .user").stdout);
    assert_eq!(decoded.lines().collect::<Vec<_>>(), users);
    assert_eq!(text(&site.shell("mls-tail mail.log | mls-parse | jq -r .user").stdout), decoded);
}
