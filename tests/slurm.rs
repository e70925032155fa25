//! Jobs on a Slurm cluster: a real one of two nodes on loopback, with an amlrun that is killed and a controller that goes.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may die, and it runs amlrun")]

mod engines;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use engines::process::kill_after;
use engines::random::SplitMix64;
use engines::{Engine, Project, wait_for};

const KILLS: usize = 50;
const SEED: u64 = 20_261_127;

/// A cluster, and programs before Slurm's own that write down when they were called.
struct Cluster {
    engine: Engine,
    folder: PathBuf,
}

impl Cluster {
    fn up(folder: &Path) -> Option<Self> {
        let engine = Engine::up("slurm-up.sh", &folder.join("e"), &[("CPUS", "8")])?;
        let cluster = Self { engine, folder: folder.to_owned() };
        std::fs::create_dir_all(folder.join("bin")).unwrap();
        for name in ["sbatch", "squeue", "sacct", "scancel"] {
            let path = folder.join("bin").join(name);
            let text = format!(
                "#!/bin/sh\necho {name} $(date +%s%N) >> {}/calls\nexec /usr/bin/{name} \"$@\"\n",
                folder.display()
            );
            std::fs::write(&path, text).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&path, mode).unwrap();
        }
        Some(cluster)
    }

    fn conf(&self) -> String {
        self.engine.folder.join("slurm.conf").display().to_string()
    }

    fn project(&self, name: &str) -> Project {
        let mut project = Project::new(&self.folder.join(name));
        let path = format!("{}:{}", self.folder.join("bin").display(), std::env::var("PATH").unwrap());
        project.variables = vec![("SLURM_CONF".to_owned(), self.conf()), ("PATH".to_owned(), path)];
        project
    }

    fn slurm(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).env("SLURM_CONF", self.conf()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// When a program was called, in nanoseconds.
    fn calls(&self, program: &str) -> Vec<u128> {
        let text = std::fs::read_to_string(self.folder.join("calls")).unwrap_or_default();
        let mut calls: Vec<u128> =
            text.lines().filter_map(|line| line.strip_prefix(program)?.trim().parse().ok()).collect();
        calls.sort_unstable();
        calls
    }

    fn target(&self, more: &str) -> String {
        format!("[targets.cluster]\ntype = \"slurm\"\ndirectory = \"{}\"\n{more}\n", self.folder.join("far").display())
    }
}

/// A matrix of so many jobs that each write a line into a ledger and sleep a little.
fn matrix(project: &Project, head: &str, jobs: usize, seconds: &str, ledger: &Path) {
    let numbers: Vec<String> = (1..=jobs).map(|n| n.to_string()).collect();
    project.write("data/raw.csv", "7\n");
    project.write(
        "Amlfile",
        &format!(
            "format = 1\n{head}\n[experiments.train]\ntarget = \"cluster\"\nsources = []\ninputs = [\"data/raw.csv\"]\n\
             outputs = [\"out/${{n}}\"]\nmatrix = {{ n = [{}] }}\n\
             command = '''echo ${{n}} >> {}; echo job ${{n}}; sleep {seconds}; expr $(cat data/raw.csv) '*' ${{n}} > out/${{n}}'''\n",
            numbers.join(", "),
            ledger.display(),
        ),
    );
}

fn counts(ledger: &Path) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in std::fs::read_to_string(ledger).unwrap_or_default().lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

