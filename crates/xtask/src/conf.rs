//! Makes maillogsentinel.conf(5) from the table of keys in mls-config.
#![expect(clippy::format_push_string, reason = "speed does not matter here")]

use mls_config::config::SECTIONS;

use crate::markdown::{escape, paragraph};

pub(crate) fn page(date: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut page = format!(
        ".TH MAILLOGSENTINEL.CONF 5 \"{date}\" \"MailLogSentinel {version}\" MailLogSentinel\n\
         .SH NAME\nmaillogsentinel.conf \\- configuration of MailLogSentinel\n\
         .SH SYNOPSIS\n/etc/maillogsentinel.conf\n.SH DESCRIPTION\n"
    );
    paragraph(
        &mut page,
        "The tools read the file that --config names. The services read /etc/maillogsentinel.conf. The file has sections with \
         keys, and each key has a value. Set only values that differ from the default. Commas separate the items of a list. \
         Switches are yes or no. A comment is on its own line and begins with #; a # inside a value belongs to the value. A \
         value continues on the next line if that line is indented. Do not write passwords into this file, because everybody \
         may read it; write the names of files that hold them.",
    );
    for section in SECTIONS {
        page += &format!(".SH \"{}\"\n", escape(&format!("[{}]", section.name)));
        paragraph(&mut page, &section.description.concat());
        for key in section.keys {
            let value = match key.default {
                "" => String::new(),
                default => format!(" = {}", escape(default)),
            };
            page += &format!(".TP\n\\fB{}\\fR{value}\n", escape(key.name));
            paragraph(&mut page, &key.description.concat());
        }
    }
    page += ".SH \"KEYS OF THE PYTHON ORIGINAL\"\n";
    paragraph(
        &mut page,
        "The tools also read the configuration file of the Python original. These keys are other names of the keys \
         above:",
    );
    for key in SECTIONS.iter().flat_map(|section| section.keys) {
        for (section, name) in key.aliases.iter().filter_map(|alias| alias.split_once('.')) {
            page += &format!(
                ".TP\n[{}] \\fB{}\\fR\n[{}] \\fB{}\\fR\n",
                escape(section),
                escape(name),
                escape(key.section),
                escape(key.name)
            );
        }
    }
    page += ".SH FILES\n.TP\n/etc/maillogsentinel.conf\nthe configuration of the services and of \\fBmaillogsentinel\\fR(8)\n";
    page += ".SH SEE ALSO\n\\fBmaillogsentinel\\fR(8), \\fBsystemd.time\\fR(7)\n";
    page
}
