//! The commands of commands, as clap reads them: `amlrun runs …`, `amlrun env …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::options::{CacheOptions, PlanOptions};

/// `amlrun runs`.
#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// List runs, newest first
    List {
        /// Only this experiment or job
        job: Option<String>,
        /// Only this status, as in `Completed` or `Failed`
        #[arg(long)]
        status: Option<String>,
        /// At most so many
        #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
        limit: usize,
        /// Only runs that fit, in MLflow's filter grammar: `metrics.mse < 3000 and params.alpha > 0.1`
        #[arg(long = "where", value_name = "FILTER")]
        filter: Option<String>,
        /// By this key, as in `metrics.mse desc`; may be given again
        #[arg(long, value_name = "KEY")]
        sort: Vec<String>,
        /// Leave out the first so many: the next page
        #[arg(long, value_name = "N", default_value_t = 0)]
        skip: usize,
    },
    /// Show one run in full
    Show {
        /// The run: a prefix of its identity, or a job's name for its last run
        run: String,
        /// As JSON in the shape of the original's `get_details()`
        #[arg(long)]
        details: bool,
        /// Print the patch of what the commit had not, for `git apply`
        #[arg(long, conflicts_with = "details")]
        patch: bool,
    },
    /// List the files of a run: outputs, logs
    Files {
        /// The run
        run: String,
    },
    /// Write files of a run into a folder
    Download {
        /// The run
        run: String,
        /// Only these files, and what lies in folders of these names
        files: Vec<String>,
        /// The folder
        #[arg(long, value_name = "DIR", default_value = ".")]
        to: PathBuf,
    },
    /// Set and remove tags of a run
    Tag {
        /// The run
        run: String,
        /// Tags to set
        #[arg(value_name = "NAME=VALUE")]
        tags: Vec<String>,
        /// Remove this tag
        #[arg(long, value_name = "NAME")]
        remove: Vec<String>,
    },
    /// Take runs off the record, with their logs
    Rm {
        /// The runs
        #[arg(required = true)]
        runs: Vec<String>,
    },
    /// Print what a run wrote to stdout, stderr and logs/
    Logs {
        /// The run
        run: String,
        /// Go on as the run goes on
        #[arg(short = 'F', long)]
        follow: bool,
    },
    /// Show what differed between two runs: code, parameters, environment, inputs, metrics
    Diff {
        /// The one
        a: String,
        /// The other
        b: String,
    },
    /// Keep what runs left, whatever `amlrun gc` clears away
    Pin {
        /// The runs
        #[arg(required = true)]
        runs: Vec<String>,
    },
    /// Let `amlrun gc` clear away what runs left
    Unpin {
        /// The runs
        #[arg(required = true)]
        runs: Vec<String>,
    },
    /// Send runs to an MLflow server: parameters, metrics, tags, artifacts; those that are there are left alone
    Export {
        /// The server, as in `http://127.0.0.1:5000`
        #[arg(long, value_name = "ADDRESS")]
        mlflow: String,
        /// The runs; all that are over without any
        runs: Vec<String>,
    },
    /// Take runs from an MLflow server or an `mlruns` folder onto the record
    Import {
        /// The server, as in `http://127.0.0.1:5000`, or the folder
        #[arg(long, value_name = "ADDRESS|FOLDER")]
        mlflow: String,
        /// Only runs of these identities, experiments or names
        runs: Vec<String>,
    },
    /// Put a run's outputs back into the project
    Restore {
        /// The run
        run: String,
        /// Write into this folder instead: what ran, and what it left
        #[arg(value_name = "DIR", conflicts_with = "to")]
        folder: Option<PathBuf>,
        /// The same
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
}

/// `amlrun sweep`.
#[derive(Debug, Subcommand)]
pub enum SweepCommand {
    /// List sweeps, newest first
    List {
        /// Only of this experiment or job
        job: Option<String>,
    },
    /// Show a sweep and all its trials
    Show {
        /// Its experiment or job, or a prefix of its identity [default: the newest]
        sweep: Option<String>,
    },
    /// Show the best trial of a sweep
    Best {
        /// Its experiment or job, or a prefix of its identity [default: the newest]
        sweep: Option<String>,
    },
    /// Go on with a sweep that was interrupted or canceled, or whose time was up
    Resume {
        /// Its experiment or job, or a prefix of its identity [default: the newest]
        sweep: Option<String>,
    },
    /// End a sweep: what its trials came to stays
    Cancel {
        /// Its experiment or job, or a prefix of its identity [default: the newest]
        sweep: Option<String>,
    },
}

