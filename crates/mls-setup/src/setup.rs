//! The order of a setup: read the configuration, ask, plan, apply the steps, run the service.

use std::path::{Path, PathBuf};

use mls_diag::Exit;

use crate::answers::Answers;
use crate::args::Args;
use crate::check::Checks;
use crate::file::CONFIGURATION;
use crate::installation::Installation;
use crate::jobs::{MODE, has_database, loads};
use crate::plan::{Plan, read_configuration};
use crate::question::{FETCH, MAIL_CONTAINERS, TEST_MAIL, interview};
use crate::signals::Signals;
use crate::system::TargetSystem;
use crate::terminal::{Terminal, say};
use crate::trial::Trial;
use crate::{action_log, container, database, edit, migration, show, transaction, uninstall};

pub(crate) fn run(args: &Args, signals: &Signals) -> anyhow::Result<()> {
    let system = TargetSystem::open(&args.root)?;
    let changes_this_machine = system.is_running() && !args.dry_run;
    if changes_this_machine && !args.mode.migrate_data && !rustix::process::geteuid().is_root() {
        return Err(Exit::NoPerm.error("setup needs root: run it with sudo, or with --dry-run"));
    }
    let installation = Installation::find()?;
    if let (true, Some(configuration)) = (args.mode.migrate_data, &args.config) {
        if !configuration.exists() {
            let name = configuration.display();
            return Err(Exit::NoInput
                .error(format!("configuration file {name} does not exist; check --config")));
        }
        return migration::data::convert(configuration, &installation);
    }
    if args.mode.uninstall {
        return uninstall::run(args, &system, &installation, signals);
    }
    let mut terminal = Terminal::new(signals);
    let (answers, base) = answers(args, &system, &installation, &mut terminal)?;
    let checks = Checks { system: &system, installation: &installation };
    checks.all(&answers).map_err(|why| Exit::Config.error(why))?;
    let mut plan = Plan::new(&system, &installation, &answers, &base)?;
    let mut start = Vec::new();
    if args.mode.migrate {
        plan.original_units = migration::original_units(&system);
        // Start the units only after the data is converted.
        start = std::mem::take(&mut plan.switches.start);
    }
    say(&show::plan(&plan, &system))?;
    if system.is_running() && loads(&answers) {
        let account = system.account(&plan.user).filter(|_| !args.dry_run);
        say(&database::found(&installation, &plan, account.as_ref())?)?;
    }
    if args.dry_run {
        return Ok(());
    }
    if args.mode.interactive && !terminal.confirm("\nWrite this?")? {
        return Err(Exit::Usage.error("not confirmed; nothing was written"));
    }
    let trial = Trial::before(&system, &installation, &answers);
    let actions = transaction::apply(&system, &plan.user, &plan.steps(&system), signals)?;
    action_log::write(&system, &actions)?;
    if !system.is_running() && args.mode.migrate {
        say(
            "This system is not running, so its data was not migrated. Start the system, and run \
            there: maillogsentinel --setup --migrate\n",
        )?;
    }
    if system.is_running() {
        if args.mode.migrate {
            migration::finish(&system, &installation, &plan.user, &start)?;
        }
        trial.run(&plan.user)?;
    }
    let hint =
        if system.is_running() { " Check the service with: maillogsentinel --status" } else { "" };
    say(&format!("Done.{hint}\n"))
}

/// Returns the answers, and the configuration text that the answers change.
fn answers(
    args: &Args,
    system: &TargetSystem,
    installation: &Installation,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<(Answers, String)> {
    let current = system.path(CONFIGURATION);
    let given = if args.mode.migrate {
        migration::configuration(args.config.as_ref(), system)?
    } else {
        given_configuration(args, &current, installation)
    };
    let (mut answers, base) = read_configuration(&given)?;
    let has_mail_log = system.path("/var/log/mail.log").exists();
    if answers.get("paths.mail_log") == "/var/log/mail.log"
        && !has_mail_log
        && system.path("/run/systemd/journal").is_dir()
    {
        answers.set("paths.mail_log", "journal");
    }
    // If the file does not have the key `log_file`, set it: the guide of the Python original does
    // not name this key. An empty value means no log, and stays empty.
    if !edit::has_key(&base, "general", "log_file") {
        let log = format!("{}/maillogsentinel.log", answers.get("paths.working_dir"));
        answers.set_default("general.log_file", &log);
    }
    if system.is_running() {
        answers.set(FETCH, "yes");
    }
    if args.mode.migrate {
        migration::complete(&mut answers, system)?;
    }
    if has_database(&answers) && !current.exists() && !args.mode.migrate {
        answers.set_default(MODE, "load");
    } else if has_database(&answers) && args.mode.interactive {
        // An empty value means `files`, so offer `files`.
        answers.set_default(MODE, "files");
    }
    if args.mode.interactive {
        if system.is_running() {
            answers.set(TEST_MAIL, "yes");
        }
        answers.set(MAIL_CONTAINERS, &container::journal_matches(system));
        let checks = Checks { system, installation };
        interview(terminal, &checks, &mut answers)?;
    }
    Ok((answers, base))
}

/// Returns the configuration to start from: the given file, the current one, or the example.
fn given_configuration(args: &Args, current: &Path, installation: &Installation) -> PathBuf {
    if let Some(named) = args.mode.automated.as_ref().or(args.config.as_ref()) {
        return named.clone();
    }
    let candidates = [current.to_owned(), installation.example_configuration()];
    candidates.into_iter().find(|path| path.exists()).unwrap_or_else(|| "/dev/null".into())
}
