//! One file a command: what it does, from parsed options to an [`Exit`](super::exit::Exit).

pub mod cache;
pub mod completions;
pub mod elsewhere;
pub mod env;
pub mod export;
pub mod gc;
pub mod graph;
pub mod import;
pub mod init;
pub mod metrics;
pub mod models;
mod new_folder;
pub mod plot;
pub mod run;
pub mod runs;
pub mod schema;
pub mod snapshot;
pub mod status;
pub mod sweep;
pub mod targets;
pub mod watch;