/// `amlrun metrics`.
#[derive(Debug, Clone, Args)]
pub struct MetricsOptions {
    /// Only these jobs or experiments
    #[arg(value_name = "JOB")]
    pub jobs: Vec<String>,
    /// The trials of a sweep by their parameters and metrics: JOB names it, or the beginning of its identity [default: the newest]
    #[arg(long)]
    pub trials: bool,
    /// Compare with the runs of this git revision, or of the youngest commit before it that has any [default: the run before];
    /// with --trials with this sweep [default: the one before of the same job]
    #[arg(long, value_name = "REV|SWEEP")]
    pub against: Option<String>,
    /// Only this metric; may be given again
    #[arg(long = "metric", value_name = "NAME")]
    pub metrics: Vec<String>,
    /// The larger this metric, the better
    #[arg(long, value_name = "NAME")]
    pub maximize: Vec<String>,
    /// The smaller this metric, the better
    #[arg(long, value_name = "NAME")]
    pub minimize: Vec<String>,
    /// How
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = ["table", "markdown", "csv", "json"])]
    pub format: String,
}

/// `amlrun plot`.
#[derive(Debug, Clone, Args)]
pub struct PlotOptions {
    /// Runs, or jobs and experiments for the last run of each job
    #[arg(value_name = "RUN|JOB")]
    pub runs: Vec<String>,
    /// Write the page here [default: .amlrun/plot.html, where no job takes it for a source]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Draw small curves in the terminal instead
    #[arg(long)]
    pub terminal: bool,
}

/// `amlrun export`.
#[derive(Debug, Clone, Args)]
pub struct ExportOptions {
    /// Which jobs.
    #[command(flatten)]
    pub plan: PlanOptions,
    /// What to write
    #[arg(long, value_name = "FORMAT", value_parser = ["azureml-v2", "mlproject", "github-actions"])]
    pub format: String,
    /// Write into this folder [default: azureml, beside the Amlfile; for the others where the tool looks]
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
    /// Replace files that say something else
    #[arg(long)]
    pub force: bool,
}

/// `amlrun gc`.
#[derive(Debug, Clone, Args)]
pub struct GcOptions {
    /// Keep the newest N runs of each job too
    #[arg(long, value_name = "N")]
    pub keep_runs: Option<usize>,
    /// Keep the runs of the last DAYS days too
    #[arg(long, value_name = "DAYS")]
    pub keep_days: Option<u64>,
    /// Of those (of all, where neither is given) keep the newest that fit, as in 20GiB
    #[arg(long, value_name = "SIZE")]
    pub max_size: Option<String>,
    /// Say what would go and how much would come back, change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

/// `amlrun snapshot`.
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// List a run's snapshot; with --explain, what is in the snapshots of the project now, and why
    Ls {
        /// The run: a prefix of its identity, or a job's name for its last run. With --explain: a file or folder of the project
        #[arg(value_name = "RUN|PATH", required_unless_present = "explain")]
        of: Option<String>,
        /// Before anything is stored or sent: sizes, the largest files, and which line of which ignore file decides
        #[arg(long)]
        explain: bool,
    },
    /// Show which files differ between two snapshots
    Diff {
        /// The one: a run
        a: String,
        /// The other: a run; without it, the sources as they are now
        b: Option<String>,
    },
    /// Write a run's snapshot into a new folder
    Restore {
        /// The run
        run: String,
        /// The folder, which must not exist yet
        folder: PathBuf,
    },
}

/// `amlrun targets`.
#[derive(Debug, Subcommand)]
pub enum TargetsCommand {
    /// List them
    List,
    /// Check whether they can be reached, and what they have
    Check {
        /// Only these
        names: Vec<String>,
    },
}

/// `amlrun env`.
#[derive(Debug, Subcommand)]
pub enum EnvCommand {
    /// List the environments
    List,
    /// Resolve into Amlfile.lock
    Lock {
        /// Only these
        names: Vec<String>,
        /// Resolve anew, to the newest versions that the requirements allow
        #[arg(long)]
        upgrade: bool,
    },
    /// Build what is not built yet
    Build {
        /// Only these
        names: Vec<String>,
    },
    /// Show an environment's key, facts and place
    Show {
        /// Which
        name: String,
    },
}

/// `amlrun cache`.
#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// Put the runs that jobs are fresh by into the cache
    Push {
        /// Which jobs.
        #[command(flatten)]
        plan: PlanOptions,
        /// Which cache.
        #[command(flatten)]
        cache: CacheOptions,
    },
    /// Take what the cache has for stale jobs; the next `amlrun` restores it
    Pull {
        /// Which jobs.
        #[command(flatten)]
        plan: PlanOptions,
        /// Which cache.
        #[command(flatten)]
        cache: CacheOptions,
    },
    /// Read all of the project's store again, set apart what is damaged, heal what the project or the shared cache has
    Verify {
        /// The shared cache instead: reads all of it, removes what is damaged
        #[arg(long)]
        shared: bool,
        /// Which cache.
        #[command(flatten)]
        cache: CacheOptions,
    },
    /// Remove old runs from the shared cache, and what no other run needs
    Gc {
        /// Keep what was put there in the last N days
        #[arg(long, value_name = "N", default_value_t = 90)]
        keep_days: u64,
        /// Say what would be removed, and how much comes back
        #[arg(short = 'n', long = "dry-run")]
        dry_run: bool,
        /// Which cache.
        #[command(flatten)]
        cache: CacheOptions,
    },
    /// Show how much there is
    Stats {
        /// Which cache.
        #[command(flatten)]
        cache: CacheOptions,
    },
}
