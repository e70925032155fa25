//! What `spark = { … }` adds to an environment's key.
//!
//! All of it: packages and properties can change a result. Archives and modules count by their names here, and by their
//! content as files of the source directory or inputs; a target's own properties and its master are in no key.

use crate::project::model::Environment;
use crate::staleness::Key;

/// The key with what spark-submit is given.
pub(super) fn with(environment: &Environment, key: Key) -> Key {
    let Some(spark) = &environment.spark else { return key };
    let mut facts = key.facts;
    let lists = [
        ("packages", &spark.packages),
        ("repositories", &spark.repositories),
        ("jars", &spark.jars),
        ("py_files", &spark.py_files),
    ];
    for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        facts.insert(format!("spark {name}"), list.join(","));
    }
    facts.extend(spark.configuration.iter().map(|(name, value)| (format!("spark property {name}"), value.clone())));
    Key::of(facts)
}
