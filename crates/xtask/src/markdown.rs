//! Converts the Markdown of module documentation to roff(7): headings, paragraphs, lists, tables and
//! code.

use pulldown_cmark::{BrokenLink, CowStr, Event, LinkType, Options, Parser, Tag, TagEnd};

/// Appends the Markdown `text` to `page`. Headings become sections, and names of source files are
/// omitted. Returns the modules that the text refers to, without duplicates.
pub(crate) fn write(page: &mut String, text: &str) -> Vec<String> {
    let text = without_sources(text);
    // rustdoc resolves [`item`], but CommonMark needs a target for such a link: use an empty
    // target.
    let link_to_item = |link: BrokenLink<'_>| {
        let is_item = link.reference.starts_with('`');
        is_item.then(|| (CowStr::from(link.reference.into_string()), CowStr::from("")))
    };
    let options = Options::ENABLE_TABLES;
    let mut writer = RoffWriter {
        page,
        text: String::new(),
        is_heading: false,
        links: Vec::new(),
        modules: Vec::new(),
    };
    for event in Parser::new_with_broken_link_callback(&text, options, Some(link_to_item)) {
        writer.event(event);
    }
    writer.modules
}

/// Appends lines that roff must not join together.
pub(crate) fn verbatim<'a>(page: &mut String, lines: impl Iterator<Item = &'a str>) {
    page.push_str(".PP\n.RS 4\n.nf\n");
    for line in lines {
        page.push_str("\\&");
        page.push_str(&escape(line));
        page.push('\n');
    }
    page.push_str(".fi\n.RE\n.PP\n");
}

/// Appends a paragraph of plain text. Text between backquotes is code.
pub(crate) fn paragraph(page: &mut String, text: &str) {
    let mut out = String::new();
    for (i, part) in text.trim().split('`').enumerate() {
        out.push_str(&if i % 2 == 1 { code(part) } else { escape(part) });
    }
    end_line(page, &out);
}

/// Appends a line of text. If the text is empty, appends nothing.
fn end_line(page: &mut String, text: &str) {
    if text.is_empty() {
        return;
    }
    // roff reads a line that begins with a full stop or an apostrophe as a request.
    if text.starts_with(['.', '\'']) {
        page.push_str("\\&");
    }
    page.push_str(text);
    page.push('\n');
}

/// Code is bold, and roff must not hyphenate it: a hyphenated name looks like a different name.
fn code(text: &str) -> String {
    format!("\\fB\\%{}\\fR", escape(text).replace(' ', " \\%"))
}

struct RoffWriter<'p> {
    page: &'p mut String,
    /// The roff text of the current paragraph, heading or cell.
    text: String,
    is_heading: bool,
    /// The type and address of each enclosing link.
    links: Vec<(LinkType, String)>,
    modules: Vec<String>,
}

impl RoffWriter<'_> {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) | Event::Code(text) if self.is_heading => {
                self.text.push_str(&escape(&text.to_uppercase()));
            }
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => {
                self.text.push_str(&escape(&text));
            }
            Event::Code(text) => {
                // A link to a heading, such as `#cells`, is not a link to an item.
                let names_item = self.links.last().is_some_and(|(_, to)| !to.starts_with('#'));
                let text = if names_item { self.reference(&text) } else { code(&text) };
                self.text.push_str(&text);
            }
            Event::SoftBreak | Event::HardBreak => self.text.push(' '),
            _ => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            // In a list item, the first paragraph is on the line of the bullet and needs no `.PP`.
            Tag::Paragraph if !self.page.ends_with(".IP \\(bu 2\n") => self.request(".PP"),
            Tag::Heading { .. } => {
                self.end_text();
                self.is_heading = true;
            }
            Tag::CodeBlock(_) => self.request(".PP\n.RS 4\n.nf"),
            Tag::Item => self.request(".IP \\(bu 2"),
            Tag::Table(columns) => {
                let format = |style: &str| vec![style; columns.len()].join(" ");
                // The last column gets the remaining width.
                let (head, body) = (format("lb"), format("l"));
                let table = format!(".ad l\n.TS\nallbox tab(\u{1});\n{head}\n{body}x.");
                self.request(&table);
            }
            Tag::TableCell => self.text.push_str("T{\n"),
            Tag::Link { link_type, dest_url, .. } => {
                self.links.push((link_type, dest_url.into_string()));
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(_) => {
                let heading = std::mem::take(&mut self.text);
                self.request(&format!(".SH {heading}"));
                self.is_heading = false;
            }
            TagEnd::CodeBlock => {
                for line in std::mem::take(&mut self.text).lines() {
                    self.request(&format!("\\&{line}"));
                }
                self.request(".fi\n.RE\n.PP");
            }
            TagEnd::Item | TagEnd::Paragraph => self.end_text(),
            TagEnd::List(_) => self.request(".PP"),
            TagEnd::TableCell => self.text.push_str("\nT}\u{1}"),
            TagEnd::TableHead | TagEnd::TableRow => {
                self.text.pop();
                self.end_text();
            }
            TagEnd::Table => self.request(".TE\n.ad\n.sp\n.PP"),
            TagEnd::Link => {
                // Print the address of a web page, because a reader of a manual page cannot click it.
                if let Some((LinkType::Inline, address)) = self.links.pop()
                    && address.contains("://")
                {
                    self.text.push_str(&escape(&format!(" ({address})")));
                }
            }
            _ => {}
        }
    }

    /// Appends the current text, then a roff request, such as `.PP`.
    fn request(&mut self, request: &str) {
        self.end_text();
        self.page.push_str(request);
        self.page.push('\n');
    }

    fn end_text(&mut self) {
        end_line(self.page, &std::mem::take(&mut self.text));
    }

    /// Returns the text of a link to an item. For a crate, this is the name of its page, such as
    /// mls-event(5). For a module, this is the name of its section.
    fn reference(&mut self, item: &str) -> String {
        let item = item.strip_prefix("mod@").unwrap_or(item);
        if item.starts_with("mls_") {
            let section = if item == "mls_event" { 5 } else { 1 };
            return format!("{}({section})", code(&item.replace('_', "-")));
        }
        if !self.modules.iter().any(|module| module == item) {
            self.modules.push(item.to_owned());
        }
        code(&item.to_uppercase())
    }
}

/// Removes each `` (`file.rs`)`` from `text`.
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

/// Escapes characters that roff would read as an escape or print as another character (man-pages(7)).
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
