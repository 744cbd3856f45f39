//! Hostile HTTP and DNS servers: mls-ipdb and mls-enrich must not use much memory or wait forever.
//! No wrong data is installed or recorded.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use mls_tests::hostile::{Attacked, MAX_RESIDENT, attacked, endless, serve};

/// Fetches a country database that must not be installed.
fn update(
    path: &str,
    play: impl Fn(TcpStream) -> std::io::Result<()> + Send + 'static,
) -> Attacked {
    let url = format!("http://127.0.0.1:{}/{path}", serve(play));
    update_from(&url, &url)
}

fn update_from(country_url: &str, asn_url: &str) -> Attacked {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(mls_tests::tools().join("mls-ipdb"));
    command.args(["update", "--timeout", "1", "--country-db-url", country_url, "--data-dir"]);
    command.arg(dir.path()).args(["--asn-db-url", asn_url]).env("NO_PROXY", "*");
    let attacked = attacked(&mut command);
    assert!(attacked.peak > 0 && attacked.peak < MAX_RESIDENT, "{attacked:?}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "{attacked:?}");
    attacked
}

fn request(stream: &TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    Ok(())
}

/// Answers without `Content-Length`, so the body ends when the connection is closed.
fn answer(mut stream: TcpStream, body: &[u8], times: usize) -> std::io::Result<()> {
    request(&stream)?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
    (0..times).try_for_each(|_| stream.write_all(body))
}

#[test]
fn endless_download_is_refused_and_not_held() {
    let rows = "1,2,FR\n".repeat(10_000).into_bytes();
    let attacked = update("endless", move |stream| answer(stream, &rows, usize::MAX));
    assert_eq!(attacked.code, Some(65), "{attacked:?}");
    assert!(attacked.said.contains("it is larger than 134217728 bytes"), "{attacked:?}");
}

#[test]
fn large_download_of_many_unsorted_rows_or_one_line_is_refused_and_not_held() {
    let falling: Vec<_> = (0..10_000_u32)
        .rev()
        .flat_map(|n| format!("{},{0},FR\n", 20_000_000 + n).into_bytes())
        .collect();
    let attacked = update("unsorted", move |stream| answer(stream, &falling, 110));
    assert_eq!(attacked.code, Some(65), "{attacked:?}");
    assert!(attacked.said.contains("the rows are not sorted"), "{attacked:?}");
    let attacked = update("line", |stream| answer(stream, &b"1".repeat(65_536), 1500));
    assert_eq!(attacked.code, Some(65), "{attacked:?}");
    assert!(attacked.said.contains("a line is longer than 65536 bytes"), "{attacked:?}");
}

#[test]
fn a_small_file_that_unpacks_to_a_huge_one_is_refused_and_not_kept_in_memory() {
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..200 {
        bomb.write_all(&b"1,2,FR\n".repeat(150_000)).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    let attacked = update("bomb.gz", move |stream| answer(stream, &bomb, 1));
    assert_eq!(attacked.code, Some(65), "{attacked:?}");
    assert!(attacked.said.contains("the file unpacks to more than"), "{attacked:?}");
}

#[test]
fn endless_headers_slow_answers_and_injected_answers_are_temporary_failures() {
    let line = b"X: y\r\n".repeat(10_000);
    let headers = update("headers", move |mut stream| {
        request(&stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
        endless(stream, &line)
    });
    let long = update("header", |mut stream| {
        request(&stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nX: ")?;
        endless(stream, &b"x".repeat(65_536))
    });
    let silent = update("silent", |mut stream| {
        request(&stream)?;
        stream.write_all(b"HTTP/1.1 200")?;
        stream.read(&mut [0]).map(drop)
    });
    // The server sends interim answers without a pause, and no final answer. This download takes 20
    // seconds, so only one database is fetched in this way.
    let hints = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(2000);
    let endless_hints = serve(move |stream| {
        request(&stream)?;
        endless(stream, &hints)
    });
    let refused = serve(|mut stream| {
        request(&stream)?;
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    });
    let url = |port| format!("http://127.0.0.1:{port}/");
    let interim = update_from(&url(endless_hints), &url(refused));
    assert!(interim.said.contains(&format!("downloading {}: ", url(endless_hints))), "{interim:?}");
    // The server sends bytes of another protocol before any request.
    let early = update("early", |stream| endless(stream, b"220 mail.example.com\r\n"));
    for attacked in [headers, long, silent, interim, early] {
        assert_eq!(attacked.code, Some(75), "{attacked:?}");
        assert!(attacked.said.contains("downloading"), "{attacked:?}");
    }
}

#[test]
fn truncated_download_is_a_temporary_failure() {
    let attacked = update("truncated", |mut stream| {
        request(&stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n1,2,FR\n")
    });
    assert_eq!(attacked.code, Some(75), "{attacked:?}");
    assert!(attacked.said.contains("downloading"), "{attacked:?}");
}

#[test]
fn certificate_that_no_known_authority_has_signed_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let request = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 \
                   -keyout key.pem -out cert.pem";
    let mut openssl = Command::new("openssl");
    openssl.args(request.split_ascii_whitespace()).current_dir(dir.path());
    assert!(openssl.stderr(Stdio::null()).status().unwrap().success());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let serve =
        format!("s_server -www -quiet -accept 127.0.0.1:{port} -key key.pem -cert cert.pem");
    let mut server = Command::new("openssl")
        .args(serve.split_ascii_whitespace())
        .current_dir(dir.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert_eq!(server.try_wait().unwrap(), None, "openssl s_server has ended");
        std::thread::yield_now();
    }
    let url = format!("https://127.0.0.1:{port}/");
    let attacked = update_from(&url, &url);
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(attacked.code, Some(75), "{attacked:?}");
    assert!(attacked.said.contains("certificate"), "{attacked:?}");
}

/// Looks up one address at a hostile DNS server. Over UDP, the server sends the messages of
/// `answer`. Over TCP, it runs `play`.
fn enrich(
    answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
    play: impl Fn(TcpStream) -> std::io::Result<()> + Send + 'static,
) -> Attacked {
    let (socket, listener) = loop {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()) {
            break (socket, listener);
        }
    };
    let address = socket.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut query = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            for reply in answer(&query[..length]) {
                let _ = socket.send_to(&reply, from);
            }
        }
    });
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = play(stream.unwrap());
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let records = dir.path().join("records");
    let record = br#"{"v":1,"type":"auth","date":"2026-06-01T00:00:45Z","outcome":"failure","ip":"192.0.2.1"}"#;
    std::fs::File::create(&records).unwrap().write_all(&[&record[..], b"\n"].concat()).unwrap();
    for (name, row) in [("country.csv", "9,9,FR\n"), ("asn.csv", "9,9,64500,Example\n")] {
        std::fs::File::create(dir.path().join(name)).unwrap().write_all(row.as_bytes()).unwrap();
    }
    let attacked = attacked(&mut enrichment(&address, dir.path(), &records));
    assert_eq!(attacked.code, Some(0), "{attacked:?}");
    assert!(attacked.peak > 0 && attacked.peak < MAX_RESIDENT, "{attacked:?}");
    attacked
}

