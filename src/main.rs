//! The binary: hands the process's arguments to `cli` and its answer to the shell.

fn main() -> std::process::ExitCode {
    amlrun::cli::main()
}
