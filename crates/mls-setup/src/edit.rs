//! One key of a configuration file set, and the rest of the file as it was.

/// Returns `text` with `key = value` in `section`. The line takes the place of the key; or follows the comment that shows the
/// key; or comes first in its section; or in a new section at the end.
pub(crate) fn set(text: &str, section: &str, key: &str, value: &str) -> String {
    let new = format!("{key} = {value}").trim_end().to_owned();
    let lines: Vec<&str> = text.lines().collect();
    let found = Found::in_lines(&lines, section, key);
    let after = found.key.or(found.comment).or(found.section);
    let mut out = String::new();
    for (number, line) in lines.iter().enumerate() {
        if !found.replaced.contains(&number) {
            out += line;
            out += "\n";
        }
        if after == Some(number) {
            out += &new;
            out += "\n";
        }
    }
    if after.is_none() {
        if !out.is_empty() {
            out += "
";
        }
        out += &[
            "[", section, "]
", &new, "
",
        ]
        .concat();
    }
    out
}

/// Numbers of lines that matter for a key.
#[derive(Default)]
struct Found {
    section: Option<usize>,
    comment: Option<usize>,
    key: Option<usize>,
    /// The key, wherever it is set in the section, with the lines that continue its value.
    replaced: Vec<usize>,
}

impl Found {
    fn in_lines(lines: &[&str], section: &str, key: &str) -> Self {
        let mut found = Self::default();
        let mut inside = false;
        for (number, line) in lines.iter().enumerate() {
            if let Some(header) = line.trim_start().strip_prefix('[') {
                let name = header.split(']').next().unwrap_or_default().trim();
                inside = name.eq_ignore_ascii_case(section);
                if inside && found.section.is_none() {
                    found.section = Some(number);
                }
            } else if inside {
                found.line(number, line, key);
            }
        }
        found
    }

    fn line(&mut self, number: usize, line: &str, key: &str) {
        let is_indented = line.starts_with([' ', '\t']);
        let continues = is_indented && !line.trim().is_empty();
        if continues && number > 0 && self.replaced.last() == Some(&(number - 1)) {
            self.replaced.push(number);
        } else if !is_indented && sets(line, key) {
            self.key.get_or_insert(number);
            self.replaced.push(number);
        } else if self.comment.is_none()
            && line.strip_prefix('#').is_some_and(|rest| sets(rest, key))
        {
            self.comment = Some(number);
        }
    }
}

/// Whether a line is `key = …` or `key: …`.
fn sets(line: &str, key: &str) -> bool {
    line.split_once(['=', ':']).is_some_and(|(name, _)| name.trim_end().eq_ignore_ascii_case(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_takes_the_place_of_itself_of_its_comment_or_comes_first() {
        for (before, after) in [
            ("", "[report]\nemail = a\n"),
            ("# mine\n", "# mine\n\n[report]\nemail = a\n"),
            ("[x]\nemail = b\n", "[x]\nemail = b\n\n[report]\nemail = a\n"),
            ("[report]\n[x]\n", "[report]\nemail = a\n[x]\n"),
            ("[Report]\nEmail: b\n  c\nx = y\n", "[Report]\nemail = a\nx = y\n"),
            (
                "[report]\n# Text.\n#email =\nx = y\n",
                "[report]\n# Text.\n#email =\nemail = a\nx = y\n",
            ),
            ("[report]\n#email =\nemail = b\nemail = c\n", "[report]\n#email =\nemail = a\n"),
            ("[ report ]\nx = y\n  email = b\n", "[ report ]\nemail = a\nx = y\n  email = b\n"),
        ] {
            assert_eq!(set(before, "report", "email", "a"), after, "{before:?}");
        }
    }

    #[test]
    fn an_empty_value_clears_a_key() {
        assert_eq!(set("[report]\nemail = a\n", "report", "email", ""), "[report]\nemail =\n");
    }

    #[test]
    fn setting_a_key_twice_changes_nothing_more() {
        let once = set("[a]\nb = 1\n", "report", "email", "x@y");
        assert_eq!(set(&once, "report", "email", "x@y"), once);
    }
}
