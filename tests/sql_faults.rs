//! A database and the SQL files have each row exactly once, even if any process dies at any time.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should stop")]

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mls_tests::servers::{Kind, Server};
use mls_tests::{EXTRACT, Site, text};
use testdata::random::Random;

/// `MLS_ROUNDS` sets the number of rounds for each database; `scripts/test --full` runs more.
fn rounds() -> u64 {
    std::env::var("MLS_ROUNDS").map_or(12, |rounds| rounds.parse().unwrap())
}

/// Starts a pipeline, and after a random time kills one of its stages or all of them.
fn kill_one(site: &Site, pipeline: &str, random: &mut Random, longest: u64) -> bool {
    let mut shell = site.command(pipeline).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_micros(random.below(longest)));
    let stages = children(&shell);
    if !stages.is_empty() {
        let all = random.below(4) == 0;
        let victim = random.pick(&stages).clone();
        let _ = Command::new("kill")
            .arg("-KILL")
            .args(if all { stages } else { vec![victim] })
            .stderr(Stdio::null())
            .status();
    }
    !shell.wait().unwrap().success()
}

fn children(shell: &Child) -> Vec<String> {
    let id = shell.id();
    let list =
        std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    list.split_ascii_whitespace().map(str::to_owned).collect()
}

/// Repeats a pipeline until it succeeds: stages of a killed pipeline may still have the lock.
fn finish(site: &Site, pipeline: &str) {
    for _ in 0..600 {
        let output = site.shell(pipeline);
        match output.status.code() {
            Some(0) => return,
            Some(75) => std::thread::sleep(Duration::from_millis(50)),
            _ => panic!("{pipeline}: {}: {}", output.status, text(&output.stderr)),
        }
    }
    panic!("another pipeline never ended");
}

fn assert_table_is_exact(site: &Site, server: &Server) {
    let users = server.query("SELECT username FROM maillogsentinel_events");
    site.assert_exact_users(users.lines());
}

#[test]
fn load_is_exact_although_stages_and_servers_are_killed() {
    let mut random = Random::new(20_261_125);
    for kind in Kind::ALL {
        let mut server = Server::new(kind);
        let mut site = Site::new();
        let url = server.url();
        let pipeline = format!(
            "mls-tail --framed --cursor-file <(mls-sql cursor --url '{url}') mail.log | mls-parse | mls-sql load --url '{url}'"
        );
        // Create the tables before the first kill. Another test kills the server before they exist.
        finish(&site, &pipeline);
        let mut died = 0;
        for round in 0..rounds() {
            site.log(random.below(3000));
            if kind != Kind::Sqlite && round % 6 == 5 {
                // Kill the server while the pipeline runs, and start the server again at once.
                let mut shell = site.command(&pipeline).stderr(Stdio::null()).spawn().unwrap();
                std::thread::sleep(Duration::from_micros(random.below(80_000)));
                server.kill();
                server.start();
                died += u64::from(!shell.wait().unwrap().success());
            } else {
                died += u64::from(kill_one(&site, &pipeline, &mut random, 120_000));
            }
        }
        finish(&site, &pipeline);
        assert_table_is_exact(&site, &server);
        assert!(died >= rounds() / 4, "{kind:?}: only {died} of {} died", rounds());
        println!("{kind:?}: {} rounds, {died} died", rounds());
    }
}

#[test]
fn export_and_import_are_exact_although_stages_and_servers_are_killed() {
    let mut random = Random::new(20_261_126);
    for kind in Kind::ALL {
        let mut server = Server::new(kind);
        let mut site = Site::new();
        let (url, dialect) = (server.url(), kind.dialect());
        let export = format!(
            "mls-tail --framed --cursor-file X --committed-by S F | mls-csv --decode --timezone UTC | \
             mls-sql export --dialect {dialect} --dir sql --cursor-file X"
        );
        let import = format!("mls-sql import sql --url '{url}'");
        finish(&site, EXTRACT);
        finish(&site, &export);
        finish(&site, &import);
        let mut died = 0;
        for round in 0..rounds() {
            site.log(random.below(2000));
            site.extract_until_clean();
            died += u64::from(kill_one(&site, &export, &mut random, 60_000));
            if kind != Kind::Sqlite && round % 6 == 5 {
                let mut shell = site.command(&import).stderr(Stdio::null()).spawn().unwrap();
                std::thread::sleep(Duration::from_micros(random.below(60_000)));
                server.kill();
                server.start();
                died += u64::from(!shell.wait().unwrap().success());
            } else {
                died += u64::from(kill_one(&site, &import, &mut random, 60_000));
            }
        }
        finish(&site, &export);
        finish(&site, &import);
        assert_table_is_exact(&site, &server);
        assert!(died >= rounds() / 4, "{kind:?}: only {died} of {} died", 2 * rounds());
        println!("{kind:?}: {} rounds, {died} died", rounds());
    }
}

