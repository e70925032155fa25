//! The register of models: names, their versions, and what each version is tied to: its file, the digest of that, the run
//! that made it and the environment that this ran in.
//!
//! Scripts register what they log (the versions go on record with the run), users what a run left. A version is
//! never changed but for its tags and aliases, and never given twice.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Begun;
use crate::clock::Timestamp;
use crate::digest::Digest;
use crate::ids::RunId;
use crate::logged::{Facts, Logged, ModelTag};
use crate::staleness::Recorded;

/// A version of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Version {
    /// The model.
    pub name: String,
    /// Counting from 1 within the name.
    pub version: u32,
    /// The run that made it.
    pub run: RunId,
    /// The job that this was a run of.
    pub job: String,
    /// When it was registered.
    pub registered: Timestamp,
    /// Where it lay among what the run left.
    pub path: String,
    /// What lay there; none where the run left nothing at that path.
    pub content: Option<Recorded>,
    /// The digest of the environment that the run had.
    pub environment: Option<Digest>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// Other names of it, each of which only one version of a model has.
    pub aliases: BTreeSet<String>,
}

/// A version that is to be registered.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    /// The version; its number is what it would like to have: where that is taken or 0, it gets the next one.
    pub version: Version,
    /// Which of its run's registrations it is, so that none is registered twice; none for one by hand.
    pub nth: Option<usize>,
}

/// What may become of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// These tags from now on.
    Tags(BTreeMap<String, String>),
    /// This tag, or no such tag any more.
    Tag(String, Option<String>),
    /// This alias, which no other version of the model has any more.
    Alias(String),
    /// This alias no more.
    NoAlias(String),
    /// Off the register.
    Remove,
}

/// What the script of a run registered, as far as it is known where the files are.
#[must_use]
pub(super) fn of_run(run: &RunId, job: &str, environment: Option<Digest>, logged: &Logged) -> Vec<Registration> {
    let all = facts(logged).flat_map(|facts| &facts.models);
    let registration = |(nth, model): (usize, &crate::logged::Model)| Registration {
        version: Version {
            name: model.name.clone(),
            version: model.version.unwrap_or_default(),
            run: run.clone(),
            job: job.to_owned(),
            registered: Timestamp(model.at),
            path: model.path.clone(),
            content: model.content.clone(),
            environment,
            tags: model.tags.clone(),
            aliases: BTreeSet::new(),
        },
        nth: Some(nth),
    };
    all.enumerate().map(registration).collect()
}

/// The aliases that a script gave, in order: model, alias, version (none takes it away).
pub(super) fn aliases(logged: &Logged) -> impl Iterator<Item = (&str, &str, Option<u32>)> {
    let all = facts(logged).flat_map(|facts| &facts.aliases);
    all.map(|given| (given.model.as_str(), given.alias.as_str(), given.version))
}

/// The tags that a script gave to versions, in order.
pub(super) fn model_tags(logged: &Logged) -> impl Iterator<Item = &ModelTag> {
    facts(logged).flat_map(|facts| &facts.model_tags)
}

fn facts(logged: &Logged) -> impl Iterator<Item = &Facts> {
    std::iter::once(&logged.own).chain(logged.children.iter().map(|child| &child.facts))
}

/// A version of what a run left, to be registered by hand.
#[must_use]
pub fn by_hand(
    name: &str,
    begun: &Begun,
    content: Recorded,
    tags: BTreeMap<String, String>,
    at: Timestamp,
) -> Registration {
    Registration {
        version: Version {
            name: name.to_owned(),
            version: 0,
            run: begun.run.clone(),
            job: begun.job.0.clone(),
            registered: at,
            path: content.path.to_string(),
            content: Some(content),
            environment: begun.fingerprint.environment,
            tags,
            aliases: BTreeSet::new(),
        },
        nth: None,
    }
}
