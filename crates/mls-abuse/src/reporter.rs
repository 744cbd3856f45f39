//! The reporter: a name and a mail address.

use std::str::FromStr;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reporter {
    pub(crate) organisation: String,
    pub(crate) address: String,
}

impl Reporter {
    pub(crate) fn domain(&self) -> &str {
        self.address.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl FromStr for Reporter {
    type Err = String;

    /// Reads `Example Ltd <abuse@example.org>`. For `abuse@example.org`, the name is `example.org`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, address) = match text.strip_suffix('>').and_then(|text| text.split_once('<')) {
            Some((name, address)) => (name.trim(), address),
            None => ("", text),
        };
        let is_address =
            address.split_once('@').is_some_and(|(user, domain)| {
                !user.is_empty() && !domain.is_empty() && !domain.contains('@')
            }) && address.chars().all(|c| c.is_ascii_graphic() && !"<>,;\"".contains(c));
        if !is_address || name.chars().any(char::is_control) || name.chars().count() > 200 {
            return Err(
                "give a name and a mail address such as Example Ltd <abuse@example.org>".into()
            );
        }
        let address = address.to_owned();
        let mut reporter = Self { organisation: name.trim_matches('"').to_owned(), address };
        if reporter.organisation.is_empty() {
            reporter.organisation = reporter.domain().to_owned();
        }
        Ok(reporter)
    }
}
