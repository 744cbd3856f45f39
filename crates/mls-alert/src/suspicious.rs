//! Alerts about suspicious logins.

use std::collections::HashMap;
use std::net::IpAddr;

use chrono::{DateTime, Days, FixedOffset, NaiveTime};
use foldhash::fast::RandomState;
use mls_config::Config;
use mls_config::config::Suspicious as Thresholds;
use mls_config::zone::Zone;
use mls_event::{Alert, Finding, Outcome, clean_str};
use mls_findings::{Detector, Observation};

/// The largest number of remembered host names. If one more comes, all these names are forgotten.
const MAX_HOSTNAMES: usize = 4096;

/// The rules for suspicious logins, and the host names for the alerts.
#[derive(Clone)]
pub(crate) struct Suspicious {
    rules: Detector,
    found: Vec<Finding<'static>>,
    hostnames: HashMap<IpAddr, Box<str>, RandomState>,
}

impl Suspicious {
    pub(crate) fn new(settings: &Thresholds) -> Self {
        Self { rules: Detector::new(settings), found: Vec::new(), hostnames: HashMap::default() }
    }

    /// Observes an attempt. Returns alerts about logins that are now suspicious.
    pub(crate) fn observe(
        &mut self,
        observation: &Observation<'_>,
        hostname: Option<&str>,
    ) -> Vec<Alert<'static>> {
        if let (Some(ip), Some(hostname)) = (observation.ip, hostname)
            && observation.outcome == Outcome::Success
        {
            if self.hostnames.len() >= MAX_HOSTNAMES {
                self.hostnames.clear();
            }
            self.hostnames.insert(ip, hostname.into());
        }
        self.rules.observe(observation, &mut self.found);
        let Self { found, hostnames, .. } = self;
        let alerts = found.drain(..).map(|finding| {
            let user = clean_str(&finding.user).into_owned();
            let aso = finding.aso.as_deref().map(|aso| clean_str(aso).into_owned().into());
            let hostname = hostnames.get(&finding.ip).map(|name| clean_str(name).into_owned());
            Alert {
                key: Some(user.clone().into()),
                user: Some(user.into()),
                aso,
                hostname: hostname.map(Into::into),
                ..Alert::from(finding)
            }
        });
        alerts.collect()
    }
}

/// Returns the midnight `[retention] logins_days` days before today. Attempts before this moment
/// are ignored, because older logins are deleted. The digest of today uses the same moment.
pub(crate) fn horizon(config: &Config, zone: Zone) -> Option<DateTime<FixedOffset>> {
    let days = Days::new(config.retention.logins_days?.get().into());
    let today = zone.now().date_naive().and_time(NaiveTime::MIN);
    Some(zone.read(today.checked_sub_days(days)?))
}
