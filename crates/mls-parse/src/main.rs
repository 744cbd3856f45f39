//! The program `mls-parse`. The documentation of the library is the manual.

fn main() -> std::process::ExitCode {
    mls_cli::main(mls_parse::run)
}
