//! The example file with its comments.

use super::keys::SECTIONS;

const HEAD: &str = "\
# The configuration of MailLogSentinel. A tool reads it if it is called with --config.
#
# The file shows each key with its default, as a comment. If a key has no value here, its
# description names the default, or the key has none. Set only values that differ. Commas separate
# the items of a list. Switches are yes or no. A comment must be on its own line; a # inside a value
# belongs to the value. Do not write passwords into this file, because all users can read it. Write
# a password into a file with mode 0600, and set its path here.
";

/// The text of the example: every key with its description and, as a comment, its default.
#[must_use]
pub fn example() -> String {
    let mut text = HEAD.to_owned();
    for section in SECTIONS {
        text.push('\n');
        comment(&mut text, section.description);
        text.extend(["[", section.name, "]\n"]);
        for (n, key) in section.keys.iter().enumerate() {
            if n > 0 {
                text.push('\n');
            }
            comment(&mut text, key.description);
            let space = if key.default.is_empty() { "" } else { " " };
            text.extend(["#", key.name, " =", space, key.default, "\n"]);
        }
    }
    text
}

/// Appends lines of text as comments. Each line already begins with a space.
fn comment(text: &mut String, lines: &[&str]) {
    for line in lines {
        text.extend(["#", line, "\n"]);
    }
}
