//! The `mls-mail` program; the library is its manual.

fn main() -> std::process::ExitCode {
    mls_cli::main(mls_mail::run)
}
