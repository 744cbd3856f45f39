//! From log lines to blocked addresses: hostile lines, the programs that block, and kills.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use mls_tests::{Site, has, skip, text};

const ATTACKER: &str = "203.0.113.66";
const VICTIM: &str = "198.51.100.7";

const PIPELINE: &str = "mls-parse --timezone UTC < mail.log | mls-alert --ip 1/10m | \
                        mls-block --now 2026-06-01T00:01:00Z";

fn alert(at: &str, ip: &str) -> String {
    format!(
        r#"{{"v":1,"type":"alert","date":"{at}","kind":"ip","key":"{ip}","attempts":20,"threshold":"20/10m"}}"#
    ) + "\n"
}

fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// Waits until a condition is true, usually one or two seconds. Panics after 30 seconds.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what} never came");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn succeed(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn text_of_a_client_cannot_block_another_address() {
    let attempt = "SASL LOGIN authentication failed: authentication failure";
    let v = VICTIM;
    let forged = [
        // User names that look like the rest of a log line, or like members of a JSON record.
        format!(
            "smtpd[7]: warning: unknown[{ATTACKER}]: {attempt}, sasl_username=x, unknown[{v}]: {attempt}"
        ),
        format!(
            "smtpd[7]: warning: unknown[{ATTACKER}]: {attempt}, sasl_username=]: warning: unknown[{v}]: {attempt}, sasl_username=y"
        ),
        format!(
            r#"smtpd[7]: warning: unknown[{ATTACKER}]: {attempt}, sasl_username=x","ip":"{v}","key":"{v}"#
        ),
        format!(
            r#"smtpd[7]: warning: unknown[{ATTACKER}]: {attempt}, sasl_username={{"v":1,"type":"alert","kind":"ip","key":"{v}","attempts":99,"threshold":"1/1s"}}"#
        ),
        // The host name comes from the attacker's DNS.
        format!("smtpd[7]: warning: {v}[{ATTACKER}]: {attempt}, sasl_username=x"),
        format!("smtpd[7]: warning: ip-{v}.example[{ATTACKER}]: {attempt}, sasl_username=x"),
        // The client also chooses HELO, envelope and headers.
        format!(
            "smtpd[7]: NOQUEUE: reject: RCPT from unknown[{ATTACKER}]: 554 5.7.1 <a@b>: Relay access denied; from=<unknown[{v}]: {attempt}, sasl_username=z> to=<a@b> proto=ESMTP helo=<unknown[{v}]: {attempt}, sasl_username=z>"
        ),
        format!(
            "cleanup[8]: ABC: warning: header X-Originating-IP: [{v}] warning: unknown[{v}]: {attempt}, sasl_username=z from unknown[{ATTACKER}]; from=<a@b> to=<c@d> proto=ESMTP helo=<e>: x"
        ),
        format!(
            "smtpd[7]: warning: hostname unknown[{v}]: {attempt} does not resolve to address {ATTACKER}"
        ),
        // `::ffff:192.0.2.1` is the same address as `192.0.2.1`.
        format!(
            "smtpd[7]: warning: unknown[::ffff:{ATTACKER}]: {attempt}, sasl_username=::ffff:{v}"
        ),
    ];
    let dovecot = format!(
        "dovecot: imap-login: Disconnected (auth failed, 9 attempts in 9 secs): user=<x>, rip={v}, y>, method=PLAIN, rip={ATTACKER}, lip=192.0.2.1, session=<z>"
    );
    let site = Site::new();
    for line in forged.iter().map(|line| format!("postfix/{line}")).chain([dovecot]) {
        site.write("mail.log", &format!("2026-06-01T00:00:00+00:00 vm {line}\n"));
        let output = site.shell(PIPELINE);
        let list = succeed(&output);
        assert!(["", "203.0.113.66/32\n"].contains(&list.as_str()), "{line}: {list}");
    }
    // All lines in one log. With `--network-from 1`, one address blocks its network.
    let all = forged.iter().fold(String::new(), |mut all, line| {
        let _ = writeln!(all, "2026-06-01T00:00:00+00:00 vm postfix/{line}");
        all
    });
    site.write("mail.log", &all);
    let output = site.shell(&format!("{PIPELINE} --network-from 1"));
    assert_eq!(succeed(&output), "203.0.113.0/24\n");
}

