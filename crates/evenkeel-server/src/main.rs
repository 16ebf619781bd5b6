//! The binary `evenkeel`. Everything it does is in the library beside it.
use std::process::ExitCode;

fn main() -> ExitCode {
    evenkeel_server::cli::main()
}
