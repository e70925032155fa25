//! Names and paths as an Amlfile takes them.

use crate::relpath::RelPath;

/// A text as a name that can stand bare in TOML and in `${…}`.
#[must_use]
pub fn plain(text: &str) -> String {
    let name: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') { name } else { format!("x{name}") }
}

/// The name, or the first of `name2`, `name3`, … that is free.
pub fn free(name: &str, is_free: impl Fn(&str) -> bool) -> String {
    let numbered = (2..).map(|n| format!("{name}{n}"));
    std::iter::once(name.to_owned()).chain(numbered).find(|name| is_free(name)).unwrap_or_default()
}

/// The file's name without its ending.
#[must_use]
pub fn stem(path: &str) -> &str {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.rsplit_once('.').map_or(file, |(stem, _)| if stem.is_empty() { file } else { stem })
}

/// The folder that a file lies in, `""` for the top.
#[must_use]
pub fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// A path as another file names it, seen from the top; absolute ones stay. None where it leads out of the workspace.
#[must_use]
pub fn from(folder: &str, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return Some(path.to_owned());
    }
    let joined = if folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") };
    let path = RelPath::new(joined).ok()?;
    Some(if path.is_root() { ".".to_owned() } else { path.to_string() })
}

/// A path of the workspace as it is seen from a folder of it: `../data/x.csv` from `train`.
#[must_use]
pub fn seen_from(folder: &str, path: &str) -> String {
    match (RelPath::new(path), RelPath::new(folder)) {
        (Ok(path), Ok(folder)) => path.seen_from(&folder).display().to_string(),
        _ => path.to_owned(),
    }
}

/// Whether it is an address of the net or of a cloud's store, and no path here.
#[must_use]
pub fn is_remote(path: &str) -> bool {
    path.contains("://") || path.starts_with("azureml:")
}

/// Where a remote thing is expected in the project: `data/` and its last part.
#[must_use]
pub fn placeholder(address: &str) -> String {
    let address = address.split(['?', '#']).next().unwrap_or(address).trim_end_matches('/');
    let last = address.rsplit(['/']).next().unwrap_or(address);
    // `azureml:name:version` and `azureml:name@label`.
    let last = last.strip_prefix("azureml:").unwrap_or(last).split([':', '@']).next().unwrap_or_default();
    let name: String =
        last.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' }).collect();
    let name = name.trim_start_matches('.');
    format!("data/{}", if name.is_empty() { "input" } else { name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_names() {
        assert_eq!(from("a/b", "../c").as_deref(), Some("a/c"));
        assert_eq!(from("", "../c"), None);
        assert_eq!(from("a", ".").as_deref(), Some("a"));
        assert_eq!(from("", "./").as_deref(), Some("."));
        assert_eq!(placeholder("https://x.blob.core.windows.net/datasets/iris.csv?sv=1"), "data/iris.csv");
        assert_eq!(placeholder("azureml:my-data:1"), "data/my-data");
        assert_eq!(placeholder("azureml://datastores/a/paths/b/c/"), "data/c");
        assert_eq!(plain("sklearn 1.0/x"), "sklearn_1_0_x");
        assert_eq!(stem("a/.amlignore"), ".amlignore");
        assert_eq!(stem("a/b.runconfig"), "b");
        assert_eq!(seen_from("train", "data/x"), "../data/x");
    }
}