#[test]
fn alerts_without_an_address_block_nothing() {
    let site = Site::new();
    let at = "2026-06-01T00:00:00Z";
    let keys =
        ["0.0.0.0/0", "::/0", "192.0.2.0/24", "", "mail.example", "192.0.2.1\\nx", "192.0.2.1 "];
    let mut alerts: String = keys.iter().map(|key| alert(at, key)).collect();
    alerts += &alert(at, "0.0.0.0");
    alerts += &alert(at, "::");
    alerts += &alert("2027-06-01T00:00:00Z", "192.0.2.1");
    alerts += &alert(at, "192.0.2.2").replace("20/10m", "0/10m");
    alerts += &alert(at, "192.0.2.3").replace("\"ip\",", "\"user\",");
    site.write("alerts", &alerts);
    let output = site.shell("mls-block --strict --now 2026-06-01T00:01:00Z < alerts");
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(65), String::new()));
}

#[test]
fn an_address_with_earlier_logins_is_not_blocked_and_an_address_that_guessed_is() {
    let site = Site::new();
    let head = "server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso\n";
    let row = |date: &str, ip: &str| format!("vm,{date},{ip},sam,null,OK,FR,1,A\n");
    let logins = head.to_owned()
        + &row("2026-05-31 10:00", "192.0.2.1")
        // This login came during the attack.
        + &row("2026-06-01 09:55", "192.0.2.2")
        // This login is older than a week.
        + &row("2026-05-20 10:00", "192.0.2.3")
        + &row("2026-05-31 10:00", "2001:db8::1")
        + &row("2026-05-31 10:00", "192.0.2.5");
    site.write("logins.csv", &logins);
    let at = "2026-06-01T10:00:00Z";
    let mut alerts: String = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::2", "192.0.2.5"]
        .map(|ip| alert(at, ip))
        .concat();
    alerts += r#"{"v":1,"type":"alert","date":"2026-05-31T10:00:00Z","kind":"guessed","key":"sam","attempts":null,"threshold":null,"ip":"192.0.2.5","user":"sam"}"#;
    site.write("alerts", &alerts);
    let output = site.shell(
        "MLS_DEBUG=1 mls-block --now 2026-06-01T10:00:00Z --timezone UTC --state S --logins logins.csv < alerts > list; \
         mls-block --now 2026-06-01T10:00:00Z --timezone UTC --state S --logins logins.csv list --format plain | diff list - >&2; cat list",
    );
    assert_eq!(text(&output.stdout), "192.0.2.2/32\n192.0.2.3/32\n192.0.2.5/32\n");
    let said = text(&output.stderr);
    assert!(said.contains("read 6 alerts, 6 of them new"), "{said}");
    for (ip, from) in [("192.0.2.1", "this address"), ("2001:db8::2", "its /64 network")] {
        assert!(
            said.contains(&format!(
                "{ip} is not blocked after 20 failed logins (20/10m): \"sam\" logged in from {from},"
            )),
            "{said}"
        );
    }
    // If the file of logins is rotated, the list stays the same.
    let rotated = site.shell(
        "gzip -c logins.csv > logins.csv.1.gz; head -n 1 logins.csv > l; mv l logins.csv; \
         mls-block --now 2026-06-01T10:00:00Z --timezone UTC --logins logins.csv < alerts | diff - list; rm logins.csv.1.gz",
    );
    succeed(&rotated);
    // A file with records of mls-parse works too.
    site.write(
        "logins.csv",
        r#"{"v":1,"type":"auth","date":"2026-05-31T10:00:00Z","outcome":"success","ip":"192.0.2.3","user":"sam"}"#,
    );
    site.append("logins.csv", "\n");
    let output = site.shell("mls-block --now 2026-06-01T10:00:00Z --logins logins.csv < alerts");
    assert_eq!(succeed(&output).lines().filter(|line| *line == "192.0.2.3/32").count(), 0);
}

/// Starts `mls-block`. Its input stays open until the caller closes it.
fn follow(site: &Site, flags: &str) -> Child {
    let command = format!("exec mls-block --state S --directory . {flags}");
    site.command(&command).process_group(0).stdin(Stdio::piped()).spawn().unwrap()
}

#[test]
fn lists_follow_the_input_the_clock_and_a_removal_by_another_process() {
    let site = Site::new();
    let mut block = follow(&site, "--format cidr,plain --time 3s");
    let mut input = block.stdin.take().unwrap();
    let begun = Instant::now();
    input.write_all((alert(&now(), "192.0.2.1") + &alert(&now(), "192.0.2.2")).as_bytes()).unwrap();
    until("the address", || site.read("blocked.txt") == "192.0.2.1/32\n192.0.2.2/32\n");
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(site.read("blocked.cidr").starts_with("192.0.2.1/32 REJECT "));
    // The block ends after 3 seconds without input.
    until("the end", || {
        site.read("blocked.txt").is_empty() && site.read("blocked.cidr").is_empty()
    });
    let again = alert(&now(), "192.0.2.1");
    input.write_all(again.as_bytes()).unwrap();
    until("the second offence", || site.read("blocked.txt") == "192.0.2.1/32\n");
    let removed =
        site.shell("mls-block --state S --directory . --format cidr,plain remove 192.0.2.1");
    assert_eq!(succeed(&removed), "192.0.2.1/32 is unblocked; addresses that were blocked: 1\n");
    assert_eq!(site.read("blocked.txt"), "");
    input.write_all((again + &alert(&now(), "192.0.2.9")).as_bytes()).unwrap();
    until("somebody else", || site.read("blocked.txt") == "192.0.2.9/32\n");
    drop(input);
    assert!(block.wait().unwrap().success());
}

