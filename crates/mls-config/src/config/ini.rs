//! Parses a configuration file: values by section and key, each with its line.
//!
//! The format is INI as Python's `configparser` reads it, for compatibility with the Python
//! original. `#` and `;` begin a comment only at the beginning of a line. `=` or `:` separates key
//! and value. A line that is indented deeper than the key before it continues the value. Letter
//! case does not matter in names of sections and keys. If a key is repeated, the last value counts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use mls_diag::Exit;

use super::declare::{ConfigKey, ConfigSection};
use super::value::{ConfigValue, NotAllowed, has_comment};

struct IniValue {
    value: String,
    line: usize,
}

struct IniSection {
    line: usize,
    entries: BTreeMap<String, IniValue>,
}

pub(super) struct Ini<'a> {
    path: &'a Path,
    sections: BTreeMap<String, IniSection>,
}

/// A key whose value may be continued on the next lines.
struct OpenKey {
    section: String,
    key: String,
    indent: usize,
}

impl<'a> Ini<'a> {
    /// Parses the text of the file `path`. `sections` are the known keys.
    pub(super) fn parse(
        path: &'a Path,
        text: &str,
        sections: &[ConfigSection],
    ) -> anyhow::Result<Self> {
        let mut ini = Self { path, sections: BTreeMap::new() };
        let mut section: Option<String> = None;
        let mut open: Option<OpenKey> = None;
        // Lines end with LF, CR LF or CR. Some editors write a byte order mark.
        let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
        for (number, line) in (1..).zip(text.split('\n')) {
            let content = line.trim();
            if content.is_empty() || content.starts_with(['#', ';']) {
                continue;
            }
            let indent = line.len() - line.trim_start().len();
            if let Some(open) = open.as_ref().filter(|open| indent > open.indent) {
                ini.refuse_indented_key(sections, open, number, content)?;
                ini.continue_value(open, content);
                continue;
            }
            if let Some(name) = content.strip_prefix('[') {
                let Some((name, _)) = name.rsplit_once(']') else {
                    let why = format!("{content:?} is not the name of a section; end it with ]");
                    return Err(ini.error(number, why));
                };
                let name = name.trim().to_lowercase();
                ini.sections
                    .entry(name.clone())
                    .or_insert_with(|| IniSection { line: number, entries: BTreeMap::new() });
                (section, open) = (Some(name), None);
                continue;
            }
            let Some((key, value)) = content.split_once(['=', ':']) else {
                return Err(ini.error(number, format!("{content:?} is not KEY = VALUE")));
            };
            let Some(section) = &section else {
                let why = format!(
                    "{content:?} is not in a section; put a line such as [paths] before it"
                );
                return Err(ini.error(number, why));
            };
            let key = key.trim_end().to_lowercase();
            let entry = IniValue { value: value.trim().to_owned(), line: number };
            ini.insert(section, &key, entry);
            open = Some(OpenKey { section: section.clone(), key, indent });
        }
        Ok(ini)
    }

    fn insert(&mut self, section: &str, key: &str, entry: IniValue) {
        let Some(entries) = self.sections.get_mut(section) else { return };
        if let Some(earlier) = entries.entries.get(key) {
            log::warn!(
                "configuration file {}:{}: [{section}] {key} repeats line {}; the last value counts",
                self.path.display(),
                entry.line,
                earlier.line
            );
        }
        entries.entries.insert(key.to_owned(), entry);
    }

    fn continue_value(&mut self, open: &OpenKey, content: &str) {
        let entries = self.sections.get_mut(&open.section);
        if let Some(entry) = entries.and_then(|section| section.entries.get_mut(&open.key)) {
            entry.value.push('\n');
            entry.value.push_str(content);
        }
    }

    /// Refuses an indented line that begins with the name of a key. Such a line would continue the
    /// value of the key above, but the administrator surely wanted a new key.
    fn refuse_indented_key(
        &self,
        sections: &[ConfigSection],
        open: &OpenKey,
        number: usize,
        content: &str,
    ) -> anyhow::Result<()> {
        let name = content.split(['=', ':']).next().unwrap_or_default().trim();
        let mut keys = sections.iter().flat_map(|section| section.keys);
        if name.len() == content.len() || !keys.any(|key| key.name.eq_ignore_ascii_case(name)) {
            return Ok(());
        }
        let before = &open.key;
        Err(self.error(
            number,
            format!(
                "{name} begins with blanks, so it would continue the value of {before}; remove the \
                 blanks"
            ),
        ))
    }

    fn error(&self, line: usize, why: impl std::fmt::Display) -> anyhow::Error {
        Exit::Config.error(format!("configuration file {}:{line}: {why}", self.path.display()))
    }

    fn entry(&self, section: &str, key: &str) -> Option<&IniValue> {
        let entry = self.sections.get(&section.to_lowercase())?.entries.get(key)?;
        (!entry.value.is_empty()).then_some(entry)
    }

