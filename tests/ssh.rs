//! Jobs on a host that is reached by ssh: a real sshd on loopback, with connections that break and an amlrun that is killed.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may die, and it runs amlrun")]

mod engines;
#[path = "ssh/faults.rs"]
mod faults;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use engines::process::kill_after;
use engines::random::SplitMix64;
use engines::{Engine, Project, Proxy, wait_for};

const KILLS: usize = 50;
const SEED: u64 = 20_261_126;

/// The port of a running sshd.
fn port(engine: &Engine) -> u16 {
    let config = std::fs::read_to_string(engine.folder.join("ssh_config")).unwrap();
    let port = config.lines().find_map(|line| line.trim().strip_prefix("Port ")).unwrap();
    port.trim().parse().unwrap()
}

/// `[targets.vm]`, kept in `far`.
fn target(engine: &Engine, port: u16, far: &Path, more: &str) -> String {
    format!(
        "[targets.vm]\ntype = \"ssh\"\nhost = \"host\"\nport = {port}\noptions = [\"-F\", \"{}\"]\ndirectory = \"{}\"\n{more}\n",
        engine.folder.join("ssh_config").display(),
        far.display()
    )
}

const TRAIN: &str = r#"
import json, os, sys, time
alpha = float(sys.argv[1])
ledger = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.write(ledger, (sys.argv[1] + "\n").encode())
for step in range(int(os.environ["STEPS"])):
    print("step", step, flush=True)
    time.sleep(0.05)
rows = [int(line) for line in open("../data/raw.csv")]
os.makedirs("../models", exist_ok=True)
with open("../models/m-%s.txt" % sys.argv[1], "w") as file:
    file.write("%r\n" % (sum(rows) * alpha))
with open("metrics-%s.json" % sys.argv[1], "w") as file:
    json.dump({"mse": alpha * 2}, file)
"#;

/// A matrix of so many jobs that each write a line into a ledger.
fn matrix(project: &Project, head: &str, jobs: usize, steps: usize, ledger: &Path) {
    let alphas: Vec<String> = (1..=jobs).map(|n| format!("{}.{}", n / 10, n % 10)).collect();
    project.write("train/train.py", TRAIN);
    project.write("data/raw.csv", &(1..=100).map(|n| n.to_string()).collect::<Vec<_>>().join("\n"));
    project.write(
        "Amlfile",
        &format!(
            "format = 1\n{head}\n[environments.plain]\nuser_managed = true\nvariables = {{ LEDGER = \"{}\", STEPS = \"{steps}\" }}\n\
             [experiments.train]\nenvironment = \"plain\"\ntarget = \"vm\"\nsource_directory = \"train\"\nscript = \"train.py\"\n\
             arguments = [\"${{alpha}}\"]\ninputs = {{ raw = \"data/raw.csv\" }}\noutputs = {{ model = \"models/m-${{alpha}}.txt\" }}\n\
             metrics = [\"train/metrics-${{alpha}}.json\"]\nmatrix = {{ alpha = [{}] }}\n",
            ledger.display(),
            alphas.join(", ")
        ),
    );
}

