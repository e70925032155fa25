//! Jobs on a Ray cluster: a real head on loopback, with an amlrun that is killed and connections that break.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may die, and it runs amlrun")]

mod engines;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use engines::process::kill_after;
use engines::random::SplitMix64;
use engines::{Engine, Project, Proxy, wait_for};

/// Each round of kills costs the start of four of Ray's drivers, seconds of a processor each.
const KILLS: usize = 50;
const SEED: u64 = 20_261_128;

/// A head, and the folder that its nodes see: one for all tests that run side by side, as it takes a gigabyte.
struct Cluster {
    engine: Option<Engine>,
    folder: tempfile::TempDir,
    port: u16,
    _alone: std::fs::File,
}

static CLUSTER: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

impl Cluster {
    fn up() -> Option<Arc<Self>> {
        let mut known = CLUSTER.lock().unwrap();
        if let Some(cluster) = known.upgrade() {
            return Some(cluster);
        }
        // Ray is installed once: that takes longer than all tests.
        let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ray");
        std::fs::create_dir_all(&shared).unwrap();
        let alone = std::fs::File::create(shared.join("lock")).unwrap();
        alone.lock().unwrap();
        let engine = Engine::up("ray-up.sh", &shared, &[("CPUS", "8"), ("GPUS", "1")])?;
        let port = port(&shared);
        let folder = tempfile::Builder::new().prefix("amlrun-r-").tempdir().unwrap();
        let cluster = Arc::new(Self { engine: Some(engine), folder, port, _alone: alone });
        *known = Arc::downgrade(&cluster);
        Some(cluster)
    }

    fn project(&self, name: &str) -> Project {
        Project::new(&self.folder.path().join(name))
    }

    fn target(&self, port: u16) -> String {
        let far = self.folder.path().join("far");
        format!(
            "[targets.cluster]\ntype = \"ray\"\naddress = \"http://127.0.0.1:{port}\"\ndirectory = \"{}\"\n",
            far.display()
        )
    }

    /// A head of its own, which its test ends and starts anew.
    fn another(folder: &Path) -> Option<Engine> {
        std::fs::create_dir_all(folder).unwrap();
        let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ray").join("venv");
        let _ = std::os::unix::fs::symlink(venv, folder.join("venv"));
        Engine::up("ray-up.sh", folder, &[])
    }

