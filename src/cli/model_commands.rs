//! The commands of `amlrun models`, as clap reads them.

use std::path::PathBuf;

use clap::Subcommand;

/// `amlrun models`.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// Register what a run left as a new version of a model
    Register {
        /// The model
        name: String,
        /// PATH@RUN: what that run left there; or PATH: what lies there, of the run that made it. The name of a declared
        /// output stands for its path
        #[arg(value_name = "PATH[@RUN]")]
        source: String,
        /// Set a tag
        #[arg(long = "tag", value_name = "NAME=VALUE")]
        tags: Vec<String>,
        /// Give it another name, as in `champion`, which the model's other versions lose
        #[arg(long = "alias", value_name = "ALIAS")]
        aliases: Vec<String>,
    },
    /// List versions of models
    List {
        /// Only of this model
        name: Option<String>,
    },
    /// Show a version: its file, digest, run and environment
    Show {
        /// NAME for the newest version, NAME@VERSION or NAME@ALIAS
        model: String,
    },
    /// Write the file or folder of a version into a folder, checked against its digest
    Download {
        /// NAME for the newest version, NAME@VERSION or NAME@ALIAS
        model: String,
        /// The folder
        #[arg(long, value_name = "DIR", default_value = ".")]
        to: PathBuf,
    },
    /// Set and remove tags and aliases of a version
    Tag {
        /// NAME for the newest version, NAME@VERSION or NAME@ALIAS
        model: String,
        /// Tags to set
        #[arg(value_name = "NAME=VALUE")]
        tags: Vec<String>,
        /// Remove this tag
        #[arg(long, value_name = "NAME")]
        remove: Vec<String>,
        /// Give it this alias, which the model's other versions lose
        #[arg(long = "alias", value_name = "ALIAS")]
        aliases: Vec<String>,
        /// Take this alias away
        #[arg(long, value_name = "ALIAS")]
        no_alias: Vec<String>,
    },
    /// Take a version off the register; its run stays
    Rm {
        /// NAME@VERSION or NAME@ALIAS, NAME for the newest version
        model: String,
    },
}
