//! Checks for `tests/fuzz`. Each function takes any bytes, and panics if a check fails.

#![expect(clippy::expect_used, reason = "a failed check must stop the run")]

use std::path::Path;

use mls_config::Config;

use crate::{calendar, edit};

/// After `edit::set`, the key must have the new value, and other keys their old values.
pub fn edit(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Some(fields) = calendar::cron_fields(text) {
        assert!(!fields.contains(['\n', '%']), "{fields:?}");
    }
    let path = Path::new("any.conf");
    let Ok(before) = Config::parse(path, text) else { return };
    let edited = edit::set(text, "report", "email", "a@example.com");
    let after = Config::parse(path, &edited).expect("a configuration");
    assert_eq!(after.report.email, ["a@example.com"], "{edited}");
    assert_eq!(edit::set(&edited, "report", "email", "a@example.com"), edited);
    let others = |config: &Config| {
        let shown = config.show();
        let lines = shown.lines().filter(|line| !line.starts_with("report.email="));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(others(&after), others(&before), "{edited}");
}
