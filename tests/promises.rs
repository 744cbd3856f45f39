//! Tests the promises of README together. Any two events can happen between two runs. Each failure
//! must be exactly once in the CSV and its rotated files, and each error of the server counts once.
//!
//! By default, each ordered pair of events runs once. If `MLS_SEQUENCES=N`, N random sequences run.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on should stop, and says which events it ran"
)]

use std::process::Stdio;
use std::time::Duration;

use mls_state::cursor_file::CursorFile;
use mls_tests::{EXTRACT, Site, has, text, wrong_clock};
use testdata::random::Random;

/// Something that happens to the log in `log_directory`, to the CSV `F`, or to a run.
#[derive(Clone, Copy, Debug)]
enum Event {
    RunDies,
    SinkLeavesRows,
    LogIsRotated,
    LogIsRotatedAndCompressed,
    LogIsCopiedAndTruncated,
    LogDirectoryMoves,
    CsvIsRotated,
    CsvIsRotatedAndCompressed,
    CsvIsCopiedAndTruncated,
    CsvIsRotatedByTheTool,
    ClockJumps,
    DiskIsFull,
    TwoRunAtOnce,
}

const EVENTS: [Event; 13] = [
    Event::RunDies,
    Event::SinkLeavesRows,
    Event::LogIsRotated,
    Event::LogIsRotatedAndCompressed,
    Event::LogIsCopiedAndTruncated,
    Event::LogDirectoryMoves,
    Event::CsvIsRotated,
    Event::CsvIsRotatedAndCompressed,
    Event::CsvIsCopiedAndTruncated,
    Event::CsvIsRotatedByTheTool,
    Event::ClockJumps,
    Event::DiskIsFull,
    Event::TwoRunAtOnce,
];

/// A line about a login that the server could not check.
const ERROR: &str = "2026-06-01T00:00:00+00:00 vm postfix/smtpd[74]: warning: unknown[192.0.2.1]: \
                     SASL LOGIN authentication failed: Connection lost to authentication server\n";

/// The log and the CSV of one sequence of events.
struct World {
    site: Site,
    log_directory: String,
    rotated: u32,
    errors: u64,
}

impl World {
    fn new() -> Self {
        let site = Site::new();
        let world = Self { site, log_directory: "d0".into(), rotated: 0, errors: 0 };
        world.shell("mkdir d0 && mv mail.log d0/");
        world
    }

    fn shell(&self, command: &str) {
        let output = self.site.shell(command);
        assert!(output.status.success(), "{command}: {}", text(&output.stderr));
    }

    fn extract(&self) -> String {
        EXTRACT
            .replace("mail.log", &format!("{}/mail.log", self.log_directory))
            .replace("mls-parse", "mls-parse --outcome failure,error")
    }

    fn log(&mut self, n: u64) {
        let lines = self.site.failures(n) + &ERROR.repeat(usize::try_from(n / 2).unwrap());
        self.errors += n / 2;
        self.site.append(&format!("{}/mail.log", self.log_directory), &lines);
    }

    /// The next number for a new name. It looks like a date, so no older file needs a new name.
    fn next(&mut self) -> u32 {
        self.rotated += 1;
        20_260_000 + self.rotated
    }

