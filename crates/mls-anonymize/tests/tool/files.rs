//! Files, keys and long lines.

use std::io::Write;

use crate::{LOG, anonymize, key, tool};

#[test]
fn gzip_is_read_and_written_and_the_map_is_private_and_complete() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (log, share, map) = (path("mail.log.gz"), path("share.log.gz"), path("map"));
    let file = std::fs::File::create(&log).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    gzip.write_all(LOG.as_bytes()).unwrap();
    gzip.finish().unwrap();
    std::fs::File::create(&map)
        .unwrap()
        .set_permissions(std::fs::Permissions::from_mode(0o644))
        .unwrap();
    let arguments = ["--key-file", key(), "--input", &log, "--output", &share, "--map", &map];
    assert_eq!(tool(&arguments, b"").0, Some(0));
    let mut written = String::new();
    let file = std::fs::File::open(&share).unwrap();
    std::io::Read::read_to_string(&mut flate2::read::MultiGzDecoder::new(file), &mut written)
        .unwrap();
    assert_eq!(written.as_bytes(), anonymize(LOG.as_bytes()));
    assert_eq!(std::fs::metadata(&map).unwrap().permissions().mode() & 0o777, 0o600);
    let map = std::fs::read_to_string(&map).unwrap();
    let pseudonym = map.lines().find_map(|line| line.strip_suffix("\tadmin@example.test")).unwrap();
    assert!(
        written.contains(&format!("sasl_username={}", pseudonym.strip_prefix("user\t").unwrap()))
    );
    // A run that fails leaves no file.
    std::fs::remove_file(&share).unwrap();
    std::fs::File::options().write(true).open(&log).unwrap().set_len(500).unwrap();
    assert_eq!(tool(&arguments, b"").0, Some(74));
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 2);
}

#[test]
fn a_key_file_gives_the_same_pseudonyms_and_no_key_file_gives_new_ones_each_run() {
    let line = LOG.lines().last().unwrap().as_bytes();
    let run = |arguments: &[&str]| tool(arguments, line).1;
    assert_eq!(run(&["--key-file", key()]), run(&["--key-file", key()]));
    assert_ne!(run(&[]), run(&[]));
}

#[test]
fn lines_of_any_length_and_any_bytes_are_accepted_in_linear_time() {
    let long = [
        b"x".repeat(3 << 20),
        b"\nJun  1 00:00:45 vm a: 192.0.2.1\r\n".to_vec(),
        b"\xff\0<\n".to_vec(),
    ]
    .concat();
    let (code, written, said) = tool(&["--key-file", key()], &long);
    assert_eq!((code, said.lines().count()), (Some(0), 1), "{said}");
    assert!(written.ends_with(b"\r\n\xff\0<\n") && written.len() < 100);
    let many = [b"a.".repeat(400_000), b"b@c ".repeat(20_000)].concat();
    assert_eq!(tool(&["--key-file", key(), "--strict"], &many).0, Some(0));
    // A search to the end of the line for each of these words would take an hour.
    for word in ["a+=", "a(", "a[", "a@[", "user: \"", "helo=1"] {
        let line = format!("Jun  1 00:00:45 vm dovecot: {}", word.repeat(1_000_000 / word.len()));
        assert_eq!(tool(&["--key-file", key(), "--strict"], line.as_bytes()).0, Some(0), "{word}");
    }
}
