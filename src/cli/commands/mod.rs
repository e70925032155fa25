//! One file a command: what it does, from parsed options to an [`Exit`](super::exit::Exit).

pub mod run;
pub mod status;
pub mod completions;
pub mod init;
pub mod schema;
