//! Checks the page with an HTML checker and a browser: the Debian packages tidy and chromium.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::path::Path;
use std::process::{Command, Stdio};

use assert_cmd::Command as Tool;

/// Names that would act on a browser if they were not escaped.
const HOSTILE: [&str; 6] = [
    "<script>alert(1)</script>",
    "</title><img src=x onerror=alert(1)>",
    "\u{202e}gpj.exe@evil",
    "&lt;b&gt;",
    "'\" style=background:url(http://192.0.2.1/)",
    "{{ 7 * 7 }}",
];

fn page(csv: &str) -> String {
    let args = ["--format", "html", "--date", "2026-06-02", "--timezone", "UTC"];
    let run =
        Tool::new(env!("CARGO_BIN_EXE_mls-report")).args(args).write_stdin(csv).assert().success();
    String::from_utf8(run.get_output().stdout.clone()).unwrap()
}

fn hostile_csv() -> String {
    let quote = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let rows = HOSTILE.iter().flat_map(|name| {
        let name = quote(&format!("'{name}"));
        ["2026-06-01 10:00", "2026-06-02 10:00"]
            .map(|date| format!("mail,{date},192.0.2.1,{name},{name},{name},{name},1,{name}\n"))
    });
    rows.collect()
}

/// The document that the browser makes of a file, and the browser's messages.
fn browse(file: &Path) -> (String, Vec<String>) {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new("chromium")
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--enable-logging=stderr", "--dump-dom", "--timeout=20000"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", file.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    let console =
        messages.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
    (String::from_utf8(output.stdout).unwrap(), console)
}

#[test]
fn a_browser_shows_hostile_names_as_text_and_reports_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("page.html");
    let html = page(&hostile_csv());
    mls_state::atomic::write(&file, html.as_bytes(), 0o600).unwrap();
    let (document, console) = browse(&file);
    assert_eq!(console, [""; 0]);
    assert!(document.contains("6 failed logins"), "{document}");
    for tag in ["<script", "<img", "<b>"] {
        assert!(!document.contains(tag), "{tag} in {document}");
    }
    assert!(document.contains("<bdi>&lt;script&gt;alert(1)&lt;/script&gt;</bdi>"));
    assert!(
        document.contains("<bdi>\u{fffd}gpj.exe@evil</bdi>")
            && document.contains("<bdi>&amp;lt;b&amp;gt;</bdi>")
    );

    // If a name is not escaped, the browser reports an error. So the check above works.
    let broken = html.replacen("&#60;script&#62;alert(1)&#60;/script&#62;", HOSTILE[0], 1);
    assert_ne!(broken, html);
    mls_state::atomic::write(&file, broken.as_bytes(), 0o600).unwrap();
    let (_, console) = browse(&file);
    assert!(console.iter().any(|line| line.contains("Content Security Policy")), "{console:?}");
}

#[test]
fn the_chart_of_days_begins_with_the_data() {
    let html = page(
        "mail,2026-05-29 10:00,192.0.2.1,u,h,OK,DE,1,A\nmail,2026-06-02 10:00,192.0.2.1,u,h,OK,DE,1,A\n",
    );
    assert!(html.contains("Attempts by day, since 2026-05-29"));
    assert!(html.contains("title=\"2026-05-29: 1 attempt\""));
    assert!(html.contains("title=\"2026-06-01: 0 attempts\""));
    assert!(!html.contains("2026-05-28"));
    let html = page("mail,2026-06-02 10:00,192.0.2.1,u,h,OK,DE,1,A\n");
    assert!(html.contains("Attempts by hour") && !html.contains("Attempts by day"));
    let html = page("mail,2026-05-04 10:00,192.0.2.1,u,h,OK,DE,1,A\n");
    assert!(html.contains("Attempts by day, for 30 days"));
}

#[test]
fn readers_can_sort_tables_and_look_up_addresses_without_a_script() {
    let html = page(&hostile_csv());
    for text in ["<details><summary>Sorted by User</summary>", "whois 192.0.2.1\n"] {
        assert!(html.contains(text), "{text}");
    }
}

/// Gmail removes a style sheet of more than 8,192 characters, and hides all text after 102 KB.
/// Outlook for Windows supports only tables for the layout.
#[test]
fn a_mail_stays_within_the_limits_of_mail_programs() {
    let user = "a.long.name.of.somebody.at.the.office@department.example.org";
    let rows = (0..5000).map(|n| {
        let (day, hour, net) = (1 + n % 28, n % 24, n % 200);
        format!("mail,2026-06-{day:02} {hour:02}:00,10.0.{net}.{},{n}{user},{n}.{user},OK,BR,{n},A long name {n} Ltd\n", n % 250)
    });
    let args = ["--format", "mail", "--since", "2026-06-01", "--until", "2026-06-28"];
    let run = Tool::new(env!("CARGO_BIN_EXE_mls-report"))
        .args(args)
        .args(["--timezone", "UTC"])
        .write_stdin(rows.collect::<String>())
        .assert()
        .success();
    let length = run.get_output().stdout.len();
    assert!(length < 102 * 1024, "the mail has {length} bytes");
    let html = page(&hostile_csv());
    let style = html.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    assert!(style.len() < 8192, "the style sheet has {} characters", style.len());
    // Outlook ignores max-width. It takes the width and the alignment of a table from attributes.
    // Only Outlook reads the `[if mso]` comments.
    assert!(!style.replace("(max-width", "").contains("max-width"));
    let body = html.split("<body>").nth(1).unwrap().trim_start();
    let outlook = "<!--[if mso]><table role=\"presentation\" align=\"center\" width=\"896\"><tr><td><![endif]-->";
    let body = body.strip_prefix(outlook).unwrap().trim_start();
    assert!(body.starts_with("<table class=\"page\" role=\"presentation\" width=\"896\">"));
    assert!(body.contains("<!--[if mso]></td></tr></table><![endif]-->\n</body>"));
    for modern in ["grid", "flex", "float:", "var(", "@import", "url("] {
        assert!(!style.contains(modern), "{modern}");
    }
}

#[test]
fn commands_in_sentences_are_code_on_the_page_and_plain_in_the_text() {
    let html = page(&hostile_csv());
    let setting = "set <code>record = yes</code> in [logins] of the configuration";
    assert!(html.contains(setting), "{html}");
    let date = "failed logins on <span class=\"date\">2026-06-02</span>";
    assert!(html.contains(date), "{html}");
    let text = Tool::new(env!("CARGO_BIN_EXE_mls-report"))
        .args(["--date", "2026-06-02", "--timezone", "UTC"])
        .write_stdin(hostile_csv())
        .assert()
        .success();
    let text = String::from_utf8(text.get_output().stdout.clone()).unwrap();
    assert!(text.contains("set record = yes in [logins]"), "{text}");
}

#[test]
fn the_page_is_correct_html_of_one_file() {
    for csv in [hostile_csv(), String::new()] {
        let html = page(&csv);
        let mut tidy = Command::new("tidy")
            .args(["-quiet", "-errors", "-utf8"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut tidy.stdin.take().unwrap(), html.as_bytes()).unwrap();
        let output = tidy.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert!(output.status.success());
        // The page loads nothing: hostile names have these words, but no tag has them.
        for tag in html.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
            assert!(
                !["src=", "href=", "url(", "@import"].iter().any(|word| tag.contains(word)),
                "{tag}"
            );
        }
    }
}
