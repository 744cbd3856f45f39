//! Setup undoes its steps after Ctrl-C and after a step that fails.

use mls_tests::{terminal, text};
use tempfile::TempDir;

use crate::system::{DEFAULTS, System, WRITE, impostor, put};

#[test]
fn ctrl_c_at_any_question_leaves_everything_as_it_was() {
    let Some(system) = System::new() else { return };
    let before = system.snapshot();
    for n in 0..=DEFAULTS.len() {
        let mut answers = DEFAULTS[..n].to_vec();
        answers.push(DEFAULTS.get(n).map_or((WRITE, "\x03"), |(question, _)| (question, "\x03")));
        let (code, said) = terminal(&mut system.command(&["--interactive"]), &answers);
        assert_eq!(code, 130, "{said}");
        assert!(said.contains("nothing was changed"), "{said}");
        assert_eq!(system.snapshot(), before);
    }
    let mut answers = DEFAULTS.to_vec();
    answers.push((WRITE, "\n"));
    assert_eq!(
        terminal(&mut system.command(&["--interactive"]), &answers).0,
        64,
        "no is the default"
    );
    assert_eq!(system.snapshot(), before);
}

#[test]
fn ctrl_c_while_setup_writes_undoes_all_changes() {
    let Some(system) = System::new() else { return };
    system.write("etc/maillogsentinel.conf", "# mine\n[report]\nemail = old@example.org\n");
    let before = system.snapshot();
    // Ctrl-C arrives while setup enables the units, after it has written all files.
    let stop = "#!/bin/bash\ncase $* in *' enable '*) echo now > /dev/tty; sleep 100;; *is-enabled*) exit 1;; esac\n";
    let (_dir, path) = impostor("systemctl", stop);
    let mut answers = DEFAULTS.to_vec();
    answers.insert(4, ("logins of one user", "\n"));
    answers.splice(3..3, [("When to send the digest", "\n"), ("Mail server", "\n")]);
    answers.extend([(WRITE, "y\n"), ("now", "\x03")]);
    let (code, said) = terminal(system.command(&["--interactive"]).env("PATH", path), &answers);
    assert!(
        code == 130 && said.contains("undoing the changes") && !said.contains("could not"),
        "{code}: {said}"
    );
    let after = system.snapshot();
    let changed: Vec<_> =
        after.iter().filter(|(path, what)| before.get(*path) != Some(what)).collect();
    assert!(changed.is_empty() && after.len() == before.len(), "{changed:?}");
}

#[test]
fn a_step_that_fails_undoes_the_earlier_steps() {
    let Some(system) = System::new() else { return };
    let before = system.snapshot();
    let (_dir, path) = impostor("systemctl", "#!/bin/sh\nexit 1\n");
    let file = TempDir::new().unwrap();
    let file = file.path().join("a");
    put(&file, "");
    let output = system
        .command(&["--automated", file.to_str().unwrap()])
        .env("PATH", path)
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = text(&output.stderr);
    assert!(said.contains("could not undo a change: disabling maillogsentinel"), "{said}");
    assert_eq!(system.snapshot(), before, "{said}");
}