#[test]
fn a_matrix_is_one_submission_and_its_results_are_those_of_here() {
    let folder = tempfile::Builder::new().prefix("amlrun-q-").tempdir().unwrap();
    let Some(cluster) = Cluster::up(folder.path()) else { return };
    let ledger = folder.path().join("ledger");
    let project = cluster.project("a");
    matrix(&project, &cluster.target(""), 12, "0", &ledger);
    let text = project.run(&[]);
    assert!(text.contains("12 ran") && text.contains("job 12"), "{text}");
    assert_eq!(cluster.calls("sbatch").len(), 1, "one array for all");
    assert!(project.run(&[]).contains("up to date (12 jobs)"));
    assert!(project.run(&["--target", "local"]).contains("up to date (12 jobs)"));
    for n in 1..=12 {
        assert_eq!(project.read(&format!("out/{n}")).unwrap(), format!("{}\n", 7 * n));
    }
    // 200 jobs: one submission, and Slurm is not asked more than every two seconds.
    let before = cluster.calls("squeue").len() + cluster.calls("sacct").len();
    matrix(&project, &cluster.target(""), 200, "0.2", &ledger);
    project.write("data/raw.csv", "8\n");
    project.run(&[]);
    assert_eq!(cluster.calls("sbatch").len(), 2, "one array for 200");
    let mut asked = [cluster.calls("squeue"), cluster.calls("sacct")].concat();
    asked.sort_unstable();
    let apart = asked.get(before..).unwrap().windows(2).map(|two| two[1] - two[0]).min().unwrap_or(u128::MAX);
    println!("asked {} times, at least {} ms apart", asked.len() - before, apart / 1_000_000);
    assert!(apart > 1_900_000_000, "{apart} ns");
    assert!(counts(&ledger).iter().all(|(n, times)| *times == if n.parse::<u32>().unwrap() <= 12 { 2 } else { 1 }));
}

/// A grid, one trial of which goes on until its policy ends it; a trial writes a line into the ledger.
fn sweep(project: &Project, head: &str, ns: &str, termination: &str, ledger: &Path) {
    project.write(
        "tune.sh",
        &format!(
            "echo $2 >> {}; echo step,loss > loss.csv\nfor i in 1 2 3 4 5 6; do echo $i,$2 >> loss.csv; done\n\
             [ $2 = 99 ] && exec sleep 600\necho $2 > best\n",
            ledger.display()
        ),
    );
    project.write(
        "Amlfile",
        &format!(
            "format = 1\n{head}\n[experiments.tune]\ntarget = \"cluster\"\nscript = \"tune.sh\"\noutputs = [\"best\"]\n\
             metrics = [\"loss.csv\"]\n[experiments.tune.sweep]\nsampling = \"grid\"\nmetric = \"loss\"\ngoal = \"minimize\"\n\
             max_concurrent = 12\n{termination}\n[experiments.tune.sweep.space]\nn = {{ choice = [{ns}] }}\n"
        ),
    );
}

#[test]
fn the_trials_of_a_sweep_are_one_submission_and_end_when_their_policy_says_so() {
    let folder = tempfile::Builder::new().prefix("amlrun-q-").tempdir().unwrap();
    let Some(cluster) = Cluster::up(folder.path()) else { return };
    let (ledger, project) = (folder.path().join("ledger"), cluster.project("a"));
    let ns: Vec<String> = (1..=12).map(|n| n.to_string()).collect();
    sweep(&project, &cluster.target(""), &ns.join(", "), "", &ledger);
    project.run(&[]);
    assert_eq!(cluster.calls("sbatch").len(), 1, "one array for all trials");
    assert_eq!(project.read("best").unwrap(), "1\n");
    assert!(project.run(&[]).contains("up to date"));
    assert!(project.run(&["--target", "local"]).contains("up to date"));
    // A larger grid runs what is new; what is far behind is ended there.
    let bandit =
        "early_termination = { policy = \"bandit\", slack_amount = 50, evaluation_interval = 1, delay_evaluation = 3 }";
    sweep(&project, &cluster.target(""), "1, 2, 99", bandit, &ledger);
    let said = project.run(&[]);
    assert!(said.contains("1 trial stopped"), "{said}");
    let counts = counts(&ledger);
    assert!(counts.len() == 13 && counts.values().all(|&times| times == 1), "{counts:?}");
    let shown = project.run(&["sweep", "show"]);
    assert!(shown.contains("bandit: needed 51"), "{shown}");
}

