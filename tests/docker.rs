//! Jobs in containers of a real Docker Engine: what they see, what their key is, how they end.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may die, and it runs amlrun")]

mod engines;
#[path = "docker/ssh.rs"]
mod ssh;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use engines::{Engine, Project, wait_for};
use rustix::process::{Pid, Signal, kill_process};

const HEAD: &str = r#"format = 1

[environments.box]
docker = { image = "amlrun-test:1", arguments = ["--network", "host"] }
variables = { WORDS = "a 'b' \"c\"" }
"#;

struct Daemon {
    address: String,
    _engine: Engine,
}

impl Daemon {
    fn up(folder: &Path) -> Option<Self> {
        let folder = folder.join("d");
        let engine = Engine::up("docker-up.sh", &folder, &[])?;
        let this = Self { address: format!("unix://{}/docker.sock", folder.display()), _engine: engine };
        this.docker(&["tag", "bb:1", "amlrun-test:1"]);
        Some(this)
    }

    fn docker(&self, arguments: &[&str]) -> String {
        let done = Command::new("docker").args(arguments).env("DOCKER_HOST", &self.address).output().unwrap();
        assert!(done.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    }

    fn containers(&self) -> String {
        self.docker(&["ps", "--all", "--format", "{{.Names}}"])
    }

    fn project(&self, folder: &Path) -> Project {
        let mut project = Project::new(folder);
        project.variables.push(("DOCKER_HOST".to_owned(), self.address.clone()));
        project
    }
}

#[test]
fn jobs_in_containers() {
    let folder = tempfile::Builder::new().prefix("amlrun-docker-").tempdir().unwrap();
    let Some(daemon) = Daemon::up(folder.path()) else { return };
    an_image(&daemon, &folder.path().join("image"));
    a_dockerfile(&daemon, &folder.path().join("dockerfile"));
    endings(&daemon, &folder.path().join("endings"));
    faults(&daemon, &folder.path().join("faults"));
}

/// The job finds its sources and inputs where it finds them on this machine, may not write into an input, and leaves
/// outputs that are the caller's.
fn an_image(daemon: &Daemon, folder: &Path) {
    let mut project = daemon.project(folder);
    project.variables.push(("TOKEN".to_owned(), "open-sesame".to_owned()));
    project.write("far/large.bin", &"0".repeat(5 << 20));
    project.write(
        "train/train.sh",
        "echo \"at $AMLRUN_JOB: $WORDS, $TOKEN, $(wc -c < ../far/large.bin), $HOME, $1\"\n\
         touch ../far/x 2> /dev/null || echo 'may not write'\n\
         test -e /bin/busybox && ! test -e /usr/bin/python3 && echo 'another place'\n\
         echo '{\"metric\":\"mse\",\"value\":2.5}' >> \"$AMLRUN_TRACKING/log.jsonl\"\n\
         echo kept > \"$AMLRUN_TRACKING/artifacts/note.txt\"\n\
         wget -q -O - --header \"Authorization: Bearer $MLFLOW_TRACKING_TOKEN\" \
           \"$MLFLOW_TRACKING_URI/api/2.0/mlflow/runs/get?run_id=$MLFLOW_RUN_ID\" | tr -d '\\n ' | grep -o '\"status\":\"[A-Z]*\"'\n\
         mkdir ../out && echo x > '../out/a file' && chmod 755 '../out/a file' && ln -s 'a file' ../out/link\n",
    );
    let jobs = r#"
[experiments.train]
source_directory = "train"
script = "train.sh"
arguments = ["one argument"]
environment = "box"
inputs = ["far"]
outputs = ["out"]
secrets = ["TOKEN"]
"#;
    project.write("Amlfile", &format!("{HEAD}{jobs}"));
    let said = project.run(&[]);
    for wanted in [
        "at train: a 'b' \"c\", ***, 5242880, /tmp, one argument",
        "may not write",
        "another place",
        "\"status\":\"RUNNING\"",
        "1 ran",
    ] {
        assert!(said.contains(wanted), "`{wanted}` is not in:\n{said}");
    }
    let shown: serde_json::Value = serde_json::from_str(&project.run(&["runs", "show", "train", "--json"])).unwrap();
    assert_eq!(shown["metrics"]["mse"], 2.5, "what it logs is on record: {shown}");
    assert!(project.run(&["runs", "files", "train"]).contains("artifacts/note.txt"));
    let made = project.root.join("out/a file");
    let about = std::fs::metadata(&made).unwrap();
    assert_eq!((about.uid(), about.permissions().mode() & 0o777), (rustix::process::getuid().as_raw(), 0o755));
    assert_eq!(std::fs::read_link(project.root.join("out/link")).unwrap(), Path::new("a file"));
    assert!(project.run(&[]).contains("up to date (1 job)"));

    // A container with a network of its own has no server, and is told what that costs.
    let apart = r#"
[environments.apart]
docker = { image = "amlrun-test:1", arguments = ["--network=none"] }
[experiments.apart]
command = "mkdir mlruns && echo server: [$MLFLOW_TRACKING_URI]"
sources = []
environment = "apart"
"#;
    project.write("Amlfile", &format!("{HEAD}{apart}"));
    let said = project.run(&["apart"]);
    assert!(said.contains("server: []") && said.contains("went to `mlruns`"), "{said}");

    // The same image by another name is the same image; another one by the same name is not.
    daemon.docker(&["tag", "amlrun-test:1", "amlrun-test:other"]);
    project.write("Amlfile", &format!("{HEAD}{jobs}").replace("amlrun-test:1", "amlrun-test:other"));
    assert!(project.run(&[]).contains("up to date (1 job)"));
    let changed = daemon.docker(&["create", "--network", "host", "bb:1", "true"]);
    daemon.docker(&["commit", "--change", "ENV A=1", &changed, "amlrun-test:other"]);
    daemon.docker(&["rm", &changed]);
    let said = project.run(&["why"]);
    assert!(said.contains("train is stale") && said.contains("image"), "{said}");
    assert_eq!(daemon.containers(), "");
}

/// A Dockerfile's image is built once, and anew where its text or what it copies changed.
fn a_dockerfile(daemon: &Daemon, folder: &Path) {
    let project = daemon.project(folder);
    let head = "format = 1\n\n[environments.box]\ndocker = { dockerfile = \"Dockerfile\", arguments = [\"--network\", \"host\"] }\n";
    project.write(
        "Amlfile",
        &format!(
            "{head}\n[experiments.look]\nenvironment = \"box\"\nsources = []\ncommand = \"cat /opt/lib/tool > seen.txt\"\noutputs = [\"seen.txt\"]\n"
        ),
    );
    project.write("Dockerfile", "FROM bb:1\nCOPY lib /opt/lib\n");
    project.write("lib/tool", "one\n");
    project.write(".dockerignore", "lib/notes\n");
    project.write("lib/notes", "a\n");
    assert!(project.run(&[]).contains("environment `box`: building"));
    assert_eq!(project.read("seen.txt").unwrap(), "one\n");
    project.write("lib/notes", "b\n");
    project.write("elsewhere.txt", "not copied\n");
    assert!(project.run(&[]).contains("up to date (1 job)"));
    project.write("lib/tool", "two\n");
    assert!(project.run(&["why"]).contains("context"));
    project.run(&[]);
    assert_eq!(project.read("seen.txt").unwrap(), "two\n");
    project.write("lib/tool", "one\n");
    let said = project.run(&[]);
    assert!(said.contains("up to date (1 job, 1 restored)"), "{said}");
}

/// A timeout, a Ctrl-C and a kill leave no container.
fn endings(daemon: &Daemon, folder: &Path) {
    let project = daemon.project(folder);
    let job = |more: &str| {
        format!(
            "{HEAD}\n[experiments.long]\nenvironment = \"box\"\nsources = []\ncommand = \"echo here; sleep 600\"\n{more}"
        )
    };
    project.write("Amlfile", &job("resources = { time = \"1s\" }\n"));
    let said = project.amlrun(&[]);
    assert_eq!(said.code, Some(1), "{}", said.text);
    assert!(said.text.contains("1 s"), "{}", said.text);
    wait_for("the container that took too long to end", || daemon.containers().is_empty());

    project.write("Amlfile", &job(""));
    for (signal, code) in [(Signal::INT, Some(130)), (Signal::KILL, None)] {
        let mut child = project.command(&[]).stderr(std::process::Stdio::null()).spawn().unwrap();
        wait_for("the container to start", || daemon.containers().starts_with("amlrun-"));
        kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), code);
        wait_for("the container to end", || daemon.containers().is_empty());
    }

    project.write("Amlfile", &job("").replace("echo here; sleep 600", "kill -9 $$"));
    let said = project.amlrun(&[]);
    assert!(said.code == Some(1) && said.text.contains("SIGKILL"), "{}", said.text);
}