/// How often each job ran, as it counted itself.
fn counts(ledger: &Path) -> std::collections::BTreeMap<String, usize> {
    let mut counts = std::collections::BTreeMap::new();
    for line in std::fs::read_to_string(ledger).unwrap_or_default().lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

#[test]
fn a_matrix_runs_there_as_it_does_here() {
    let folder = tempfile::Builder::new().prefix("amlrun-s-").tempdir().unwrap();
    let Some(engine) = Engine::up("sshd-up.sh", &folder.path().join("e"), &[]) else { return };
    let ledger = folder.path().join("ledger");
    let project = Project::new(&folder.path().join("a"));
    matrix(&project, &target(&engine, port(&engine), &folder.path().join("far"), "cpus = 4"), 12, 0, &ledger);
    let text = project.run(&[]);
    assert!(text.contains("12 ran"), "{text}");
    assert!(project.run(&[]).contains("up to date (12 jobs)"));
    assert!(project.run(&["--target", "local"]).contains("up to date (12 jobs)"), "the same key, wherever it runs");
    let here = Project::new(&folder.path().join("b"));
    matrix(&here, "[targets.vm]\ntype = \"ssh\"\nhost = \"nowhere\"\n", 12, 0, &ledger);
    here.run(&["--target", "local"]);
    for n in 1..=12 {
        let alpha = f64::from(n) / 10.0;
        for path in [format!("models/m-{alpha:.1}.txt"), format!("train/metrics-{alpha:.1}.json")] {
            assert_eq!(project.read(&path), here.read(&path), "{path}");
            assert!(project.read(&path).is_some());
        }
    }
    assert_eq!(counts(&ledger).into_values().sum::<usize>(), 24);
    let left = std::fs::read_dir(folder.path().join("far/runs")).unwrap().count();
    assert_eq!(left, 0, "what is on record here goes there");
}

#[test]
fn the_ranks_of_a_job_run_there_and_end_together() {
    let folder = tempfile::Builder::new().prefix("amlrun-s-").tempdir().unwrap();
    let Some(engine) = Engine::up("sshd-up.sh", &folder.path().join("e"), &[]) else { return };
    let project = Project::new(&folder.path().join("a"));
    let head = target(&engine, port(&engine), &folder.path().join("far"), "cpus = 4");
    let write = |command: &str| {
        project.write(
            "Amlfile",
            &format!(
                "format = 1\n{head}\n[experiments.a]\ntarget = \"vm\"\nsources = []\noutputs = [\"out\"]\n\
                 command = '''{command}'''\ndistributed = {{ type = \"pytorch\", processes = 2 }}\n"
            ),
        );
    };
    write("mkdir -p out; echo $WORLD_SIZE $LOCAL_RANK > out/$RANK; echo rank $RANK");
    let text = project.run(&[]);
    assert!(text.contains("| rank 0") && text.contains("[std_log_process_1.txt] rank 1"), "{text}");
    assert_eq!(project.read("out/1").unwrap(), "2 1\n");
    assert!(project.run(&["--target", "local"]).contains("up to date"), "the same key as here");
    write("[ $RANK = 1 ] && exit 5; exec sleep 600");
    let said = project.amlrun(&[]);
    assert!(said.code == Some(1) && said.text.contains("exit status 5"), "{}", said.text);
    assert!(said.text.contains("rank 1 failed: exit status 5"), "{}", said.text);
}

#[test]
fn what_a_script_logs_there_is_on_record_here() {
    let folder = tempfile::Builder::new().prefix("amlrun-s-").tempdir().unwrap();
    let Some(engine) = Engine::up("sshd-up.sh", &folder.path().join("e"), &[]) else { return };
    let mut project = Project::new(folder.path());
    project.variables.push(("TOKEN".to_owned(), "s3cr3t-w0rd".to_owned()));
    let script = "import io, os\nfrom azureml.core import Run\nrun = Run.get_context()\nos.chdir('/')\n\
        for n in range(3):\n    run.log('mse', 3 - n)\nrun.tag('k', os.environ['TOKEN'])\n\
        with run.child_run('inner') as child:\n    child.log('deep', 7)\n\
        run.upload_file('notes/a.txt', io.BytesIO(b'kept'))\nassert run.get_metrics('mse') == {'mse': [3, 2, 1]}\n";
    for (name, more) in [("train/train.py", ""), ("train/fail.py", "run.fail('no data')\n")] {
        project.write(name, &format!("{script}{more}"));
    }
    let head = target(&engine, port(&engine), &folder.path().join("far"), "");
    let job = |name: &str| {
        format!(
            "[experiments.{name}]\ntarget = \"vm\"\nenvironment = \"plain\"\nsource_directory = \"train\"\n\
             script = \"{name}.py\"\nsecrets = [\"TOKEN\"]\n"
        )
    };
    let plain = "[environments.plain]\nuser_managed = true\n";
    project.write("Amlfile", &format!("format = 1\n{head}\n{plain}{}{}", job("train"), job("fail")));
    project.run(&["train"]);
    let show = || project.command(&["runs", "show", "train", "--json"]).output().unwrap();
    let run: serde_json::Value = serde_json::from_slice(&show().stdout).unwrap();
    assert_eq!(run["logged"]["series"]["mse"], serde_json::json!([[0, 3.0], [1, 2.0], [2, 1.0]]));
    assert_eq!((&run["metrics"]["mse"], &run["tags"]["k"]), (&1.0.into(), &"***".into()));
    assert_eq!(run["logged"]["children"][0]["metrics"]["deep"], 7.0);
    assert!(project.run(&["runs", "files", "train"]).contains("artifacts/notes/a.txt"));
    assert!(!project.root.join(".amlrun-job").exists() && !project.root.join("train/.amlrun-job").exists());
    assert!(project.run(&["train", "--target", "local"]).contains("up to date"), "the same key");
    let failed = project.amlrun(&["fail"]);
    assert!(failed.code == Some(1) && failed.text.contains("no data"), "{}", failed.text);
}

#[test]
fn killed_at_any_instant_it_is_run_once_and_not_lost() {
    let folder = tempfile::Builder::new().prefix("amlrun-s-").tempdir().unwrap();
    let Some(engine) = Engine::up("sshd-up.sh", &folder.path().join("e"), &[]) else { return };
    let ledger = folder.path().join("ledger");
    let project = Project::new(folder.path());
    let head = target(&engine, port(&engine), &folder.path().join("far"), "cpus = 3");
    matrix(&project, &head, 4, 2, &ledger);
    let began = Instant::now();
    project.run(&[]);
    let span = began.elapsed().min(Duration::from_millis(2500));
    let mut random = SplitMix64(SEED);
    let (mut kills, mut round) = (0, 0);
    while kills < KILLS {
        round += 1;
        std::fs::remove_file(&ledger).unwrap();
        project.write("data/raw.csv", &format!("{round}\n"));
        for _ in 0..=random.below(5) {
            let after = Duration::from_micros(random.below(u64::try_from(span.as_micros()).unwrap()));
            let mut child = project
                .command(&[])
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            kills += usize::from(kill_after(&mut child, after));
        }
        project.run(&[]);
        let counts = counts(&ledger);
        assert!(counts.len() == 4 && counts.values().all(|&times| times == 1), "round {round}: {counts:?}");
        for n in 1..=4 {
            let alpha = f64::from(n) / 10.0;
            let model = project.read(&format!("models/m-{alpha:.1}.txt")).unwrap();
            assert!((model.trim().parse::<f64>().unwrap() - f64::from(round) * alpha).abs() < 1e-9, "round {round}");
        }
    }
    let completed = project.runs().iter().filter(|(_, status)| status == "Completed").count();
    assert_eq!(completed, 4 * (usize::try_from(round).unwrap() + 1), "every result is on record, once");
    println!("{kills} kills in {round} rounds, a whole run takes {} ms", span.as_millis());
}

#[test]
fn a_connection_that_breaks_is_not_the_end_of_a_run() {
    let folder = tempfile::Builder::new().prefix("amlrun-s-").tempdir().unwrap();
    let Some(engine) = Engine::up("sshd-up.sh", &folder.path().join("e"), &[]) else { return };
    let ledger = folder.path().join("ledger");
    let proxy = Proxy::to(port(&engine));
    let project = Project::new(folder.path());
    matrix(&project, &target(&engine, proxy.port, &folder.path().join("far"), "cpus = 4"), 2, 60, &ledger);
    let log = folder.path().join("log");
    let out = std::fs::File::create(&log).unwrap();
    let mut child = project.command(&[]).stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
    let said = || std::fs::read_to_string(&log).unwrap();
    for _ in 0..2 {
        let steps = said().matches("| step").count();
        wait_for("output", || said().matches("| step").count() > steps + 2);
        let waits = said().matches("trying again").count();
        proxy.cut();
        wait_for("a word on the connection", || said().matches("trying again").count() > waits);
        proxy.mend();
    }
    assert!(child.wait().unwrap().success(), "{}", said());
    assert_eq!(counts(&ledger).into_values().collect::<Vec<_>>(), [1, 1]);
    for step in 0..60 {
        assert_eq!(
            said().matches(&format!("| step {step}\n")).count(),
            2,
            "step {step} is told once a job:\n{}",
            said()
        );
    }
}

#[test]
fn ctrl_c_detaches_and_attach_and_cancel_go_on_from_there() {
    let folder = tempfile::Builder::new().prefix("amlrun-s-").tempdir().unwrap();
    let Some(engine) = Engine::up("sshd-up.sh", &folder.path().join("e"), &[]) else { return };
    let ledger = folder.path().join("ledger");
    let project = Project::new(folder.path());
    let head = target(&engine, port(&engine), &folder.path().join("far"), "cpus = 1");
    matrix(&project, &head, 1, 200, &ledger);
    // What is not committed is known of the run whoever sees its end.
    let git = "git init -q && git add train && git -c user.name=a -c user.email=b@c commit -qm one && echo '# then' >> train/train.py";
    assert!(std::process::Command::new("sh").args(["-c", git]).current_dir(&project.root).status().unwrap().success());
    // Ctrl-C.
    let mut child =
        project.command(&[]).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    wait_for("the job", || counts(&ledger).len() == 1);
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(project.run(&["status"]).contains("running"));
    let text = project.run(&["attach"]);
    assert!(text.contains("attached") && text.contains("1 ran"), "{text}");
    assert!(text.contains("step 199"), "{text}");
    assert_eq!(counts(&ledger)["0.1"], 1);
    assert!(project.run(&["runs", "show", "train[alpha=0.1]", "--patch"]).contains("\n+# then\n"));
    let log = project.run(&["runs", "logs", "train[alpha=0.1]"]);
    assert!((0..200).all(|step| log.matches(&format!("step {step}\n")).count() == 1), "{log}");
    // --detach, and a job that waits for its place.
    matrix(&project, &head, 2, 400, &ledger);
    let text = project.run(&["--detach"]);
    assert!(text.contains("2 detached"), "{text}");
    wait_for("one to run and one to wait", || {
        let status = project.run(&["status"]);
        status.contains("running") && status.contains("waits for room")
    });
    assert!(project.run(&["cancel", "--all"]).contains("canceled"));
    let statuses: Vec<String> = project.runs().into_iter().take(2).map(|(_, status)| status).collect();
    assert_eq!(statuses, ["Canceled", "Canceled"]);
    assert_eq!(project.amlrun(&["cancel", "--all"]).code, Some(4));
}

#[test]
fn names_links_and_secrets_arrive_as_they_are() {
    let folder = tempfile::Builder::new().prefix("amlrun-s-").tempdir().unwrap();
    let Some(engine) = Engine::up("sshd-up.sh", &folder.path().join("e"), &[]) else { return };
    let mut project = Project::new(folder.path());
    project.variables.push(("TOKEN".to_owned(), "s3cr3t-w0rd".to_owned()));
    let far = folder.path().join("far");
    project.write("src/a b/it's \"q\"\n-x", "odd\n");
    project.write("src/-dash", "dash\n");
    project.write("src/run.sh", "#!/bin/sh\nmkdir ../out; echo \"$1\" > ../out/args\ncp -R . ../out/copy\nreadlink link > ../out/link\nmkdir ../out/hollow; echo got $TOKEN; sleep 1\n");
    std::os::unix::fs::symlink("-dash", project.root.join("src/link")).unwrap();
    let mut mode = std::fs::metadata(project.root.join("src/run.sh")).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o755);
    std::fs::set_permissions(project.root.join("src/run.sh"), mode).unwrap();
    project.write(
        "Amlfile",
        &format!(
            "format = 1\n{}\n[experiments.a]\ntarget = \"vm\"\nsource_directory = \"src\"\ncommand = \"./run.sh\"\n\
             arguments = [\"-n it's \\\"so\\\" $HOME\\n*\"]\noutputs = [\"out\"]\nsecrets = [\"TOKEN\"]\n",
            target(&engine, port(&engine), &far, "")
        ),
    );
    let mut child =
        project.command(&[]).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let runs = far.join("runs");
    let begun =
        || std::fs::read_dir(&runs).into_iter().flatten().flatten().any(|run| run.path().join("begun").exists());
    wait_for("the run", begun);
    let listed = std::process::Command::new("ps").args(["axww", "-o", "args"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&listed.stdout).contains("s3cr3t-w0rd"), "a secret on a command line");
    for entry in std::fs::read_dir(&runs).unwrap().flatten() {
        let spec = std::fs::read_to_string(entry.path().join("spec.json")).unwrap_or_default();
        assert!(!spec.contains("s3cr3t-w0rd"), "a secret in a file");
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&far).unwrap().permissions());
    assert_eq!(mode & 0o077, 0, "what is there is the user's alone");
    let done = child.wait().unwrap();
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take().unwrap(), &mut said).unwrap();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert!(done.success(), "{said}");
    assert!(!said.contains("s3cr3t-w0rd"), "{said}");
    assert_eq!(project.read("out/args").unwrap(), "-n it's \"so\" $HOME\n*\n");
    assert_eq!(project.read("out/copy/a b/it's \"q\"\n-x").unwrap(), "odd\n");
    assert_eq!(project.read("out/link").unwrap(), "-dash\n");
    assert!(project.root.join("out/hollow").is_dir(), "an empty folder comes back");
    assert_eq!(std::fs::read_link(project.root.join("out/copy/link")).unwrap(), Path::new("-dash"));
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(project.root.join("out/copy/run.sh")).unwrap().permissions(),
    );
    assert_ne!(mode & 0o100, 0, "the exec bit comes back");
    assert!(project.run(&["--target", "local"]).contains("up to date"));
}