    /// Whether the file gives a key another value than its default.
    pub(super) fn sets(&self, key: &ConfigKey) -> bool {
        names(key)
            .find_map(|(section, name)| self.entry(section, name))
            .is_some_and(|entry| entry.value != key.default)
    }

    /// The value of a key, else the value of its first alias in the file, else the default.
    pub(super) fn value<T: ConfigValue>(&self, key: &ConfigKey) -> anyhow::Result<T> {
        let mut found = None;
        for (section, name) in names(key) {
            let Some(entry) = self.entry(section, name) else { continue };
            let value = T::parse(&entry.value)
                .map_err(|wrong| self.wrong(section, name, entry.line, &wrong))?;
            found = found.or(Some(value));
        }
        let default =
            || T::parse(key.default).map_err(|wrong| self.wrong(key.section, key.name, 0, &wrong));
        found.map_or_else(default, Ok)
    }

    /// If a further check of a value failed, adds the file and the line to the error.
    pub(super) fn check(
        &self,
        key: &ConfigKey,
        checked: Result<(), NotAllowed>,
    ) -> anyhow::Result<()> {
        checked.map_err(|wrong| {
            let found = names(key).find_map(|(section, name)| {
                self.entry(section, name).map(|entry| (section, name, entry.line))
            });
            let (section, name, line) = found.unwrap_or((key.section, key.name, 0));
            self.wrong(section, name, line, &wrong)
        })
    }

    fn wrong(&self, section: &str, key: &str, line: usize, wrong: &NotAllowed) -> anyhow::Error {
        let NotAllowed { value, give } = wrong;
        let comment = if has_comment(value) { "; a comment needs a line of its own" } else { "" };
        self.error(
            line,
            format!("[{section}] {key} = {value:?} is not allowed; give {give}{comment}"),
        )
    }

    /// If the key `to` has no value, sets it to the value of the key `from`, changed by `change`.
    /// `from` and `to` are pairs of section and key.
    pub(super) fn translate(
        &mut self,
        from: (&str, &str),
        to: (&str, &str),
        change: impl FnOnce(&str) -> String,
    ) {
        if self.entry(to.0, to.1).is_some() {
            return;
        }
        let Some(IniValue { value, line }) = self.entry(from.0, from.1) else { return };
        let entry = IniValue { value: change(value), line: *line };
        let line = entry.line;
        let section = self.sections.entry(to.0.to_owned());
        let section = section.or_insert_with(|| IniSection { line, entries: BTreeMap::new() });
        section.entries.insert(to.1.to_owned(), entry);
    }

    /// Returns messages about the first `most` unknown sections and keys, and how many more there
    /// are.
    pub(super) fn unknown(&self, known: &[(String, String)], most: usize) -> (Vec<String>, usize) {
        let sections: BTreeSet<&str> = known.iter().map(|(section, _)| section.as_str()).collect();
        let keys_of = |section: &str| -> BTreeSet<&str> {
            let keys = known.iter().filter(|(name, _)| name == section);
            keys.map(|(_, key)| key.as_str()).collect()
        };
        let mut unknown: Vec<(usize, &str, Option<&str>)> = Vec::new();
        for (section, IniSection { line, entries }) in &self.sections {
            if !sections.contains(section.as_str()) {
                unknown.push((*line, section, None));
                continue;
            }
            let keys = keys_of(section);
            let wrong = entries.iter().filter(|(key, _)| !keys.contains(key.as_str()));
            unknown.extend(
                wrong.map(|(key, entry)| (entry.line, section.as_str(), Some(key.as_str()))),
            );
        }
        unknown.sort_unstable();
        let path = self.path.display();
        let message = |(line, section, key): &(usize, &str, Option<&str>)| {
            let why = match key {
                None => format!("section [{section}]{}", suggestion(section, &sections)),
                Some(key) => {
                    format!("key {key} in [{section}]{}", suggestion(key, &keys_of(section)))
                }
            };
            format!("configuration file {path}:{line}: unknown {why}")
        };
        let messages = unknown.iter().take(most).map(message).collect();
        (messages, unknown.len().saturating_sub(most))
    }
}

/// Every name of a key (its own name, then the aliases), as section and key.
pub(super) fn names(key: &ConfigKey) -> impl Iterator<Item = (&'static str, &'static str)> {
    let aliases = key.aliases.iter().filter_map(|alias| alias.split_once('.'));
    [(key.section, key.name)].into_iter().chain(aliases)
}

/// If a known name is similar to `name`: `; did you mean X?`. Else empty.
fn suggestion(name: &str, known: &BTreeSet<&str>) -> String {
    // A very long name is not a typing error, and the comparison would take too long.
    let similar = (name.len() <= 64).then_some(known).into_iter().flatten();
    let nearest = similar.map(|known| (strsim::osa_distance(name, known), known)).min();
    nearest
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
        .map_or_else(String::new, |(_, known)| format!("; did you mean {known}?"))
}
