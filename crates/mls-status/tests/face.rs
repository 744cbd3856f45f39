//! The help text of `mls-status`, and what it prints before setup. `tests/front` tests the rest.

#[test]
fn the_help_and_the_first_errors_are_as_documented() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}
