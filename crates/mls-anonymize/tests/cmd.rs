//! The help text, the errors and the exit codes of `mls-anonymize`.

use std::os::unix::fs::PermissionsExt;

#[test]
fn help_errors_and_exit_codes_are_as_documented() {
    // git does not keep file modes, except the right to execute.
    for (key, mode) in [("key", 0o600), ("short.key", 0o600), ("open.key", 0o644)] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd").join(key);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}