    /// Asks the API by hand.
    fn ask(&self, method: &str, path: &str) -> serde_json::Value {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let ask = format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        stream.write_all(ask.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let body = text.split_once("\r\n\r\n").unwrap().1;
        serde_json::from_str(body).unwrap_or_default()
    }

    /// The name of the job of an experiment that runs.
    fn running(&self, experiment: &str) -> Option<String> {
        let jobs = self.ask("GET", "/api/jobs/");
        let mut jobs = jobs.as_array().cloned().unwrap_or_default().into_iter();
        let job = jobs.find(|job| job["metadata"]["amlrun_job"] == experiment && job["status"] == "RUNNING")?;
        Some(job["submission_id"].as_str()?.to_owned())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.take() {
            end(engine);
        }
    }
}

/// Ends a head, and removes the folder that it has outside of its own.
fn end(engine: Engine) {
    let temporary = std::fs::read_to_string(engine.folder.join("temp-dir"));
    drop(engine);
    let _ = temporary.map(|folder| std::fs::remove_dir_all(folder.trim()));
}

/// The port of a head's dashboard.
fn port(folder: &Path) -> u16 {
    let environment = std::fs::read_to_string(folder.join("env")).unwrap();
    let port = environment.split("RAY_DASHBOARD=http://127.0.0.1:").nth(1).unwrap();
    port.split_whitespace().next().unwrap().parse().unwrap()
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

fn said(mut child: std::process::Child) -> (Option<i32>, String) {
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    (child.wait().unwrap().code(), text)
}

fn start(project: &Project) -> std::process::Child {
    project.command(&[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_matrix_runs_there_as_it_does_here() {
    let Some(cluster) = Cluster::up() else { return };
    let ledger = cluster.folder.path().join("ledger-matrix");
    let project = cluster.project("matrix");
    matrix(&project, &cluster.target(cluster.port), 12, "0", &ledger);
    let text = project.run(&[]);
    assert!(text.contains("12 ran") && text.contains("| job 12"), "{text}");
    assert!(project.run(&[]).contains("up to date (12 jobs)"));
    assert!(project.run(&["--target", "local"]).contains("up to date (12 jobs)"));
    assert!(counts(&ledger).values().all(|&times| times == 1));
    // The same jobs here, in another project: the same bytes.
    let here = cluster.project("here");
    matrix(&here, "[targets.cluster]\ntype = \"ssh\"\nhost = \"nowhere\"", 12, "0", &ledger);
    here.run(&["--target", "local"]);
    for n in 1..=12 {
        let path = format!("out/{n}");
        assert_eq!(project.read(&path), here.read(&path));
        assert_eq!(project.read(&path).unwrap(), format!("{}\n", 7 * n));
    }
    let text = project.run(&["targets", "check", "cluster"]);
    assert!(
        text.contains("8 processors") && text.contains("1 GPU ") && text.contains("a job was started, and sees"),
        "{text}"
    );
}

#[test]
fn killed_at_any_instant_it_is_run_once_and_not_lost() {
    let Some(cluster) = Cluster::up() else { return };
    let ledger = cluster.folder.path().join("ledger-kills");
    let project = cluster.project("kills");
    matrix(&project, &cluster.target(cluster.port), 3, "0.2", &ledger);
    let began = Instant::now();
    project.run(&[]);
    let span = began.elapsed();
    let mut random = SplitMix64(SEED);
    let (mut kills, mut round) = (0, 0);
    while kills < KILLS {
        round += 1;
        std::fs::remove_file(&ledger).unwrap();
        project.write("data/raw.csv", &format!("{}\n", 100 + round));
        for _ in 0..4 + random.below(5) {
            // Most instants lie where submissions are made.
            let reach = if random.below(3) == 0 { span } else { span / 8 };
            let after = Duration::from_micros(random.below(u64::try_from(reach.as_micros()).unwrap()));
            let mut child = project.command(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            kills += usize::from(kill_after(&mut child, after));
        }
        project.run(&[]);
        let counts = counts(&ledger);
        assert!(counts.len() == 3 && counts.values().all(|&times| times == 1), "round {round}: {counts:?}");
        for n in 1..=3 {
            assert_eq!(project.read(&format!("out/{n}")).unwrap(), format!("{}\n", (100 + round) * n));
        }
    }
    let completed = project.runs().iter().filter(|(_, status)| status == "Completed").count();
    assert_eq!(completed, 3 * (round + 1), "every result is on record, once");
    println!("{kills} kills in {round} rounds, a whole run takes {} ms", span.as_millis());
}

#[test]
fn what_ray_does_to_jobs_is_told_apart() {
    let Some(cluster) = Cluster::up() else { return };
    let mut project = cluster.project("told");
    project.variables = vec![("TOKEN".to_owned(), "sesame".to_owned())];
    let write = |command: &str, rest: &str| {
        project.write(
            "Amlfile",
            &format!(
                "format = 1\n{}\n[experiments.a]\ntarget = \"cluster\"\ncommand = '''{command}'''\n{rest}\n",
                cluster.target(cluster.port)
            ),
        );
    };
    // Resources are asked for, the cluster is there for `ray.init()`, a secret is in nothing that others see.
    write(
        "echo gpu $CUDA_VISIBLE_DEVICES at $RAY_ADDRESS; test $TOKEN = sesame",
        "resources = { cpus = 2, gpus = 1, memory = \"100MiB\" }\nsecrets = [\"TOKEN\"]",
    );
    let text = project.run(&[]);
    assert!(text.contains("| gpu 0 at 127.0.0.1:"), "{text}");
    let all = cluster.ask("GET", "/api/jobs/").to_string();
    assert!(all.contains("amlrun_job") && !all.contains("sesame"), "{all}");
    write("exit 3", "retries = 1");
    let said_ = project.amlrun(&[]);
    assert!(said_.text.contains("exit status 3") && project.runs().len() == 3, "{}", said_.text);
    write("sleep 600", "resources = { time = \"1s\" }");
    let text = project.amlrun(&[]).text;
    assert!(text.contains("timed out"), "{text}");
    // By the administrator, while it runs.
    write("trap 'exit 0' TERM; echo up; sleep 601 & wait", "");
    let child = start(&project);
    wait_for("the job", || cluster.running("a").is_some());
    let name = cluster.running("a").unwrap();
    wait_for("its output", || project.run(&["status"]).contains("running"));
    cluster.ask("POST", &format!("/api/jobs/{name}/stop"));
    let (code, text) = said(child);
    assert!(code == Some(1) && text.contains("it was stopped in Ray, not by amlrun"), "{text}");
    // By us, while it waits and while it runs.
    write("sleep 602", "resources = { cpus = 64 }");
    assert!(project.run(&["--detach"]).contains("1 detached"));
    let text = project.run(&["status"]);
    assert!(text.contains("waiting for resources"), "{text}");
    assert!(project.run(&["cancel", "a"]).contains("canceled"));
    write("sleep 603", "");
    project.run(&["--detach"]);
    wait_for("the job", || project.run(&["status"]).contains("running"));
    assert!(project.run(&["cancel", "a"]).contains("canceled"));
    // A restart of amlrun takes the job up again, with its whole log.
    write("echo first; sleep 3; echo last", "");
    project.run(&["--detach"]);
    let text = project.run(&["attach"]);
    assert!(text.contains("attached to run") && text.contains("| first") && text.contains("| last"), "{text}");
    // An address where nothing is.
    project.write(
        "Amlfile",
        &format!("format = 1\n{}[experiments.a]\ntarget = \"cluster\"\ncommand = \"true\"\n", cluster.target(9)),
    );
    let text = project.amlrun(&[]).text;
    assert!(
        text.contains("target `cluster`: `GET http://127.0.0.1:9/api/version`: nothing answers there: check `address`"),
        "{text}"
    );
    let checked = project.amlrun(&["targets", "check", "cluster"]);
    assert!(checked.code == Some(3) && checked.text.contains("nothing answers there"), "{}", checked.text);
}

#[test]
fn a_connection_that_is_cut_is_no_failure() {
    let Some(cluster) = Cluster::up() else { return };
    let ledger = cluster.folder.path().join("ledger-cut");
    let proxy = Proxy::to(cluster.port);
    let project = cluster.project("cut");
    matrix(&project, &cluster.target(proxy.port), 2, "8", &ledger);
    let child = start(&project);
    wait_for("the jobs", || counts(&ledger).len() == 2);
    proxy.cut();
    // Long enough for amlrun to ask in vain more than once.
    std::thread::park_timeout(Duration::from_secs(5));
    proxy.mend();
    let (code, text) = said(child);
    assert!(code == Some(0) && text.contains("2 ran"), "{text}");
    assert!(counts(&ledger).values().all(|&times| times == 1));
    // Cut where it is submitted: it waits, and goes on. Cut while the answer is on its way, it is not submitted twice.
    for cut in [20, 120, 220, 320, 420] {
        std::fs::remove_file(&ledger).unwrap();
        matrix(&project, &cluster.target(proxy.port), 2, "0", &ledger);
        project.write("data/raw.csv", &format!("{cut}\n"));
        let child = start(&project);
        std::thread::park_timeout(Duration::from_millis(cut));
        proxy.cut();
        std::thread::park_timeout(Duration::from_millis(700));
        proxy.mend();
        let (_, text) = said(child);
        project.run(&[]);
        let counts = counts(&ledger);
        assert!(
            counts.len() == 2 && counts.values().all(|&times| times == 1),
            "cut after {cut} ms: {counts:?}\n{text}"
        );
    }
}

#[test]
fn a_head_that_is_started_anew_loses_no_run() {
    let Some(cluster) = Cluster::up() else { return };
    let folder = cluster.folder.path().join("head");
    let Some(engine) = Cluster::another(&folder) else { return };
    let ledger = cluster.folder.path().join("ledger-head");
    let proxy = Proxy::to(port(&folder));
    let project = cluster.project("head");
    matrix(&project, &cluster.target(proxy.port), 1, "$(expr 600 '*' '(' $AMLRUN_ATTEMPT '<' 2 ')')", &ledger);
    let text = project.read("Amlfile").unwrap();
    project.write("Amlfile", &format!("{text}retries = 1\n"));
    let child = start(&project);
    wait_for("the job", || counts(&ledger).len() == 1);
    end(engine);
    let engine = Cluster::another(&folder).unwrap();
    proxy.lead_to(port(&folder));
    let (code, text) = said(child);
    end(engine);
    // What had begun ended with the head, which is said, and is tried again as `retries` has it.
    assert!(code == Some(0) && text.contains("trying again") && text.contains("1 ran"), "{text}");
    assert_eq!(counts(&ledger).get("1"), Some(&2), "{text}");
}

#[test]
fn the_files_may_be_on_a_host_that_ssh_reaches() {
    let Some(cluster) = Cluster::up() else { return };
    let Some(sshd) = Engine::up("sshd-up.sh", &cluster.folder.path().join("sshd"), &[]) else { return };
    let ledger = cluster.folder.path().join("ledger-login");
    let project = cluster.project("login");
    let config = sshd.folder.join("ssh_config");
    let login =
        format!("[targets.vm]\ntype = \"ssh\"\nhost = \"host\"\noptions = [\"-F\", \"{}\"]\n", config.display());
    matrix(&project, &format!("{}login = \"vm\"\n{login}", cluster.target(cluster.port)), 2, "0", &ledger);
    let text = project.run(&[]);
    assert!(text.contains("2 ran") && text.contains("| job 2"), "{text}");
    assert!(project.run(&["--target", "local"]).contains("up to date (2 jobs)"));
    assert_eq!(project.read("out/2").unwrap(), "14\n");
}
