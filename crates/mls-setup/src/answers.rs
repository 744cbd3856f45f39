//! The value of each key, from the configuration file and from the answers.

use std::collections::BTreeMap;

use mls_config::Config;

/// Values by `section.key`. A key without a section, such as `fetch`, is an answer that no file
/// has.
#[derive(Clone)]
pub(crate) struct Answers {
    in_file: BTreeMap<String, String>,
    now: BTreeMap<String, String>,
}

/// `Config` makes the path of this key absolute, from `working_dir` and `csv_filename`. So setup
/// does not write this path into the file.
const CSV: &str = "paths.csv_filename";

impl Answers {
    pub(crate) fn new(config: &Config) -> Self {
        let shown = config.show();
        let values = shown.lines().filter_map(|line| line.split_once('='));
        let now: BTreeMap<_, _> =
            values.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        Self { in_file: now.clone(), now }
    }

    /// The value of a key, or an empty text.
    pub(crate) fn get(&self, key: &str) -> &str {
        self.now.get(key).map_or("", String::as_str)
    }

    pub(crate) fn is_set(&self, key: &str) -> bool {
        !self.get(key).is_empty()
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) {
        self.now.insert(key.to_owned(), value.to_owned());
    }

    pub(crate) fn set_default(&mut self, key: &str, value: &str) {
        if !self.is_set(key) {
            self.set(key, value);
        }
    }

    /// The items of a list. In the text of `Config`, `, ` separates them.
    pub(crate) fn list(&self, key: &str) -> impl Iterator<Item = &str> {
        self.get(key).split(", ").filter(|value| !value.is_empty())
    }

    /// Section, key and value of each answer that differs from the configuration file.
    pub(crate) fn changed(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        let differs = |key: &str, value: &str| {
            key != CSV && self.in_file.get(key).map_or("", String::as_str) != value
        };
        self.now.iter().filter(move |(key, value)| differs(key, value)).filter_map(
            |(key, value)| {
                let (section, key) = key.split_once('.')?;
                Some((section, key, value.as_str()))
            },
        )
    }
}
