//! Parameter files that are inputs by key: only a change of those keys makes a job stale.

use super::World;
use super::measuring::ground_path;
use crate::content::{Content, Kind};
use crate::datafile::{self, Format};
use crate::digest::Digest;
use crate::plan::job::Input;

/// The keys with their values as they stand in this content of the file, under names that say where they are from, as in
/// `params.yaml:train.lr`. The content comes from the project, or from the store where another lies in the project (an
/// output that is yet to be restored).
///
/// # Errors
/// Where the file is of no format that has keys, or lacks one of them: the text says which.
pub fn values(
    world: &World<'_>,
    input: &Input,
    keys: &[String],
    content: Content,
) -> Result<Vec<(String, String)>, String> {
    let place = ground_path(&input.path);
    let name = &input.name;
    let format = Format::of(&place).filter(|format| !format.is_series());
    let (Some(format), Kind::File | Kind::Executable) = (format, content.kind) else {
        return Err(format!("the parameter file `{name}` is neither JSON nor YAML nor TOML, so it has no keys"));
    };
    let here = std::fs::read(world.root.join(&place)).ok().filter(|bytes| Digest::of(bytes) == content.digest);
    let bytes = match here {
        Some(bytes) => bytes,
        None => match world.store.get(&content.digest).map_err(|error| error.to_string())? {
            Some(bytes) => bytes,
            None => return Err(format!("the parameter file `{name}` changed while it was read; run amlrun again")),
        },
    };
    let tree = datafile::tree(&bytes, format)
        .map_err(|why| format!("the parameter file `{name}` is not {}: {why}", format.name()))?;
    let found = datafile::select(&tree, keys);
    let gone: Vec<String> =
        found.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| format!("`{key}`")).collect();
    if !gone.is_empty() {
        let s = if gone.len() == 1 { "" } else { "s" };
        return Err(format!("the parameter file `{name}` has no key{s} {}", gone.join(", ")));
    }
    Ok(found.into_iter().filter_map(|(key, value)| Some((format!("{name}:{key}"), value?))).collect())
}