#[test]
fn sigterm_loses_no_alert_in_the_pipe() {
    let site = Site::new();
    let mut block = follow(&site, "--format plain");
    let mut input = block.stdin.take().unwrap();
    input.write_all(alert(&now(), "192.0.2.1").as_bytes()).unwrap();
    until("the address", || site.read("blocked.txt") == "192.0.2.1/32\n");
    assert!(Command::new("kill").arg(block.id().to_string()).status().unwrap().success());
    input.write_all(alert(&now(), "192.0.2.2").as_bytes()).unwrap();
    drop(input);
    assert!(block.wait().unwrap().success());
    assert_eq!(site.read("blocked.txt"), "192.0.2.1/32\n192.0.2.2/32\n");
}

#[test]
fn a_kill_at_any_moment_leaves_whole_files() {
    let rounds: u64 = std::env::var("MLS_ROUNDS").map_or(20, |rounds| rounds.parse().unwrap());
    let site = Site::new();
    let at = now();
    for part in 0..4 {
        let alerts: String =
            (0..2000).map(|n| alert(&at, &format!("192.{part}.{}.{}", n / 200, n % 200))).collect();
        site.write(&format!("alerts{part}"), &alerts);
    }
    for round in 0..rounds {
        // mls-block writes its files when the input pauses. The kill comes at different times.
        let mut block = follow(&site, "--format json,nft,crowdsec --network-from 0");
        let mut input = block.stdin.take().unwrap();
        let part = fs::read(site.path().join(format!("alerts{}", round % 4))).unwrap();
        let begun = Instant::now();
        input.write_all(&part).unwrap();
        let moment = Duration::from_micros(1000 + round * 7919 % 60_000);
        while begun.elapsed() < moment {
            std::hint::spin_loop();
        }
        block.kill().unwrap();
        block.wait().unwrap();
        let script = site.read("blocked.nft");
        assert!(script.is_empty() || script.ends_with("\t}\n}\n"), "round {round}");
        if !site.read("S").is_empty() {
            let checked = site.shell(
                "set -e; mls-block --state S list --format json | jq length; \
                 for f in blocked.json blocked.crowdsec.json; do [ ! -e $f ] || jq length $f; done",
            );
            succeed(&checked);
        }
    }
    // One run with all alerts must complete the list.
    let output = site.shell("cat alerts? | mls-block --state S --directory . --network-from 0; wc -l < blocked.txt; rm -f .mls-*");
    let left = succeed(&output);
    assert!(left.starts_with("8000\n"), "{left}");
}

#[test]
fn a_hundred_thousand_attackers_make_a_list_under_the_cap_in_bounded_memory() {
    let site = Site::new();
    let alerts: String = (0..100_000)
        .map(|n| {
            alert(
                "2026-06-01T00:00:00Z",
                &format!("{}.{}.{}.7", 11 + n / 65536, n / 256 % 256, n % 256),
            )
        })
        .collect();
    site.write("alerts", &alerts);
    let output = site.shell(
        "ulimit -v 250000; mls-block --now 2026-06-01T00:01:00Z --state S --directory . --format plain,nft < alerts; \
         wc -l < blocked.txt; grep -c timeout blocked.nft",
    );
    // Four more lines have `timeout`: two declare the sets and two define them.
    assert_eq!(succeed(&output), "20000\n20004\n");
}

