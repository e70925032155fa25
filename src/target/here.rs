//! This machine, as a place from which a cluster is used: its files are those that the nodes see. Called by `slurm` and `ray`.

use std::process::Command;

use super::agent::{Connector, Trouble};

/// This machine.
#[derive(Debug)]
pub(super) struct Here {
    /// The target's name in the Amlfile.
    pub(super) target: String,
    /// The engine's.
    pub(super) engine: &'static str,
}

impl Connector for Here {
    fn place(&self) -> String {
        "this machine".to_owned()
    }

    fn named(&self) -> String {
        format!("target `{}`", self.target)
    }

    fn command(&self, script: &str) -> Command {
        #[expect(clippy::disallowed_methods, reason = "this is what the targets of clusters run here")]
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).current_dir("/").env_remove("AMLRUN_INVOCATION").env_remove("AMLRUN_RUN_ID");
        command
    }

    fn explain(&self, trouble: &Trouble) -> String {
        let (Self { engine, .. }, named) = (self, self.named());
        match trouble {
            Trouble::NoProgram(why) => format!("{named}: could not run {why}"),
            Trouble::Silent => format!("{named}: the helper for {engine} on this machine does not answer"),
            Trouble::Ended(Some(97), _) => {
                format!("{named}: there is no Python 3.6 or later on PATH on this machine: install python3")
            }
            Trouble::Ended(_, said) => {
                format!("{named}: the helper for {engine} on this machine ended: {}", said.trim())
            }
        }
    }
}
