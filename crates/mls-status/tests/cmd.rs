//! The help text of `mls-status`, and what it prints before setup. `tests/front` tests the rest.

#[test]
fn help_and_the_output_before_setup_are_as_documented() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}
