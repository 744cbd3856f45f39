//! Whatever dies when: after one clean run, rows equal lines exactly once.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mls_tests::{EXTRACT, Mounted, Site, has, is_root, skip, text, wrong_clock};
use testdata::random::Random;

/// The stages of the pipeline as processes of their own.
fn start(site: &Site) -> Vec<Child> {
    let mut children: Vec<Child> = Vec::new();
    for stage in EXTRACT.split(" | ") {
        let mut words = stage.split_ascii_whitespace();
        let mut command = Command::new(mls_tests::tools().join(words.next().unwrap()));
        let stdin = children
            .last_mut()
            .map_or(Stdio::null(), |before| before.stdout.take().unwrap().into());
        command
            .args(words)
            .current_dir(site.path())
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        children.push(command.spawn().unwrap());
    }
    children
}

/// One thing that happens to a log between two runs.
fn weather(site: &mut Site, random: &mut Random) {
    let path = |name: &str| site.path().join(name);
    let exists = |name: &str| path(name).exists();
    match random.below(8) {
        // Rotation by rename, with or without compression of what was rotated before.
        0 | 1 => {
            // The oldest goes, which on a busy machine no run may have lived long enough to read.
            if exists("mail.log.6") || exists("mail.log.6.gz") {
                site.extract_until_clean();
                let _ =
                    (fs::remove_file(path("mail.log.6")), fs::remove_file(path("mail.log.6.gz")));
            }
            for n in (1..6).rev() {
                for ending in ["", ".gz"] {
                    let from = format!("mail.log.{n}{ending}");
                    if exists(&from) {
                        fs::rename(path(&from), path(&format!("mail.log.{}{ending}", n + 1)))
                            .unwrap();
                    }
                }
            }
            fs::rename(path("mail.log"), path("mail.log.1")).unwrap();
            File::create(path("mail.log")).unwrap();
        }
        2 if exists("mail.log.1") => {
            let late = site.failures(random.below(5));
            site.append("mail.log.1", &late);
        }
        3 | 4 => {
            let n = 1 + random.below(3);
            if exists(&format!("mail.log.{n}")) && !exists(&format!("mail.log.{n}.gz")) {
                assert!(site.shell(&format!("gzip --fast mail.log.{n}")).status.success());
            }
        }
        _ => {}
    }
    site.log(random.below(60));
}

/// `MLS_ROUNDS` rounds, by default few: `scripts/test --full` runs thousands.
#[test]
fn killed_at_random_with_rotation_compression_and_late_writers() {
    let rounds: u64 = std::env::var("MLS_ROUNDS").map_or(150, |rounds| rounds.parse().unwrap());
    let mut random =
        Random::new(std::env::var("MLS_SEED").map_or(20_261_121, |seed| seed.parse().unwrap()));
    let mut site = Site::new();
    let (mut died, mut recovered) = (0, 0);
    for round in 0..rounds {
        // Old generations pile up, and each is looked at: begin anew now and then.
        if round % 40 == 39 {
            site.extract_until_clean();
            site.assert_exact();
            recovered += site.files("F.recovered").len();
            site = Site::new();
        }
        weather(&mut site, &mut random);
        let mut children = start(&site);
        std::thread::sleep(Duration::from_micros(random.below(12_000)));
        let victim = usize::try_from(random.below(6)).unwrap();
        for (n, child) in children.iter_mut().enumerate() {
            if n == victim || victim == 4 {
                child.kill().unwrap();
            }
        }
        // Who was not killed may still be at work when the next pipeline begins; the lock and the fence are for that.
        let wait = random.below(3) > 0;
        for child in &mut children {
            if wait {
                died += u64::from(!child.wait().unwrap().success());
            }
        }
        if !wait {
            std::thread::spawn(move || children.iter_mut().for_each(|child| drop(child.wait())));
        }
    }
    site.extract_until_clean();
    site.assert_exact();
    assert!(died > rounds / 4, "only {died} processes died in {rounds} rounds");
    println!("{rounds} rounds, {died} deaths, {recovered} files of recovered rows");
}

