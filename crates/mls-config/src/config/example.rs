//! The commented example file.

use super::keys::SECTIONS;

const HEAD: &str = "\
# The configuration of MailLogSentinel. A tool reads it if it is called with --config.
#
# The file shows every key with its default, as a comment. A key without a value has no default. Set
# only what differs. Commas separate the items of a list. Switches are yes or no. A comment has a
# line of its own: a # inside a value belongs to the value. Everybody may read this file, so it holds
# no password: it names files of mode 0600 that do.
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

/// Appends lines of prose, which begin with a blank.
fn comment(text: &mut String, lines: &[&str]) {
    for line in lines {
        text.extend(["#", line, "\n"]);
    }
}
