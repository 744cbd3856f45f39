//! The `mls-status` program; the library is its manual.

fn main() -> std::process::ExitCode {
    mls_cli::main(mls_status::run)
}