#[test]
fn killed_at_any_instant_it_is_run_once_and_not_lost() {
    let folder = tempfile::Builder::new().prefix("amlrun-q-").tempdir().unwrap();
    let Some(cluster) = Cluster::up(folder.path()) else { return };
    let ledger = folder.path().join("ledger");
    let project = cluster.project("a");
    matrix(&project, &cluster.target(""), 4, "0.2", &ledger);
    let began = Instant::now();
    project.run(&[]);
    let span = began.elapsed();
    let mut random = SplitMix64(SEED);
    let (mut kills, mut round) = (0, 0);
    while kills < KILLS {
        round += 1;
        std::fs::remove_file(&ledger).unwrap();
        project.write("data/raw.csv", &format!("{}\n", 100 + round));
        for _ in 0..=random.below(8) {
            // Most instants lie where submissions are made.
            let reach = if random.below(3) == 0 { span } else { span / 4 };
            let after = Duration::from_micros(random.below(u64::try_from(reach.as_micros()).unwrap()));
            let mut child = project.command(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            kills += usize::from(kill_after(&mut child, after));
        }
        project.run(&[]);
        let counts = counts(&ledger);
        assert!(counts.len() == 4 && counts.values().all(|&times| times == 1), "round {round}: {counts:?}");
        for n in 1..=4 {
            assert_eq!(project.read(&format!("out/{n}")).unwrap(), format!("{}\n", (100 + round) * n));
        }
    }
    let completed = project.runs().iter().filter(|(_, status)| status == "Completed").count();
    assert_eq!(completed, 4 * (round + 1), "every result is on record, once");
    println!("{kills} kills in {round} rounds, a whole run takes {} ms", span.as_millis());
}

#[test]
fn what_slurm_does_to_jobs_is_told_apart() {
    let folder = tempfile::Builder::new().prefix("amlrun-q-").tempdir().unwrap();
    let Some(cluster) = Cluster::up(folder.path()) else { return };
    let project = cluster.project("a");
    let write = |more: &str, command: &str, rest: &str| {
        project.write(
            "Amlfile",
            &format!(
                "format = 1\n{}\n[experiments.a]\ntarget = \"cluster\"\ncommand = '''{command}'''\n{rest}\n",
                cluster.target(more)
            ),
        );
    };
    write("partition = \"nowhere\"", "true", "");
    let said = project.amlrun(&[]);
    assert!(
        said.code == Some(1) && said.text.contains("target `cluster`") && said.text.contains("invalid partition"),
        "{}",
        said.text
    );
    let way_out = "correct `partition` of the target; there are ";
    assert!(said.text.contains(way_out), "{}", said.text);
    let said = project.amlrun(&["targets", "check", "cluster"]);
    assert!(said.code == Some(3) && said.text.contains("sbatch would refuse"), "{}", said.text);
    assert!(said.text.contains(way_out), "{}", said.text);
    // Mended, it runs: what was refused is not taken for submitted.
    write("partition = \"one\"", "echo $SLURM_JOB_PARTITION; exit 3", "");
    let said = project.amlrun(&[]);
    assert!(said.text.contains("| one") && said.text.contains("exit status 3"), "{}", said.text);
    write("", "sleep 60", "resources = { time = \"1s\" }");
    let said = project.amlrun(&[]);
    assert!(said.text.contains("timed out"), "{}", said.text);
    write("", "kill -9 $$", "");
    let said = project.amlrun(&[]);
    assert!(said.text.contains("killed by SIGKILL"), "{}", said.text);
    // By the administrator.
    write("", "sleep 600", "");
    let mut child = project.command(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let number = || cluster.slurm("squeue", &["-h", "-t", "running", "-o", "%A"]).trim().to_owned();
    wait_for("the job", || !number().is_empty());
    cluster.slurm("scancel", &[&number()]);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let mut text = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut text).unwrap();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut text).unwrap();
    assert!(text.contains("cancelled on the cluster, not by amlrun; to submit it anew, run it again"), "{text}");
    // By us, while it waits and while it runs.
    write("options = [\"--begin=now+1hour\"]", "sleep 601", "");
    assert!(project.run(&["--detach"]).contains("1 detached"));
    wait_for("the reason", || project.run(&["status"]).contains("BeginTime"));
    assert!(project.run(&["cancel", "a"]).contains("canceled"));
    write("", "sleep 602", "");
    project.run(&["--detach"]);
    wait_for("the job", || project.run(&["status"]).contains("running"));
    assert!(project.run(&["cancel", "a"]).contains("canceled"));
    wait_for("an empty queue", || cluster.slurm("squeue", &["-h"]).trim().is_empty());
    // GPUs and memory are asked for.
    write(
        "",
        "echo gpu $CUDA_VISIBLE_DEVICES, $SLURM_CPUS_PER_TASK cpus, $SLURM_MEM_PER_NODE",
        "resources = { cpus = 2, gpus = 1, memory = \"100MiB\" }",
    );
    let text = project.run(&[]);
    assert!(text.contains("gpu 0, 2 cpus, 100") || text.contains("gpu 1, 2 cpus, 100"), "{text}");
}

