//! The cache of lookups between runs.

use std::fs;
use std::path::Path;

use crate::dns_server::{DnsServer, Reply, arpa};
use hickory_server::proto::op::ResponseCode;

use crate::filter::{auth, command, ip, name, run};

pub(crate) fn configured(dir: &Path, dns_cache: &str) -> String {
    let conf = dir.join("mls.conf");
    let text = format!("[paths]\nstate_dir = {}\n[dns_cache]\n{dns_cache}\n", dir.display());
    mls_state::atomic::write(&conf, text.as_bytes(), 0o644).unwrap();
    conf.to_str().unwrap().to_owned()
}

fn zone_of_all_kinds() -> DnsServer {
    DnsServer::of(vec![
        (ip("11.0.0.1"), name("one.example.com")),
        (ip("11.0.0.2"), Reply::Names(vec![])),
        (ip("11.0.0.4"), Reply::Code(ResponseCode::ServFail)),
    ])
}

#[test]
fn a_second_run_looks_up_only_what_the_server_failed_to_answer() {
    let (server, dir) = (zone_of_all_kinds(), tempfile::tempdir().unwrap());
    let conf = configured(dir.path(), "");
    let input = ["11.0.0.1", "11.0.0.2", "11.0.0.3", "11.0.0.4", "11.0.0.4"].map(auth);
    let first = run(command(server.address).args(["--config", &conf]), &input);
    let before = server.questions();
    let second = run(command(server.address).args(["--config", &conf]), &input);
    assert_eq!((second.by_ip(), &second.stderr), (first.by_ip(), &first.stderr));
    let after = server.questions();
    let repeated: Vec<_> =
        after.iter().filter(|(name, times)| before[*name] != **times).map(|(n, _)| n).collect();
    assert_eq!(repeated, [&arpa(ip("11.0.0.4"))]);
}

#[test]
fn a_disabled_or_expired_cache_is_not_used() {
    for setting in ["enabled = no", "size = 0", "ttl_seconds = 0"] {
        let (server, dir) = (zone_of_all_kinds(), tempfile::tempdir().unwrap());
        let conf = configured(dir.path(), setting);
        for run_number in 1..=2 {
            run(command(server.address).args(["--config", &conf]), &[auth("11.0.0.1")]);
            assert_eq!(server.questions()[&arpa(ip("11.0.0.1"))], run_number, "{setting}");
        }
        let is_written = dir.path().join("dns-cache.ndjson").exists();
        assert_eq!(is_written, setting.starts_with("ttl"), "{setting}");
    }
}

#[test]
fn a_corrupt_cache_is_dropped_and_an_unwritable_one_is_only_a_warning() {
    let (server, dir) = (zone_of_all_kinds(), tempfile::tempdir().unwrap());
    let conf = configured(dir.path(), "");
    mls_state::atomic::write(
        &dir.path().join("dns-cache.ndjson"),
        b"{\"ip\":\"11.0.0.1\",\"expi",
        0o640,
    )
    .unwrap();
    let output = run(command(server.address).args(["--config", &conf]), &[auth("11.0.0.1")]);
    assert_eq!(output.by_ip()["11.0.0.1"].0, Some("OK"));
    assert!(
        output.stderr.contains("dns-cache.ndjson cannot be read and is removed"),
        "{}",
        output.stderr
    );
    let output = run(command(server.address).args(["--config", &conf]), &[auth("11.0.0.1")]);
    assert!(!output.stderr.contains("is removed"), "{}", output.stderr);

    let gone = configured(dir.path(), "").replace("mls.conf", "gone.conf");
    let text = fs::read_to_string(dir.path().join("mls.conf")).unwrap();
    let text = text.replace(dir.path().to_str().unwrap(), "/proc/nowhere");
    mls_state::atomic::write(Path::new(&gone), text.as_bytes(), 0o644).unwrap();
    let output = run(command(server.address).args(["--config", &gone]), &[auth("11.0.0.1")]);
    assert_eq!((output.code, output.by_ip()["11.0.0.1"].0), (Some(0), Some("OK")));
    assert!(output.stderr.contains("cannot be written"), "{}", output.stderr);
}

#[test]
fn runs_at_once_do_not_damage_the_cache() {
    let (server, dir) = (zone_of_all_kinds(), tempfile::tempdir().unwrap());
    let conf = configured(dir.path(), "");
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (conf, address) = (&conf, server.address);
            scope.spawn(move || {
                let input: Vec<_> = (0..250).map(|m| auth(&format!("11.1.{n}.{m}"))).collect();
                run(command(address).args(["--config", conf]), &input);
            });
        }
    });
    let output = run(command(server.address).args(["--config", &conf]), &[auth("11.0.0.1")]);
    assert!(!output.stderr.contains("is removed"), "{}", output.stderr);
    assert_eq!(output.by_ip()["11.0.0.1"].0, Some("OK"));
}
