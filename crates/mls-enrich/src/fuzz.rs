//! Functions that `tests/fuzz` calls with any input bytes. If a check fails, they panic.

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::Name;

use crate::hostname::hostname;

/// Reads an answer of a DNS server. The name in the answer must be short and printable.
pub fn dns_answer(bytes: &[u8]) {
    let Ok(message) = Message::from_vec(bytes) else { return };
    let mut asked = vec![Name::root()];
    asked.extend(message.answers.iter().map(|record| record.name.clone()));
    for asked in asked {
        if let Some(name) = hostname(&asked, &message.answers) {
            assert!((1..=253).contains(&name.chars().count()), "{name:?}");
            assert!(!name.contains(char::is_control), "{name:?}");
        }
    }
}