#[test]
fn the_shell_is_killed_with_its_whole_session() {
    let mut site = Site::new();
    let mut random = Random::new(5);
    for _ in 0..20 {
        site.log(40);
        let mut shell = Command::new("setsid");
        let command = site.command(EXTRACT);
        shell
            .arg("bash")
            .args(command.get_args())
            .current_dir(site.path())
            .envs(command.get_envs().map(|(k, v)| (k, v.unwrap())));
        let mut shell = shell.stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(random.below(30_000)));
        let group = random.below(2) == 0;
        let target = if group { format!("-{}", shell.id()) } else { shell.id().to_string() };
        let _ = Command::new("kill")
            .args(["-9", "--", &target])
            .stderr(Stdio::null())
            .status()
            .unwrap();
        shell.wait().unwrap();
    }
    site.extract_until_clean();
    site.assert_exact();
}

/// Lets each call of the sink that changes a file fail in turn.
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
            // Rows behind the commit, so that moving them aside is tried as well.
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
fn a_full_disk_is_an_error_and_the_rows_come_when_there_is_room() {
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
fn inode_numbers_that_are_used_again_mislead_nobody() {
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
fn a_power_failure_leaves_the_csv_and_the_cursor_in_step() {
    if !is_root() || !has("python3") {
        return skip("an ext4 that is shut down needs root and python3");
    }
    let mut random = Random::new(11);
    let mut site = Site::new();
    let mounted = Mounted::ext4("16M");
    let command = |site: &Site| {
        let on_disk = |name: &str| mounted.path().join(name).display().to_string();
        let _ = site;
        EXTRACT
            .replace("--cursor-file S", &format!("--cursor-file {}", on_disk("S")))
            .replace("--append F", &format!("--append {}", on_disk("F")))
    };
    for round in 0..12 {
        site.log(50);
        let mut pipeline = site.command(&command(&site)).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(random.below(25_000)));
        // EXT4_IOC_SHUTDOWN without flushing the journal: what was not synced is gone.
        mounted.shut_down();
        pipeline.wait().unwrap();
        mounted.remount();
        if round % 3 == 2 {
            let output = site.shell(&command(&site));
            assert!(output.status.success(), "{}", text(&output.stderr));
            fs::copy(mounted.path().join("F"), site.path().join("F")).unwrap();
            site.assert_exact();
        }
    }
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
        output.status.success() && text(&output.stderr).contains("a line of 1073741825 bytes"),
        "{}",
        text(&output.stderr)
    );
    site.assert_exact();
}

#[test]
fn what_is_no_regular_file_is_refused_by_name_at_once() {
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
    // What only bears the name of a rotated log is passed over.
    let mut site = Site::new();
    site.log(3);
    assert!(site.shell("mkfifo mail.log.1; mkdir mail.log.2").status.success());
    site.extract();
    site.assert_exact();
}

#[test]
fn a_clock_that_jumps_changes_nothing() {
    if !has("faketime") {
        return skip("faketime is not installed");
    }
    let mut site = Site::new();
    for (round, clock) in ["-400d", "+0", "+4000d", "-1d", "+0"].iter().enumerate() {
        site.log(20);
        if round % 2 == 1 {
            assert!(site.shell("mv mail.log mail.log.1 && gzip -f mail.log.1 && mv mail.log.1.gz mail.log.$RANDOM.gz; touch mail.log").status.success());
            site.log(20);
        }
        let script = EXTRACT.replace("mls-", &format!("{} mls-", wrong_clock(clock)));
        let output = site.shell(&script);
        assert!(output.status.success(), "{clock}: {}", text(&output.stderr));
    }
    site.extract();
    site.assert_exact();
}

#[test]
fn a_user_name_that_spells_a_control_record_is_a_user_name() {
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
