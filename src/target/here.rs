//! This machine, as a place from which a cluster is used: its files are those that the nodes see. Called by `slurm` and `ray`.

use std::process::Command;

use super::agent::{Connector, Trouble};

/// This machine, for the engine of this name.
#[derive(Debug)]
pub(super) struct Here(pub(super) &'static str);

impl Connector for Here {
    fn place(&self) -> String {
        "this machine".to_owned()
    }

    fn command(&self, script: &str) -> Command {
        #[expect(clippy::disallowed_methods, reason = "this is what the targets of clusters run here")]
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).current_dir("/").env_remove("AMLRUN_INVOCATION").env_remove("AMLRUN_RUN_ID");
        command
    }

    fn explain(&self, trouble: &Trouble) -> String {
        let Self(engine) = self;
        match trouble {
            Trouble::NoProgram(why) => format!("could not run {why}"),
            Trouble::Silent => format!("the helper for {engine} on this machine does not answer"),
            Trouble::Ended(_, said) => format!("the helper for {engine} on this machine ended: {}", said.trim()),
        }
    }
}
