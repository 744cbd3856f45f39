//! Makes manual pages and shell completions from the command lines of the tools, their module
//! documentation, the table of configuration keys, the guide, and the help of the front end.
#![expect(clippy::format_push_string, reason = "speed does not matter here")]

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap_complete::{Shell, generate_to};
use clap_mangen::Man;

use crate::front::FrontEnd;
use crate::{conf, markdown};

fn tools() -> [clap::Command; 14] {
    [
        mls_cli::command::<mls_tail::Args>(),
        mls_cli::command::<mls_parse::Args>(),
        mls_cli::command::<mls_enrich::Args>(),
        mls_cli::command::<mls_csv::Args>(),
        mls_cli::command::<mls_mail::Args>(),
        mls_cli::command::<mls_report::Args>(),
        mls_cli::command::<mls_sql::Args>(),
        mls_cli::command::<mls_setup::Args>(),
        mls_cli::command::<mls_ipdb::Args>(),
        mls_cli::command::<mls_alert::Args>(),
        mls_cli::command::<mls_abuse::Args>(),
        mls_cli::command::<mls_anonymize::Args>(),
        mls_cli::command::<mls_block::Args>(),
        mls_cli::command::<mls_status::Args>(),
    ]
}

/// Writes all pages and completions to `directory`, in subdirectories as in `/usr/share`. `date` is in
/// the footer of the pages.
///
/// # Errors
/// A file cannot be written, or the front end does not print its help.
pub fn write(directory: &Path, date: &str) -> anyhow::Result<()> {
    let make = |name: &str| -> anyhow::Result<PathBuf> {
        let directory = directory.join(name);
        fs::create_dir_all(&directory)
            .with_context(|| format!("creating {}", directory.display()))?;
        Ok(directory)
    };
    let (bash, zsh) = (make("bash-completion/completions")?, make("zsh/vendor-completions")?);
    let pages = [make("man/man1")?, make("man/man5")?, make("man/man7")?, make("man/man8")?];
    for mut command in tools() {
        let name = command.get_name().to_owned();
        // `build` sets the display name of each subcommand, such as `mls-ipdb-update`. This is also
        // the name of the page.
        command = command.disable_help_subcommand(true);
        command.build();
        for subcommand in command.get_subcommands() {
            let page_name = subcommand.get_display_name().unwrap_or_else(|| subcommand.get_name());
            save(
                &pages[0].join(format!("{page_name}.1")),
                &page(subcommand.clone(), &name, date)?,
            )?;
        }
        save(&pages[0].join(format!("{name}.1")), &page(command.clone(), &name, date)?)?;
        // The completions of a tool contain its subcommands.
        for (shell, directory) in [(Shell::Bash, &bash), (Shell::Zsh, &zsh)] {
            generate_to(shell, &mut command, &name, directory).context("writing completions")?;
        }
        let generated = bash.join(format!("{name}.bash"));
        fs::rename(&generated, bash.join(&name))
            .with_context(|| format!("renaming {}", generated.display()))?;
    }
    save(&pages[1].join("maillogsentinel.conf.5"), &conf::page(date))?;
    save(&pages[1].join("mls-event.5"), &event_page(date)?)?;
    let front = FrontEnd::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))?;
    save(&pages[2].join("maillogsentinel.7"), &guide_page(date))?;
    save(&pages[3].join("maillogsentinel.8"), &front.page(date))?;
    save(&bash.join("maillogsentinel"), &front.bash())?;
    save(&zsh.join("_maillogsentinel"), &front.zsh())
}

