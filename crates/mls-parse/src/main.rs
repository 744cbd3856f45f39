//! The `mls-parse` program. The documentation of the library is its manual.

fn main() -> std::process::ExitCode {
    mls_cli::main(mls_parse::run)
}