/// What is told where there is no such image, no daemon, no program.
fn faults(daemon: &Daemon, folder: &Path) {
    let mut project = daemon.project(folder);
    let job = "\n[experiments.x]\nenvironment = \"box\"\nsources = []\ncommand = \"true\"\n";
    project.write("Amlfile", &format!("{HEAD}{job}").replace("amlrun-test:1", "127.0.0.1:9/none:1"));
    let said = project.amlrun(&[]);
    assert_eq!(said.code, Some(3), "{}", said.text);
    assert!(said.text.contains("docker pull 127.0.0.1:9/none:1") && said.text.contains("`box`"), "{}", said.text);

    project.write("Amlfile", &format!("{HEAD}{job}").replace("command = \"true\"", "script = \"x.sh\"\n"));
    project.write("x.sh", "nothing-of-that-name\n");
    let said = project.amlrun(&[]);
    assert!(said.code == Some(1) && said.text.contains("exit status 127"), "{}", said.text);

    project.write("Amlfile", &format!("{HEAD}{job}").replace("\"--network\"", "\"--no-such-option\""));
    let said = project.amlrun(&[]);
    assert!(said.code == Some(1) && said.text.contains("docker could not start the container"), "{}", said.text);

    project.variables = vec![("DOCKER_HOST".to_owned(), "unix:///nowhere/docker.sock".to_owned())];
    let said = project.amlrun(&[]);
    assert!(said.code == Some(3) && said.text.contains("daemon"), "{}", said.text);
    project.variables = vec![("PATH".to_owned(), "/nowhere".to_owned())];
    let said = project.amlrun(&[]);
    assert!(said.code == Some(3) && said.text.contains("neither docker nor podman is on PATH"), "{}", said.text);
}
