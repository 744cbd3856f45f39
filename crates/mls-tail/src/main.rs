//! The program `mls-tail`. The documentation of the library is the manual.

fn main() -> std::process::ExitCode {
    mls_cli::main(mls_tail::run)
}
