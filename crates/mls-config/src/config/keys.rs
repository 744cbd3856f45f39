//! The sections and keys of the configuration file: this is the one place to add a key.
//!
//! A key's comment is its description in the example file and in the manual page.

#![expect(clippy::doc_markdown, reason = "the comments become the text of the example file")]

use std::num::NonZeroU16;
use std::path::PathBuf;

use ipnet::IpNet;
use log::LevelFilter;

use super::declare::{Base, ConfigKey, ConfigSection, sections};
use super::ini::Ini;
use super::journal_match::JournalMatch;
use super::server_zone::ServerZone;
use super::threshold::Threshold;
use super::time_span::TimeSpan;
use super::value::{
    BlockFormat, ConfigValue, DbMode, DbType, Password, SmtpTls, are_daemons, is_enforcer,
};

sections! {
    /// Files and directories.
    ["paths"] paths: Paths {
        /// Directory of the CSV and of the operational log.
        working_dir: Option<PathBuf> = "/var/log/maillogsentinel";

        /// Directory of the files that the tools need for the next run: the position in the log,
        /// the country and AS databases, and the ledgers of digests and alerts. A relative path is
        /// below working_dir.
        state_dir: Option<PathBuf> = "/var/lib/maillogsentinel", below working_dir;

        /// The mail log, or the word journal for the systemd journal. Rotated files of the log
        /// (mail.log.1, mail.log.2.gz, mail.log-20260101.gz) are found automatically.
        mail_log: Option<PathBuf> = "/var/log/mail.log";

        /// The directory that rotated mail logs are moved to (olddir of logrotate). A relative path
        /// is below the directory of the log. If it is empty, rotated logs are next to the log.
        mail_log_olddir: Option<PathBuf> = "";

        /// Additional journal entries to read if mail_log is journal: matches as in journalctl(1),
        /// separated by commas, such as CONTAINER_NAME=postfix-mailcow. Containers need such a
        /// match.
        journal_match: Vec<JournalMatch> = "";

        /// The CSV of failed logins. A relative path is below working_dir.
        csv_filename: Option<PathBuf> = "maillogsentinel.csv", below working_dir;

        /// The CSV of successful logins. A relative path is below working_dir.
        logins_filename: Option<PathBuf> = "logins.csv", below working_dir;

        /// The file of the metrics for Prometheus, which all users can read. If setup creates the
        /// directory of this file, all users can read the directory too. But they cannot if other
        /// keys name files in the same directory. A relative path is below state_dir.
        metrics_file: Option<PathBuf> = "/var/cache/maillogsentinel/maillogsentinel.prom",
            below state_dir;
    }

    /// Which lines of the mail log are read.
    ["parse"] parse: Parse {
        /// The mail servers whose logins are recorded: postfix, dovecot.
        daemons: Vec<String> = "postfix, dovecot", check are_daemons;

        /// On a central log host: the time zones of servers whose time stamps have no offset, as
        /// NAME=ZONE, separated by commas, such as mx1=Europe/Paris, mx2=UTC. All other servers
        /// have the time zone of this machine.
        server_zones: Vec<ServerZone> = "";
    }

    /// The digest and the mail server that delivers it.
    ["report"] report: Report {
        /// The recipients of the digest and of alerts: addresses such as admin@example.org,
        /// postmaster@example.org. If it is empty, no mail is sent.
        email: Vec<String> = "", also "report.recipient";

        /// The beginning of every subject.
        subject_prefix: String = "[MailLogSentinel]", also "report.report_subject_prefix";

        /// The sender. The default is the user who runs mls-mail, at the full host name of this
        /// machine.
        sender_override: Option<String> = "", also "report.report_sender_override" "report.sender";

        /// The mail server that takes the digest. The default is localhost.
        smtp_host: Option<String> = "";

        /// The port of the mail server. The default is 465 if smtp_tls is tls, else 25.
        smtp_port: Option<NonZeroU16> = "";

        /// The encryption: none, starttls or tls. The default is tls if smtp_port is 465, else none
        /// if the mail server is this machine, else starttls.
        smtp_tls: Option<SmtpTls> = "";

        /// The user name for a mail server that requires one. Set smtp_password_file too.
        smtp_user: Option<String> = "";

        /// The file that holds the password of smtp_user.
        smtp_password_file: Option<PathBuf> = "";

        /// Whether the CSV is attached to the digest.
        attach_csv: bool = "yes";
    }

    /// The country databases: the country of an IP address.
    ["geolocation"] geolocation: Geolocation {
        /// Country databases: CSV files in the format of ip-location-db (plain or gzip), or MMDB
        /// files. Give files for IPv4 and IPv6, in any order. A relative path is below state_dir.
        country_db_path: Vec<PathBuf> = "country_aside.csv", below state_dir,
            also "geo.country_db_path";

        /// The URLs that mls-ipdb update fetches these databases from, in the same order. The
        /// default is ip-location-db.
        country_db_url: Vec<String> = "";
    }

    /// The AS databases: the autonomous system of an IP address.
    ["ASN_ASO"] asn_aso: AsnAso {
        /// AS databases, in the same formats as country_db_path. A relative path is below
        /// state_dir.
        asn_db_path: Vec<PathBuf> = "asn.csv", below state_dir,
            also "geolocation.asn_db_path" "geo.asn_db_path";

        /// The URLs that mls-ipdb update fetches these databases from, in the same order. The
        /// default is ip-location-db.
        asn_db_url: Vec<String> = "", also "geolocation.asn_db_url";
    }

    /// The operational log.
    ["general"] general: General {
        /// The lowest level of messages in log_file: DEBUG, INFO, WARNING or ERROR.
        log_level: LevelFilter = "INFO";

        /// The operational log: what the tools did and what they skipped. A relative path is below
        /// working_dir. If it is empty, the services write warnings and errors only to the journal.
        log_file: Option<PathBuf> = "", below working_dir, also "paths.log_file";

        /// The size in bytes at which logrotate starts a new log_file. Setup writes it into the
        /// logrotate rule.
        log_file_max_bytes: u64 = "1000000";

        /// The number of old log files that logrotate keeps. Setup writes it into the logrotate
        /// rule.
        log_file_backup_count: u32 = "5";
    }

    /// The cache of reverse DNS names, which is kept from one run to the next.
    ["dns_cache"] dns_cache: DnsCache {
        /// Whether DNS answers are cached.
        enabled: bool = "yes";

        /// The largest number of answers in the cache.
        size: usize = "100000";

        /// The number of seconds for which an answer is cached.
        ttl_seconds: u64 = "3600", also "dns_cache.ttl";
    }

    /// The SQL database.
    ["database"] database: Database {
        /// The kind of database: sqlite, postgresql or mysql (also MariaDB). If it is empty, no
        /// database is used.
        db_type: Option<DbType> = "", also "sqlite_database.db_type";

        /// How attempts get into the database. load: a pipeline from mls-tail to mls-sql load reads
        /// the mail log and writes into the database. files: SQL files are made from the CSV and
        /// imported later. The default is files, as in older versions. Setup writes load into a new
        /// configuration.
        mode: Option<DbMode> = "";

        /// The name under which this machine loads attempts. Each machine needs its own name. The
        /// default is the name of the machine.
        source: Option<String> = "";

        /// The file of an SQLite database. A relative path is below state_dir.
        db_path: Option<PathBuf> = "maillogsentinel.db", below state_dir,
            also "sqlite_database.db_path";

        /// The host of a database server, or the absolute path of its socket (for postgresql, of the
        /// directory of the socket). The default is this machine.
        db_host: Option<String> = "";

        /// The port of the database server. The default is 5432 for postgresql and 3306 for mysql.
        db_port: Option<NonZeroU16> = "";

        /// The name of the database on the server. The default is maillogsentinel.
        db_name: Option<String> = "";

        /// The user name for the database server.
        db_user: Option<String> = "";

        /// The file that holds only the password of db_user.
        db_password_file: Option<PathBuf> = "";

        /// The password itself. It is better to use db_password_file. If you set db_password, make
        /// this configuration file readable only by root and the service (mode 0640).
        db_password: Option<Password> = "";

        /// The file with the CA certificates (PEM) that are accepted for the database server. If
        /// this key is empty, all CAs that this machine trusts are accepted.
        ssl_root: Option<PathBuf> = "";

        /// The file with the certificate (PEM) that this machine shows to the database server. Set
        /// ssl_key too.
        ssl_cert: Option<PathBuf> = "";

        /// The file with the key of ssl_cert, which must be readable only by the service.
        ssl_key: Option<PathBuf> = "";

        /// The directory of exported SQL files that wait for the import. A relative path is below
        /// working_dir.
        sql_export_dir: Option<PathBuf> = "sql", below working_dir;

        /// The name of the table. The default is maillogsentinel_events.
        table_name: Option<String> = "", also "sql_export_settings.table_name";

        /// A JSON file that maps the columns of the CSV to the columns of the table.
        column_mapping_file: Option<PathBuf> = "", also "sql_export_settings.column_mapping_file";
    }

    /// Logins that are not recorded. The keys are for failed and for successful logins.
    ["filter"] filter: Filter {
        /// Networks and addresses whose logins are not recorded, such as 192.0.2.0/24, 2001:db8::1.
        ignore_networks: Vec<IpNet> = "";

        /// User names whose logins are not recorded.
        ignore_users: Vec<String> = "";
    }

    /// Successful logins.
    ["logins"] logins: Logins {
        /// Whether successful logins are recorded, so that suspicious ones can be found. They are
        /// personal data: who logged in when, and from where.
        record: bool = "no";
    }

    /// The rules by which mls-report and mls-alert find suspicious logins.
    ["suspicious"] suspicious: Suspicious {
        /// Rule guessed: a login is suspicious if its address failed to log in as this many other
        /// users.
        guessed_names: u32 = "3";

        /// Rule guessed: the time before the login in which these failures count. Failures in the
        /// hour after the login count too.
        guessed_window: TimeSpan = "1d";

        /// Rule guessed: if this many other users have logged in from an address, the address
        /// counts as shared, as in an office, and a login from it is not suspicious. If this many
        /// other users log in from an autonomous system, infected machines may use the same
        /// addresses as users. A login from such a system is suspicious only if it comes shortly
        /// before or after the failures.
        shared_users: u32 = "3";

        /// Rule spread: logins of a user are suspicious if they come from this many countries
        /// within spread_window, and all these countries are new for the user.
        spread_countries: u32 = "4";

        /// Rule spread: logins of a user are also suspicious if they come from this many autonomous
        /// systems within spread_window, and all these systems are new for the user.
        spread_systems: u32 = "5";

        /// Rule spread: the time within which these logins count.
        spread_window: TimeSpan = "6h";

        /// Rule targeted: the number of addresses that tried to log in as the user, without
        /// success, in the week before a login from a country or an autonomous system that is new
        /// for the user.
        targeted_addresses: u32 = "8";

        /// Networks and addresses whose logins are never suspicious, such as 192.0.2.0/24.
        ignore_networks: Vec<IpNet> = "";

        /// User names whose logins are never suspicious.
        ignore_users: Vec<String> = "";
    }

    /// Thresholds of alerts: 20/10m means 20 failures within 10 minutes. A key without a value
    /// never raises an alert.
    ["alert"] alert: Alert {
        /// The threshold for failures from one address.
        ip: Option<Threshold> = "";

        /// The threshold for failures of one user.
        user: Option<Threshold> = "";

        /// The threshold for all failures together.
        total: Option<Threshold> = "";

        /// Whether each server is counted separately, on a central log host for many servers. The
        /// alert then names the server.
        by_server: bool = "no";
    }

    /// The list of blocked addresses. mls-block makes it from alerts about addresses.
    ["block"] block: Block {
        /// What enforces the list: nftables, postfix, or both, separated by a comma. Setup enables
        /// the services for it. If it is empty, nothing is blocked.
        enforce: Vec<String> = "", check is_enforcer;

        /// Networks and addresses that are never blocked, such as 192.0.2.0/24, 2001:db8::1. Local
        /// and private addresses are never blocked. If `[logins]` record is yes, an address from
        /// which a user logged in less than seven days before the attack is not blocked either,
        /// unless a login from it was suspicious.
        allow: Vec<IpNet> = "";

        /// How long an address is blocked the first time, such as 90s, 10m, 1h or 7d. The time
        /// doubles with each further block.
        time: TimeSpan = "1h";

        /// The longest time to block an address. After a block, mls-block remembers the address
        /// for the same time. If a new block begins in this time, it is longer than the last one.
        max_time: TimeSpan = "7d";

        /// If this many addresses of a /24 (IPv4) or a /64 (IPv6) are blocked, mls-block blocks the
        /// whole network. 0 means never.
        network_from: usize = "5";

        /// The largest number of entries in the list. If there are more, the list leaves out the
        /// entries that expire first.
        max_entries: usize = "20000";

        /// The directory of the block lists. A relative path is below state_dir.
        directory: Option<PathBuf> = "block", below state_dir;

        /// The formats of the list: plain, cidr (Postfix), nft (nftables), fail2ban, crowdsec or
        /// json.
        formats: Vec<BlockFormat> = "plain, cidr, nft";
    }

    /// How long data is kept. If a key has no value, the data is kept forever.
    ["retention"] retention: Retention {
        /// Rows of the CSV are kept for at least this number of days, and for at most twice this
        /// number.
        csv_days: Option<NonZeroU16> = "";

        /// The same for the CSV of successful logins. mls-report and mls-alert look for suspicious
        /// logins only in these days.
        logins_days: Option<NonZeroU16> = "90";

        /// The number of days after which imported SQL files are removed.
        sql_files_days: Option<NonZeroU16> = "";

        /// The number of days for which the database keeps attempts. Leave this empty if many mail
        /// servers share a database (mls-sql schema --fleet): they have no right to remove
        /// attempts, and the owner of the tables runs mls-sql prune.
        database_days: Option<NonZeroU16> = "";
    }

    /// The services. Setup writes these values into the units. Run setup again after you change
    /// them.
    ["systemd"] systemd: Systemd {
        /// The user that the services run as.
        user: Option<String> = "maillogsentinel", also "permissions.service_user" "User.run_as_user";

        /// When the log is read, for the CSV and for a database in mode load: a calendar expression
        /// as in systemd.time(7), follow for a service that reads the log continuously, or never.
        extraction_schedule: Option<String> = "hourly", also "timers.log_extraction";

        /// When the digest is sent: a calendar expression, or never.
        report_schedule: Option<String> = "23:59", also "timers.report";

        /// When the country and AS databases are updated: a calendar expression, or never.
        ip_update_schedule: Option<String> = "weekly", also "timers.ip_db_update";

        /// When SQL files are exported: a calendar expression, or never.
        sql_export_schedule: Option<String> = "*:0/4",
            also "sql_export_systemd.frequency" "timers.sql_export";

        /// When SQL files are imported: a calendar expression, or never.
        sql_import_schedule: Option<String> = "*:0/5",
            also "sql_import_systemd.frequency" "timers.sql_import";

        /// When alerts are mailed that could not be mailed at once, because the last mail was less
        /// than ten minutes ago or the mail server did not answer: a calendar expression, or never.
        /// If extraction_schedule is follow, a service mails all alerts, and this key is not used.
        alert_schedule: Option<String> = "*:0/5";

        /// When the metrics for Prometheus (metrics_file) are written: a calendar expression such as
        /// *:0/5, or never.
        metrics_schedule: Option<String> = "never";

        /// When data that is older than `[retention]` allows is removed: a calendar expression, or
        /// never.
        prune_schedule: Option<String> = "04:31";
    }
}
