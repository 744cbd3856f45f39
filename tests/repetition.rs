//! Lines that count repetitions, in another run and after a rotation than the line that they count.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use mls_tests::{Site, text};

#[test]
fn repetitions_are_counted_once_across_runs_and_rotation() {
    let site = Site::new();
    let pipeline = "mls-tail --framed --cursor-file S mail.log | mls-parse --timezone UTC --reference-time 2026-06-02T00:00:00Z | \
                    mls-enrich --no-dns --country-db c.csv --asn-db a.csv | mls-csv --append F --cursor-file S";
    let failure = "Jun  1 00:00:40 vm postfix/smtpd[9]: warning: x[192.0.2.1]: SASL LOGIN authentication failed: y\n";
    let other = "Jun  1 00:00:41 mx postfix/smtpd[9]: disconnect from x[192.0.2.1]\n";
    let again = "Jun  1 00:00:45 vm last message repeated 3 times\n";
    let rows = || site.read("F").lines().count() - 1;
    let run = |rows_expected| {
        let output = site.shell(pipeline);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(rows(), rows_expected);
    };
    site.write("mail.log", failure);
    run(1);
    site.append("mail.log", &[other, again].concat());
    run(4);
    run(4);
    std::fs::rename(site.path().join("mail.log"), site.path().join("mail.log.1")).unwrap();
    site.write("mail.log", again);
    run(7);
    let ended = "Jun  1 00:00:46 vm postfix/smtpd[9]: disconnect from x[192.0.2.1]\n";
    site.append("mail.log", &[ended, again].concat());
    run(7);
}
