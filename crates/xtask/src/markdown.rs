//! The Markdown of module documentation as roff(7): headings, paragraphs, lists, tables, code.
#![expect(
    clippy::format_push_string,
    reason = "a page is made once, and an allocation more is nothing"
)]

/// Writes `text` behind what `page` has. Its headings become sections; the file names that it sends readers of the source to are
/// left out. Returns the modules that it refers to, each of them once.
pub(crate) fn write(page: &mut String, text: &str) -> Vec<String> {
    let mut blocks = Blocks::new(page);
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix("# ") {
            blocks.control(&format!(".SH {}", escape(&heading.replace('`', "").to_uppercase())));
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
    blocks.modules
}

/// Lines as they are.
pub(crate) fn verbatim<'a>(page: &mut String, lines: impl Iterator<Item = &'a str>) {
    Blocks::new(page).verbatim(lines);
}

/// Prose that is one paragraph.
pub(crate) fn paragraph(page: &mut String, text: &str) {
    let mut blocks = Blocks::new(page);
    blocks.add(text);
    blocks.end();
}

struct Blocks<'a> {
    page: &'a mut String,
    paragraph: String,
    modules: Vec<String>,
}

impl<'p> Blocks<'p> {
    fn new(page: &'p mut String) -> Self {
        Self { page, paragraph: String::new(), modules: Vec::new() }
    }

    fn add(&mut self, line: &str) {
        if !self.paragraph.is_empty() {
            self.paragraph.push(' ');
        }
        self.paragraph.push_str(line);
    }

    fn end(&mut self) {
        let text = std::mem::take(&mut self.paragraph);
        let text = self.inline(&text);
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
        let columns = rows.first().map_or(0, |row| cells(row).count());
        self.control(".ad l\n.TS\nallbox tab(\u{1});");
        let format = |style: &str| vec![style; columns].join(" ");
        *self.page += &format!("{}\n{}x.\n", format("lb"), format("l"));
        for row in rows.iter().enumerate().filter(|(i, _)| *i != 1).map(|(_, row)| row) {
            let blocks: Vec<String> =
                cells(row).map(|cell| format!("T{{\n{}\nT}}", self.inline(cell))).collect();
            *self.page += &format!("{}\n", blocks.join("\u{1}"));
        }
        self.control(".TE\n.ad\n.sp\n.PP");
    }

    /// Text inside a paragraph or cell: code becomes bold.
    fn inline(&mut self, text: &str) -> String {
        let mut out = String::new();
        for (i, part) in self.links(&without_sources(text)).split('`').enumerate() {
            // A name that is hyphenated reads like another one.
            let code = || format!("\\fB\\%{}\\fR", escape(part).replace(' ', " \\%"));
            out += &if i % 2 == 1 { code() } else { escape(part) };
        }
        out
    }

    /// Links as Markdown without links: `[text](https://…)` as text and address, `[text](item)` as the text, a crate as its page
    /// and a module as the section that it becomes. Other brackets stay.
    fn links(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(start) = rest.find(['`', '[']) {
            let (before, at) = rest.split_at(start);
            let is_code = at.starts_with('`');
            let end = at[1..].find(if is_code { '`' } else { ']' }).map_or(at.len(), |end| end + 2);
            let (link, mut after) = at.split_at(end);
            let mut address = None;
            if let Some((inner, behind)) =
                after.strip_prefix('(').and_then(|after| after.split_once(')'))
                && !is_code
            {
                (address, after) = (Some(inner), behind);
            }
            let name = link.trim_matches(['[', ']']);
            let item = name.strip_prefix('`').and_then(|name| name.strip_suffix('`'));
            out += before;
            out += &match (address, item) {
                _ if is_code => link.to_owned(),
                (Some(address), _) if address.contains("://") => format!("{name} ({address})"),
                (_, Some(item)) => self.reference(item.strip_prefix("mod@").unwrap_or(item)),
                (Some(_), None) => name.to_owned(),
                (None, None) => link.to_owned(),
            };
            rest = after;
        }
        out + rest
    }

    fn reference(&mut self, item: &str) -> String {
        if item.starts_with("mls_") {
            return format!(
                "`{}`({})",
                item.replace('_', "-"),
                if item == "mls_event" { 5 } else { 1 }
            );
        }
        if !self.modules.iter().any(|module| module == item) {
            self.modules.push(item.to_owned());
        }
        format!("`{}`", item.to_uppercase())
    }
}

fn cells(row: &str) -> impl Iterator<Item = &str> {
    row.trim_matches('|').split('|').map(str::trim)
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
