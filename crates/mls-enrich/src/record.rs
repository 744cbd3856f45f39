//! Replaces the members that mls-enrich adds to a record. All other bytes stay the same.

use std::net::IpAddr;

use mls_event::{Auth, BadRecord, Enrichment, Members};

/// An `auth` record without the members that mls-enrich adds.
pub(crate) struct UnenrichedRecord<'a> {
    /// The address; `None` if the record has no address, or if its `ip` is not an address. Such a
    /// wrong `ip` is not reported here, because the sink refuses the record.
    pub(crate) ip: Option<IpAddr>,
    rest: RecordRest<'a>,
}

/// The record without the added members and without the closing brace.
enum RecordRest<'a> {
    /// The line, if it has none of the members that mls-enrich adds.
    Line(&'a [u8]),
    Members(Members<'a>),
}

impl<'a> UnenrichedRecord<'a> {
    pub(crate) fn parse(line: &'a [u8]) -> Result<Self, BadRecord> {
        // The fast path: most records come directly from mls-parse.
        if let Some(auth) = Auth::as_written(line).filter(|auth| auth.enrichment.is_none()) {
            return Ok(Self { ip: auth.ip, rest: RecordRest::Line(&line[..line.len() - 1]) });
        }
        let mut members = Members::parse(line)?;
        members.remove(Enrichment::MEMBERS);
        let ip = members.get("ip").and_then(|ip| serde_json::from_str::<IpAddr>(ip.get()).ok());
        Ok(Self { ip: ip.map(|ip| ip.to_canonical()), rest: RecordRest::Members(members) })
    }

    /// Appends the record with the members `added`, and a newline.
    pub(crate) fn write(&self, added: &Enrichment<'_>, out: &mut Vec<u8>) {
        match &self.rest {
            RecordRest::Line(line) => out.extend_from_slice(line),
            RecordRest::Members(members) => members.write_open(out),
        }
        added.write_members(out);
        out.extend_from_slice(b"}\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enrich(line: &str, added: &Enrichment<'_>) -> String {
        let mut out = Vec::new();
        UnenrichedRecord::parse(line.as_bytes()).unwrap().write(added, &mut out);
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
    fn a_record_with_a_wrong_ip_is_kept() {
        for (ip, expected) in [
            (r#""::ffff:192.0.2.7""#, Some("192.0.2.7")),
            (r#""2001:DB8::1""#, Some("2001:db8::1")),
            ("null", None),
            (r#""x""#, None),
            ("7", None),
        ] {
            let line = format!(r#"{{"v":1,"type":"auth","ip":{ip}}}"#);
            let found =
                UnenrichedRecord::parse(line.as_bytes()).unwrap().ip.map(|ip| ip.to_string());
            assert_eq!(found.as_deref(), expected);
        }
    }
}
