//! The help text, the errors and the exit codes of `mls-parse`.

#[test]
fn help_errors_and_exit_codes_are_as_documented() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}