#[test]
fn only_what_changed_is_sent_again() {
    let folder = tempfile::Builder::new().prefix("amlrun-s-").tempdir().unwrap();
    let Some(engine) = Engine::up("sshd-up.sh", &folder.path().join("e"), &[]) else { return };
    let proxy = Proxy::to(port(&engine));
    let project = Project::new(folder.path());
    let mut random = SplitMix64(SEED);
    for n in 0..2000 {
        let text: String = (0..64).map(|_| random.below(u64::MAX).to_string()).collect::<Vec<_>>().concat();
        project.write(&format!("src/d{}/f{n}", n % 50), &text);
    }
    project.write(
        "Amlfile",
        &format!(
            "format = 1\n{}\n[experiments.a]\ntarget = \"vm\"\nsource_directory = \"src\"\ncommand = \"cat */* | wc -c\"\n",
            target(&engine, proxy.port, &folder.path().join("far"), "")
        ),
    );
    let explained = || project.run(&["snapshot", "ls", "--explain"]);
    let before = explained();
    assert!(before.contains("MiB of it to be sent to the target `vm`"), "{before}");
    let asked = proxy.bytes.load(Ordering::SeqCst);
    assert!(asked < 500_000, "{asked} bytes for a question");
    project.run(&[]);
    let first = proxy.bytes.load(Ordering::SeqCst);
    assert!(first > 2_000_000, "{first}");
    let there = explained();
    assert!(there.contains("all of it is on the target `vm`"), "{there}");
    project.write("src/d7/f7", "changed\n");
    let changed = explained();
    assert!(changed.contains("8 B of it to be sent to the target `vm`"), "{changed}");
    let explaining = proxy.bytes.load(Ordering::SeqCst);
    project.run(&[]);
    let second = proxy.bytes.load(Ordering::SeqCst) - explaining;
    // The program itself (some 40 kB) goes over a new connection; what is sent of the tree is a file and two nodes.
    println!("{first} bytes, then {second}");
    assert!(second < first / 20, "{second} of {first} bytes were sent again");
}
