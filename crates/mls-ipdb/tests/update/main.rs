//! Updates from a faulty or hostile server, and from local files.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod http_server;
mod mmdb;

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;
use http_server::{Answer, Server};
use serde_json::Value as Json;

/// A valid database of `rows` ranges of 10 addresses.
fn country(rows: u64) -> Vec<u8> {
    let rows: Vec<_> = (0..rows)
        .map(|n| format!("{},{},FR\n", 16_777_216 + n * 100, 16_777_225 + n * 100))
        .collect();
    rows.concat().into_bytes()
}

fn asn(rows: u64) -> Vec<u8> {
    let text = String::from_utf8(country(rows)).unwrap();
    text.replace("FR", "64500,\"Example, Inc.\"").into_bytes()
}

fn country6(rows: u64) -> Vec<u8> {
    let base = 0x2a00_u128 << 112;
    let rows: Vec<_> = (0..u128::from(rows))
        .map(|n| format!("{},{},DE\n", base + n * 100, base + n * 100 + 9))
        .collect();
    rows.concat().into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The tool, without the proxies in the environment of the tests.
fn tool() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mls-ipdb"));
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
        command.env_remove(name).env_remove(name.to_ascii_lowercase());
    }
    command
}

/// Runs `mls-ipdb update` for a country database from `country_url` (MMDB if the URL contains
/// `.mmdb`) and an AS database from `asn_url`.
fn update(dir: &Path, country_url: &str, asn_url: &str) -> Output {
    let target =
        dir.join(if country_url.contains(".mmdb") { "country.mmdb" } else { "country_aside.csv" });
    tool()
        .args([
            "update",
            "--timeout",
            "1",
            "--country-db-url",
            country_url,
            "--asn-db-url",
            asn_url,
            "--data-dir",
        ])
        .arg(dir)
        .arg("--country-db")
        .arg(target)
        .output()
        .unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn lookup(dir: &Path, ip: &str) -> Json {
    let output = tool().args(["lookup", ip, "--data-dir"]).arg(dir).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn databases_of_both_families_are_fetched_and_later_requests_are_conditional() {
    let server = Server::http(|request| {
        let (body, headers) = match request.path.as_str() {
            "/country-v4" => (country(1000), "ETag: \"one\"\r\n"),
            "/country-v6.gz" => {
                (gzip(&country6(500)), "Last-Modified: Fri, 29 May 2026 00:00:00 GMT\r\n")
            }
            _ => (asn(800), ""),
        };
        let known = ["if-none-match", "if-modified-since"]
            .iter()
            .any(|name| request.headers.contains_key(*name));
        if known {
            Answer::raw("304 Not Modified", "", b"")
        } else {
            Answer::new("200 OK", headers, &body)
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("new").join("directory");
    let run = || {
        let mut command = tool();
        command.args(["update", "--asn-db-url", &server.url("/asn"), "--data-dir"]).arg(&data);
        for path in ["/country-v4", "/country-v6.gz"] {
            command.args(["--country-db-url", &server.url(path)]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let first = run();
    let rows: Vec<_> = first
        .lines()
        .map(|line| serde_json::from_str::<Json>(line).unwrap()["rows"].clone())
        .collect();
    assert_eq!(rows, [1000, 500, 800]);
    assert_eq!(lookup(&data, "1.0.0.5")["aso"], "Example, Inc.");
    assert_eq!(lookup(&data, "2a00::5")["country_code"], "DE");
    let before = fs::metadata(data.join("country_aside.csv")).unwrap();
    assert_eq!(before.mode() & 0o777, 0o644);

    // If a server sends no ETag and no Last-Modified, the file is downloaded again and has a new
    // date.
    let again = run();
    assert_eq!(again.lines().count(), 3);
    assert!(
        again.lines().zip(first.lines()).take(2).all(|(again, first)| again == first),
        "{first}{again}"
    );
    assert_eq!(fs::metadata(data.join("country_aside.csv")).unwrap().ino(), before.ino());
    let requests = server.requests();
    assert_eq!(requests[3].headers["if-none-match"], "\"one\"");
    assert_eq!(requests[4].headers["if-modified-since"], "Fri, 29 May 2026 00:00:00 GMT");
    assert!(!requests[5].headers.contains_key("if-none-match"));

    // A file that was changed by hand is fetched completely.
    mls_state::atomic::write(&data.join("country_aside.csv"), &country(900), 0o644).unwrap();
    assert_ne!(run(), "");
    assert!(!server.requests()[6].headers.contains_key("if-none-match"));
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of downloads and what is wrong with them")]
fn a_wrong_or_incomplete_download_does_not_replace_the_old_file() {
    let ok = "200 OK";
    let old = country(1000);
    let cut = |body: &[u8], at: usize| body[..at].to_vec();
    let overlapping = [&country(1000)[..], b"16777220,16777220,DE\n"].concat();
    let bomb = gzip(&country(40_000)).repeat(170);
    let flipped = {
        let mut bytes = gzip(&country(1000));
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        bytes
    };
    let chunked = [b"400\r\n", &country(1000)[..0x400], b"\r\n"].concat();
    let cases: Vec<(&str, Answer, i32, &str)> = vec![
        (
            "/page",
            Answer::new(ok, "Content-Type: text/html\r\n", b"<!DOCTYPE html>\n<p>Hello\n"),
            65,
            "is not a row",
        ),
        ("/empty", Answer::new(ok, "", b""), 65, "it is empty"),
        ("/header", Answer::new(ok, "", b"start,end,country\n1,2,FR\n"), 65, "is not a row"),
        ("/cut", Answer::raw(ok, "Content-Length: 99999\r\n", &country(1000)), 75, "downloading"),
        (
            "/cut-chunks",
            Answer::raw(ok, "Transfer-Encoding: chunked\r\n", &chunked),
            75,
            "downloading",
        ),
        (
            "/no-length",
            Answer::raw(ok, "", &cut(&country(1000), 20_993)),
            75,
            "the download was cut off",
        ),
        (
            "/lies",
            Answer::raw(ok, "Content-Length: 15000\r\n", &country(1000)),
            75,
            "the download was cut off",
        ),
        (
            "/lies-at-a-row",
            Answer::raw(ok, "Content-Length: 2205\r\n", &country(1000)),
            65,
            "less than half",
        ),
        ("/half", Answer::new(ok, "", &country(499)), 65, "has 499 rows"),
        ("/overlap", Answer::new(ok, "", &overlapping), 65, "overlaps"),
        ("/asn", Answer::new(ok, "", &asn(1000)), 65, "the file is not a country database"),
        ("/ipv6", Answer::new(ok, "", &country6(1000)), 65, "differ in address families"),
        (
            "/cut.gz",
            Answer::new(ok, "", &cut(&gzip(&country(1000)), 900)),
            75,
            "country_aside.csv is not updated",
        ),
        ("/flipped.gz", Answer::new(ok, "", &flipped), 75, "country_aside.csv is not updated"),
        ("/not.gz", Answer::new(ok, "", &country(1000)), 75, "country_aside.csv is not updated"),
        ("/bomb.gz", Answer::new(ok, "", &bomb), 65, "unpacks to more than"),
        ("/large", Answer::raw(ok, "Content-Length: 999999999999\r\n", b"1"), 65, "larger than"),
        ("/gone", Answer::new("404 Not Found", "", b"no"), 69, "404 Not Found"),
        (
            "/broken",
            Answer::new("500 Internal Server Error", "", b"no"),
            75,
            "500 Internal Server Error",
        ),
        ("/unasked", Answer::raw("304 Not Modified", "", b""), 75, "304 Not Modified"),
        (
            "/partial",
            Answer::new("206 Partial Content", "", &country(1000)),
            75,
            "206 Partial Content",
        ),
        ("/loop", Answer::raw("302 Found", "Location: /loop\r\n", b""), 69, "too many redirects"),
        (
            "/stall",
            Answer::raw(ok, "Content-Length: 23000\r\n", &cut(&country(1000), 9000)).stall(),
            75,
            "downloading",
        ),
        (
            "/silent",
            Answer { bytes: Vec::new(), then: http_server::Then::Stall },
            75,
            "downloading",
        ),
        (
            "/noise",
            Answer { bytes: b"\x00\xff SSH-2.0\r\n\r\n".to_vec(), then: http_server::Then::Close },
            75,
            "downloading",
        ),
    ];
    let expected: Vec<_> =
        cases.iter().map(|(path, _, code, text)| (*path, *code, *text)).collect();
    let server =
        Server::http(move |request| match cases.iter().find(|(path, ..)| *path == request.path) {
            Some((_, answer, ..)) => Answer { bytes: answer.bytes.clone(), then: answer.then },
            None => Answer::new("200 OK", "", &asn(1000)),
        });
    std::thread::scope(|scope| {
        for (path, code, text) in expected {
            let (old, server) = (&old, &server);
            scope.spawn(move || {
                let dir = tempfile::tempdir().unwrap();
                let target = dir.path().join("country_aside.csv");
                mls_state::atomic::write(&target, old, 0o644).unwrap();
                let output = update(dir.path(), &server.url(path), &server.url("/good"));
                assert_eq!(output.status.code(), Some(code), "{path}: {}", stderr(&output));
                assert!(stderr(&output).contains(text), "{path}: {}", stderr(&output));
                assert!(fs::read(&target).unwrap() == *old, "{path}: the old file is gone");
                // The AS database was installed nevertheless, and no temporary files remain.
                assert_eq!(
                    names(dir.path()),
                    ["asn.csv", "asn.csv.origin", "country_aside.csv"],
                    "{path}"
                );
            });
        }
    });
}

#[test]
fn a_temporary_failure_is_retried() {
    let asked = AtomicUsize::new(0);
    let server = Server::http(move |request| {
        match (request.path.as_str(), asked.fetch_add(1, Ordering::Relaxed)) {
            ("/country", 0) => Answer::new("503 Service Unavailable", "", b""),
            ("/country", 1) => Answer::raw("200 OK", "Content-Length: 99999\r\n", &country(10)),
            ("/country", _) => Answer::raw("302 Found", "Location: /moved\r\n", b""),
            ("/moved", _) => Answer::new("200 OK", "", &country(10)),
            _ => Answer::new("200 OK", "", &asn(10)),
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let output = update(dir.path(), &server.url("/country"), &server.url("/asn"));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(lookup(dir.path(), "1.0.0.5")["country_code"], "FR");
    // The referring URL may contain a key.
    assert!(server.requests().iter().all(|request| !request.headers.contains_key("referer")));
}

#[test]
fn an_update_sorts_unsorted_rows() {
    let text = String::from_utf8(country(300)).unwrap();
    let reversed: Vec<_> = text.lines().rev().map(|line| format!("{line}\n")).collect();
    let server = Server::http(move |request| {
        let body = if request.path == "/asn" { asn(1) } else { reversed.concat().into_bytes() };
        Answer::new("200 OK", "", &body)
    });
    let dir = tempfile::tempdir().unwrap();
    let output = update(dir.path(), &server.url("/country"), &server.url("/asn"));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(fs::read(dir.path().join("country_aside.csv")).unwrap() == country(300));
}

#[test]
fn tls_trusts_only_the_authorities_of_the_system_and_redirects_to_http_are_refused() {
    let plain = Server::http(|_| Answer::new("200 OK", "", &asn(10)));
    let away = format!("Location: {}\r\n", plain.url("/country"));
    let (server, pem) = Server::https(move |request| match request.path.as_str() {
        "/country" => Answer::new("200 OK", "", &country(10)),
        _ => Answer::raw("302 Found", &away, b""),
    });
    let dir = tempfile::tempdir().unwrap();
    let authority = dir.path().join("authority.pem");
    mls_state::atomic::write(&authority, pem.as_bytes(), 0o644).unwrap();
    let data = dir.path().join("data");
    let run = |path: &str, trusted: bool| {
        let url = format!("https://localhost:{}{path}", server.address.port());
        let mut command = tool();
        command.args([
            "update",
            "--timeout",
            "5",
            "--country-db-url",
            &url,
            "--asn-db-url",
            &plain.url("/asn"),
        ]);
        if trusted {
            command.env("SSL_CERT_FILE", &authority);
        }
        command.arg("--data-dir").arg(&data).output().unwrap()
    };
    assert_eq!(run("/country", false).status.code(), Some(75));
    assert!(!data.join("country_aside.csv").exists());
    let output = run("/away", true);
    assert_eq!(output.status.code(), Some(69));
    assert!(stderr(&output).contains("a redirect from https to http"), "{}", stderr(&output));
    let output = run("/country", true);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(lookup(&data, "1.0.0.5")["country_code"], "FR");
}

#[test]
fn the_proxy_of_the_environment_is_used_and_a_password_is_not_shown() {
    let proxy = Server::http(|request| {
        let sound = request.path.starts_with("http://databases.invalid/asn");
        if sound {
            Answer::new("200 OK", "", &asn(10))
        } else {
            Answer::new("403 Forbidden", "", b"")
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let output = tool()
        .args([
            "update",
            "--country-db-url",
            "http://user:secret@databases.invalid/country?key=secret",
        ])
        .args(["--asn-db-url", "http://databases.invalid/asn", "--data-dir"])
        .arg(dir.path())
        .env("http_proxy", proxy.url(""))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(69), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("http://databases.invalid/country: the server answers 403"),
        "{}",
        stderr(&output)
    );
    assert!(!stderr(&output).contains("secret"), "{}", stderr(&output));
    assert_eq!(names(dir.path()), ["asn.csv", "asn.csv.origin"]);
    assert!(!fs::read_to_string(dir.path().join("asn.csv.origin")).unwrap().contains("databases"));
}

fn take(dir: &Path, files: &[&str]) -> Output {
    let mut command = tool();
    command.current_dir(dir).args(["update", "--data-dir", "data"]);
    for file in files {
        command.args(["--from", file]);
    }
    command.output().unwrap()
}

#[test]
fn the_kind_and_family_of_a_local_file_follow_from_its_content() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        mls_state::atomic::write(&dir.path().join(name), bytes, 0o644).unwrap();
    };
    write("a", &asn(50));
    write("b.csv.gz", &gzip(&country(50)));
    write("c", &country6(50));
    let output = take(dir.path(), &["a", "b.csv.gz", "c"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let data = dir.path().join("data");
    assert_eq!(names(&data), ["asn.csv", "country_aside-ipv6.csv", "country_aside.csv"]);
    assert_eq!(lookup(&data, "1.0.0.5")["asn"], 64500);

    write("less", &country(10));
    write("page", b"<html>\n");
    write("cut.gz", &gzip(&country(1000))[..700]);
    write("nothing", b"1,2,-\n");
    for (file, code, text) in [
        ("less", 65, "less than half"),
        ("page", 65, "page is not installed: byte 0: \"<html>\" is not a row"),
        ("cut.gz", 65, "cut.gz is not installed"),
        ("nothing", 65, "most of its rows have no country, and most have no AS number"),
        ("missing", 66, "missing"),
    ] {
        let output = take(dir.path(), &[file]);
        assert_eq!(output.status.code(), Some(code), "{file}: {}", stderr(&output));
        assert!(stderr(&output).contains(text), "{file}: {}", stderr(&output));
    }
    assert!(fs::read(data.join("country_aside.csv")).unwrap() == country(50));
}

#[test]
fn verify_reports_the_installed_databases_and_their_faults() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        mls_state::atomic::write(&dir.path().join(name), bytes, 0o644).unwrap();
    };
    let verify =
        || tool().current_dir(dir.path()).args(["verify", "--data-dir", "."]).output().unwrap();
    let output = verify();
    assert_eq!(output.status.code(), Some(66));
    assert!(
        stderr(&output).contains("./asn.csv does not exist: no AS database"),
        "{}",
        stderr(&output)
    );

    write("country_aside.csv", b"0,2147483647,FR\n");
    write("country_aside-ipv6.csv", &country6(7));
    write("asn.csv", &asn(50));
    let output = verify();
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let first: Json = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&first["rows"], &first["ipv4"], &first["ipv6"]),
        (&1.into(), &0.5.into(), &Json::Null)
    );
    assert_eq!(text.lines().count(), 3);

    for (bad, why) in [
        (&b"9,9,FR\n1,1,FR\n"[..], "not sorted"),
        (b"x\n", "not a row"),
        (&asn(5), "the file is not a country database"),
    ] {
        write("country_aside.csv", bad);
        let output = verify();
        assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
        assert_eq!(output.stdout.split(|b| *b == b'\n').count(), 3);
    }
    // The first error decides the exit code.
    fs::remove_file(dir.path().join("asn.csv")).unwrap();
    fs::create_dir(dir.path().join("asn.csv")).unwrap();
    assert_eq!(verify().status.code(), Some(65));
    fs::remove_dir(dir.path().join("asn.csv")).unwrap();
    assert_eq!(verify().status.code(), Some(65));
}
