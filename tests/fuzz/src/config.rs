//! The configuration file and the types of its keys.

use std::path::Path;

use mls_config::Config;
use mls_config::config::{Threshold, TimeSpan};

/// `Config::show` writes one line `section.key=value` for each key, and no password.
pub(crate) fn ini(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(config) = Config::parse(Path::new("any.conf"), text) else { return };
    for line in config.show().lines() {
        let (key, value) = line.split_once('=').expect("a key and a value");
        assert!(key.contains('.') && !key.contains("password") || key.ends_with("_file"), "{line}");
        assert!(!value.is_empty() && !value.contains(char::is_control), "{line:?}");
    }
}

/// A value that is printed and parsed again must be the same.
pub(crate) fn values(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    if let Ok(threshold) = text.parse::<Threshold>() {
        assert_eq!(threshold.to_string().parse(), Ok(threshold));
    }
    if let Ok(span) = text.parse::<TimeSpan>() {
        assert_eq!(span.to_string().parse(), Ok(span));
    }
}
