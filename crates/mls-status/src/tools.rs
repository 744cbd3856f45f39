//! Runs the other tools of the service and reads what they print.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, ensure};
use mls_event::Record;
use mls_state::regular;

/// The tools, with the configuration that they read.
pub(crate) struct Tools<'a>(pub(crate) &'a Path);

/// The attempts that a pipeline printed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Attempts {
    /// `None` if a stage failed.
    pub(crate) count: Option<u64>,
    /// The date of the first attempt; empty if there is none.
    pub(crate) first: String,
    pub(crate) last: String,
}

impl Attempts {
    pub(crate) fn none() -> Self {
        Self { count: Some(0), ..Self::default() }
    }

    fn read(records: impl Read) -> anyhow::Result<Self> {
        let (mut count, mut first, mut last) = (0, String::new(), String::new());
        for line in BufReader::new(records).split(b'\n') {
            if let Record::Auth(auth) = Record::parse(&line?)? {
                last.clear();
                last.push_str(auth.date.as_str());
                if count == 0 {
                    first.clone_from(&last);
                }
                count += 1;
            }
        }
        Ok(Self { count: Some(count), first, last })
    }
}

impl Tools<'_> {
    /// Returns the command for a tool and its arguments, which are separated by spaces.
    fn command(&self, line: &str) -> Command {
        let mut words = line.split(' ');
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).arg("--config").arg(self.0).stdin(Stdio::null());
        command
    }

    /// Counts the attempts in the output of a pipeline.
    pub(crate) fn attempts(&self, stages: &[&str]) -> anyhow::Result<Attempts> {
        self.pipeline(stages, Stdio::null())
    }

    /// Counts the rows of a CSV. If the file does not exist, the number is 0.
    pub(crate) fn rows(&self, csv: &Path) -> anyhow::Result<Attempts> {
        match regular::if_there(regular::open(csv))? {
            Some(file) => self.pipeline(&["mls-csv --decode"], file.into()),
            None => Ok(Attempts::none()),
        }
    }

    fn pipeline(&self, stages: &[&str], mut input: Stdio) -> anyhow::Result<Attempts> {
        let mut children = Vec::new();
        let mut output = None;
        for stage in stages {
            let mut command = self.command(stage);
            let mut child = command
                .stdin(output.take().map_or(input, Stdio::from))
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .with_context(|| format!("starting {stage}"))?;
            input = Stdio::null();
            output = child.stdout.take();
            let messages = child.stderr.take().context("no messages")?;
            children.push((stage, child, thread::spawn(move || last_error(messages))));
        }
        let found = Attempts::read(output.context("no stage")?);
        for (stage, mut child, why) in children {
            let status = child.wait().with_context(|| format!("waiting for {stage}"))?;
            let why = why.join().ok().flatten().unwrap_or_else(|| format!("{stage}: {status}"));
            ensure!(status.success(), why);
        }
        found
    }

    /// Runs a tool. Returns its output. If the tool fails, also returns the last error message.
    pub(crate) fn run(&self, line: &str) -> (String, Option<String>) {
        run(&mut self.command(line))
    }
}

/// Runs a command. Returns its output. If the command fails, also returns the last error message.
pub(crate) fn run(command: &mut Command) -> (String, Option<String>) {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = match command.stderr(Stdio::piped()).output() {
        Ok(output) => output,
        Err(error) => return (String::new(), Some(format!("{name} cannot be started: {error}"))),
    };
    let why = (!output.status.success()).then(|| {
        last_error(&*output.stderr).unwrap_or_else(|| format!("{name}: {}", output.status))
    });
    (String::from_utf8_lossy(&output.stdout).into_owned(), why)
}

/// Returns the last error message without the name of the tool. If no line contains `: error: `, as
/// with systemctl, returns the last line.
fn last_error(messages: impl Read) -> Option<String> {
    let (mut marked, mut last) = (None, None);
    for line in BufReader::new(messages).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        match line.split_once(": error: ") {
            Some((_, message)) => marked = Some(message.to_owned()),
            None => last = Some(line.into_owned()),
        }
    }
    marked.or(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_counted_and_other_records_are_not() {
        let auth = |second| {
            format!(
                r#"{{"v":1,"type":"auth","date":"2026-06-01T00:00:0{second}Z","outcome":"failure","user":"\"type\":\"auth\""}}"#
            )
        };
        let text = format!("{{\"v\":1,\"type\":\"later\"}}\n{}\n{}\n", auth(1), auth(2));
        let found = Attempts::read(text.as_bytes()).unwrap();
        let date = |second| format!("2026-06-01T00:00:0{second}Z");
        assert_eq!(found, Attempts { count: Some(2), first: date(1), last: date(2) });
        assert_eq!(Attempts::read(&b""[..]).unwrap(), Attempts::none());
        assert!(Attempts::read(&b"mls-parse: not a record\n"[..]).is_err());
    }

    #[test]
    fn the_last_error_is_shown_and_not_a_message_after_it() {
        for (messages, expected) in [
            ("mls-x: warning: a\nmls-x: error: b: c\nmls-x: debug: d\n", Some("b: c")),
            ("mls-x: error: a\nmls-x: error: b\n", Some("b")),
            ("Failed to connect\n", Some("Failed to connect")),
            ("", None),
        ] {
            assert_eq!(last_error(messages.as_bytes()).as_deref(), expected);
        }
    }

    #[test]
    fn the_stage_that_fails_or_is_missing_is_named() {
        let tools = Tools(Path::new("/nonexistent"));
        for (stages, expected) in [
            (&["false"][..], "false: exit status: 1"),
            (&["false", "true"], "false: exit status: 1"),
            (&["true", "/nonexistent/tool"], "starting /nonexistent/tool: No such file"),
            (&["true", "ls"], "Try 'ls --help'"),
        ] {
            let why = format!("{:#}", tools.attempts(stages).unwrap_err());
            assert!(why.starts_with(expected), "{why}");
        }
        assert_eq!(tools.attempts(&["true", "true"]).unwrap(), Attempts::none());
        assert_eq!(tools.run("false"), (String::new(), Some("false: exit status: 1".into())));
    }
}
