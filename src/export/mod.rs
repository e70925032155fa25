//! A plan in the files of other tools, and an account of what they have no words for.
//!
//! Called by `cli` for `amlrun export`. Pure: what lies on disk is asked of a [`Look`](crate::foreign::Look); texts come back, and nothing is
//! written. Whatever cannot be said in the other tool's format is in the account, by its place in the Amlfile; nothing is
//! dropped silently.
//!
//! - `actions`: a workflow of GitHub Actions;
//! - `azureml`: job YAML of Azure ML v2 (azure-ml.md §5.1), which `amlrun import` reads back to the same jobs;
//! - `mlproject`: `MLproject` of MLflow;
//! - `context`: the account and the names that the formats share.

pub mod actions;
pub mod azureml;
mod context;
pub mod mlproject;
mod names;

pub use context::{Context, Exported};