fn save(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::File::create(path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
        .with_context(|| format!("writing {}", path.display()))
}

/// Returns the page of `command`. The page of `tool` itself contains the manual. The page of a
/// subcommand refers to the page of `tool`.
fn page(command: clap::Command, tool: &str, date: &str) -> anyhow::Result<String> {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let (is_tool, has_subcommands) = (command.get_name() == tool, command.has_subcommands());
    let man = Man::new(command).date(date).manual("MailLogSentinel");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_subcommands {
        man.render_subcommands_section(&mut page)?;
    }
    let mut page = String::from_utf8(page)?;
    if is_tool {
        manual(&mut page, tool, "USE")?;
    }
    if !after.is_empty() {
        page += ".SH EXAMPLES\n";
        let lines = after
            .lines()
            .filter(|line| *line != "Examples:")
            .map(|line| line.strip_prefix("  ").unwrap_or(line));
        markdown::verbatim(&mut page, lines);
    }
    page += ".SH SEE ALSO\n";
    if !is_tool {
        page += &format!("\\fB{}\\fR(1), ", markdown::escape(tool));
    }
    page += "\\fBmaillogsentinel.conf\\fR(5), \\fBmls\\-event\\fR(5), \\fBmaillogsentinel\\fR(8)\n";
    Ok(with_table_preprocessor(page))
}

fn guide_page(date: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut page = format!(
        ".TH MAILLOGSENTINEL 7 \"{date}\" \"MailLogSentinel {version}\" MailLogSentinel\n\
         .SH NAME\nmaillogsentinel \\- guide to the record of failed logins at mail servers\n\
         .SH DESCRIPTION\n"
    );
    // Skip the title of the guide: the page has a title.
    let text = include_str!("../../GUIDE.md").split_once("\n\n").map_or("", |(_, text)| text);
    markdown::write(&mut page, text);
    page += ".SH SEE ALSO\n\\fBmaillogsentinel\\fR(8), \\fBmaillogsentinel.conf\\fR(5), \\fBmls\\-event\\fR(5)\n";
    with_table_preprocessor(page)
}

fn event_page(date: &str) -> anyhow::Result<String> {
    let version = env!("CARGO_PKG_VERSION");
    let mut page = format!(
        ".TH MLS\\-EVENT 5 \"{date}\" \"MailLogSentinel {version}\" MailLogSentinel\n\
         .SH NAME\nmls\\-event \\- records that the tools of MailLogSentinel exchange\n"
    );
    manual(&mut page, "mls-event", "DESCRIPTION")?;
    page += ".SH SEE ALSO\n\\fBmls\\-tail\\fR(1), \\fBmls\\-parse\\fR(1), \\fBmls\\-enrich\\fR(1), \\fBmls\\-csv\\fR(1), \
             \\fBmls\\-report\\fR(1), \\fBmls\\-sql\\fR(1), \\fBmls\\-anonymize\\fR(1), \\fBmaillogsentinel\\fR(8)\n";
    Ok(with_table_preprocessor(page))
}

/// Appends the documentation of a crate. Skips the first paragraph, because the NAME section has
/// this text. Each module that the documentation refers to becomes a section. If there is text
/// before the first heading, `heading` becomes its heading.
fn manual(page: &mut String, name: &str, heading: &str) -> anyhow::Result<()> {
    let text = documentation(name, "lib")?;
    let text = text.split_once("\n\n").map_or("", |(_, text)| text);
    if !text.starts_with("# ") {
        *page += &format!(".SH {heading}\n");
    }
    let mut modules = markdown::write(page, text);
    let mut written = 0;
    while let Some(module) = modules.get(written).cloned() {
        *page += &format!(".SH {}\n", module.to_uppercase());
        for module in markdown::write(page, &documentation(name, &module)?) {
            // If there is no source file for `module`, the link names an item, such as a type.
            // (rustdoc reports broken links.)
            if !modules.contains(&module) && source(name, &module).exists() {
                modules.push(module);
            }
        }
        written += 1;
    }
    Ok(())
}

/// Returns the text of the `//!` lines at the beginning of a module.
fn documentation(name: &str, module: &str) -> anyhow::Result<String> {
    let path = source(name, module);
    let source =
        fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    Ok(lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n"))
}

fn source(name: &str, module: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../{name}/src/{module}.rs"))
}

/// If the page has tables, adds the line that tells man(1) to run tbl(1).
fn with_table_preprocessor(page: String) -> String {
    if page.contains("\n.TS\n") { format!("'\\\" t\n{page}") } else { page }
}
