//! The search for the few lines that matter.

use memchr::memmem::Finder;
use mls_diag::{Exit, OrExit};
use mls_event::Outcome;
use regex::bytes::{Match, Regex};

use crate::{Daemon, dovecot, grammar, partial, repetition};

/// Two searches. The fast search finds lines with one of a few texts in whole blocks. The second
/// search looks in these lines for all words of attempts. All messages of Dovecot about failures
/// have an address, so one text (`ip=`) finds them. A search for thirty texts took twice as long.
#[derive(Clone)]
pub(crate) struct Search {
    pub(crate) attempts: Words,
    /// The texts of the fast search in lines: texts of attempts, and of lines that belong to
    /// another line.
    lines: Regex,
    /// The texts of the fast search in journal entries. In an entry, a message that is not UTF-8 is
    /// an array of bytes, without words to find. So the search finds every such entry.
    entries: Regex,
    hidden: Regex,
    /// Words of attempts of Postfix. The fast search looks only for the end of these words. If
    /// their beginning comes before the found text, the second search is not needed.
    certain: Vec<&'static str>,
}

/// Texts to find in one line. To build a regex of Dovecot's forty texts would take as long as to
/// search megabytes.
#[derive(Clone)]
pub(crate) struct Words {
    /// Texts that begin with a parenthesis.
    reasons: Vec<&'static [u8]>,
    others: Vec<Finder<'static>>,
    /// Whether to find also sessions of Dovecot that end without a reason.
    has_ends: bool,
}

impl Words {
    fn new(words: &[&'static str], has_ends: bool) -> Self {
        let (reasons, others): (Vec<_>, Vec<_>) =
            words.iter().map(|words| words.as_bytes()).partition(|words| words.starts_with(b"("));
        Self { reasons, others: others.into_iter().map(Finder::new).collect(), has_ends }
    }

    pub(crate) fn is_match(&self, line: &[u8]) -> bool {
        let is_reason = |text: &[u8]| self.reasons.iter().any(|words| text.starts_with(words));
        self.others.iter().any(|words| words.find(line).is_some())
            || (!self.reasons.is_empty()
                && memchr::memchr_iter(b'(', line).any(|at| is_reason(&line[at..])))
            || (self.has_ends && dovecot::names_an_attempt(line))
    }
}

/// The part of `words` that the fast search looks for. The search first looks for three bytes of
/// each text, because the shortest text has three bytes. It compares the rest of a text only after
/// it has found these bytes. A quarter of all lines have ` auth=`, which begins like ` authent`. So
/// ` authent` is left out.
fn rare(words: &'static str) -> &'static str {
    words.strip_prefix(" authent").unwrap_or(words)
}

/// The end of `[81B blob data]`: journalctl writes such a line instead of a text that is not UTF-8
/// or has control characters. A user name can cause this.
pub(crate) const BLOB: &str = "B blob data]";

/// A text in every line of Dovecot about a login: the end of `rip=`. If each text had four bytes or
/// more, the search would first look for four bytes, and would take a third longer.
const DOVECOT_ADDRESS: &str = "ip=";

impl Search {
    /// Finds the first text at or after `from`. If `journal` is true, `lines` are journal entries.
    pub(crate) fn find_at<'a>(
        &self,
        journal: bool,
        lines: &'a [u8],
        from: usize,
    ) -> Option<Match<'a>> {
        if journal { &self.entries } else { &self.lines }.find_at(lines, from)
    }

    /// Exit 70 if the expressions cannot be built.
    pub(crate) fn new(daemons: &[Daemon], outcomes: &[Outcome]) -> anyhow::Result<Self> {
        let words = |daemon: &Daemon| grammar::words(*daemon, outcomes);
        let attempts: Vec<_> = daemons.iter().flat_map(words).collect();
        let has_ends = daemons.contains(&Daemon::Dovecot)
            && outcomes.iter().any(|outcome| *outcome != Outcome::Success);
        let fast = |daemon: &Daemon| match daemon {
            Daemon::Postfix => words(daemon).into_iter().map(rare).collect(),
            Daemon::Dovecot if words(daemon).is_empty() => Vec::new(),
            Daemon::Dovecot => vec![DOVECOT_ADDRESS],
        };
        let certain =
            if daemons.contains(&Daemon::Postfix) { words(&Daemon::Postfix) } else { vec![] };
        let fast: Vec<_> = daemons.iter().flat_map(fast).collect();
        // The set of words is empty if Dovecot has no message about the outcomes. `[^\s\S]`
        // matches nothing.
        let texts = |words: &[&str]| {
            let words = words.iter().map(|words| regex::escape(words));
            words.reduce(|a, b| format!("{a}|{b}")).unwrap_or_else(|| r"[^\s\S]".to_owned())
        };
        let build = |expression: &str| Regex::new(expression).or_exit(Exit::Software);
        let others = [&repetition::WORDS[..], &partial::WORDS, &[BLOB]].concat();
        // Without --all, journalctl writes null instead of a long message.
        let hidden = r#""MESSAGE" ?: ?(?:\[|null)"#;
        Ok(Self {
            attempts: Words::new(&attempts, has_ends),
            lines: build(&texts(&[fast.as_slice(), &others].concat()))?,
            entries: build(&format!(
                "{}|{hidden}",
                texts(&[fast.as_slice(), &repetition::WORDS, &[partial::IN_ENTRIES]].concat())
            ))?,
            hidden: build(hidden)?,
            certain,
        })
    }

    /// Whether a line has the words of an attempt, or may have them. The fast search has found
    /// `text` in the line, and `front` is the part of the line before `text`.
    pub(crate) fn is_candidate(
        &self,
        front: &[u8],
        text: &[u8],
        line: &[u8],
        is_entry: bool,
    ) -> bool {
        let is_end_of = |words: &&str| {
            words.as_bytes().strip_suffix(text).is_some_and(|begin| front.ends_with(begin))
        };
        self.certain.iter().any(is_end_of)
            || self.attempts.is_match(line)
            || (text == BLOB.as_bytes() && line.ends_with(text))
            || (is_entry && self.hidden.is_match(line))
    }
}
