//! Writes MMDB files (`MaxMind` DB File Format Specification, version 2.0), as small as tests need them.

use std::net::IpAddr;

/// A value of the data section.
#[derive(Clone)]
pub(crate) enum Value {
    Text(&'static str),
    Short(u16),
    Number(u32),
    Long(u64),
    Map(Vec<(&'static str, Value)>),
    List(Vec<Value>),
}

enum Node {
    Empty,
    Branch(usize),
    Data(usize),
}

/// A file with the given networks; a tree of 128 bits where one of them is IPv6.
pub(crate) fn mmdb(networks: &[(&str, Value)]) -> Vec<u8> {
    let parsed: Vec<(IpAddr, u32, &Value)> = networks
        .iter()
        .map(|(network, value)| {
            let (ip, prefix) = network.split_once('/').unwrap();
            (ip.parse().unwrap(), prefix.parse().unwrap(), value)
        })
        .collect();
    let version = if parsed.iter().any(|(ip, ..)| ip.is_ipv6()) { 6 } else { 4 };
    let mut nodes = vec![[Node::Empty, Node::Empty]];
    let mut data = Vec::new();
    for (ip, prefix, value) in parsed {
        let offset = data.len();
        encode(value, &mut data);
        // In a tree of 128 bits IPv4 lies below ::/96.
        let (bits, length) = match (ip, version) {
            (IpAddr::V4(ip), 4) => (u128::from(ip.to_bits()) << 96, prefix),
            (IpAddr::V4(ip), _) => (u128::from(ip.to_bits()), prefix + 96),
            (IpAddr::V6(ip), _) => (ip.to_bits(), prefix),
        };
        let mut at = 0;
        for depth in 0..length {
            let side = usize::from(bits >> (127 - depth) & 1 == 1);
            if depth + 1 == length {
                nodes[at][side] = Node::Data(offset);
                break;
            }
            at = if let Node::Branch(next) = nodes[at][side] {
                next
            } else {
                nodes.push([Node::Empty, Node::Empty]);
                let next = nodes.len() - 1;
                nodes[at][side] = Node::Branch(next);
                next
            };
        }
    }
    let mut file = Vec::new();
    for record in nodes.iter().flatten() {
        let number = match record {
            Node::Empty => nodes.len(),
            Node::Branch(node) => *node,
            Node::Data(offset) => nodes.len() + 16 + offset,
        };
        file.extend(u32::try_from(number).unwrap().to_be_bytes());
    }
    file.extend([0; 16]);
    file.extend(data);
    file.extend(b"\xab\xcd\xefMaxMind.com");
    let metadata = Value::Map(vec![
        ("binary_format_major_version", Value::Short(2)),
        ("binary_format_minor_version", Value::Short(0)),
        ("build_epoch", Value::Long(1_780_000_000)),
        ("database_type", Value::Text("Test")),
        ("description", Value::Map(vec![("en", Value::Text("a test"))])),
        ("ip_version", Value::Short(version)),
        ("languages", Value::List(vec![Value::Text("en")])),
        ("node_count", Value::Number(u32::try_from(nodes.len()).unwrap())),
        ("record_size", Value::Short(32)),
    ]);
    encode(&metadata, &mut file);
    file
}

fn encode(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Text(text) => {
            control(2, text.len(), out);
            out.extend(text.as_bytes());
        }
        Value::Short(number) => {
            control(5, 2, out);
            out.extend(number.to_be_bytes());
        }
        Value::Number(number) => {
            control(6, 4, out);
            out.extend(number.to_be_bytes());
        }
        // Types beyond 7 stand in the second byte.
        Value::Long(number) => {
            out.extend([8, 9 - 7]);
            out.extend(number.to_be_bytes());
        }
        Value::Map(members) => {
            control(7, members.len(), out);
            for (name, value) in members {
                control(2, name.len(), out);
                out.extend(name.as_bytes());
                encode(value, out);
            }
        }
        Value::List(items) => {
            out.extend([u8::try_from(items.len()).unwrap(), 11 - 7]);
            for item in items {
                encode(item, out);
            }
        }
    }
}

/// Type and length: up to 28 in the byte itself, up to 284 in one more.
fn control(kind: u8, length: usize, out: &mut Vec<u8>) {
    if length < 29 {
        out.push(kind << 5 | u8::try_from(length).unwrap());
    } else {
        out.extend([kind << 5 | 0x1d, u8::try_from(length - 29).unwrap()]);
    }
}
