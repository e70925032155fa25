//! What the files of a run tell where Ray runs it: how it stands with Ray is asked elsewhere.

use serde_json::{Value, json};

use super::Link;
use super::runs::Looked;
use super::runs::state;
use crate::ids::RunId;
use crate::launch::Parcel;
use crate::target::remote::{Fault, Offsets, State};

/// How far a run has come, by its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Files {
    /// There is nothing of it.
    Absent,
    /// It is laid out and has not begun.
    Laid,
    /// It has begun.
    Begun,
    /// It was told to end by the machine it ran on, or by Ray.
    Told,
    /// It ended.
    Ended(State),
}

/// What stands in a run's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// How far it has come.
    pub files: Files,
    /// Whether amlrun asked for its end.
    pub asked: bool,
}

impl Noted {
    fn of(value: &Value) -> Self {
        let files = match value.get("kind").and_then(Value::as_str).unwrap_or_default() {
            "laid" | "queued" => Files::Laid,
            // That its lock is free proves nothing: not every file system shows locks of other machines.
            "running" | "lost" => Files::Begun,
            "told" => Files::Told,
            "ended" => Files::Ended(state(value)),
            _ => Files::Absent,
        };
        Self { files, asked: value.get("asked").and_then(Value::as_bool).unwrap_or(false) }
    }
}

impl Link {
    /// The command that Ray shall run for a run that was laid out.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn ray_ready(&self, parcel: &Parcel) -> Result<String, Fault> {
        let answer = self.ask(&json!({"op": "ray_ready", "run": parcel.run.0, "secrets": parcel.secrets}))?;
        Ok(answer.get("entrypoint").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// What stands in a run's folder, and what it wrote since.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn ray_look(&self, run: &RunId, from: &Offsets) -> Result<(Noted, Looked), Fault> {
        let looked = self.looked(run, from, "ray")?;
        Ok((Noted::of(&looked.answer), looked))
    }

    /// What stands in the folders of runs.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn ray_states(&self, runs: &[RunId]) -> Result<Vec<Noted>, Fault> {
        let runs: Vec<&String> = runs.iter().map(|run| &run.0).collect();
        let answer = self.ask(&json!({"op": "ray_states", "runs": runs}))?;
        Ok(answer.get("states").and_then(Value::as_array).into_iter().flatten().map(Noted::of).collect())
    }
}
