//! The result of a reverse lookup.

use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DnsAnswer {
    pub(crate) status: Status,
    pub(crate) hostname: Option<Box<str>>,
}

/// The values of `reverse_dns_status`. The numbers are the error codes of `<netdb.h>`, from
/// `HOST_NOT_FOUND` (1) to `NO_DATA` (4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    #[serde(rename = "OK")]
    Ok,
    #[serde(rename = "Errno 1")]
    NotFound,
    #[serde(rename = "Errno 2")]
    ServerFailed,
    #[serde(rename = "Errno 3")]
    Refused,
    #[serde(rename = "Errno 4")]
    NoData,
}

impl Status {
    pub(crate) fn text(self) -> &'static str {
        ["OK", "Errno 1", "Errno 2", "Errno 3", "Errno 4"][self as usize]
    }

    /// Whether the server failed. Such a status says nothing about the address.
    pub(crate) fn is_failure(self) -> bool {
        matches!(self, Self::ServerFailed | Self::Refused)
    }
}

impl From<Status> for DnsAnswer {
    fn from(status: Status) -> Self {
        Self { status, hostname: None }
    }
}

impl From<NetError> for Status {
    fn from(error: NetError) -> Self {
        let code = match error {
            NetError::Dns(DnsError::NoRecordsFound(none)) => none.response_code,
            NetError::Dns(DnsError::ResponseCode(code)) => code,
            // No answer, an unreachable server, or an answer that is cut off or malformed.
            _ => return Self::ServerFailed,
        };
        match code {
            ResponseCode::NXDomain => Self::NotFound,
            ResponseCode::NoError => Self::NoData,
            ResponseCode::ServFail => Self::ServerFailed,
            _ => Self::Refused,
        }
    }
}
