//! Scripts of the framework pyspark: on this machine, and on a real standalone master on loopback.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may die, and it runs amlrun")]

mod engines;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, Weak};

use engines::{Engine, Project, wait_for};

/// Counts words by Spark, and writes them down through the driver.
const COUNT: &str = r#"
import os, sys
from pyspark.sql import SparkSession
import lib
with open(sys.argv[3], "a") as ledger:
    ledger.write("x\n")
spark = SparkSession.builder.getOrCreate()
rows = spark.sparkContext.parallelize(open("words.txt").read().split(), 4)
counts = sorted(rows.map(lib.pair).reduceByKey(lambda a, b: a + b).collect())
print("partitions", spark.conf.get("spark.sql.shuffle.partitions"), "master", spark.sparkContext.master)
os.makedirs("out", exist_ok=True)
open(sys.argv[1], "w").write("".join("%s %d\n" % (word, count * int(sys.argv[2])) for word, count in counts))
spark.stop()
"#;

/// A master and a worker: one pair for all tests that run side by side.
struct Cluster {
    _engine: Engine,
    folder: tempfile::TempDir,
    python: PathBuf,
    master: String,
    _alone: std::fs::File,
}

static CLUSTER: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

impl Cluster {
    fn up() -> Option<Arc<Self>> {
        let mut known = CLUSTER.lock().unwrap();
        if let Some(cluster) = known.upgrade() {
            return Some(cluster);
        }
        // Spark is installed once: that takes longer than all tests.
        let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("spark");
        std::fs::create_dir_all(&shared).unwrap();
        let alone = std::fs::File::create(shared.join("lock")).unwrap();
        alone.lock().unwrap();
        let engine = Engine::up("spark-up.sh", &shared, &[])?;
        let environment = std::fs::read_to_string(shared.join("env")).unwrap();
        let master = environment.split("SPARK_MASTER=").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
        let folder = tempfile::Builder::new().prefix("amlrun-s-").tempdir().unwrap();
        let python = shared.join("venv/bin/python");
        let cluster = Arc::new(Self { _engine: engine, folder, python, master, _alone: alone });
        *known = Arc::downgrade(&cluster);
        Some(cluster)
    }

    /// A project that counts words `jobs` times, on a master.
    fn project(&self, name: &str, master: &str, jobs: usize) -> Project {
        let mut project = Project::new(&self.folder.path().join(name));
        project.variables.push(("SPARK_LOCAL_IP".to_owned(), "127.0.0.1".to_owned()));
        project.write("count.py", COUNT);
        project.write("lib.py", "def pair(word):\n    return word, 1\n");
        project.write("words.txt", "a b a c a b\n");
        let numbers: Vec<String> = (1..=jobs).map(|n| n.to_string()).collect();
        project.write(
            "Amlfile",
            &format!(
                "format = 1\n[environments.py]\nuser_managed = true\ninterpreter = \"{}\"\n\
                 spark = {{ py_files = [\"lib.py\"], configuration = {{ \"spark.sql.shuffle.partitions\" = 3, \"spark.ui.enabled\" = false }} }}\n\
                 [targets.cluster]\ntype = \"spark\"\nmaster = \"{master}\"\noptions = [\"--total-executor-cores\", \"1\"]\n\
                 configuration = {{ \"spark.executor.memory\" = \"512m\", \"spark.sql.shuffle.partitions\" = 9 }}\n\
                 [experiments.count]\nscript = \"count.py\"\nframework = \"pyspark\"\nenvironment = \"py\"\ntarget = \"cluster\"\n\
                 arguments = [\"${{outputs.counts}}\", \"${{n}}\", \"{}\"]\nmatrix = {{ n = [{}] }}\n\
                 outputs = {{ counts = \"out/${{n}}\" }}\n",
                self.python.display(),
                self.folder.path().join("ledger").join(name).display(),
                numbers.join(", "),
            ),
        );
        std::fs::create_dir_all(self.folder.path().join("ledger")).unwrap();
        project
    }

    /// How often a project's script was begun.
    fn begun(&self, name: &str) -> usize {
        let ledger = std::fs::read_to_string(self.folder.path().join("ledger").join(name));
        ledger.unwrap_or_default().lines().count()
    }
}

