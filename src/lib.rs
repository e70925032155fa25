//! `amlrun` — make for machine-learning training.
//!
//! One invocation, in a straight line:
//!
//! ```text
//! "Amlfile" ─amlfile::load→ Sources ─amlfile::parse→ Document ─project::resolve→ Project ─plan::build→ Plan
//!     engine::drive:  measure the tree ─▶ judge each job when its needs are done ─▶ fresh: restore
//!                                                                              └▶ stale: run, collect, record, publish
//!     every step is told as an Event to the listeners: console lines, progress bars, JSON
//! ```
//!
//! Modules are listed in groups, lowest first. A module may use modules of earlier groups only, neither later ones nor
//! its own group; `tests/architecture.rs` reads the groups from this file and holds every `crate::` path to them.
//!
//! What is absent:
//! - groups 1–6 do no I/O, read no clock, no environment and no randomness; the exceptions are `amlfile/load.rs` and
//!   `SystemClock`;
//! - pure modules never tell events: they return values; only `engine` tells;
//! - the ports (store, cache, history, environment, target) do not know each other; `engine` and `cli/assemble.rs` are the only
//!   places where two of them meet;
//! - only `console` and `main` write to the terminal; only `console/diagnostics.rs` knows annotate-snippets, only
//!   `console/progress.rs` knows indicatif, only `history/` knows rusqlite, only `vcs/` knows git2, only `cache/` and
//!   `target/ray/` and `tracking/` know HTTP;
//! - `unsafe` lives in `sys.rs` alone.

// 1. Words: plain values.
pub mod clock;
pub mod diagnostic;
pub mod digest;
pub mod ids;
pub mod sys;

// 1b. Words made of words.
pub mod content;
pub mod relpath;
pub mod value;

// 1c. The texts of other tools: YAML as a spanned tree.
pub mod yaml;

// 1d. Files of values that scripts write and read: metrics, parameters; filters over runs.
pub mod datafile;
pub mod filter;

// 2. The Amlfile: text to a spanned document.
pub mod amlfile;

// 3. The project: every name resolved, every default applied.
pub mod project;

// 3b. The files of other tools, read into what an Amlfile would say.
pub mod foreign;

// 4. The plan: what one request needs, as a graph of jobs.
pub mod plan;

// 4b. A plan in the files of other tools.
pub mod export;

// 5. Judgement and order: pure.
pub mod schedule;
pub mod staleness;
pub mod sweep;

// 5b. What a script logged: plain values.
pub mod logged;

// 6. What a target is asked to run and what it answers: plain values.
pub mod launch;

// 7. What happened: the one vocabulary of console, JSON and history.
pub mod event;

// 8. The ground: reading the project on disk.
pub mod tree;
pub mod vcs;

// 9. The outside world: one folder a port, the trait in `mod.rs`, implementations beside it.
pub mod cache;
pub mod environment;
pub mod history;
pub mod shim;
pub mod store;
pub mod target;
pub mod tracking;

// 10. The engine: carries the schedule out against the ports.
pub mod engine;

// 11. Faces.
pub mod console;

// 12. argv to a request, ports to a world, outcome to an exit code.
pub mod cli;