#[test]
fn nftables_drops_packets_of_a_blocked_address_until_its_block_ends() {
    if !has("nft") || !has("ip") {
        return skip("nftables or iproute2 is not installed");
    }
    let site = Site::new();
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/mls-block/block.nft");
    site.write("alerts", &(alert("NOW", "192.0.2.66") + &alert("NOW", "2001:db8::66")));
    let script = format!(
        r#"set -e
        PATH=$PATH:/usr/sbin:/sbin
        ip link set lo up
        for ip in 203.0.113.1 192.0.2.66 192.0.2.67; do ip addr add $ip/32 dev lo; done
        for ip in 2001:db8::1 2001:db8::66 2001:db8::67; do ip addr add $ip/128 dev lo nodad; done
        python3 -c '
import socket
s = socket.create_server(("::", 25), family=socket.AF_INET6, dualstack_ipv6=True, backlog=99)
print(flush=True)
while True: s.accept()
' > ready &
        trap "kill $!" EXIT
        until [ -s ready ]; do :; done
        can() {{ python3 -c 'import socket, sys; socket.create_connection((sys.argv[1], 25), 0.3, (sys.argv[2], 0))' $1 $2 2> /dev/null; }}
        say() {{ if can $2 $3; then echo $1 $3 yes; else echo $1 $3 no; fi; }}
        all() {{ say $1 203.0.113.1 192.0.2.66; say $1 203.0.113.1 192.0.2.67; say $1 2001:db8::1 2001:db8::66; say $1 2001:db8::1 2001:db8::67; }}
        all before
        nft -c -f {rules}
        nft -f {rules}
        sed s/NOW/$(date --utc +%FT%TZ)/ alerts | mls-block --state S --time 10s --directory . --format nft
        nft -c -f blocked.nft
        nft -f blocked.nft
        all blocked
        # Cut off anywhere, it is not applied at all.
        head -c -2 blocked.nft | sed s/192.0.2.66/192.0.2.67/ > cut.nft
        if nft -f cut.nft 2> /dev/null; then echo cut.nft was taken; fi
        say cut 203.0.113.1 192.0.2.67
        for n in $(seq 100); do if can 203.0.113.1 192.0.2.66 && can 2001:db8::1 2001:db8::66; then break; fi; done
        all after
        # Applied again when the list is empty, it closes nothing.
        mls-block --state S list --format nft | nft -f -
        all empty
        "#
    );
    let privilege = if mls_tests::is_root() { "" } else { "--map-root-user" };
    site.write("script", &script);
    let output = site.shell(&format!("unshare --net {privilege} bash script"));
    let said = succeed(&output);
    let all = |when: &str, attacker: &str| {
        format!(
            "{when} 192.0.2.66 {attacker}\n{when} 192.0.2.67 yes\n{when} 2001:db8::66 {attacker}\n{when} 2001:db8::67 yes\n"
        )
    };
    let expected = all("before", "yes")
        + &all("blocked", "no")
        + "cut 192.0.2.67 yes\n"
        + &all("after", "yes")
        + &all("empty", "yes");
    assert_eq!(said, expected, "{}", text(&output.stderr));
}

#[test]
fn fail2ban_bans_what_is_listed() {
    if !has("fail2ban-client") {
        return skip("fail2ban is not installed");
    }
    let site = Site::new();
    let here = site.path().display();
    fs::create_dir_all(site.path().join("f/filter.d")).unwrap();
    fs::create_dir_all(site.path().join("f/action.d")).unwrap();
    site.write("f/fail2ban.conf", &format!(
        "[Definition]\nloglevel = INFO\nlogtarget = {here}/log\nsyslogsocket = auto\nsocket = {here}/sock\npidfile = {here}/pid\ndbfile = None\ndbpurgeage = 1d\nallowipv6 = auto\n"
    ));
    site.write("f/jail.conf", &format!(
        "[maillogsentinel]\nenabled = true\nbantime = 600\nfindtime = 600\nmaxretry = 5\nbackend = polling\nfilter = none\nlogpath = {here}/mail.log\naction = none\n"
    ));
    site.write(
        "f/filter.d/none.conf",
        "[Definition]\nfailregex = ^nothing <HOST>$\nignoreregex =\n",
    );
    site.write("f/action.d/none.conf", "[Definition]\nactionban = true\nactionunban = true\n");
    let alerts: String = ["192.0.2.1", "192.0.2.2", "198.51.100.1", "2001:db8::1"]
        .map(|ip| alert("2026-06-01T00:00:00Z", ip))
        .concat();
    site.write("alerts", &alerts);
    let output = site.shell(
        "set -e; f() { timeout 60 fail2ban-client -c f -s $PWD/sock -p $PWD/pid \"$@\"; }; f start >&2; \
         mls-block --now 2026-06-01T00:01:00Z --network-from 2 --format fail2ban < alerts | f -i >&2; \
         for n in $(seq 100); do f get maillogsentinel banip > banned; [ $(wc -w < banned) -lt 3 ] || break; done; \
         cat banned; f stop >&2",
    );
    let mut banned: Vec<_> = succeed(&output).split_whitespace().map(str::to_owned).collect();
    banned.sort();
    assert_eq!(banned, ["192.0.2.0/24", "198.51.100.1", "2001:db8::1"]);
}
