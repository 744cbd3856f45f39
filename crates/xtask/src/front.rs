//! Makes maillogsentinel(8) and the completions of `maillogsentinel` from the output of
//! `maillogsentinel --help` and from the systemd units.
#![expect(clippy::format_push_string, reason = "speed does not matter here")]

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::markdown::{escape, paragraph, verbatim};

pub(crate) struct FrontEnd {
    help: String,
    /// Name and description of each unit.
    units: Vec<(String, String)>,
}

impl FrontEnd {
    /// Runs `scripts/maillogsentinel --help` and reads the units in `systemd/`. Both are in `root`.
    pub(crate) fn load(root: &Path) -> anyhow::Result<Self> {
        let script = root.join("scripts/maillogsentinel");
        let output = Command::new(&script)
            .arg("--help")
            .output()
            .with_context(|| format!("running {}", script.display()))?;
        ensure!(output.status.success(), "{} --help: {}", script.display(), output.status);
        let mut units = Vec::new();
        for entry in fs::read_dir(root.join("systemd")).context("reading systemd/")? {
            let entry = entry.context("reading systemd/")?;
            // Skip drop-ins (directories) and aliases (links).
            if !entry.file_type().is_ok_and(|kind| kind.is_file()) {
                continue;
            }
            let path = entry.path();
            let text =
                fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let description = text.lines().find_map(|line| line.strip_prefix("Description="));
            let name = path.file_name().and_then(|name| name.to_str());
            units.extend(
                name.zip(description)
                    .map(|(name, description)| (name.to_owned(), description.to_owned())),
            );
        }
        units.sort();
        Ok(Self { help: String::from_utf8(output.stdout).context("the help is not UTF-8")?, units })
    }

    /// Returns the manual page. In the help text, a line that begins with an option describes this
    /// option, and a line that ends with a colon is a heading. Indented lines without an option are
    /// copied line by line. All other lines become paragraphs.
    pub(crate) fn page(&self, date: &str) -> String {
        let version = env!("CARGO_PKG_VERSION");
        let mut page = format!(
            ".TH MAILLOGSENTINEL 8 \"{date}\" \"MailLogSentinel {version}\" MailLogSentinel\n\
             .SH NAME\nmaillogsentinel \\- exact record of failed logins at mail servers\n"
        );
        let (mut synopsis, mut body) = (String::new(), String::from(".SH DESCRIPTION\n"));
        let mut lines = self.help.lines().peekable();
        while let Some(line) = lines.next() {
            // Returns a test: whether a line continues the line before it.
            let more = |indented: bool| {
                move |line: &&str| {
                    !line.is_empty()
                        && line.starts_with(' ') == indented
                        && !line.trim_start().starts_with('-')
                }
            };
            if let Some(usage) = line.strip_prefix("Usage:") {
                let more = std::iter::from_fn(|| lines.next_if(more(true)));
                verbatim(&mut synopsis, std::iter::once(usage).chain(more).map(str::trim));
            } else if line.trim_start().starts_with('-') {
                let (option, text) = line.trim().split_once("  ").unwrap_or((line.trim(), ""));
                let more = std::iter::from_fn(|| lines.next_if(more(true)));
                let text: Vec<&str> = std::iter::once(text).chain(more).map(str::trim).collect();
                body += &format!(".TP\n\\fB{}\\fR\n", escape(option));
                paragraph(&mut body, &text.join(" "));
            } else if let Some(heading) =
                line.strip_suffix(':').filter(|line| !line.starts_with(' '))
            {
                body += &format!(".SH {}\n", escape(&heading.to_uppercase()));
            } else if line.starts_with(' ') {
                let more = std::iter::from_fn(|| lines.next_if(more(true)));
                verbatim(&mut body, std::iter::once(line).chain(more).map(str::trim));
            } else if !line.is_empty() {
                let more = std::iter::from_fn(|| lines.next_if(more(false)));
                let text: Vec<&str> = std::iter::once(line).chain(more).collect();
                body += ".PP\n";
                paragraph(&mut body, &text.join(" "));
            }
        }
        page += &format!(".SH SYNOPSIS\n{synopsis}{body}");
        page += ".SH UNITS\n";
        for (name, description) in &self.units {
            page += &format!(".TP\n\\fB{}\\fR\n{}\n", escape(name), escape(description));
        }
        page += ".SH FILES\n.TP\n/etc/maillogsentinel.conf\nthe configuration, \\fBmaillogsentinel.conf\\fR(5)\n";
        page += ".TP\n/var/log/maillogsentinel\nthe CSV\n.TP\n/var/lib/maillogsentinel\nthe position in the log, the databases\n";
        page += ".SH SEE ALSO\n\\fBmls\\-tail\\fR(1), \\fBmls\\-csv\\fR(1), \\fBmls\\-report\\fR(1), \\fBmls\\-status\\fR(1), \
                 \\fBmaillogsentinel.conf\\fR(5), \\fBmls\\-event\\fR(5)\n";
        page
    }

    fn options(&self) -> Vec<&str> {
        let words = self.help.split(|c: char| c.is_whitespace() || "[]|,()".contains(c));
        let mut options: Vec<&str> = words
            .filter(|word| word.len() > 2 && word.starts_with("--"))
            .map(|word| word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()))
            .collect();
        options.sort_unstable();
        options.dedup();
        options
    }

    pub(crate) fn bash(&self) -> String {
        format!("complete -o default -W '{}' maillogsentinel\n", self.options().join(" "))
    }

    pub(crate) fn zsh(&self) -> String {
        format!(
            "#compdef maillogsentinel\n_arguments {} '*:file:_files'\n",
            self.options().join(" ")
        )
    }
}
