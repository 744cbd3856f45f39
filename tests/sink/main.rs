//! Changes to the CSV and the cursor file between two runs, and two pipelines with the same files.

mod commit;
mod edited;
mod reader;
mod rotation;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use mls_tests::{EXTRACT, Site, text};

pub(crate) fn with(option: &str) -> String {
    EXTRACT.replace("--append F", &format!("--append F {option}"))
}

#[test]
fn a_first_run_writes_the_header_and_creates_the_file_with_mode_0640() {
    let mut site = Site::new();
    site.log(3);
    site.extract();
    assert!(site.read("F").starts_with("server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso\nvm,2026-06-01 00:00,192.0.2.1,u0,null,N/A,XX,64496,Example\n"));
    for name in ["F", "S"] {
        assert_eq!(fs::metadata(site.path().join(name)).unwrap().mode() & 0o777, 0o640, "{name}");
    }
    fs::set_permissions(site.path().join("S"), fs::Permissions::from_mode(0o600)).unwrap();
    site.log(3);
    site.extract();
    assert_eq!(fs::metadata(site.path().join("S")).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn an_idle_run_writes_nothing() {
    let mut site = Site::new();
    site.log(3);
    site.extract();
    let before =
        (site.read("F"), site.read("S"), fs::metadata(site.path().join("S")).unwrap().ino());
    site.extract();
    assert_eq!(
        before,
        (site.read("F"), site.read("S"), fs::metadata(site.path().join("S")).unwrap().ino())
    );
}

#[test]
fn uncommitted_rows_are_moved_to_another_file_and_never_deleted() {
    let mut site = Site::new();
    site.log(3);
    site.extract();
    site.append("F", "half a row");
    site.log(3);
    let output = site.shell(EXTRACT);
    assert!(
        output.status.success() && text(&output.stderr).contains("10 bytes of uncommitted rows"),
        "{}",
        text(&output.stderr)
    );
    site.assert_exact();
    let recovered = site.files("F.recovered-");
    assert_eq!(recovered.len(), 1);
    assert_eq!(site.read(&recovered[0]), "half a row");
}
