//! The text of a configuration file: values by section and key, with the line they stand in.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::Threshold;
use mls_diag::Exit;

/// A parsed file that remembers which keys it was asked for: those are the known ones.
pub(super) struct Ini<'a> {
    path: &'a Path,
    text: &'a str,
    values: configparser::ini::Ini,
    asked: BTreeSet<(&'static str, &'static str)>,
}

type Key = (&'static str, &'static str);

impl<'a> Ini<'a> {
    pub(super) fn parse(path: &'a Path, text: &'a str) -> anyhow::Result<Self> {
        let mut values = configparser::ini::Ini::new();
        values.set_comment_symbols(&[';', '#']);
        // As in Python's configparser, `#` inside a value belongs to it: passwords and URLs have some.
        values.set_inline_comment_symbols(Some(&[]));
        values.set_multiline(true);
        values.read(text.to_owned()).map_err(|why| {
            Exit::Config.error(format!("configuration file {}: {why}", path.display()))
        })?;
        Ok(Self { path, text, values, asked: BTreeSet::new() })
    }

    /// The value of a key; an empty one is as good as none.
    fn get(&mut self, section: &'static str, key: &'static str) -> Option<String> {
        self.asked.insert((section, key));
        self.values.get(section, key).filter(|value| !value.is_empty())
    }

    fn wrong(&self, section: &str, key: &str, value: &str, allowed: &str) -> anyhow::Error {
        let line =
            self.line_of(section, key).map_or_else(String::new, |line| format!(", line {line}"));
        Exit::Config.error(format!(
            "configuration file {}{line}: [{section}] {key} = {value:?} is not allowed: give {allowed}",
            self.path.display()
        ))
    }

    /// The library keeps no line numbers, so a message looks its line up again: of several, the last one counts.
    fn line_of(&self, section: &str, key: &str) -> Option<usize> {
        let (mut inside, mut found) = (false, None);
        for (number, line) in (1..).zip(self.text.lines()) {
            if let Some(header) = line.trim().strip_prefix('[') {
                inside = header.trim_end_matches(']').trim().eq_ignore_ascii_case(section);
            } else if inside
                && line.split(['=', ':']).next().is_some_and(|k| k.trim().eq_ignore_ascii_case(key))
            {
                found = Some(number);
            }
        }
        found
    }

