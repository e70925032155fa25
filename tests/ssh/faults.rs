//! What goes wrong on the way to a host, and on it: what is told, and that nothing is lost.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::engines::random::SplitMix64;
use super::engines::{Engine, Project, wait_for};
use super::{SEED, port, target};

#[test]
fn what_goes_wrong_is_told_with_the_way_out() {
    let folder = tempfile::Builder::new().prefix("amlrun-s-").tempdir().unwrap();
    let Some(engine) = Engine::up("sshd-up.sh", &folder.path().join("e"), &[]) else { return };
    let project = Project::new(folder.path());
    let far = folder.path().join("far");
    let mut homes = 0;
    let mut try_with = |head: &str, command: &str| {
        // A home of its own each time: a connection that stands would be shared.
        homes += 1;
        let project = Project {
            root: project.root.clone(),
            home: folder.path().join(format!("h{homes}")),
            variables: Vec::new(),
        };
        std::fs::create_dir_all(&project.home).unwrap();
        project.write(
            "Amlfile",
            &format!("format = 1\n{head}\n[experiments.a]\ntarget = \"vm\"\ncommand = '''{command}'''\n"),
        );
        project.amlrun(&["-B"])
    };
    let good = target(&engine, port(&engine), &far, "");
    let config = engine.folder.join("ssh_config").display().to_string();
    // A signal there is not a connection lost, and the other way round.
    let said = try_with(&good, "kill -9 $$");
    assert!(said.text.contains("killed by SIGKILL"), "{}", said.text);
    assert_eq!(said.code, Some(1));
    assert!(try_with(&good, "exit 255").text.contains("exit status 255"));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let said = try_with(&target(&engine, closed, &far, ""), "true");
    assert!(said.text.contains("target `vm`") && said.text.contains("Connection refused"), "{}", said.text);
    let said = try_with(&good.replace("host = \"host\"", "host = \"no-such-host.invalid\""), "true");
    assert!(said.text.contains("no such host"), "{}", said.text);
    // A key that the host does not know.
    let other = folder.path().join("other");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&other).status();
    assert!(made.unwrap().success());
    let text = std::fs::read_to_string(&config).unwrap();
    let identity = text.lines().find(|line| line.trim().starts_with("IdentityFile")).unwrap().trim().to_owned();
    let foreign = folder.path().join("config-key");
    std::fs::write(&foreign, text.replace(&identity, &format!("IdentityFile {}", other.display()))).unwrap();
    let said = try_with(&good.replace(&config, &foreign.display().to_string()), "true");
    assert!(said.text.contains("no key was accepted"), "{}", said.text);
    // A host key that is another one.
    let known = folder.path().join("known");
    let public = std::fs::read_to_string(other.with_extension("pub")).unwrap();
    std::fs::write(&known, format!("[127.0.0.1]:{} {public}", port(&engine))).unwrap();
    let hosts = text.lines().find(|line| line.trim().starts_with("UserKnownHostsFile")).unwrap().trim().to_owned();
    let changed = folder.path().join("config-host");
    std::fs::write(&changed, text.replace(&hosts, &format!("UserKnownHostsFile {}", known.display()))).unwrap();
    let said = try_with(&good.replace(&config, &changed.display().to_string()), "true");
    assert!(said.text.contains("host key is not the known one"), "{}", said.text);
    // A folder that cannot be used.
    std::fs::write(folder.path().join("file"), "").unwrap();
    let said = try_with(&target(&engine, port(&engine), &folder.path().join("file/x"), ""), "true");
    assert!(said.text.contains("cannot be used"), "{}", said.text);
    let text = project.amlrun(&["targets", "check", "vm"]);
    assert!(text.code == Some(3) && text.text.contains("FAIL"), "{}", text.text);
    let _ = try_with(&good, "true");
    let text = project.run(&["targets", "check", "vm"]);
    for name in ["connection", "python", "disk", "gpus", "clock"] {
        assert!(text.contains(name), "{text}");
    }
    assert_eq!(project.runs().iter().filter(|(_, status)| status == "Completed").count(), 1);
}

