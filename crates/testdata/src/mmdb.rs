//! MMDB files (`MaxMind` DB File Format Specification, version 2.0). Only the parts that tests and
//! benchmarks need.

use std::net::IpAddr;

use crate::ipdb::{self, IpRange};

/// A value of the data section.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the variants are the specification's types")]
pub enum MmdbValue {
    Text(&'static str),
    Short(u16),
    Number(u32),
    Long(u64),
    Map(Vec<(&'static str, MmdbValue)>),
    List(Vec<MmdbValue>),
}

#[derive(Clone, Copy, Debug)]
enum Node {
    Empty,
    Branch(u32),
    /// Offset in the data section.
    Data(u32),
}

/// Builds a file: a binary tree over the bits of addresses, with values at its leaves.
#[derive(Debug)]
pub struct MmdbWriter {
    ip_version: u16,
    nodes: Vec<[Node; 2]>,
    data: Vec<u8>,
}

impl MmdbWriter {
    /// Begins a file. `ip_version` is 4 (only IPv4) or 6 (both families).
    #[must_use]
    pub fn new(ip_version: u16) -> Self {
        Self { ip_version, nodes: vec![[Node::Empty; 2]], data: Vec::new() }
    }

    /// Adds a value, and returns its offset.
    pub fn value(&mut self, value: &MmdbValue) -> u32 {
        let offset = number(self.data.len());
        encode(value, &mut self.data);
        offset
    }

    /// Assigns the value at `offset` to the network with the first `prefix` bits of `ip`.
    pub fn network(&mut self, ip: IpAddr, prefix: u32, offset: u32) {
        // In a tree of 128 bits, IPv4 addresses are in the network ::/96.
        let (bits, length) = match (ip, self.ip_version) {
            (IpAddr::V4(ip), 4) => (u128::from(ip.to_bits()) << 96, prefix),
            (IpAddr::V4(ip), _) => (u128::from(ip.to_bits()), prefix + 96),
            (IpAddr::V6(ip), _) => (ip.to_bits(), prefix),
        };
        let mut at = 0;
        for depth in 0..length {
            let side = usize::from(bits >> (127 - depth) & 1 == 1);
            if depth + 1 == length {
                self.nodes[at][side] = Node::Data(offset);
                break;
            }
            at = if let Node::Branch(next) = self.nodes[at][side] {
                next as usize
            } else {
                self.nodes.push([Node::Empty; 2]);
                let next = self.nodes.len() - 1;
                self.nodes[at][side] = Node::Branch(number(next));
                next
            };
        }
    }

    /// Adds a range of the AS database of [`ipdb`], as networks. Ignores other ranges.
    pub fn range(&mut self, range: &IpRange, family: usize) {
        let ipdb::RangeValue::System(asn, name) = range.entry else { return };
        let offset = self.value(&MmdbValue::Map(vec![
            ("autonomous_system_number", MmdbValue::Number(asn)),
            ("autonomous_system_organization", MmdbValue::Text(name)),
        ]));
        let width = if family == 0 { 32 } else { 128 };
        let mut start = range.start;
        while start <= range.end {
            // The largest network that begins here and ends within the range.
            let size = start.trailing_zeros().min((range.end - start + 1).ilog2());
            self.network(ipdb::address(start, family), width - size, offset);
            start += 1 << size;
        }
    }

    /// Returns the content of the file.
    #[must_use]
    pub fn file(self) -> Vec<u8> {
        let Self { ip_version, nodes, data } = self;
        let count = number(nodes.len());
        let mut file = Vec::with_capacity(nodes.len() * 8 + data.len() + 1024);
        for record in nodes.iter().flatten() {
            let pointer = match record {
                Node::Empty => count,
                Node::Branch(node) => *node,
                Node::Data(offset) => count + 16 + offset,
            };
            file.extend(pointer.to_be_bytes());
        }
        file.extend([0; 16]);
        file.extend(data);
        file.extend(b"\xab\xcd\xefMaxMind.com");
        let metadata = MmdbValue::Map(vec![
            ("binary_format_major_version", MmdbValue::Short(2)),
            ("binary_format_minor_version", MmdbValue::Short(0)),
            ("build_epoch", MmdbValue::Long(1_780_000_000)),
            ("database_type", MmdbValue::Text("Test")),
            ("description", MmdbValue::Map(vec![("en", MmdbValue::Text("a test"))])),
            ("ip_version", MmdbValue::Short(ip_version)),
            ("languages", MmdbValue::List(vec![MmdbValue::Text("en")])),
            ("node_count", MmdbValue::Number(count)),
            ("record_size", MmdbValue::Short(32)),
        ]);
        encode(&metadata, &mut file);
        file
    }
}

/// Files stay below 4 GiB here, so offsets fit 32 bits.
fn number(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn encode(value: &MmdbValue, out: &mut Vec<u8>) {
    match value {
        MmdbValue::Text(text) => {
            control(2, text.len(), out);
            out.extend(text.as_bytes());
        }
        MmdbValue::Short(number) => {
            control(5, 2, out);
            out.extend(number.to_be_bytes());
        }
        MmdbValue::Number(number) => {
            control(6, 4, out);
            out.extend(number.to_be_bytes());
        }
        // A type above 7 is in the second byte, minus 7.
        MmdbValue::Long(number) => {
            out.extend([8, 9 - 7]);
            out.extend(number.to_be_bytes());
        }
        MmdbValue::Map(members) => {
            control(7, members.len(), out);
            for (name, value) in members {
                control(2, name.len(), out);
                out.extend(name.as_bytes());
                encode(value, out);
            }
        }
        MmdbValue::List(items) => {
            out.extend([byte(items.len()), 11 - 7]);
            for item in items {
                encode(item, out);
            }
        }
    }
}

/// Appends type and length. A length up to 28 fits into the first byte. A length up to 284 needs a
/// second byte.
fn control(kind: u8, length: usize, out: &mut Vec<u8>) {
    if length < 29 {
        out.push(kind << 5 | byte(length));
    } else {
        out.extend([kind << 5 | 0x1d, byte(length - 29)]);
    }
}

fn byte(n: usize) -> u8 {
    u8::try_from(n).unwrap_or(u8::MAX)
}
