//! What the tests of real engines share: the scripts that start them, a project, a proxy that cuts connections.
#![allow(
    clippy::allow_attributes,
    clippy::print_stdout,
    clippy::large_stack_arrays,
    dead_code,
    unreachable_pub,
    reason = "not every test uses all of it"
)]

pub mod process;
pub mod random;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// An engine that was started by its script, and is ended with the test.
pub struct Engine {
    pub folder: PathBuf,
    scripts: PathBuf,
}

impl Engine {
    /// Starts it; none, with a word on why, where its script is not here or fails.
    pub fn up(script: &str, folder: &Path, variables: &[(&str, &str)]) -> Option<Self> {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/engines");
        if !scripts.join(script).exists() {
            println!("skipped: there is no {script} beside the checkout");
            return None;
        }
        let said = Command::new(scripts.join(script)).arg(folder).envs(variables.iter().copied()).output().unwrap();
        if !said.status.success() {
            println!("skipped: {script} failed: {}", String::from_utf8_lossy(&said.stderr));
            return None;
        }
        Some(Self { folder: folder.to_owned(), scripts })
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = Command::new(self.scripts.join("down.sh"))
            .arg(&self.folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

/// A project in a folder of its own, with a home of its own.
pub struct Project {
    pub root: PathBuf,
    pub home: PathBuf,
    pub variables: Vec<(String, String)>,
}

impl Project {
    pub fn new(folder: &Path) -> Self {
        let (root, home) = (folder.join("p"), folder.join("h"));
        std::fs::create_dir_all(&root).unwrap();
        std::fs::create_dir_all(&home).unwrap();
        Self { root, home, variables: Vec::new() }
    }

    pub fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.root.join(path)).ok()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_amlrun"));
        command.args(arguments).current_dir(&self.root).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var("PATH").unwrap()).env("HOME", &self.home);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn amlrun(&self, arguments: &[&str]) -> Said {
        Said::of(self.command(arguments).output().unwrap())
    }

    /// One that must succeed.
    pub fn run(&self, arguments: &[&str]) -> String {
        let said = self.amlrun(arguments);
        assert_eq!(said.code, Some(0), "amlrun {arguments:?}:\n{}", said.text);
        said.text
    }

    /// All runs on record: (job, status).
    pub fn runs(&self) -> Vec<(String, String)> {
        let said = Said::of(self.command(&["runs", "list", "-n", "10000", "--json"]).output().unwrap());
        let value: serde_json::Value = serde_json::from_str(&said.text).unwrap();
        let runs = value.as_array().cloned().unwrap_or_default();
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        runs.iter().map(|run| (text(&run["job"]), text(&run["status"]))).collect()
    }
}

impl Drop for Project {
    /// Connections that are shared stay open for a while: these end now.
    fn drop(&mut self) {
        for socket in std::fs::read_dir(self.home.join(".cache/amlrun/ssh")).into_iter().flatten().flatten() {
            let mut ssh = Command::new("ssh");
            ssh.arg("-o").arg(format!("ControlPath={}", socket.path().display())).args(["-O", "exit", "x"]);
            let _ = ssh.stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

/// What a command said, stdout and stderr together.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub text: String,
}

impl Said {
    fn of(output: Output) -> Self {
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        Self { code: output.status.code(), text }
    }
}

/// Waits for a fact.
pub fn wait_for(what: &str, mut fact: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_mins(2);
    while !fact() {
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// A proxy on loopback that counts bytes, and can be cut.
pub struct Proxy {
    pub port: u16,
    pub bytes: Arc<AtomicU64>,
    leads_to: Arc<AtomicU16>,
    open: Arc<Mutex<Vec<TcpStream>>>,
    cut: Arc<AtomicBool>,
}

impl Proxy {
    pub fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let this = Self {
            port: listener.local_addr().unwrap().port(),
            bytes: Arc::default(),
            leads_to: Arc::new(AtomicU16::new(port)),
            open: Arc::default(),
            cut: Arc::default(),
        };
        let (bytes, open, cut) = (this.bytes.clone(), this.open.clone(), this.cut.clone());
        let leads_to = this.leads_to.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if cut.load(Ordering::SeqCst) {
                    continue;
                }
                let port = leads_to.load(Ordering::SeqCst);
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let both = [(&client, &server), (&server, &client)];
                for (from, to) in both {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let bytes = bytes.clone();
                    std::thread::spawn(move || {
                        let mut buffer = [0; 64 * 1024];
                        while let Ok(n @ 1..) = from.read(&mut buffer) {
                            bytes.fetch_add(n as u64, Ordering::SeqCst);
                            if to.write_all(&buffer[..n]).is_err() {
                                break;
                            }
                        }
                        let _ = to.shutdown(std::net::Shutdown::Both);
                    });
                }
                open.lock().unwrap().extend([client, server]);
            }
        });
        this
    }

    /// Leads what is connected from now on to another port.
    pub fn lead_to(&self, port: u16) {
        self.leads_to.store(port, Ordering::SeqCst);
    }

    /// Cuts all connections, and lets none through until it is mended.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    pub fn mend(&self) {
        self.cut.store(false, Ordering::SeqCst);
    }
}