    /// The first of several spellings that the file has; all of them become known.
    pub(super) fn first<T>(
        &mut self,
        keys: &[Key],
        read: impl Fn(&mut Self, &'static str, &'static str) -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<Option<T>> {
        let mut found = None;
        for (section, key) in keys {
            let value = read(self, section, key)?;
            found = found.or(value);
        }
        Ok(found)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the same shape as the readers that can fail")]
    pub(super) fn text(
        &mut self,
        section: &'static str,
        key: &'static str,
    ) -> anyhow::Result<Option<String>> {
        Ok(self.get(section, key))
    }

    pub(super) fn path(
        &mut self,
        section: &'static str,
        key: &'static str,
    ) -> anyhow::Result<Option<PathBuf>> {
        Ok(self.text(section, key)?.map(PathBuf::from))
    }

    pub(super) fn number<T: FromStr>(
        &mut self,
        section: &'static str,
        key: &'static str,
    ) -> anyhow::Result<Option<T>> {
        let Some(value) = self.get(section, key) else { return Ok(None) };
        let number = value.parse().map_err(|_| {
            self.wrong(
                section,
                key,
                &value,
                "a number that is whole, not negative and not too large",
            )
        })?;
        Ok(Some(number))
    }

    pub(super) fn one_of<T: Copy>(
        &mut self,
        section: &'static str,
        key: &'static str,
        values: &[(&str, T)],
    ) -> anyhow::Result<Option<T>> {
        let Some(value) = self.get(section, key) else { return Ok(None) };
        let found = values.iter().find(|(name, _)| name.eq_ignore_ascii_case(&value));
        let names = || values.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        found
            .map(|(_, v)| Some(*v))
            .ok_or_else(|| self.wrong(section, key, &value, &format!("one of {}", names())))
    }

    pub(super) fn threshold(
        &mut self,
        section: &'static str,
        key: &'static str,
    ) -> anyhow::Result<Option<Threshold>> {
        let Some(value) = self.get(section, key) else { return Ok(None) };
        let threshold = value
            .parse()
            .map_err(|_| self.wrong(section, key, &value, "a threshold such as 20/10m"))?;
        Ok(Some(threshold))
    }

    pub(super) fn boolean(
        &mut self,
        section: &'static str,
        key: &'static str,
    ) -> anyhow::Result<Option<bool>> {
        self.one_of(
            section,
            key,
            &[
                ("yes", true),
                ("no", false),
                ("true", true),
                ("false", false),
                ("on", true),
                ("off", false),
                ("1", true),
                ("0", false),
            ],
        )
    }

    pub(super) fn list<T>(
        &mut self,
        section: &'static str,
        key: &'static str,
        allowed: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> anyhow::Result<Vec<T>> {
        let value = self.get(section, key).unwrap_or_default();
        let items = value.split([',', '\n']).map(str::trim).filter(|item| !item.is_empty());
        items
            .map(|item| read(item).ok_or_else(|| self.wrong(section, key, item, allowed)))
            .collect()
    }

    pub(super) fn texts(&mut self, keys: &[Key]) -> anyhow::Result<Vec<String>> {
        let list = |ini: &mut Self, section, key| {
            let list = ini.list(section, key, "a comma list", |text| Some(text.to_owned()))?;
            Ok((!list.is_empty()).then_some(list))
        };
        Ok(self.first(keys, list)?.unwrap_or_default())
    }

    pub(super) fn paths(&mut self, keys: &[Key]) -> anyhow::Result<Option<Vec<PathBuf>>> {
        let texts = self.texts(keys)?;
        Ok((!texts.is_empty()).then(|| texts.into_iter().map(PathBuf::from).collect()))
    }

    /// Every key that was asked for, by section.
    #[cfg(test)]
    pub(super) fn asked(&self) -> impl Iterator<Item = Key> {
        self.asked.iter().copied()
    }

    /// Whether the file has the key, with a value or without.
    #[cfg(test)]
    pub(super) fn has(&self, (section, key): Key) -> bool {
        self.values.get_map_ref().get(section).is_some_and(|keys| keys.contains_key(key))
    }

    /// What the file has and nobody has asked for, in the order of lines, each with what may have been meant.
    pub(super) fn unknown_keys(&self) -> Vec<String> {
        let mut unknown: Vec<(usize, String)> = Vec::new();
        for (section, keys) in self.values.get_map_ref() {
            let sections = self.asked.iter().map(|(s, _)| *s);
            if self.asked.iter().all(|(s, _)| s != section) {
                unknown.push((
                    0,
                    format!("unknown section [{section}]{}", suggestion(section, sections)),
                ));
                continue;
            }
            for key in
                keys.keys().filter(|key| !self.asked.iter().any(|(s, k)| s == section && k == key))
            {
                let same_section = self.asked.iter().filter(|(s, _)| s == section).map(|(_, k)| *k);
                let line = self.line_of(section, key).unwrap_or(0);
                unknown.push((
                    line,
                    format!(
                        "line {line}: unknown key {key} in [{section}]{}",
                        suggestion(key, same_section)
                    ),
                ));
            }
        }
        unknown.sort();
        unknown.into_iter().map(|(_, message)| message).collect()
    }
}

/// `; did you mean X?`, where something known is near enough to be a slip of the finger.
fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let nearest = known.map(|k| (strsim::damerau_levenshtein(name, k), k)).min();
    nearest
        .filter(|(distance, k)| *distance <= 1 + k.len() / 4)
        .map_or_else(String::new, |(_, k)| format!("; did you mean {k}?"))
}
