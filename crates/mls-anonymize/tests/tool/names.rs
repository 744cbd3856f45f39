//! Which texts of a line are replaced.

use crate::{anonymize, pseudonyms};

#[test]
fn a_bare_word_is_replaced_if_the_words_before_it_introduce_a_name() {
    let pseudonym = |user: bool, name: &str| {
        let (mut names, mut out) = (pseudonyms(), Vec::new());
        if user {
            names.user(name, &mut out);
        } else {
            names.host(name.as_bytes(), &mut out);
        }
        String::from_utf8(out).unwrap()
    };
    for (line, user, name) in [
        (
            r"Jun  1 00:00:45 localhost postfix/postscreen[7]: PREGREET 9 after 0 from [127.0.0.1]:42313: EHLO mailer\r\n",
            false,
            "mailer",
        ),
        (
            r"Jun  1 00:00:45 localhost postfix/smtpd[7]: lost connection after EHLO from unknown[127.0.0.1]: helo mailer",
            false,
            "mailer",
        ),
        (
            "Jun  1 00:00:45 localhost postfix/local[7]: 4: status=sent (delivered to command: procmail DEFAULT=/home/carol/Maildir/)",
            true,
            "carol",
        ),
        (
            "Jun  1 00:00:45 localhost postfix/local[7]: 4: relay=local, status=bounced (unknown user: \"carol\")",
            true,
            "carol",
        ),
        (
            "Jun  1 00:00:45 localhost auth[7]: pam_unix(dovecot:session): session opened for user carol(uid=7) by (uid=0)",
            true,
            "carol",
        ),
        (
            "Jun  1 00:00:45 localhost rspamd[7]: ip: 127.0.0.1, user: carol, (default: F)",
            true,
            "carol",
        ),
        (
            "Jun  1 00:00:45 localhost saslauthd[7]: do_auth : auth failure: [user=carol] [service=smtp] [realm=] [mech=pam]",
            true,
            "carol",
        ),
        (
            "Jun  1 00:00:45 localhost dovecot: imap(x@wilma.test): Error: user: Couldn't drop privileges",
            true,
            "x@wilma.test",
        ),
        (
            "Jun  1 00:00:45 localhost x[7]: no password for user lookup, user not found: wilma.test",
            false,
            "wilma.test",
        ),
        // rsyslog writes a tab as `#011`.
        (
            "Jun  1 00:00:45 localhost dovecot: auth: Debug: client passdb out: OK#0111#011user=wilma#011",
            true,
            "wilma",
        ),
        (
            "Jun  1 00:00:45 localhost dovecot: auth: Debug: x#011wilma@example.com#011",
            true,
            "wilma@example.com",
        ),
        (
            "Jun  1 00:00:45 localhost policyd-spf[7]: Pass; envelope-from=bounces+ann=corp.example@lists.example; x",
            true,
            "bounces+ann=corp.example@lists.example",
        ),
        (
            "Jun  1 00:00:45 localhost policyd-spf[7]: Pass; envelope-from=srs0=h4sh=xy=corp.example=ann@forward.example; x",
            true,
            "srs0=h4sh=xy=corp.example=ann@forward.example",
        ),
        // The name begins like the program.
        (
            "Jun  1 00:00:45 localhost info[3]: info.desk@wilma.test: mailbox full",
            true,
            "info.desk@wilma.test",
        ),
        ("Jun  1 00:00:45 localhost x[7]: 81.2.69.143=listed", false, "81.2.69.143"),
        (
            "Jun  1 00:00:45 localhost x[7]: dkim=pass header.from=y, wilma.test=pass",
            false,
            "wilma.test",
        ),
    ] {
        let written = String::from_utf8(anonymize(line.as_bytes())).unwrap();
        assert_eq!(written, line.replace(name, &pseudonym(user, name)));
    }
}

#[test]
fn secrets_of_dovecots_debug_log_are_replaced() {
    for (line, secret) in [
        (
            "dovecot: auth: Debug: client in: AUTH#0111#011PLAIN#011resp=AHdpbG1hAHNlY3JldA==",
            "AHdpbG1hAHNlY3JldA==",
        ),
        (
            "dovecot: auth: passwd-file(wilma,192.0.2.1): Password mismatch (given password: hunter2)",
            "hunter2",
        ),
        ("dovecot: auth: Debug: OK#0111#011user=wilma#011pass=hunter2#011x", "hunter2"),
        (
            "dovecot: auth: Debug: oauth2(wilma,192.0.2.1): http-client: request [Req1: GET https://a.test/info?access_token=hunter2-b_c]: Submitted",
            "hunter2",
        ),
    ] {
        let written =
            String::from_utf8(anonymize(format!("Jun  1 00:00:45 localhost {line}").as_bytes()))
                .unwrap();
        assert!(!written.contains(secret) && !written.contains("wilma"), "{written}");
    }
}