#[test]
fn a_controller_that_goes_and_comes_back_loses_nothing() {
    let folder = tempfile::Builder::new().prefix("amlrun-q-").tempdir().unwrap();
    let Some(cluster) = Cluster::up(folder.path()) else { return };
    let ledger = folder.path().join("ledger");
    let project = cluster.project("a");
    matrix(&project, &cluster.target(""), 2, "20", &ledger);
    let mut child = project.command(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("the jobs", || counts(&ledger).len() == 2);
    // What the controller has not saved yet it does not know when it comes back.
    let changed = |path: &Path| std::fs::metadata(path).and_then(|found| found.modified()).ok();
    wait_for("the saved state", || changed(&cluster.engine.folder.join("state/job_state")) > changed(&ledger));
    let pid = std::fs::read_to_string(cluster.engine.folder.join("slurmctld.pid")).unwrap();
    let done = Command::new("kill").args(["-9", pid.trim()]).status().unwrap();
    assert!(done.success());
    wait_for("the controller's end", || !Path::new(&format!("/proc/{}/exe", pid.trim())).exists());
    let mut again = Command::new("/usr/sbin/slurmctld")
        .arg("-D")
        .env("SLURM_CONF", cluster.conf())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let status = child.wait().unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut text).unwrap();
    again.kill().unwrap();
    again.wait().unwrap();
    assert!(status.success(), "{text}");
    assert!(counts(&ledger).values().all(|&times| times == 1));
}

#[test]
fn the_ranks_of_a_job_are_tasks_on_its_nodes() {
    let folder = tempfile::Builder::new().prefix("amlrun-q-").tempdir().unwrap();
    let Some(cluster) = Cluster::up(folder.path()) else { return };
    let project = cluster.project("a");
    let write = |command: &str| {
        project.write(
            "Amlfile",
            &format!(
                "format = 1\n{}\n[experiments.a]\ntarget = \"cluster\"\nsources = []\noutputs = [\"out\"]\n\
                 command = '''{command}'''\ndistributed = {{ type = \"pytorch\", nodes = 2, processes = 4 }}\n",
                cluster.target("")
            ),
        );
    };
    write(
        "mkdir -p out; echo $WORLD_SIZE $LOCAL_RANK $NODE_RANK $LOCAL_WORLD_SIZE > out/$RANK; echo on $SLURMD_NODENAME",
    );
    let text = project.run(&[]);
    assert!(text.contains("1 ran") && text.contains("[std_log_process_3.txt] on"), "{text}");
    let said: Vec<String> = (0..4).map(|rank| project.read(&format!("out/{rank}")).unwrap()).collect();
    assert_eq!(said, ["4 0 0 2\n", "4 1 0 2\n", "4 0 1 2\n", "4 1 1 2\n"]);
    assert!(project.run(&["--target", "local"]).contains("up to date"), "the same key as here");
    // A rank on the other node fails: all end, and the rank is named.
    write("[ $RANK = 3 ] && exit 5; exec sleep 600");
    let said = project.amlrun(&[]);
    assert!(said.code == Some(1) && said.text.contains("exit status 5"), "{}", said.text);
    assert!(said.text.contains("rank 3 failed: exit status 5"), "{}", said.text);
    wait_for("the end of all", || cluster.slurm("squeue", &["-h"]).trim().is_empty());
}
