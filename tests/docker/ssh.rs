//! Jobs in containers on a host that is reached by ssh, with an engine of its own: a second daemon, which has none of the
//! images of the one here.

use std::path::Path;

use super::engines::{Engine, Project, wait_for};
use super::{Daemon, HEAD};

/// Whoever logs in finds this daemon.
fn lead_to(engine: &Engine, key: &str, address: &str) {
    let command = format!("DOCKER_HOST={address} exec sh -c \\\"$SSH_ORIGINAL_COMMAND\\\"");
    std::fs::write(engine.folder.join("authorized_keys"), format!("command=\"{command}\" {key}")).unwrap();
}

fn target(engine: &Engine, far: &Path) -> String {
    format!(
        "[targets.vm]\ntype = \"ssh\"\nhost = \"host\"\noptions = [\"-F\", \"{}\"]\ndirectory = \"{}\"\n",
        engine.folder.join("ssh_config").display(),
        far.display()
    )
}

#[test]
fn jobs_in_containers_on_a_host() {
    let folder = tempfile::Builder::new().prefix("amlrun-docker-").tempdir().unwrap();
    let Some(here) = Daemon::up(&folder.path().join("here")) else { return };
    let Some(there) = Daemon::up(&folder.path().join("there")) else { return };
    let Some(sshd) = Engine::up("sshd-up.sh", &folder.path().join("e"), &[]) else { return };
    let key = std::fs::read_to_string(sshd.folder.join("authorized_keys")).unwrap();
    lead_to(&sshd, &key, &there.address);
    there.docker(&["rmi", "amlrun-test:1"]);
    let head = format!("{HEAD}{}", target(&sshd, &folder.path().join("far")));
    let project = |name: &str| {
        let mut project = here.project(&folder.path().join(name));
        project.variables.push(("TOKEN".to_owned(), "open-sesame".to_owned()));
        project
    };

    // As it is here: variables, a secret, arguments, whose the outputs are, links; and the same key.
    let first = project("first");
    first.write("in/a file", "12\n");
    first.write(
        "train/train.sh",
        "echo \"at $AMLRUN_JOB: $WORDS, $TOKEN, $(cat '../in/a file'), $HOME, $1\"\n\
         test -e /bin/busybox && ! test -e /usr/bin/python3 && echo 'another place'\n\
         mkdir ../out && echo x > '../out/a file' && ln -s 'a file' ../out/link\n",
    );
    let job = "\n[experiments.train]\ntarget = \"vm\"\nsource_directory = \"train\"\nscript = \"train.sh\"\n\
               arguments = [\"one argument\"]\nenvironment = \"box\"\ninputs = [\"in\"]\noutputs = [\"out\"]\nsecrets = [\"TOKEN\"]\n";
    first.write("Amlfile", &format!("{head}{job}"));
    let said = first.run(&[]);
    for wanted in ["at train: a 'b' \"c\", ***, 12, /tmp, one argument", "another place", "sending the image", "1 ran"]
    {
        assert!(said.contains(wanted), "`{wanted}` is not in:\n{said}");
    }
    assert_eq!(first.read("out/a file").unwrap(), "x\n");
    assert_eq!(std::fs::read_link(first.root.join("out/link")).unwrap(), Path::new("a file"));
    assert!(first.run(&["--target", "local"]).contains("up to date (1 job)"));
    assert!(!first.run(&["-B"]).contains("sending"), "what is there is not sent again");
    let ids = [&here, &there].map(|daemon| daemon.docker(&["images", "--all", "--quiet", "--no-trunc"]));
    assert!(ids[0].lines().any(|id| ids[1].contains(id)), "{ids:?}");

    // The image of a Dockerfile is built here and goes there.
    let built = project("built");
    built.write("Dockerfile", "FROM bb:1\nCOPY tool /opt/tool\n");
    built.write("tool", "made\n");
    let image = "image = \"amlrun-test:1\", arguments";
    let file = "dockerfile = \"Dockerfile\", arguments";
    let look = "\n[experiments.look]\ntarget = \"vm\"\nenvironment = \"box\"\nsources = []\ncommand = \"cat /opt/tool > seen\"\n\
                outputs = [\"seen\"]\n";
    built.write("Amlfile", &format!("{}{look}", head.replace(image, file)));
    built.run(&[]);
    assert_eq!(built.read("seen").unwrap(), "made\n");

    // However it ends, no container stays, and it is told as it is here.
    let ends = project("ends");
    let write = |command: &str, more: &str| {
        let job = format!(
            "[experiments.x]\ntarget = \"vm\"\nenvironment = \"box\"\nsources = []\ncommand = '''{command}'''\n{more}"
        );
        ends.write("Amlfile", &format!("{head}\n{job}"));
    };
    write("echo up; sleep 600", "resources = { time = \"1s\" }\n");
    let said = ends.amlrun(&[]);
    assert!(said.code == Some(1) && said.text.contains("timed out"), "{}", said.text);
    assert_eq!(there.containers(), "");
    write("kill -9 $$", "");
    assert!(ends.amlrun(&[]).text.contains("SIGKILL"));
    write("exit 3", "");
    assert!(ends.amlrun(&[]).text.contains("exit status 3"));
    write("trap '' TERM; echo up; sleep 600; sleep 600", "");
    ends.run(&["--detach"]);
    wait_for("the container", || there.containers().starts_with("amlrun-"));
    assert!(ends.run(&["cancel", "--all"]).contains("canceled"));
    wait_for("its end", || there.containers().is_empty());
    let bad = head.replace("\"--network\"", "\"--no-such-option\"");
    write("true", "");
    ends.write("Amlfile", &ends.read("Amlfile").unwrap().replace(&head, &bad));
    let said = ends.amlrun(&[]);
    assert!(said.text.contains("docker could not start the container of `amlrun-test:1`"), "{}", said.text);
    assert_eq!(here.containers(), "", "nothing ran here");

    // No engine there that answers.
    lead_to(&sshd, &key, "unix:///nowhere/docker.sock");
    let down: Project = project("down");
    down.write("Amlfile", &format!("{head}{}", look.replace("/opt/tool", "/etc/passwd")));
    let said = down.amlrun(&[]);
    assert!(
        said.code == Some(1) && said.text.contains("target `vm`: `ssh host`: `docker info` there"),
        "{}",
        said.text
    );
    assert!(said.text.contains("is its daemon up"), "{}", said.text);
}
