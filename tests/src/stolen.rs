//! Attacks by somebody who has stolen the database role of one mail server of a fleet.

use std::process::Output;

use crate::text;

/// Expects that the role `own` cannot read events, and cannot change or forge rows of another role.
/// `run` runs a statement as `own`. `other` is the role and the source of another mail server.
pub fn assert_powerless(run: impl Fn(&str) -> Output, own: &str, other: &str) {
    let refused = [
        "SELECT * FROM maillogsentinel_events",
        "SELECT count(*) FROM maillogsentinel_events",
        "COPY maillogsentinel_events TO STDOUT",
        "INSERT INTO maillogsentinel_events (event_time) VALUES (now()) RETURNING username",
        "UPDATE maillogsentinel_events SET username = 'x'",
        "DELETE FROM maillogsentinel_events",
        "TRUNCATE maillogsentinel_events",
        "DROP TABLE maillogsentinel_events",
        "INSERT INTO maillogsentinel_events (event_time, loaded_by) VALUES (now(), 'OTHER')",
        "INSERT INTO maillogsentinel_events_cursor (source, sequence, position, loaded_by) VALUES ('x', 1, '', 'OTHER')",
        "UPDATE maillogsentinel_events_cursor SET loaded_by = 'OTHER'",
        "UPDATE maillogsentinel_events_cursor SET source = 'x'",
        "DELETE FROM maillogsentinel_events_cursor",
        "SELECT * FROM maillogsentinel_events_imports",
        "CREATE TABLE maillogsentinel_events_2030_01 (a int)",
        "SET ROLE OTHER",
        "SET SESSION AUTHORIZATION OTHER",
        "ALTER TABLE maillogsentinel_events_cursor DISABLE ROW LEVEL SECURITY",
        "DROP POLICY own_sources ON maillogsentinel_events_cursor",
        "CREATE TRIGGER t AFTER INSERT ON maillogsentinel_events EXECUTE FUNCTION now()",
        "BEGIN; LOCK TABLE maillogsentinel_events IN ACCESS EXCLUSIVE MODE",
    ];
    let partition = chrono::Utc::now().format("SELECT * FROM maillogsentinel_events_%Y_%m");
    for sql in refused.map(str::to_owned).iter().chain([&partition.to_string()]) {
        let output = run(&sql.replace("OTHER", other));
        let messages = text(&output.stderr);
        let is_refused =
            ["permission denied", "must be owner"].iter().any(|why| messages.contains(why));
        assert!(!output.status.success() && is_refused, "{sql}: {messages}");
        assert_eq!(text(&output.stdout), "", "{sql}");
    }
    // The role sees only its own cursors, and it cannot change the cursors of other roles.
    let output = run("SELECT DISTINCT loaded_by FROM maillogsentinel_events_cursor");
    assert_eq!(text(&output.stdout).trim(), own);
    for condition in [&format!("source = '{other}'"), "loaded_by <> session_user"] {
        let moved = format!(
            "UPDATE maillogsentinel_events_cursor SET sequence = 99 WHERE {condition} RETURNING source"
        );
        let output = run(&moved);
        assert_eq!(
            (output.status.success(), text(&output.stdout)),
            (true, String::new()),
            "{moved}"
        );
    }
}
