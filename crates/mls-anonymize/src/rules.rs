//! The patterns of `--rules`: each matches a text that identifies somebody.

use std::ops::Range;
use std::path::Path;

use anyhow::Context;
use clap::ValueEnum;
use mls_diag::Exit;
use regex::bytes::Regex;

use crate::class::Class;

/// Patterns, each with the class of the text that it matches.
#[derive(Debug, Default)]
pub struct Rules(Vec<(Class, Regex)>);

impl Rules {
    /// Reads a file of rules: `CLASS REGEX` on each line. Skips blank lines and lines that begin with
    /// `#`.
    ///
    /// # Errors
    /// Exit 66 or 77 if the file cannot be read, 78 if a line is not a rule.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let text =
            std::fs::read_to_string(path).with_context(|| format!("reading the rules {name}"))?;
        let lines = text
            .lines()
            .map(str::trim)
            .enumerate()
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let rule = |(n, line): (usize, &str)| {
            let wrong = |why: &str| Exit::Config.error(format!("{name}:{}: {why} ({line})", n + 1));
            let (class, pattern) = line
                .split_once(char::is_whitespace)
                .ok_or_else(|| wrong("a rule needs a class and a pattern"))?;
            let class = Class::from_str(class, false)
                .map_err(|_| wrong(&format!("unknown class {class}; use one of {}", classes())))?;
            // The message of `regex` first shows the pattern. Its last line is the reason.
            let regex = Regex::new(pattern.trim_start()).map_err(|error| {
                let error = error.to_string();
                wrong(error.lines().last().unwrap_or_default().trim_start_matches("error: "))
            })?;
            Ok((class, regex))
        };
        lines.map(rule).collect::<anyhow::Result<_>>().map(Self)
    }

    /// Returns the first match in `text` at `at` or later. If several rules match at the same byte,
    /// the first rule wins. Ignores empty matches.
    pub(crate) fn find(&self, text: &[u8], at: usize) -> Option<(Class, Range<usize>)> {
        let matches = self.0.iter().filter_map(|(class, regex)| {
            let mut from = at;
            loop {
                let groups = regex.captures_at(text, from)?;
                let (whole, part) = (groups.get(0)?, groups.get(1).or_else(|| groups.get(0))?);
                if !part.is_empty() {
                    return Some((*class, part.range()));
                }
                from = whole.end().max(from + 1);
                if from > text.len() {
                    return None;
                }
            }
        });
        matches.min_by_key(|(_, range)| range.start)
    }
}

fn classes() -> String {
    let names: Vec<&str> = Class::value_variants().iter().map(|class| class.name()).collect();
    names.join(", ")
}