/// A folder on a small file system of its own; none where this user may not mount one.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m", "amlrun-test"]).arg(at).stderr(Stdio::null());
        if !mount.status().is_ok_and(|status| status.success()) {
            return None;
        }
        Some(Self(at.to_owned()))
    }

    fn grow(&self) {
        let done = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&self.0).status().unwrap();
        assert!(done.success());
    }

    /// So many bytes are taken.
    fn taken(&self) -> u64 {
        let about = rustix::fs::statvfs(&self.0).unwrap();
        (about.f_blocks - about.f_bfree) * about.f_frsize
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_there_loses_nothing_and_says_so() {
    let folder = tempfile::Builder::new().prefix("amlrun-s-").tempdir().unwrap();
    let Some(engine) = Engine::up("sshd-up.sh", &folder.path().join("e"), &[]) else { return };
    let Some(small) = Small::mount(&folder.path().join("far")) else {
        println!("skipped: a file system cannot be mounted by this user");
        return;
    };
    let project = Project::new(folder.path());
    let ledger = folder.path().join("ledger");
    let head = target(&engine, port(&engine), &small.0, "");
    let write = |command: &str, more: &str| {
        let job = format!(
            "[experiments.a]\ntarget = \"vm\"\nsource_directory = \"src\"\noutputs = [\"out\"]\n\
             command = '''echo x >> {}; {command}'''\n{more}",
            ledger.display()
        );
        project.write("Amlfile", &format!("format = 1\n{head}\n{job}\n"));
    };
    let ran = || std::fs::read_to_string(&ledger).unwrap_or_default().lines().count();
    let says = |text: &str| {
        let whole = ["target `vm`: `ssh host`: the disk of", "is full (", "MiB free): make room there"];
        assert!(whole.iter().all(|part| text.contains(part)), "{text}");
    };
    // What is sent does not fit: one large file, and many small ones.
    let mut random = SplitMix64(SEED);
    let mut bytes = |size: usize| (0..size / 8).flat_map(|_| random.next().to_le_bytes()).collect::<Vec<u8>>();
    project.write("src/run.sh", "");
    std::fs::write(project.root.join("src/large"), bytes(12 << 20)).unwrap();
    write("wc -c large > ../out", "");
    let before = project.amlrun(&["targets", "check", "vm"]);
    assert!(before.text.contains("make room, or name another folder"), "{}", before.text);
    let empty = small.taken();
    let said = project.amlrun(&[]);
    assert_eq!((said.code, ran()), (Some(1), 0), "{}", said.text);
    says(&said.text);
    assert!(small.taken() < empty + (1 << 20), "half a file stays there: {} bytes", small.taken() - empty);
    std::fs::remove_file(project.root.join("src/large")).unwrap();
    for n in 0..60 {
        std::fs::write(project.root.join(format!("src/f{n}")), bytes(200 << 10)).unwrap();
    }
    write("cat f* | wc -c > ../out", "");
    let said = project.amlrun(&[]);
    assert_eq!((said.code, ran()), (Some(1), 0), "{}", said.text);
    says(&said.text);
    // With room it is sent again and runs.
    small.grow();
    project.run(&[]);
    assert_eq!((project.read("out").unwrap().trim(), ran()), ("12288000", 1));
    assert!(project.run(&[]).contains("up to date"));
    // A job that fills the disk is told apart from one that fails by itself, and can be ended.
    write("cat f0 > ../out; echo some words; cat /dev/zero > ../more", "");
    let said = project.amlrun(&[]);
    assert_eq!(said.code, Some(1), "{}", said.text);
    assert!(said.text.contains("exit status 1; the disk of") && said.text.contains("| some words"), "{}", said.text);
    assert_eq!(project.runs().len(), 2, "{:?}", project.runs());
    write("cat /dev/zero > ../more; sleep 600", "");
    project.run(&["--detach"]);
    wait_for("a full disk", || small.taken() == 64 << 20);
    assert!(project.run(&["status"]).contains("running"));
    assert!(project.run(&["cancel", "--all"]).contains("canceled"));
    assert_eq!(project.runs().first().unwrap().1, "Canceled");
    // What these left there goes with them: there is room for the next one.
    write("cat f1 > ../out", "");
    project.run(&[]);
    assert_eq!((std::fs::metadata(project.root.join("out")).unwrap().len(), ran()), (200 << 10, 4));
}

#[test]
fn a_host_without_python_is_told_apart_from_one_that_is_not_reached() {
    let folder = tempfile::Builder::new().prefix("amlrun-s-").tempdir().unwrap();
    let Some(engine) = Engine::up("sshd-up.sh", &folder.path().join("e"), &[]) else { return };
    let project = Project::new(folder.path());
    // Whoever logs in with this key sees a machine on which nothing of the name of Python can be run.
    let hide = folder.path().join("hide");
    std::fs::write(
        &hide,
        "export PATH=/usr/bin:/bin\nfor one in /usr/bin/python* /bin/python*; do mount --bind /dev/null $one; done\n\
         exec sh -c \"$SSH_ORIGINAL_COMMAND\"\n",
    )
    .unwrap();
    let lacks = |program: &str| {
        let mut try_it = Command::new("unshare");
        try_it.args(["-rm", "sh"]).arg(&hide).env("SSH_ORIGINAL_COMMAND", format!("{program} --version"));
        !try_it.output().is_ok_and(|output| output.status.success())
    };
    if lacks("ls") || !lacks("python3") {
        println!("skipped: this user may make no namespace of mounts");
        return;
    }
    let keys = engine.folder.join("authorized_keys");
    let key = std::fs::read_to_string(&keys).unwrap();
    std::fs::write(&keys, format!("command=\"exec unshare -rm sh {}\" {key}", hide.display())).unwrap();
    let head = target(&engine, port(&engine), &folder.path().join("far"), "");
    project
        .write("Amlfile", &format!("format = 1\n{head}\n[experiments.a]\ntarget = \"vm\"\ncommand = \"echo here\"\n"));
    let words = "target `vm`: `ssh host`: there is no Python 3.6 or later on PATH there: install python3";
    for arguments in [&["-B"][..], &["targets", "check", "vm"]] {
        let said = project.amlrun(arguments);
        assert!(matches!(said.code, Some(1 | 3)) && said.text.contains(words), "{}", said.text);
    }
    assert!(!folder.path().join("far").exists());
    // Installed, the job is sent again.
    std::fs::write(&keys, key).unwrap();
    drop(Project { root: project.root.clone(), home: project.home.clone(), variables: Vec::new() });
    assert!(project.run(&[]).contains("| here"));
}
