//! The search for the few lines that matter.

use mls_diag::{Exit, OrExit};
use mls_event::Outcome;
use regex::bytes::Regex;

use crate::{Daemon, grammar, partial, repetition};

/// What is looked for. All are texts without variable parts, which `regex` finds at the speed of memory.
#[derive(Clone)]
pub(crate) struct Search {
    /// Words of an attempt.
    pub(crate) attempts: Regex,
    /// Words of an attempt, or of a line that has to do with another one.
    pub(crate) lines: Regex,
    /// Words of an attempt, or a journal entry whose message is an array of bytes, because it is not UTF-8.
    pub(crate) entries: Regex,
}

impl Search {
    /// # Errors
    /// Exit 70 if the expressions cannot be built.
    pub(crate) fn new(daemons: &[Daemon], outcomes: &[Outcome]) -> anyhow::Result<Self> {
        let attempts: Vec<_> =
            daemons.iter().flat_map(|daemon| grammar::words(*daemon, outcomes)).collect();
        // Dovecot does not report every outcome: a set of words may be empty.
        let nothing = r"[^\s\S]".to_owned();
        let texts = |words: &[&str]| {
            let words = words.iter().map(|words| regex::escape(words));
            words.reduce(|a, b| format!("{a}|{b}")).unwrap_or_else(|| nothing.clone())
        };
        let build = |expression: &str| Regex::new(expression).or_exit(Exit::Software);
        let others = [repetition::WORDS, partial::WORDS].concat();
        Ok(Self {
            attempts: build(&texts(&attempts))?,
            lines: build(&texts(&[attempts.as_slice(), &others].concat()))?,
            entries: build(&format!(r#"{}|"MESSAGE" ?: ?\["#, texts(&attempts)))?,
        })
    }
}
