//! What `mls-block` says at the command line.

#[test]
fn help_answers_errors_and_exit_codes_are_as_written_down() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}
