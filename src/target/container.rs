//! The end of a container whose client was killed: the engine's daemon goes on with it, and may even start it a moment later.
//!
//! Called by the local target and by the watchdog. A container is known by the command line of its client, which names it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::{Command, Stdio};

/// The beginning of the names of our containers.
const NAME: &[u8] = b"amlrun-";
/// So often a container is looked for after its client's end: the pauses between the looks, in fifths of a second.
const LOOKS: [i64; 8] = [0, 1, 1, 1, 1, 1, 1, 1];
/// And so often where nobody waits: an engine that is busy may start it many seconds later.
const MORE_LOOKS: [i64; 4] = [5, 10, 20, 40];

/// A container of ours, as its client was asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Started {
    engine: OsString,
    name: OsString,
    variables: BTreeMap<OsString, OsString>,
}

impl Started {
    /// What a client's command line and variables started; none of any other command.
    pub(super) fn by(
        argv: impl IntoIterator<Item = Vec<u8>>,
        variables: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Option<Self> {
        let mut words = argv.into_iter();
        let engine = words.next()?;
        if words.next()? != b"run" {
            return None;
        }
        words.find(|word| word == b"--name")?;
        let name = words.next().filter(|name| name.starts_with(NAME))?;
        let text = OsString::from_vec;
        let variables = variables.into_iter().map(|(name, value)| (text(name), text(value))).collect();
        Some(Self { engine: text(engine), name: text(name), variables })
    }

    /// Ends and removes it, also where the daemon was still about to start it. `patient`: nobody waits for this to be done.
    pub(super) fn remove(&self, patient: bool) {
        let more: &[i64] = if patient { &MORE_LOOKS } else { &[] };
        for fifths in LOOKS.iter().chain(more) {
            if *fifths > 0 {
                let pause = rustix::event::Timespec { tv_sec: fifths / 5, tv_nsec: fifths % 5 * 200_000_000 };
                let _ = rustix::event::poll(&mut [], Some(&pause));
            }
            #[expect(clippy::disallowed_methods, reason = "the engine's client is a process")]
            let mut command = Command::new(&self.engine);
            command.args(["rm", "--force", "--volumes"]).arg(&self.name).env_clear().envs(&self.variables);
            let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_containers_are_known() {
        let started = |line: &str| Started::by(line.split(' ').map(|word| word.as_bytes().to_vec()), []);
        let found = started("/usr/bin/docker run --rm --name amlrun-12 --workdir /x image").unwrap();
        assert_eq!((found.engine, found.name), ("/usr/bin/docker".into(), "amlrun-12".into()));
        for other in ["docker run --name theirs x", "docker ps --name amlrun-1", "python train.py", "docker run x", ""]
        {
            assert_eq!(started(other), None, "{other}");
        }
    }
}