    fn happen(&mut self, event: Event, random: &mut Random) {
        let log = format!("{}/mail.log", self.log_directory);
        match event {
            Event::RunDies => {
                let mut run =
                    self.site.command(&format!("exec setsid {}", "bash -o pipefail -c \"$RUN\""));
                let mut run = run.env("RUN", self.extract()).stderr(Stdio::null()).spawn().unwrap();
                std::thread::sleep(Duration::from_micros(random.below(20_000)));
                let _ = self.site.shell(&format!("kill -9 -- -{}", run.id()));
                run.wait().unwrap();
            }
            Event::SinkLeavesRows => {
                // The sink writes rows only after it has committed the header of the CSV.
                let cursor = CursorFile::load(&self.site.path().join("S")).unwrap();
                let data = cursor.and_then(|cursor| cursor.data);
                if data.is_some_and(|data| data.length > 0) && !self.site.read("F").is_empty() {
                    self.site.append(
                        "F",
                        "vm,2026-06-01 00:00,192.0.2.1,lost,null,N/A,N/A,N/A,N/A\nvm,2026",
                    );
                }
            }
            Event::LogIsRotated => {
                let n = self.next();
                self.shell(&format!("mv {log} {log}-{n} && : > {log}"));
            }
            Event::LogIsRotatedAndCompressed => {
                let n = self.next();
                self.shell(&format!("mv {log} {log}-{n} && gzip {log}-{n} && : > {log}"));
            }
            Event::LogIsCopiedAndTruncated => {
                let n = self.next();
                self.shell(&format!("cp {log} {log}-{n} && : > {log}"));
            }
            Event::LogDirectoryMoves => {
                let to = format!("d{}", self.next());
                self.shell(&format!("cp -a {0} {to} && rm -r {0}", self.log_directory));
                self.log_directory = to;
            }
            Event::CsvIsRotated => {
                let n = self.next();
                self.shell(&format!("[ ! -e F ] || mv F F-{n}"));
            }
            Event::CsvIsRotatedAndCompressed => {
                let n = self.next();
                self.shell(&format!("[ ! -e F ] || {{ mv F F-{n} && gzip F-{n}; }}"));
            }
            Event::CsvIsCopiedAndTruncated => {
                let n = self.next();
                self.shell(&format!("[ ! -e F ] || {{ cp F F-{n} && : > F; }}"));
            }
            Event::CsvIsRotatedByTheTool => {
                let n = self.next();
                self.settled(&format!("mls-csv --append F --cursor-file S --rotate-to F-{n}"));
            }
            Event::ClockJumps => {
                let clock = ["-400d", "+4000d", "-1d"][usize::try_from(random.below(3)).unwrap()];
                if has("faketime") {
                    let tool = format!("{} mls-", wrong_clock(clock));
                    self.settled(&self.extract().replace("mls-", &tool));
                }
            }
            Event::DiskIsFull => {
                let limit = 500 + random.below(8000);
                let run = self
                    .extract()
                    .replace("mls-csv", &format!("prlimit --fsize={limit} -- mls-csv"));
                let _ = self.site.shell(&run);
            }
            Event::TwoRunAtOnce => {
                let run = self.extract();
                let mut other = self.site.command(&run).stderr(Stdio::null()).spawn().unwrap();
                let _ = self.site.shell(&run);
                other.wait().unwrap();
            }
        }
    }

    /// Repeats a command while another pipeline runs.
    fn settled(&self, command: &str) {
        for _ in 0..600 {
            let output = self.site.shell(command);
            match output.status.code() {
                Some(0) => return,
                Some(75) => std::thread::sleep(Duration::from_millis(50)),
                _ => panic!("{command}: {}: {}", output.status, text(&output.stderr)),
            }
        }
        panic!("{command}: another pipeline never ended");
    }

    fn check(&self) {
        for _ in 0..2 {
            self.settled(&self.extract());
        }
        self.site.assert_all_csv_exact();
        let cursor = CursorFile::load(&self.site.path().join("S")).unwrap();
        assert_eq!(cursor.unwrap().unchecked.total, self.errors);
    }
}

fn sequence(events: &[Event], random: &mut Random) {
    println!("{events:?}");
    let mut world = World::new();
    world.log(30);
    world.settled(&world.extract());
    for event in events {
        world.log(1 + random.below(40));
        world.happen(*event, random);
    }
    world.log(5);
    world.check();
}

#[test]
fn each_failure_is_recorded_once_after_any_two_events() {
    let mut random = Random::new(20_261_128);
    if let Some(count) = std::env::var("MLS_SEQUENCES").ok().map(|n| n.parse::<u32>().unwrap()) {
        for _ in 0..count {
            let length = 2 + random.below(6);
            let event = |random: &mut Random| {
                EVENTS[usize::try_from(random.below(EVENTS.len() as u64)).unwrap()]
            };
            let events: Vec<Event> = (0..length).map(|_| event(&mut random)).collect();
            sequence(&events, &mut random);
        }
        return;
    }
    for first in EVENTS {
        for second in EVENTS {
            sequence(&[first, second], &mut random);
        }
    }
}
