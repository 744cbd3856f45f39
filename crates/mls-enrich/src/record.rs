//! A record with its five members replaced; every other byte of every value as it came.

use std::io::Write;
use std::net::IpAddr;

use mls_event::{BadRecord, Enrichment, Members};

/// An `auth` record on its way through.
pub(crate) struct Record<'a>(Members<'a>);

impl<'a> Record<'a> {
    pub(crate) fn parse(line: &'a [u8]) -> Result<Self, BadRecord> {
        Members::parse(line).map(Self)
    }

    /// The address; none where the record has none, or something else under that name, which is the sink's to refuse.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        let ip: IpAddr = serde_json::from_str(self.0.get("ip")?.get()).ok()?;
        Some(ip.to_canonical())
    }

    /// Appends the record, enriched, and its newline.
    pub(crate) fn write(mut self, added: &Enrichment<'_>, out: &mut Vec<u8>) {
        self.0.remove(&Enrichment::MEMBERS);
        self.0.write_open(out);
        for (name, text) in [("hostname", &added.hostname), ("reverse_dns_status", &added.reverse_dns_status)] {
            member(out, name, text);
        }
        member(out, "country_code", &added.country_code);
        member(out, "asn", &added.asn);
        member(out, "aso", &added.aso);
        out.extend_from_slice(b"}\n");
    }
}

fn member(out: &mut Vec<u8>, name: &str, value: &impl serde::Serialize) {
    // Writing strings and numbers to memory cannot fail.
    let _ = write!(out, ",\"{name}\":");
    let _ = serde_json::to_writer(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enrich(line: &str, added: &Enrichment<'_>) -> String {
        let mut out = Vec::new();
        Record::parse(line.as_bytes()).unwrap().write(added, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_record_enriched_twice_has_its_members_once_and_unknown_members_untouched() {
        let added = Enrichment {
            hostname: Some("a\"b".into()),
            reverse_dns_status: Some("OK".into()),
            country_code: None,
            asn: Some(64500),
            aso: None,
        };
        let open = r#"{"v":1,"type":"auth","ip":"192.0.2.7","x":{"asn": 1e400},"q":"\u00e9""#;
        let once = enrich(&format!("{open}}}"), &added);
        let members = r#","hostname":"a\"b","reverse_dns_status":"OK","country_code":null,"asn":64500,"aso":null}"#;
        assert_eq!(once, format!("{open}{members}\n"));
        assert_eq!(enrich(&once, &added), once);
    }

    #[test]
    fn an_ip_that_is_none_is_no_reason_to_lose_the_record() {
        for (ip, expected) in [
            (r#""::ffff:192.0.2.7""#, Some("192.0.2.7")),
            (r#""2001:DB8::1""#, Some("2001:db8::1")),
            ("null", None),
            (r#""x""#, None),
            ("7", None),
        ] {
            let line = format!(r#"{{"v":1,"type":"auth","ip":{ip}}}"#);
            let found = Record::parse(line.as_bytes()).unwrap().ip().map(|ip| ip.to_string());
            assert_eq!(found.as_deref(), expected);
        }
    }
}