#[test]
fn text_that_header_and_body_checks_quote_is_replaced() {
    let after = "from x[192.0.2.3]; from=<a@b.test> to=<c@d.test> proto=ESMTP helo=<e>: some text";
    for message in [
        format!("warning: header Subject: yes, wilma {after}"),
        format!("warning: header Subject:yes: wilma {after}"),
        format!("replace: header Subject: yes, wilma {after}: Subject: [SPAM] yes, wilma"),
        format!("reject: body yes, wilma: yes {after}"),
        format!(
            "reject: mime-error improper use of 8-bit data in message header: To: yes, wilma {after}"
        ),
    ] {
        for before in
            ["", "5A226BA054: ", "Jun  1 00:00:45 localhost postfix/cleanup[7]: 5A226BA054: "]
        {
            let written =
                String::from_utf8(anonymize(format!("{before}{message}").as_bytes())).unwrap();
            assert!(!written.contains("yes") && !written.contains("wilma"), "{written}");
            assert!(written.contains(" from h") && written.contains(">: some text"), "{written}");
        }
    }
}

#[test]
fn a_message_id_has_the_same_pseudonym_in_the_lines_of_all_programs() {
    let (mut names, mut out) = (pseudonyms(), Vec::new());
    names.mail(mls_anonymize::class::Class::MessageId, b"a.7+x", b"wilma.test", &mut out);
    let pseudonym = String::from_utf8(out).unwrap();
    for message in [
        "postfix/cleanup[7]: 5A226BA054: message-id=<%m>",
        "postfix/cleanup[7]: 5A226BA054: resent-message-id=<%m>",
        "postfix/cleanup[7]: 5A226BA054: message-id=%m",
        "postfix/cleanup[7]: 5A226BA054: info: header Message-Id: <%m> from local; from=<>",
        "dovecot: lda: sieve: msgid=<%m>: stored mail into mailbox 'INBOX'",
        "dovecot: lda: msgid=%m: saved mail to INBOX",
        "amavis[7]: (7) Passed CLEAN, Message-ID: <%m>, Resent-Message-ID: <%m>, Hits: -",
        "rspamd[7]: <4ad5b0>; task; rspamd_task_write_log: id: <%m>, qid: <5A226BA054>, ip: 127.0.0.1, (default: F)",
        "spamd[7]: spamd: processing message <%m> for nobody:99",
        "spamd[7]: spamd: result: . 0 - size=7,rport=7,mid=<%m>,rmid=<%m>,autolearn=ham",
    ] {
        let line = format!("Jun  1 00:00:45 localhost {message}");
        let written =
            String::from_utf8(anonymize(line.replace("%m", "a.7+x@wilma.test").as_bytes()))
                .unwrap();
        assert!(!written.contains("wilma"), "{written}");
        assert_eq!(written.matches(&pseudonym).count(), line.matches("%m").count(), "{written}");
    }
}

#[test]
fn names_that_dovecot_writes_in_parentheses_are_replaced_in_any_envelope() {
    for message in [
        "sql(carol,192.0.2.1,<x+/y>): Password mismatch",
        "imap(carol)<1234><x+/y>: Disconnected",
        "auth-worker(7): Error: x: user 'carol' has no password",
        "auth: Debug: sql(carol,192.0.2.1): query: SELECT password FROM users WHERE userid = 'carol' AND id = '7'",
        "auth: Debug: sql(a,192.0.2.1): query: SELECT password FROM users WHERE (user='carol' OR mail = 'carol@x.test') AND domain='x.test'",
        "auth: Debug: sql(a,192.0.2.1): query: SELECT 1 WHERE u = 'o\\'carol' OR u ='x''carol' OR u= 'carol' OR u  =  \"carol\"",
        "auth: Debug: sql(a,192.0.2.1): query: SELECT 1 WHERE active = '7' AND u IN ('b', 'carol') OR u LIKE 'carol.x'",
        "auth: Debug: sql(a,192.0.2.1): query: SELECT 1 WHERE u = 'a' AND password = 'x' AND n = 'carol'",
        "auth: Debug: ldap(a,192.0.2.1): bind search: base=dc=example,dc=test filter=(&(objectClass=person)(uid=carol))",
        "auth: Debug: ldap(a,192.0.2.1): bind search: base=dc=example,dc=test filter=(&(a=b)(sAMAccountName=carol))",
        "auth: Debug: ldap(a,192.0.2.1): bind search: base=dc=example,dc=test filter=(|(UID=carol)(mail=carol@x.test))",
        "auth: Error: ldap(a,192.0.2.1): ldap_bind() failed (dn uid=carol,ou=people,dc=test)",
        "auth: Error: ldap(a,192.0.2.1): ldap_bind() failed (dn cn=Wil carol,ou=people,dc=test)",
        "auth: Debug: http-client: header: Authorization: Bearer carol",
    ] {
        for before in ["dovecot: ", "Jun  1 00:00:45 mx dovecot: ", "auth: Info: "] {
            let written =
                String::from_utf8(anonymize(format!("{before}{message}").as_bytes())).unwrap();
            assert!(!written.contains("carol"), "{written}");
        }
    }
}