fn enrichment(address: &str, databases: &Path, records: &Path) -> Command {
    let mut command = Command::new(mls_tests::tools().join("mls-enrich"));
    command.args(["--dns-private", "--dns-server", address]);
    command.arg("--country-db").arg(databases.join("country.csv"));
    command.arg("--asn-db").arg(databases.join("asn.csv"));
    command.stdin(std::fs::File::open(records).unwrap()).stderr(Stdio::piped());
    command
}

/// Returns a DNS header with `flags` and the number `answers`, and the question of `query`.
fn dns_answer(query: &[u8], flags: [u8; 2], answers: u16) -> Vec<u8> {
    let rest = query.len().saturating_sub(12);
    // Copy only the question, not the EDNS record: the question ends 5 bytes after the last label.
    let end = query[12..].iter().position(|byte| *byte == 0).map_or(rest, |end| end + 5);
    let head = [&query[..2], &flags, &[0, 1], &answers.to_be_bytes(), &[0; 4]].concat();
    [&head[..], &query[12..12 + end]].concat()
}

#[test]
fn hostile_dns_servers_cost_no_memory_and_end_the_lookup() {
    let cut = |query: &[u8]| vec![dns_answer(query, [0x86, 0x80], 0)];
    // TCP: endless messages of the maximum size; half a message; one byte every 100 ms; no answer.
    let message = [&[0xff, 0xff][..], &b"x".repeat(65_535)].concat();
    enrich(cut, move |stream| endless(stream, &message));
    enrich(cut, |mut stream| stream.write_all(&[0xff, 0xff, 1, 2, 3]));
    enrich(cut, |mut stream| {
        loop {
            stream.write_all(&[0xff])?;
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    enrich(cut, |mut stream| stream.read_to_end(&mut Vec::new()).map(drop));
    // UDP: many answers with a wrong ID; bytes 0xff; a header that counts too many answers.
    let flood = |query: &[u8]| {
        let mut wrong = dns_answer(query, [0x84, 0x80], 0);
        wrong[0] ^= 0xff;
        vec![wrong; 1000]
    };
    enrich(flood, |_| Ok(()));
    enrich(|query| vec![[&query[..2], &[0xff].repeat(60_000)].concat(); 10], |_| Ok(()));
    enrich(|query| vec![dns_answer(query, [0x84, 0x80], u16::MAX)], |_| Ok(()));
}