#[test]
fn a_script_runs_on_a_master_as_it_does_here_and_once() {
    let Some(cluster) = Cluster::up() else { return };
    let there = cluster.project("there", &cluster.master, 2);
    let text = there.run(&[]);
    // The environment's property wins over the target's: it is in the key.
    assert!(text.contains(&format!("partitions 3 master {}", cluster.master)), "{text}");
    assert!(there.run(&[]).contains("up to date (2 jobs)"));
    assert!(there.run(&["--target", "local"]).contains("up to date (2 jobs)"));
    assert_eq!(cluster.begun("there"), 2);
    assert!(there.run(&["targets", "check", "cluster"]).contains(&format!("{} takes connections", cluster.master)));
    let here = cluster.project("here", &cluster.master, 2);
    let text = here.run(&["--target", "local"]);
    assert!(text.contains("partitions 3 master local[*]"), "{text}");
    for (n, path) in [(1, "out/1"), (2, "out/2")] {
        assert_eq!(there.read(path), here.read(path));
        assert_eq!(there.read(path).unwrap(), format!("a {}\nb {}\nc {n}\n", 3 * n, 2 * n));
    }
    // What spark-submit is given is in the key; the master and the target's properties are not.
    let amlfile = here.read("Amlfile").unwrap();
    here.write("Amlfile", &amlfile.replace(&cluster.master, "yarn").replace("512m", "1g"));
    assert!(here.run(&[]).contains("up to date (2 jobs)"));
    here.write("Amlfile", &amlfile.replace("partitions\" = 3", "partitions\" = 4"));
    let why = here.run(&["why", "count[n=1]"]);
    assert!(why.contains("spark property spark.sql.shuffle.partitions"), "{why}");
    // A module that the workers are given is one of the sources.
    here.write("Amlfile", &amlfile);
    here.write("lib.py", "def pair(word):\n    return word, 2\n");
    here.run(&["--target", "local"]);
    assert_eq!(here.read("out/1").unwrap(), "a 6\nb 4\nc 2\n");
}

#[test]
fn what_is_not_there_is_told_with_the_way_out() {
    let Some(cluster) = Cluster::up() else { return };
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let project = cluster.project("down", &format!("spark://127.0.0.1:{port}"), 1);
    let said = project.amlrun(&[]);
    let words = format!(
        "amlrun: target `cluster`: `spark-submit --master spark://127.0.0.1:{port}` was not run: no master answers there \
         (Connection refused)"
    );
    assert!(said.code == Some(1) && said.text.contains(&words), "{}", said.text);
    assert!(said.text.contains("correct `master` of the target") && cluster.begun("down") == 0, "{}", said.text);
    let said = project.amlrun(&["targets", "check", "cluster"]);
    assert!(said.code == Some(3) && said.text.contains("no master answers (127.0.0.1:"), "{}", said.text);
    // Another host than the cluster's.
    let amlfile = project.read("Amlfile").unwrap();
    let wrong = |master: &str| amlfile.replace(&format!("127.0.0.1:{port}"), master);
    project.write("Amlfile", &wrong("nowhere.invalid:7077"));
    let said = project.amlrun(&[]);
    assert!(said.code == Some(1) && said.text.contains("no master answers there (Name or service"), "{}", said.text);
    // No Java, no pyspark.
    let mut project = cluster.project("lacking", &cluster.master, 1);
    project.variables.push(("JAVA_HOME".to_owned(), "/nonesuch".to_owned()));
    let said = project.amlrun(&[]);
    assert!(
        said.text.contains("Spark needs Java, and JAVA_HOME is /nonesuch, where there is none; install"),
        "{}",
        said.text
    );
    project.variables.pop();
    let amlfile = project.read("Amlfile").unwrap();
    project.write("Amlfile", &amlfile.replace(&cluster.python.display().to_string(), "/usr/bin/python3"));
    let said = project.amlrun(&[]);
    assert!(
        said.text.contains("/usr/bin/python3 has no pyspark; add it to the environment's packages"),
        "{}",
        said.text
    );
    assert_eq!(cluster.begun("lacking"), 0);
}

#[test]
fn a_killed_amlrun_takes_its_driver_along_and_the_next_one_runs_the_job() {
    let Some(cluster) = Cluster::up() else { return };
    let project = cluster.project("killed", &cluster.master, 1);
    let amlfile = project.read("Amlfile").unwrap();
    project.write(
        "count.py",
        &COUNT.replace("os.makedirs", "import time; time.sleep(int(open(sys.argv[3] + '.for').read())); os.makedirs"),
    );
    assert_eq!(project.read("Amlfile"), Some(amlfile));
    let seconds = cluster.folder.path().join("ledger/killed.for");
    std::fs::write(&seconds, "600").unwrap();
    let mut child = project.command(&[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the driver", || cluster.begun("killed") == 1);
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::write(&seconds, "0").unwrap();
    project.run(&[]);
    assert_eq!((cluster.begun("killed"), project.read("out/1").unwrap()), (2, "a 3\nb 2\nc 1\n".to_owned()));
    wait_for("the end of the first driver", || !drivers(project.root.to_str().unwrap()));
    assert!(project.run(&[]).contains("up to date (1 job)"));
}

/// Whether a process runs in a project's folder.
fn drivers(root: &str) -> bool {
    let places =
        std::fs::read_dir("/proc").unwrap().flatten().map(|entry| std::fs::read_link(entry.path().join("cwd")));
    places.flatten().any(|place| place.to_string_lossy().starts_with(root))
}
