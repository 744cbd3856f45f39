//! Sets one key in a configuration file and changes nothing else.

/// Returns `text` with the line `key = value` in `section`. The new line replaces the line that
/// sets the key. If no line sets it, the new line follows the comment that shows the key. Without
/// such a comment, the new line is the first of the section. A missing section is added at the end.
pub(crate) fn set(text: &str, section: &str, key: &str, value: &str) -> String {
    // A bare CR ends a line, too.
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<&str> = text.lines().collect();
    let found = KeyLines::in_lines(&lines, section, key);
    let after = found.key.or(found.comment).or(found.section);
    let indent = after.map_or("", |after| found.indent(&lines, after));
    let new = format!("{indent}{key} = {value}").trim_end().to_owned();
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
            out += "\n";
        }
        out += &["[", section, "]\n", &new, "\n"].concat();
    }
    out
}

/// Whether `text` sets `key` in `section`. An empty value counts too.
pub(crate) fn has_key(text: &str, section: &str, key: &str) -> bool {
    let lines: Vec<&str> = text.split(['\r', '\n']).collect();
    KeyLines::in_lines(&lines, section, key).key.is_some()
}

/// Numbers of the lines that matter for a key.
#[derive(Default)]
struct KeyLines {
    section: Option<usize>,
    comment: Option<usize>,
    key: Option<usize>,
    /// The lines that set the key, each with the lines that continue its value.
    replaced: Vec<usize>,
}

impl KeyLines {
    /// Reads the lines as `mls_config` does: a line that is indented deeper than the key before it
    /// continues the value of this key.
    fn in_lines(lines: &[&str], section: &str, key: &str) -> Self {
        let mut found = Self::default();
        let (mut inside, mut open, mut comment) = (false, None, None);
        for (number, line) in lines.iter().enumerate() {
            let content = line.trim_start_matches('\u{feff}').trim();
            if content.is_empty() || content.starts_with(['#', ';']) {
                if inside && line.strip_prefix('#').is_some_and(|rest| sets(rest, key)) {
                    comment.get_or_insert(number);
                }
                continue;
            }
            let indent = indent(line).len();
            if let Some((key, is_replaced)) = open
                && indent > key
            {
                if is_replaced {
                    found.replaced.push(number);
                }
                // A comment in the middle of a value is not the comment that shows the key.
                comment = None;
                continue;
            }
            found.comment = found.comment.or(comment.take());
            if let Some(name) = content.strip_prefix('[') {
                let name = name.rsplit_once(']').map_or(name, |(name, _)| name).trim();
                inside = name.to_lowercase() == section.to_lowercase();
                if inside && found.section.is_none() {
                    found.section = Some(number);
                }
                open = None;
                continue;
            }
            let is_replaced = inside && sets(content, key);
            if is_replaced {
                found.key.get_or_insert(number);
                found.replaced.push(number);
            }
            open = Some((indent, is_replaced));
        }
        found.comment = found.comment.or(comment);
        found
    }

    /// Returns the indentation for a new key after line `after`: that of the line that the new key
    /// replaces, or that of the next line. So the new key does not continue the value above, and
    /// the next line does not continue the new key.
    fn indent<'a>(&self, lines: &[&'a str], after: usize) -> &'a str {
        if let Some(key) = self.key {
            return indent(lines[key]);
        }
        let mut rest = lines[after + 1..].iter();
        let next =
            rest.find(|line| !line.trim().is_empty() && !line.trim().starts_with(['#', ';']));
        next.map_or("", |line| indent(line))
    }
}

/// The spaces and tabs at the beginning of a line.
fn indent(line: &str) -> &str {
    &line[..line.len() - line.trim_start().len()]
}

/// Whether a line is `key = …` or `key: …`.
fn sets(line: &str, key: &str) -> bool {
    line.split_once(['=', ':']).is_some_and(|(name, _)| name.trim_end().eq_ignore_ascii_case(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_replaces_its_old_line_or_follows_its_comment_or_comes_first() {
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
            ("[report]\n  email = b\n  x = y\n", "[report]\n  email = a\n  x = y\n"),
            ("[report]\n  x = y\n", "[report]\n  email = a\n  x = y\n"),
            ("[report]\nx = y\n#email =\n  z\n", "[report]\nemail = a\nx = y\n#email =\n  z\n"),
            ("[report]\rx = y\r", "[report]\nemail = a\nx = y\n"),
        ] {
            assert_eq!(set(before, "report", "email", "a"), after, "{before:?}");
            assert_eq!(set(after, "report", "email", "a"), after, "a second time");
        }
    }

    #[test]
    fn an_empty_value_clears_a_key() {
        assert_eq!(set("[report]\nemail = a\n", "report", "email", ""), "[report]\nemail =\n");
    }

    #[test]
    fn a_comment_and_another_section_do_not_have_the_key() {
        for (text, has) in [
            ("[report]\nemail =\n", true),
            ("[report]\r\nEmail: a\r\n", true),
            ("[report]\n#email = a\n[x]\nemail = a\n", false),
        ] {
            assert_eq!(has_key(text, "report", "email"), has, "{text:?}");
        }
    }
}
