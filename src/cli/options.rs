//! The command line, as clap reads it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use super::model_commands::ModelsCommand;
pub use super::subcommands::{
    CacheCommand, EnvCommand, ExportOptions, GcOptions, MetricsOptions, PlotOptions, RunsCommand, SnapshotCommand,
    SweepCommand, TargetsCommand,
};

/// make for machine-learning training: runs what is stale, restores the rest.
#[derive(Debug, Parser)]
#[command(name = "amlrun", version, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do; without it: run what is stale.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The run.
    #[command(flatten)]
    pub run: RunOptions,
}

/// Which project, and how to speak; understood by every command.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// Look for the Amlfile in DIR (and above it)
    #[arg(short = 'C', long = "directory", value_name = "DIR", global = true)]
    pub directory: Option<PathBuf>,
    /// Use this Amlfile
    #[arg(short, long, value_name = "FILE", global = true)]
    pub file: Option<PathBuf>,
    /// Data as JSON on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// Say less: only failures and the last line
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more: every reason, every line
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// When to use colour
    #[arg(long, value_name = "WHEN", default_value = "auto", value_parser = ["auto", "always", "never"], global = true)]
    pub color: String,
}

impl Common {
    /// Nothing chosen: the project of the current folder, plain speech.
    #[must_use]
    pub fn plain() -> Self {
        Self { directory: None, file: None, json: false, quiet: false, verbose: false, color: "auto".to_owned() }
    }
}

/// What shapes a plan.
#[derive(Debug, Clone, Args)]
pub struct PlanOptions {
    /// Names, cells (`train[alpha=0.1]`), globs (`train*`) or output paths; all experiments without any
    #[arg(value_name = "GOAL")]
    pub goals: Vec<String>,
    /// Set a parameter
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub set: Vec<String>,
    /// Use this target for every job
    #[arg(long, value_name = "NAME")]
    pub target: Option<String>,
}

/// Which shared cache, and for what.
#[derive(Debug, Clone, Default, Args)]
pub struct CacheOptions {
    /// Use this shared cache: a folder, s3://, az://, gs:// or https:// [default: `cache` of the workspace]
    #[arg(long, value_name = "ADDRESS")]
    pub cache: Option<String>,
    /// Use the shared cache for this [default: `cache_mode` of the workspace; read for the pull request of a fork]
    #[arg(long, value_name = "MODE", value_parser = ["read-write", "read", "off"])]
    pub cache_mode: Option<String>,
}

/// `amlrun [GOAL…]`.
#[derive(Debug, Clone, Args)]
pub struct RunOptions {
    /// Which project.
    #[command(flatten)]
    pub common: Common,
    /// Which jobs.
    #[command(flatten)]
    pub plan: PlanOptions,
    /// Say what would run, write nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Run so many jobs at once [default: the number of processors]
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub jobs: Option<u32>,
    /// Go on with what does not depend on a failure
    #[arg(short, long)]
    pub keep_going: bool,
    /// Run the goals even where they are fresh
    #[arg(short = 'B', long)]
    pub force: bool,
    /// Run again whenever a source or an input changes
    #[arg(long, conflicts_with = "dry_run")]
    pub watch: bool,
    /// Return after the submission (remote targets)
    #[arg(long)]
    pub detach: bool,
    /// Plain lines, jobs' output in groups [default: where the variables of a CI service say so]
    #[arg(long)]
    pub ci: bool,
    /// Append a summary in Markdown to FILE [default on GitHub: its job summary]
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
    /// Write a report for `JUnit` readers to FILE
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Which shared cache.
    #[command(flatten)]
    pub cache: CacheOptions,
    /// Follow what was submitted before, submit nothing (`amlrun attach`).
    #[arg(skip)]
    pub attach: bool,
    /// Go on with sweeps that ended (`amlrun sweep resume`).
    #[arg(skip)]
    pub resume: bool,
}

impl RunOptions {
    /// The first option that was given and that only a run understands: a command after it is a mistake.
    #[must_use]
    pub fn first_of_its_own(&self) -> Option<&'static str> {
        let given = [
            (!self.plan.goals.is_empty(), "GOAL"),
            (!self.plan.set.is_empty(), "--set"),
            (self.plan.target.is_some(), "--target"),
            (self.dry_run, "--dry-run"),
            (self.jobs.is_some(), "--jobs"),
            (self.keep_going, "--keep-going"),
            (self.force, "--force"),
            (self.watch, "--watch"),
            (self.detach, "--detach"),
            (self.ci, "--ci"),
            (self.summary.is_some(), "--summary"),
            (self.junit.is_some(), "--junit"),
            (self.cache.cache.is_some(), "--cache"),
            (self.cache.cache_mode.is_some(), "--cache-mode"),
        ];
        given.iter().find(|(given, _)| *given).map(|(_, name)| *name)
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a commented Amlfile after looking at the folder
    Init {
        /// Overwrite nothing, print to stdout
        #[arg(long)]
        print: bool,
    },
    /// Write the Amlfile that says what another tool's files say: Azure ML, MLflow, DVC, conda
    Import {
        /// Files, or folders to look through; the current folder without any
        #[arg(value_name = "PATH")]
        paths: Vec<PathBuf>,
        /// Only report, write nothing
        #[arg(long)]
        check: bool,
    },
    /// Write jobs as the files of another tool: Azure ML job YAML, an `MLproject`, a workflow of GitHub Actions
    Export(ExportOptions),
    /// Show every job's state: fresh or stale, and why
    Status {
        /// Which jobs.
        #[command(flatten)]
        plan: PlanOptions,
        /// Exit with 5 where something is stale
        #[arg(long)]
        exit_code: bool,
    },
    /// Explain why a job is stale, or fresh
    Why {
        /// Which jobs.
        #[command(flatten)]
        plan: PlanOptions,
    },
    /// Draw the graph of jobs
    Graph {
        /// Which jobs.
        #[command(flatten)]
        plan: PlanOptions,
        /// How
        #[arg(long, value_name = "FORMAT", default_value = "tree", value_parser = ["tree", "dot", "mermaid", "json"])]
        format: String,
    },
    /// Show, compare and restore runs
    #[command(subcommand)]
    Runs(RunsCommand),
    /// Register models that runs made, list their versions, get their files
    #[command(subcommand)]
    Models(ModelsCommand),
    /// Compare jobs by their metrics, against the run before or a revision
    Metrics(MetricsOptions),
    /// Draw curves, scatters, confusion matrices and images of runs: a page that works offline
    Plot(PlotOptions),
    /// List, compare and restore snapshots of sources
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// Show, resume and cancel sweeps
    #[command(subcommand)]
    Sweep(SweepCommand),
    /// Clear the store of what no run needs that is to stay: pinned ones, the last of each job, those that go on
    Gc(GcOptions),
    /// Resolve, build and show environments
    #[command(subcommand)]
    Env(EnvCommand),
    /// Fill, ask and clean up the shared cache
    Cache {
        /// What.
        #[command(subcommand)]
        command: CacheCommand,
    },
    /// Follow runs that go on elsewhere, and bring their results back
    Attach {
        /// Runs, jobs or experiments; all without any
        names: Vec<String>,
    },
    /// End runs that go on elsewhere
    Cancel {
        /// Runs, jobs or experiments; `--all` for all
        #[arg(required_unless_present = "all")]
        names: Vec<String>,
        /// All of this project
        #[arg(long, conflicts_with = "names")]
        all: bool,
    },
    /// List compute targets, and check whether they can be used
    #[command(subcommand)]
    Targets(TargetsCommand),
    /// Print a completion script
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the JSON schema of the Amlfile
    Schema,
}