/// The temporary name of the SQL file `name` before its commit in `cursor_file`.
fn part(site: &Site, cursor_file: &str, name: &str) -> String {
    let machine = name.split('_').nth(2).unwrap();
    let whole = site.path().canonicalize().unwrap().join(cursor_file);
    let hash = text(&site.shell(&format!("printf %s '{}' | sha256sum", whole.display())).stdout);
    format!(".{machine}-{}.part", &hash[..16])
}

#[test]
fn the_next_run_renames_a_file_that_was_committed_but_not_renamed() {
    let mut site = Site::new();
    site.log(3);
    finish(&site, EXTRACT);
    let export = "mls-tail --framed --cursor-file X --committed-by S F | mls-csv --decode --timezone UTC | \
                  mls-sql export --dir sql --cursor-file X";
    finish(&site, export);
    let sql = || -> Vec<String> {
        let entries = std::fs::read_dir(site.path().join("sql")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    let [name] = sql().try_into().unwrap();
    // The state after a run died between the commit and the rename.
    let part = format!("sql/{}", part(&site, "X", &name));
    std::fs::rename(site.path().join("sql").join(&name), site.path().join(&part)).unwrap();
    // The commit names the directory of the file, so `--dir other` does not move the file.
    finish(&site, &export.replace("--dir sql", "--dir other"));
    assert_eq!(sql(), std::slice::from_ref(&name));
    // On a file system without RENAME_NOREPLACE, the file has two names for a moment.
    std::fs::hard_link(site.path().join("sql").join(&name), site.path().join(&part)).unwrap();
    finish(&site, export);
    assert_eq!(sql(), std::slice::from_ref(&name));
    // The file `part` is not committed, so it is not renamed. No new row means no new file.
    std::fs::rename(site.path().join("sql").join(&name), site.path().join("elsewhere")).unwrap();
    site.write(&part, "BEGIN;\nnever committed\n");
    finish(&site, export);
    assert!(!sql().contains(&name), "{:?}", sql());
}

/// The temporary name depends on the path of the cursor file and on the name of the machine.
#[test]
fn a_committed_file_is_found_and_renamed_after_the_cursor_file_has_moved() {
    for (state, dir, moved_dir) in [("state", "sql", "sql"), ("state", "state/sql", "moved/sql")] {
        let mut site = Site::new();
        site.log(3);
        finish(&site, EXTRACT);
        std::fs::create_dir(site.path().join(state)).unwrap();
        let export = |state: &str, dir: &str| {
            let x = format!("{state}/X");
            let export = format!(
                "mls-tail --framed --cursor-file {x} --committed-by S F | mls-csv --decode --timezone UTC | \
                 mls-sql export --dir {dir} --cursor-file {x}"
            );
            finish(&site, &export);
            let entries = std::fs::read_dir(site.path().join(dir)).unwrap();
            entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect::<Vec<_>>()
        };
        let rename = |from: &str, to: &str| {
            std::fs::rename(site.path().join(from), site.path().join(to)).unwrap();
        };
        let [name] = export(state, dir).try_into().unwrap();
        // A run has died after the commit and before the rename.
        rename(
            &format!("{dir}/{name}"),
            &format!("{dir}/{}", part(&site, &format!("{state}/X"), &name)),
        );
        rename(state, "moved");
        assert_eq!(export("moved", moved_dir), std::slice::from_ref(&name), "{dir}");
        // Older versions do not write the temporary name into the cursor file.
        assert!(site.shell("sed -i '/\"part\"/d' moved/X").status.success());
        rename(
            &format!("{moved_dir}/{name}"),
            &format!("{moved_dir}/{}", part(&site, "moved/X", &name)),
        );
        assert_eq!(export("moved", moved_dir), [name], "{dir}");
    }
}

#[test]
fn load_waits_for_a_server_that_starts_late_and_ends_with_75_if_it_never_starts() {
    let mut site = Site::new();
    site.log(5);
    let mut server = Server::new(Kind::Mariadb);
    server.kill();
    let load = format!("mls-parse < mail.log | mls-sql load --url '{}'", server.url());
    let waiting = site.command(&load).stderr(Stdio::piped()).spawn().unwrap();
    server.start();
    let output = waiting.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(server.count("maillogsentinel_events"), 5);
    server.kill();
    let output = site.shell(&load);
    assert_eq!(output.status.code(), Some(75), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("connecting to MySQL database mls at 127.0.0.1"),
        "{}",
        text(&output.stderr)
    );
}
