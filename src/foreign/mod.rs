//! The files of other tools, read into one intermediate model: what an Amlfile would say, and an account of every key.
//!
//! Called by `cli` for `amlrun import`. One front a format, each pure: it is handed texts by a [`Look`] and adds to a
//! [`Proposal`] and a [`Report`]. Nothing here reads a file, runs anything or writes; a front never panics on a text
//! and never drops a key silently: what no front took is reported by `report` itself, as it walks the whole document.
//!
//! - `look`: what the folder holds, and what each file is;
//! - `runconfig`, `legacy`, `hyperdrive`, `workspace`, `estimator`: Azure ML, SDK and CLI v1 (azure-ml.md §1);
//! - `v2`: Azure ML v2 YAML (azure-ml.md §5.1);
//! - `mlproject`, `dvc`, `conda`: MLflow, DVC and conda;
//! - `write`: a proposal as a commented Amlfile.

pub mod conda;
pub mod curated;
pub mod doc;
pub mod dvc;
pub mod estimator;
pub mod hyperdrive;
pub mod legacy;
pub mod look;
pub mod mlproject;
pub mod model;
pub mod names;
pub mod python;
pub mod report;
pub mod runconfig;
#[cfg(test)]
mod tests;
pub mod v2;
pub mod workspace;
pub mod write;

pub use look::{Imported, Look, import};
pub use model::Proposal;
pub use report::{Outcome, Report, Row};
