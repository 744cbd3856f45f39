//! Kills the pipeline of every unit that stores data, at random moments. Meanwhile, logs and CSV
//! files are rotated, directories move, and clocks are wrong. At the end, every attempt counts
//! exactly once.
//!
//! The pipelines come from the unit files. `MLS_ROUNDS` is the number of kills: few by default,
//! hundreds with `scripts/test --full`.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use mls_tests::killing::{end, kill_some};
use mls_tests::service::Service;
use mls_tests::{has, hostile, skip, units, wrong_clock};
use testdata::random::Random;

const KILLED: [&str; 15] = [
    "maillogsentinel.service",
    "maillogsentinel-logins.service",
    FOLLOW,
    LOGINS_FOLLOW,
    "maillogsentinel-load.service",
    LOAD_FOLLOW,
    "maillogsentinel-report.service",
    "maillogsentinel-alert.service",
    ALERT_FOLLOW,
    METRICS,
    "maillogsentinel-sql-export.service",
    "maillogsentinel-sql-import.service",
    PRUNE,
    BLOCK,
    UPDATE,
];

const FOLLOW: &str = "maillogsentinel-follow.service";
const LOGINS_FOLLOW: &str = "maillogsentinel-logins-follow.service";
const LOAD_FOLLOW: &str = "maillogsentinel-load-follow.service";
const ALERT_FOLLOW: &str = "maillogsentinel-alert-follow.service";
const METRICS: &str = "maillogsentinel-metrics.service";
const BLOCK: &str = "maillogsentinel-block.service";
const PRUNE: &str = "maillogsentinel-prune.service";
const UPDATE: &str = "ipinfo-update.service";

/// The units that store no data, so a kill changes nothing.
const STATELESS: [&str; 3] = [
    // nft applies a script as one transaction.
    "maillogsentinel-block-nft.service",
    "maillogsentinel-block-postfix.service",
    "maillogsentinel-failed@.service",
];

/// The number of failures before the first run of the metrics. The metrics do not count these
/// failures.
const BEFORE_METRICS: usize = 3;

/// The number of rounds for one service. It is small, because each run reads all rotated files.
const LIFE: usize = 40;

#[test]
fn every_unit_is_in_the_list_of_killed_or_of_stateless_pipelines() {
    let units: BTreeSet<_> = units::commands().into_iter().map(|(name, _)| name).collect();
    let known = KILLED.iter().chain(&STATELESS).map(|name| (*name).to_owned()).collect();
    assert_eq!(units, known, "add each new unit to one of the two lists");
}

#[test]
fn every_pipeline_is_exact_although_it_is_killed_at_random_moments() {
    if !has("faketime") {
        return skip("faketime is not installed");
    }
    let rounds = std::env::var("MLS_ROUNDS").map_or(90, |rounds| rounds.parse().unwrap());
    let seed = std::env::var("MLS_SEED").map_or(20_261_128, |seed| seed.parse().unwrap());
    let mut random = Random::new(seed);
    let mut deaths: BTreeMap<&str, u32> = BTreeMap::new();
    let (mut done, mut written) = (0, 0);
    while done < rounds {
        let mut history = History::new();
        for _ in 0..LIFE.min(rounds - done) {
            history.round(&mut random, &mut deaths);
            done += 1;
        }
        history.finish();
        written += history.service.failures();
    }
    let died: u32 = deaths.values().sum();
    println!(
        "{done} kills, {died} pipelines died of them, {written} failures and as many logins: {deaths:?}"
    );
    assert!(died as usize > rounds / 3, "only {died} of {rounds} died: nothing was tested");
}

/// A service and what happened to it.
struct History {
    service: Service,
    /// Pipelines that may still run.
    running: Vec<Child>,
    rotated: usize,
    moved: usize,
    /// How long an extraction takes here, in microseconds. Each kill comes within this time.
    span: u64,
}

impl History {
    fn new() -> Self {
        let service = Service::new();
        service.make_directories();
        service.fetch_databases_from(serve_databases());
        let mut history = Self { service, running: Vec::new(), rotated: 0, moved: 0, span: 0 };
        // The first digest reads only the newest CSV, so make it before a rotation.
        history.service.log(BEFORE_METRICS);
        let begun = Instant::now();
        history.run_extractions();
        history.span = u64::try_from(begun.elapsed().as_micros()).unwrap() / 2;
        history.service.run("maillogsentinel-report.service");
        history.service.run(METRICS);
        history
    }

    fn round(&mut self, random: &mut Random, deaths: &mut BTreeMap<&str, u32>) {
        self.happen(random);
        self.service.log(usize::try_from(random.below(30)).unwrap());
        // Most kills hit the first four pipelines, which record failures and logins.
        let unit =
            if random.below(2) == 0 { *random.pick(&KILLED[..4]) } else { *random.pick(&KILLED) };
        let mut shell = self.start(unit, random);
        if [FOLLOW, LOGINS_FOLLOW, LOAD_FOLLOW, ALERT_FOLLOW, BLOCK].contains(&unit) {
            std::thread::sleep(Duration::from_micros(random.below(150_000)));
            self.service.log(usize::try_from(random.below(30)).unwrap());
        }
        std::thread::sleep(Duration::from_micros(random.below(self.span)));
        kill_some(&shell, random);
        // Processes that were not killed may still run when the next pipeline begins.
        if random.below(3) > 0 {
            if !end(&mut shell) {
                *deaths.entry(unit).or_default() += 1;
            }
        } else {
            self.running.push(shell);
        }
    }

