//! Manual pages and shell completions, made from what the tools say of themselves: their command lines, their module
//! documentation, the commented example configuration and the help of the scripts.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::CommandFactory;
use clap_complete::{Shell, generate_to};
use clap_mangen::Man;

use crate::front::Front;
use crate::{conf, markdown};

/// A tool: its command line and the beginning of its source, which is its manual.
struct Tool {
    command: clap::Command,
    source: &'static str,
}

fn tools() -> Vec<Tool> {
    macro_rules! tool {
        ($library:ident, $folder:literal) => {
            Tool { command: $library::Args::command(), source: include_str!(concat!("../../", $folder, "/src/lib.rs")) }
        };
    }
    vec![
        tool!(mls_tail, "mls-tail"),
        tool!(mls_parse, "mls-parse"),
        tool!(mls_enrich, "mls-enrich"),
        tool!(mls_csv, "mls-csv"),
        tool!(mls_report, "mls-report"),
        tool!(mls_sql, "mls-sql"),
        tool!(mls_ipdb, "mls-ipdb"),
        tool!(mls_anonymize, "mls-anonymize"),
    ]
}

/// Writes everything below `directory`, in the folders that `/usr/share` has for it. `date` stands at the foot of the pages.
///
/// # Errors
/// Where a file cannot be written, or the front end does not say what it can do.
pub fn write(directory: &Path, date: &str) -> anyhow::Result<()> {
    let folder = |name: &str| -> anyhow::Result<PathBuf> {
        let folder = directory.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        Ok(folder)
    };
    let (bash, zsh) = (folder("bash-completion/completions")?, folder("zsh/vendor-completions")?);
    let pages = [folder("man/man1")?, folder("man/man5")?, folder("man/man8")?];
    for Tool { mut command, source } in tools() {
        let name = command.get_name().to_owned();
        // One word, so that the page about it can be called with it: mls-ipdb-update(1).
        command = command.disable_help_subcommand(true);
        command.build();
        for subcommand in command.get_subcommands() {
            let name = subcommand.get_display_name().unwrap_or_else(|| subcommand.get_name()).to_owned();
            save(&pages[0].join(format!("{name}.1")), &page(subcommand.clone(), "", date)?)?;
        }
        save(&pages[0].join(format!("{name}.1")), &page(command.clone(), source, date)?)?;
        // Completion files name subcommands themselves.
        for (shell, folder) in [(Shell::Bash, &bash), (Shell::Zsh, &zsh)] {
            generate_to(shell, &mut command, &name, folder).context("writing completions")?;
        }
        let generated = bash.join(format!("{name}.bash"));
        fs::rename(&generated, bash.join(&name)).with_context(|| format!("renaming {}", generated.display()))?;
    }
    save(&pages[1].join("maillogsentinel.conf.5"), &conf::page(date))?;
    let front = Front::ask(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))?;
    save(&pages[2].join("maillogsentinel.8"), &front.page(date))?;
    save(&bash.join("maillogsentinel"), &front.bash())?;
    save(&zsh.join("_maillogsentinel"), &front.zsh())
}

fn save(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::File::create(path)
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
        .with_context(|| format!("writing {}", path.display()))
}

/// The page of a command, whose manual stands at the beginning of `source`.
fn page(command: clap::Command, source: &str, date: &str) -> anyhow::Result<String> {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let man = Man::new(command).date(date).manual("MailLogSentinel");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let mut page = String::from_utf8(page)?;
    let documentation: Vec<&str> = source
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    // Its first line is the name, which stands at the page's head already.
    let begins_with_heading = documentation.get(2).is_none_or(|line| line.starts_with("# "));
    if !begins_with_heading {
        page += ".SH USE\n";
    }
    markdown::write(&mut page, &documentation.iter().skip(1).copied().collect::<Vec<_>>().join("\n"));
    if !after.is_empty() {
        page += ".SH EXAMPLES\n";
        let lines =
            after.lines().filter(|line| *line != "Examples:").map(|line| line.strip_prefix("  ").unwrap_or(line));
        markdown::verbatim(&mut page, lines);
    }
    page += ".SH SEE ALSO\n\\fBmaillogsentinel\\fR(8), \\fBmaillogsentinel.conf\\fR(5)\n";
    // Only pages with tables need the preprocessor.
    Ok(if page.contains("\n.TS\n") { format!("'\\\" t\n{page}") } else { page })
}
