//! The fingerprint: everything that a job's result depends on, by name. Its digest is the cache key.
//!
//! It holds no mtime, no absolute path of this machine, no target's name, no resources, retries, tags or descriptions:
//! the same project at another path, for another user, has the same key.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, Digester};

/// Bump to make every recorded result stale. History: 1 is the first.
pub const FORMAT: u32 = 1;

/// An environment's key: what it is made of, by name, and the digest of that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Digest of `facts`.
    pub digest: Digest,
    /// `python` → `CPython 3.11.7`, `platform` → `linux-x86_64`, `package scikit-learn` → `1.7.2`, …
    pub facts: BTreeMap<String, String>,
}

impl Key {
    /// The key of these facts.
    #[must_use]
    pub fn of(facts: BTreeMap<String, String>) -> Self {
        let mut digester = Digester::new("amlrun environment 1");
        digester.count(facts.len());
        for (name, value) in &facts {
            digester.field(name, value);
        }
        Self { digest: digester.finish(), facts }
    }
}

/// Everything that a job's result depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// [`FORMAT`] of the program that made it.
    pub format: u32,
    /// What is run: `["script", "train.py", "--alpha", "0.1"]`, or `["shell", "cat a > b"]`.
    pub command: Vec<String>,
    /// The parameters that the job uses, as the script sees them.
    pub params: BTreeMap<String, String>,
    /// Declared variables.
    pub variables: BTreeMap<String, String>,
    /// `framework`.
    pub framework: String,
    /// `distributed`, by key.
    pub distributed: BTreeMap<String, String>,
    /// Digest of the environment's key; none for a bare command.
    pub environment: Option<Digest>,
    /// Digest of the tree of its sources.
    pub sources: Digest,
    /// Content of its inputs, by name.
    pub inputs: BTreeMap<String, Digest>,
}

impl Fingerprint {
    /// The cache key.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut d = Digester::new("amlrun fingerprint");
        d.bytes(&self.format.to_le_bytes());
        d.count(self.command.len());
        for word in &self.command {
            d.bytes(word.as_bytes());
        }
        for map in [&self.params, &self.variables, &self.distributed] {
            d.count(map.len());
            for (name, value) in map {
                d.field(name, value);
            }
        }
        d.field("framework", &self.framework);
        d.count(usize::from(self.environment.is_some()));
        if let Some(environment) = &self.environment {
            d.digest(environment);
        }
        d.digest(&self.sources).count(self.inputs.len());
        for (name, content) in &self.inputs {
            d.bytes(name.as_bytes()).digest(content);
        }
        d.finish()
    }
}
