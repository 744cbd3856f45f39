//! The tool's face: help, errors, exit codes.

#[test]
fn the_commands_answer_as_written_down() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}