    /// Starts the pipeline of a unit, sometimes with a wrong clock.
    fn start(&mut self, unit: &str, random: &mut Random) -> Child {
        let mut script = self.service.script(unit);
        if unit == PRUNE {
            script = self.prune();
        } else if random.below(4) == 0 && !script.contains("mls-alert") {
            // mls-alert reports only the last day, so it needs the right clock.
            let clock = random.pick(&["-400d", "+4000d", "-1d", "+1h"]);
            let clock = wrong_clock(clock);
            script = script.replace("mls-tail", &format!("{clock} mls-tail"));
            script = script.replace("mls-csv", &format!("{clock} mls-csv"));
        }
        let mut command = self.service.command(&script);
        command.process_group(0).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Returns a script that prunes with a clock in the future: the first row is too old, so the
    /// CSV is rotated. Each call uses a later clock.
    fn prune(&mut self) -> String {
        self.rotated += 1;
        let days = 10 + self.rotated;
        let script = self.service.script(PRUNE);
        let clock = wrong_clock(&format!("+{days}d"));
        script.replace("maillogsentinel --", &format!("{clock} maillogsentinel --"))
    }

    /// Rotates the log or the CSV, writes to an old log, compresses it, or moves a directory.
    fn happen(&mut self, random: &mut Random) {
        match random.below(10) {
            0 | 1 => {
                self.rotated += 1;
                let n = 20_260_000 + self.rotated;
                self.service.succeed(&format!("mv log/mail.log log/mail.log-{n}; : > log/mail.log"));
            }
            2 => {
                self.rotated += 1;
                let n = 20_260_000 + self.rotated;
                // copytruncate loses lines that are written meanwhile. Here, no line is written.
                self.wait();
                self.run_extractions();
                self.service
                    .succeed(&format!("cp log/mail.log log/mail.log-{n}; : > log/mail.log"));
            }
            3 => {
                let late = self.service.lines(usize::try_from(random.below(5)).unwrap());
                let newest = self.service.succeed("ls log | sed -n '/[0-9]$/p' | tail -n 1");
                let name = if newest.is_empty() { "mail.log" } else { newest.trim() };
                self.service.append(&format!("log/{name}"), &late);
            }
            4 => drop(self.service.succeed(
                "oldest=$(ls log | sed -n '/[0-9]$/p' | head -n 1); [ -z \"$oldest\" ] || gzip --fast log/$oldest",
            )),
            5 => {
                self.wait();
                self.moved += 1;
                self.service.succeed(&format!(
                    "old=$(readlink log); cp -a $old log{0}; ln -sfn log{0} log; rm -r $old",
                    self.moved
                ));
            }
            6 => {
                self.rotated += 1;
                self.service.settle(&format!(
                    "[ ! -e data/F ] || mls-csv --append data/F --cursor-file data/state/state.offset \
                     --rotate-to data/F-$(date --date='{} days' +%Y%m%d)",
                    10 + self.rotated
                ));
            }
            7 => {
                // Move the data as if to another disk, and leave a symbolic link.
                self.wait();
                self.moved += 1;
                self.service.succeed(&format!(
                    "cp -a data/. data{0}; old=$(readlink data || :); rm -r data; ln -s data{0} data; \
                     [ -z \"$old\" ] || rm -r \"$old\"",
                    self.moved
                ));
            }
            _ => {}
        }
    }

    /// Waits for all pipelines that were not killed.
    fn wait(&mut self) {
        for mut shell in self.running.drain(..) {
            end(&mut shell);
        }
    }

    fn run_extractions(&self) {
        self.service.run("maillogsentinel.service");
        self.service.run("maillogsentinel-logins.service");
    }

    /// Runs every pipeline once without a kill, and checks the results.
    fn finish(&mut self) {
        self.wait();
        // If the CSV was just rotated, these rows begin a new CSV.
        self.service.log(3);
        self.run_extractions();
        let service = &self.service;
        for unit in ["load", "report", "alert", "metrics", "sql-export", "sql-import"] {
            service.run(&format!("maillogsentinel-{unit}.service"));
        }
        service.settle(&service.script(BLOCK).replace("--follow --no-rotated", ""));
        service.run(UPDATE);
        service.assert_failures();
        service.assert_logins();
        service.assert_errors();
        service.assert_digests();
        service.assert_alerts();
        service.assert_metrics(BEFORE_METRICS);
        service.assert_database();
        service.assert_loaded();
        service.assert_blocked();
        service.succeed("mls-ipdb --config conf verify");
    }
}

/// Starts a server that sends a new version of the IP databases for each request.
fn serve_databases() -> u16 {
    let version = std::sync::atomic::AtomicU32::new(1);
    hostile::serve(move |mut stream| {
        let mut request = String::new();
        let mut lines = BufReader::new(stream.try_clone()?);
        while lines.read_line(&mut request)? > 2 {}
        let version = version.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let country = request.starts_with("GET /country");
        let value = if country { "XX".to_owned() } else { format!("{version},Example") };
        let body = format!("1.0.0.0,255.255.255.255,{value}\n");
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
    })
}
