//! conda files where no conda is called: their pip part, and those conda packages that PyPI has under a known name.
//!
//! Called by `builder`. What PyPI does not have under a known name is refused by name: a package of another project may bear
//! the same one there. Each name that was translated is told when the environment is resolved.

use std::path::Path;

use super::EnvironmentError;
use crate::foreign::conda;
use crate::foreign::doc::{At, Doc};
use crate::project::model::Packages;
use crate::relpath::RelPath;

/// What a managed environment is made of.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    /// The version of Python.
    pub(super) python: Option<String>,
    pub(super) packages: Packages,
    /// What is told when it is resolved.
    pub(super) notes: Vec<String>,
}

/// Reads a conda file of the workspace.
///
/// # Errors
/// Where it cannot be read, or asks for what only conda can install.
pub(super) fn wanted(root: &Path, file: &RelPath) -> Result<Wanted, EnvironmentError> {
    let path = root.join(file.as_path());
    let text = std::fs::read_to_string(&path).map_err(|source| EnvironmentError::Io {
        doing: "read",
        path: path.clone(),
        source,
    })?;
    read(&file.to_string(), &text).map_err(|why| EnvironmentError::BadFile { path, why })
}

fn read(name: &str, text: &str) -> Result<Wanted, String> {
    let doc = Doc::read(name, text).map_err(|fault| {
        let (source, fault) = *fault;
        let line = fault.primary.as_ref().map_or(1, |label| source.position(label.span.start).0);
        format!("line {line}: {}", fault.message)
    })?;
    let at = doc.at();
    let found = conda::read(&at);
    let mut refused = Vec::new();
    let lines = at.get("dependencies").map(|list| list.items()).unwrap_or_default();
    let pip = lines.iter().filter_map(|item| item.get("pip")).flat_map(|pip| pip.items());
    for item in lines.iter().cloned().chain(pip) {
        let text = item.scalar().unwrap_or_default();
        let text = text.trim();
        // Only one version of Python can be looked for, so a bound from above cannot be kept.
        let is_range = text.starts_with("python") && found.python.is_some() && text.contains(['<', '!', '|']);
        if found.refused.iter().any(|one| one == text) || is_range && !text.starts_with("python-") {
            refused.push(told(&item, text));
        }
    }
    if let Some(variables) = at.get("variables").filter(|at| !at.entries().is_empty()) {
        refused.push(told(&variables, "variables (they belong into the Amlfile)"));
    }
    if !refused.is_empty() {
        return Err(format!(
            "without conda this cannot be installed, as PyPI has no package that is known to be the same: {}; \
             `packages` of the Amlfile names what pip shall install instead",
            refused.join(", ")
        ));
    }
    let renamed = found.renamed.iter().map(|(from, to)| format!("{name}: `{from}` is `{to}` on PyPI"));
    let own = ["pip", "setuptools", "wheel"];
    let left_out = found.ignored.iter().filter(|one| !own.contains(&one.as_str()));
    let left_out = left_out.map(|one| {
        let why = if conda::is_retired(one) { "the SDK is retired" } else { "packages of PyPI bring it along" };
        format!("{name}: `{one}` is left out, as {why}")
    });
    let notes = renamed.chain(left_out).collect();
    Ok(Wanted { python: found.python, packages: Packages::Listed(found.packages), notes })
}

fn told(at: &At<'_>, text: &str) -> String {
    format!("{text} (line {})", at.line())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pypi_has_and_what_it_lacks() {
        let text = "name: x\nchannels: [conda-forge]\ndependencies:\n- python=3.11\n- pytorch=2.1\n- pip\n- numpy\n- pip:\n  - six==1.16.0\n";
        let wanted = read("conda.yml", text).unwrap();
        assert_eq!(wanted.python.as_deref(), Some("3.11"));
        let packages = ["torch==2.1.*", "numpy", "six==1.16.0"].map(str::to_owned).to_vec();
        assert_eq!(wanted.packages, Packages::Listed(packages));
        assert_eq!(wanted.notes, ["conda.yml: `pytorch=2.1` is `torch==2.1.*` on PyPI"]);

        let text = "dependencies:\n- python<3.12\n- r-base=4.1\n- pip:\n  - -e .\nvariables: {A: b}\n";
        let why = read("conda.yml", text).unwrap_err();
        for one in ["python<3.12 (line 2)", "r-base=4.1 (line 3)", "-e . (line 5)", "variables"] {
            assert!(why.contains(one), "no {one} in {why}");
        }
        assert!(read("conda.yml", "dependencies: [").unwrap_err().starts_with("line 1: "));
    }
}
