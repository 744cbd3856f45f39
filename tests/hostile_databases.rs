//! Hostile database servers: they cannot make mls-sql use much memory, and mls-sql refuses injected
//! bytes.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mls_tests::hostile::{Attacked, MAX_RESIDENT, attacked, endless, serve};

fn load(url: &str) -> Command {
    let mut command = Command::new(mls_tests::tools().join("mls-sql"));
    command.args(["load", "--url", url]).stdin(Stdio::null());
    command
}

fn assert_refused(url: &str, why: &str) {
    let Attacked { code, said, peak } = attacked(&mut load(url));
    assert_eq!(code, Some(69), "{url}: {said}");
    assert!(said.contains(why), "{url}: {said}");
    assert!(peak > 0 && peak < MAX_RESIDENT, "{url}: {peak} KiB");
}

/// The greeting of a MySQL server, with the capabilities of a current server.
fn greeting() -> Vec<u8> {
    let mut text = vec![10];
    text.extend(b"8.0.36\0");
    text.extend([1, 0, 0, 0]);
    text.extend(b"abcdefgh\0");
    // Capabilities, first half (with TLS); character set; status; capabilities, second half.
    text.extend([0xff, 0xff, 45, 2, 0, 0xff, 0xdf, 21]);
    text.extend([0; 10]);
    text.extend(b"ijklmnopqrst\0mysql_native_password\0");
    packet(0, &text)
}

fn packet(sequence: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
    [&length[..3], &[sequence], payload].concat()
}

fn read_some(stream: &mut TcpStream) -> std::io::Result<usize> {
    stream.read(&mut [0; 4096])
}

#[test]
fn endless_greeting_of_a_mysql_server_is_refused() {
    let mut packet = vec![0xff, 0xff, 0xff, 0];
    packet.resize(4 + 0xff_ffff, b'x');
    let port = serve(move |stream| endless(stream, &packet));
    assert_refused(
        &format!("mysql://u@127.0.0.1:{port}/x"),
        "sent bytes before the request for them",
    );
}

#[test]
fn endless_answer_of_a_mysql_server_is_refused() {
    let mut packet = vec![0xff, 0xff, 0xff, 0];
    packet.resize(4 + 0xff_ffff, b'x');
    let port = serve(move |mut stream| {
        stream.write_all(&greeting())?;
        read_some(&mut stream)?;
        endless(stream, &packet)
    });
    let url = format!("mysql://u@127.0.0.1:{port}/x?ssl-mode=disabled");
    assert_refused(&url, "more than 8388608 bytes");
}

#[test]
fn answer_of_two_gigabytes_of_a_postgresql_server_is_refused() {
    let parameter = [&b"S\0\0\x04\0name\0"[..], &[b'x'; 0x400 - 10], b"\0"].concat();
    for (head, body) in [
        (&b"R\x7f\xff\xff\xff"[..], vec![0; 65_536]),
        // Session parameters without an end.
        (b"R\0\0\0\x08\0\0\0\0", parameter.repeat(64)),
    ] {
        let port = serve(move |mut stream| {
            // The client sends SSLRequest, then the startup message.
            read_some(&mut stream)?;
            stream.write_all(b"N")?;
            read_some(&mut stream)?;
            stream.write_all(head)?;
            endless(stream, &body)
        });
        let url = format!("postgres://u@127.0.0.1:{port}/x");
        assert_refused(&url, "more than 8388608 bytes");
    }
}

/// CVE-2021-23222: an attacker on the network appends bytes to the answer that starts TLS.
#[test]
fn bytes_injected_before_tls_are_refused() {
    let ready = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
    let port = serve(move |mut stream| {
        read_some(&mut stream)?;
        stream.write_all(&[&b"S"[..], ready].concat())?;
        read_some(&mut stream).map(drop)
    });
    assert_refused(&format!("postgres://u@127.0.0.1:{port}/x?sslmode=require"), "injected");
    let early = packet(2, &[0, 0, 0, 2, 0, 0, 0]);
    let port = serve(move |mut stream| {
        stream.write_all(&[&greeting()[..], &early].concat())?;
        read_some(&mut stream).map(drop)
    });
    assert_refused(&format!("mysql://u@127.0.0.1:{port}/x?ssl-mode=required"), "injected");
}

/// Sends one byte every 100 ms for a minute, which is longer than the client waits.
fn slowly(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    for byte in bytes.iter().chain(&[0; 600]) {
        stream.write_all(&[*byte])?;
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

#[test]
fn slow_and_truncated_answers_are_temporary_failures() {
    // The server refuses TLS, and then reads the startup message.
    let start = |stream: &mut TcpStream| -> std::io::Result<()> {
        read_some(stream)?;
        stream.write_all(b"N")?;
        read_some(stream).map(drop)
    };
    let postgres = |port| format!("postgres://u@127.0.0.1:{port}/x");
    let mysql = |port| format!("mysql://u@127.0.0.1:{port}/x");
    let slow = "no answer within 2s";
    let cut = "retrying";
    let attacks = [
        (slow, postgres(serve(move |mut s| start(&mut s).and(slowly(&mut s, b"R\0\0\x04\0"))))),
        (cut, postgres(serve(move |mut s| start(&mut s).and(s.write_all(b"R\0\0\0\x08\0"))))),
        (slow, mysql(serve(|mut stream| slowly(&mut stream, &[0, 4, 0, 0, 10])))),
        (cut, mysql(serve(|mut stream| stream.write_all(&greeting()[..20])))),
    ];
    // mls-sql retries each attack for some time, so run them in parallel.
    std::thread::scope(|scope| {
        for (why, url) in &attacks {
            scope.spawn(move || {
                let Attacked { code, said, peak } = attacked(&mut load(url));
                assert_eq!(code, Some(75), "{url}: {said}");
                assert!(said.contains(why), "{url}: {said}");
                assert!(peak > 0 && peak < MAX_RESIDENT, "{url}: {peak} KiB");
            });
        }
    });
}

#[test]
fn server_that_does_not_answer_is_reported_within_two_seconds() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let silent_port = silent.local_addr().unwrap().port();
    for (port, why) in [(silent_port, "no answer within 2s"), (closed, "Connection refused")] {
        for scheme in ["postgres", "mysql"] {
            let begun = Instant::now();
            let mut tool = load(&format!("{scheme}://u@127.0.0.1:{port}/x"))
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut said = String::new();
            BufReader::new(tool.stderr.take().unwrap()).read_line(&mut said).unwrap();
            let elapsed = begun.elapsed();
            assert!(said.contains(why) && said.contains("retrying"), "{said}");
            // mls-sql is retrying, so it has not exited.
            assert_eq!(tool.try_wait().unwrap(), None);
            tool.kill().unwrap();
            tool.wait().unwrap();
            assert!(elapsed < Duration::from_millis(2900), "{elapsed:?}: {said}");
        }
    }
    drop(silent);
}
