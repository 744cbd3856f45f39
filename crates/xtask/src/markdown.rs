//! The Markdown of module documentation as roff(7): headings, paragraphs, lists, tables, code.
#![expect(clippy::format_push_string, reason = "a page is made once, and an allocation more is nothing")]

/// Writes `text` behind what `page` has. Its headings become sections; the file names that it sends readers of the source to are
/// left out.
pub(crate) fn write(page: &mut String, text: &str) {
    let mut blocks = Blocks { page, paragraph: String::new() };
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix("# ") {
            blocks.control(&format!(".SH {}", escape(&heading.to_uppercase())));
        } else if line.starts_with("```") {
            blocks.verbatim(lines.by_ref().take_while(|line| !line.starts_with("```")));
        } else if line.starts_with('|') {
            let body = std::iter::from_fn(|| lines.next_if(|line| line.starts_with('|')));
            blocks.table(&std::iter::once(line).chain(body).collect::<Vec<_>>());
        } else if let Some(item) = line.strip_prefix("- ") {
            blocks.control(".IP \\(bu 2");
            blocks.add(item);
        } else if line.is_empty() {
            blocks.control(".PP");
        } else {
            blocks.add(line.trim());
        }
    }
    blocks.end();
}

/// Lines as they are.
pub(crate) fn verbatim<'a>(page: &mut String, lines: impl Iterator<Item = &'a str>) {
    Blocks { page, paragraph: String::new() }.verbatim(lines);
}

/// Prose that is one paragraph.
pub(crate) fn paragraph(page: &mut String, text: &str) {
    let mut blocks = Blocks { page, paragraph: text.to_owned() };
    blocks.end();
}

struct Blocks<'a> {
    page: &'a mut String,
    paragraph: String,
}

impl Blocks<'_> {
    fn add(&mut self, line: &str) {
        if !self.paragraph.is_empty() {
            self.paragraph.push(' ');
        }
        self.paragraph.push_str(line);
    }

    fn end(&mut self) {
        let text = inline(&std::mem::take(&mut self.paragraph));
        if !text.is_empty() {
            // A full stop at the beginning of a line would be a request.
            let guard = if text.starts_with(['.', '\'']) { "\\&" } else { "" };
            *self.page += &format!("{guard}{text}\n");
        }
    }

    fn control(&mut self, request: &str) {
        self.end();
        *self.page += &format!("{request}\n");
    }

    fn verbatim<'a>(&mut self, lines: impl Iterator<Item = &'a str>) {
        self.control(".PP\n.RS 4\n.nf");
        for line in lines {
            *self.page += &format!("\\&{}\n", escape(line));
        }
        self.control(".fi\n.RE\n.PP");
    }

    /// A table of tbl(1); the second row is Markdown's line between head and body. What the others leave of the width is the last
    /// column's.
    fn table(&mut self, rows: &[&str]) {
        let cells =
            |row: &str| -> Vec<String> { row.trim_matches('|').split('|').map(|cell| inline(cell.trim())).collect() };
        let columns = rows.first().map_or(0, |row| cells(row).len());
        self.control(".ad l\n.TS\nallbox tab(\u{1});");
        let format = |style: &str| vec![style; columns].join(" ");
        *self.page += &format!("{}\n{}x.\n", format("lb"), format("l"));
        for row in rows.iter().enumerate().filter(|(i, _)| *i != 1).map(|(_, row)| row) {
            let blocks: Vec<String> = cells(row).iter().map(|cell| format!("T{{\n{cell}\nT}}")).collect();
            *self.page += &format!("{}\n", blocks.join("\u{1}"));
        }
        self.control(".TE\n.ad\n.sp\n.PP");
    }
}

/// Text inside a paragraph: code becomes bold, links their text and address.
fn inline(text: &str) -> String {
    let mut out = String::new();
    for (i, part) in without_sources(text).split('`').enumerate() {
        if i % 2 == 1 {
            // A name that is hyphenated reads like another one.
            let code = escape(part.strip_prefix("mod@").unwrap_or(part)).replace(' ', " \\%");
            out += &format!("\\fB\\%{code}\\fR");
        } else {
            out += &links(&escape(part));
        }
    }
    // What is left of intra-doc links: the brackets around code.
    out.replace("[\\fB", "\\fB").replace("\\fR]", "\\fR")
}

/// `[text](address)` as `text (address)`.
fn links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        let Some((name, (address, after))) =
            link.split_once("](").and_then(|(name, behind)| Some((name, behind.split_once(')')?)))
        else {
            break;
        };
        out += &format!("{before}{name} ({address})");
        rest = after;
    }
    out + rest
}

/// Without ` (`file.rs`)`.
fn without_sources(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(end) = rest.find(".rs`)") {
        let start = rest[..end].rfind(" (`").unwrap_or(end);
        out += &rest[..start];
        rest = &rest[end + ".rs`)".len()..];
    }
    out + rest
}

/// What roff would take for an escape, or set as another character (man-pages(7)), as itself.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out += "\\e",
            '-' => out += "\\-",
            '\'' => out += "\\(aq",
            '~' => out += "\\(ti",
            '^' => out += "\\(ha",
            c => out.push(c),
        }
    }
    out
}
