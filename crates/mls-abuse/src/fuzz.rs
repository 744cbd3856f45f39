//! The checks of `tests/fuzz`. Each function gets any bytes, and panics if its check fails.

#![expect(clippy::expect_used, reason = "a failed check must stop the run")]

use std::io::Cursor;

use ipnet::IpNet;
use mls_config::config::show_network;
use mls_config::zone::Zone;
use mls_stream::ndjson::Reader;

use crate::evidence::Evidence;
use crate::{text, xarf};

/// Reads `bytes` as records or rows, and also as a log. A report must have no control characters,
/// and may count only addresses of the network.
pub fn report(bytes: &[u8]) {
    let network: IpNet = "192.0.2.0/24".parse().expect("a network");
    let reporter = "Example Ltd <abuse@example.org>".parse().expect("a reporter");
    let reader = Reader::new(Box::new(Cursor::new(bytes.to_vec())), "any".to_owned());
    let Ok(mut evidence) = Evidence::read(reader, network, Zone::default()) else { return };
    evidence.read_lines(bytes, network).expect("bytes in memory");
    let subject = show_network(network);
    let report = text::render(&evidence, &subject, &reporter);
    assert!(report.chars().all(|c| c == '\n' || !c.is_control()), "{report:?}");
    if let Some(report) = xarf::render(&evidence, &subject, &reporter) {
        assert_eq!(report["source_identifier"], subject.as_str());
    }
    for address in evidence.addresses.keys() {
        assert!(network.contains(&address.parse::<std::net::IpAddr>().expect("an address")));
    }
}
