//! Logins, databases and connections that a server refuses: each message says what to do.

use mls_tests::Site;
use mls_tests::servers::{Kind, Server, make_certificates};

/// Loads one record with the given password file. The load must fail with the exit code `exit`, and
/// its message must contain `words`.
fn assert_fails(site: &Site, url: &str, password: &str, exit: i32, words: &str) {
    let load = format!("mls-sql load --url '{url}' --password-file {password}");
    let said = site.fail(exit, &format!("mls-parse < mail.log | {load}"));
    assert!(said.contains(words), "{url}: {said}");
}

#[test]
fn a_refused_login_or_database_says_what_to_check() {
    let mut site = Site::new();
    site.log(1);
    site.succeed("umask 077; echo right > right; echo wrong > wrong");
    site.succeed(&make_certificates(&["localhost".to_owned()]));
    for kind in [Kind::Postgresql, Kind::Mariadb] {
        let mut server = Server::new(kind);
        if kind == Kind::Postgresql {
            let _ = server.query("CREATE ROLE anna LOGIN PASSWORD 'right'");
            server.kill();
            let rules =
                "host all mls 127.0.0.1/32 trust\nhost all anna 127.0.0.1/32 scram-sha-256\n";
            server.write("data/pg_hba.conf", rules);
            server.start();
        } else {
            let _ = server.query("CREATE USER anna@localhost IDENTIFIED BY 'right'");
            let _ = server.query("GRANT SELECT ON mls.* TO anna@localhost");
        }
        let url = server.url().replace("root@", "anna@").replace("mls@", "anna@");
        assert_fails(&site, &url, "wrong", 77, "check db_user and db_password_file in [database]");
        let other = url.replace("/mls", "/other");
        assert_fails(
            &site,
            &other,
            "right",
            78,
            "create the database and give this user rights on it (GRANT), or check db_name",
        );
        assert_fails(&site, &url, "right", 78, "grant this right to the user of the database");
        if kind == Kind::Postgresql {
            let eva = url.replace("anna@", "eva@");
            assert_fails(
                &site,
                &eva,
                "right",
                77,
                "the server does not know this user, or does not allow this way to log in",
            );
            let tls = format!("{url}?sslmode=require");
            assert_fails(&site, &tls, "right", 69, "switch TLS on in the database server");
            let flags = server.ask_for_certificates(site.path(), &["eva".to_owned()]);
            server.start_with(&flags.iter().map(String::as_str).collect::<Vec<_>>());
            let tls = url.replace("127.0.0.1", "localhost") + "?sslmode=verify-full";
            let cure = "SSL_CERT_FILE to its file, or set ssl_root in [database] to that file";
            assert_fails(&site, &tls, "right", 69, cure);
        }
    }
}
