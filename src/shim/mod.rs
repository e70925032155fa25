//! The stand-in for Azure ML's SDK v1: a small Python package that this program carries in itself, so that scripts with
//! `from azureml.core import Run` run unmodified where `azureml-core` is not installed.
//!
//! Called by `engine` around a job. [`Shim::ready`] lays the package out below `.amlrun`, in a folder by its content, and
//! sees that every byte of it is as it should be; [`path`] puts the folder on the job's path; [`attempted`] reads what the
//! real SDK prints where that is installed. The package writes to the folder that `tracking` makes, and to nothing else; the
//! Python side (which steps aside for a real `azureml.core`) says how in `azureml/core/_journal.py`.

mod attempted;
mod literal;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

pub use attempted::attempted;

use crate::digest::Digester;
use crate::project::model::AZUREML_VARIABLE as CHOICE;

/// Its value where the real SDK is to be used.
pub const SDK: &str = "sdk";
/// The package makes this file in the tracking folder where it steps aside for the real SDK.
pub const MARK: &str = "azureml-sdk";
const PATH: &str = "PYTHONPATH";

const FILES: &[(&str, &str)] = &[
    ("azureml/__init__.py", include_str!("azureml/__init__.py")),
    ("azureml/core/__init__.py", include_str!("azureml/core/__init__.py")),
    ("azureml/core/_absent.py", include_str!("azureml/core/_absent.py")),
    ("azureml/core/_files.py", include_str!("azureml/core/_files.py")),
    ("azureml/core/_journal.py", include_str!("azureml/core/_journal.py")),
    ("azureml/core/_logging.py", include_str!("azureml/core/_logging.py")),
    ("azureml/core/_metrics.py", include_str!("azureml/core/_metrics.py")),
    ("azureml/core/_offline.py", include_str!("azureml/core/_offline.py")),
    ("azureml/core/_values.py", include_str!("azureml/core/_values.py")),
    ("azureml/core/authentication.py", include_str!("azureml/core/authentication.py")),
    ("azureml/core/compute/__init__.py", include_str!("azureml/core/compute/__init__.py")),
    ("azureml/core/compute_target.py", include_str!("azureml/core/compute_target.py")),
    ("azureml/core/conda_dependencies.py", include_str!("azureml/core/conda_dependencies.py")),
    ("azureml/core/container_registry.py", include_str!("azureml/core/container_registry.py")),
    ("azureml/core/dataset.py", include_str!("azureml/core/dataset.py")),
    ("azureml/core/datastore.py", include_str!("azureml/core/datastore.py")),
    ("azureml/core/environment.py", include_str!("azureml/core/environment.py")),
    ("azureml/core/experiment.py", include_str!("azureml/core/experiment.py")),
    ("azureml/core/image.py", include_str!("azureml/core/image.py")),
    ("azureml/core/keyvault.py", include_str!("azureml/core/keyvault.py")),
    ("azureml/core/linked_service.py", include_str!("azureml/core/linked_service.py")),
    ("azureml/core/model.py", include_str!("azureml/core/model.py")),
    ("azureml/core/private_endpoint.py", include_str!("azureml/core/private_endpoint.py")),
    ("azureml/core/resource_configuration.py", include_str!("azureml/core/resource_configuration.py")),
    ("azureml/core/run.py", include_str!("azureml/core/run.py")),
    ("azureml/core/runconfig.py", include_str!("azureml/core/runconfig.py")),
    ("azureml/core/script_run.py", include_str!("azureml/core/script_run.py")),
    ("azureml/core/script_run_config.py", include_str!("azureml/core/script_run_config.py")),
    ("azureml/core/webservice.py", include_str!("azureml/core/webservice.py")),
    ("azureml/core/workspace.py", include_str!("azureml/core/workspace.py")),
    ("azureml/data/__init__.py", include_str!("azureml/data/__init__.py")),
    ("azureml/data/data_reference.py", include_str!("azureml/data/data_reference.py")),
    ("azureml/data/datapath.py", include_str!("azureml/data/datapath.py")),
    ("azureml/data/dataset_factory.py", include_str!("azureml/data/dataset_factory.py")),
    ("azureml/data/file_dataset.py", include_str!("azureml/data/file_dataset.py")),
    ("azureml/data/tabular_dataset.py", include_str!("azureml/data/tabular_dataset.py")),
    ("azureml/exceptions/__init__.py", include_str!("azureml/exceptions/__init__.py")),
];

/// The package on disk: made and verified once an invocation.
#[derive(Debug, Default)]
pub struct Shim {
    made: OnceLock<Option<PathBuf>>,
}

impl Shim {
    /// The folder to put on a job's path; none where it could not be made: jobs that do not need it go on without.
    pub fn ready(&self, state: &Path) -> Option<PathBuf> {
        self.made
            .get_or_init(|| {
                let folder = state.join("shim-v1").join(name());
                lay_out(&folder).is_ok().then_some(folder)
            })
            .clone()
    }
}

/// The name of the package's folder, by its content: another version of amlrun has another one.
fn name() -> String {
    let mut digester = Digester::new("amlrun shim 1");
    for (path, text) in FILES {
        digester.field(path, text);
    }
    let mut name = digester.finish().to_string();
    name.truncate(16);
    name
}

/// Makes every file what it should be. A file that is right is left alone, and one that is not is replaced whole: two
/// builders, and jobs that read meanwhile, are not in each other's way.
fn lay_out(folder: &Path) -> io::Result<()> {
    for (path, text) in FILES {
        let file = folder.join(path);
        if fs::read(&file).is_ok_and(|found| found == text.as_bytes()) {
            continue;
        }
        let parent = file.parent().unwrap_or(folder);
        fs::create_dir_all(parent)?;
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        let mut new = tempfile::Builder::new().prefix(".new-").permissions(readable).tempfile_in(parent)?;
        new.write_all(text.as_bytes())?;
        new.persist(&file).map_err(|error| error.error)?;
    }
    clear(folder, folder)
}

/// Takes away what does not belong there: compiled files above all, which would be read instead of their sources.
fn clear(folder: &Path, root: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let inside = path.strip_prefix(root).unwrap_or(&path);
        if FILES.iter().any(|(file, _)| Path::new(file) == inside) {
            continue;
        }
        if FILES.iter().any(|(file, _)| Path::new(file).starts_with(inside)) {
            clear(&path, root)?;
        } else if !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".new-")) {
            // A file that another builder is about to put in its place stays.
            let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
        }
    }
    Ok(())
}

/// Whether a job's variables ask for the real SDK.
#[must_use]
pub fn is_sdk(variables: &BTreeMap<String, String>) -> bool {
    variables.get(CHOICE).is_some_and(|choice| choice == SDK)
}

/// Puts the package's folder behind whatever is on the job's path already.
pub fn path(variables: &mut BTreeMap<String, String>, folder: &Path) {
    if is_sdk(variables) {
        return;
    }
    let own = folder.display().to_string();
    let before = variables.get(PATH).filter(|before| !before.is_empty());
    let both = before.map_or_else(|| own.clone(), |before| format!("{before}:{own}"));
    variables.insert(PATH.to_owned(), both);
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "a test writes what it likes")]
    use super::*;

    #[test]
    fn every_file_of_the_package_is_carried() {
        let mut there = Vec::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/shim");
        list(&root.join("azureml"), &root, &mut there);
        let carried: Vec<&str> = FILES.iter().map(|(path, _)| *path).collect();
        there.sort();
        assert_eq!(carried, there);
    }

    fn list(folder: &Path, root: &Path, into: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                list(&path, root, into);
            } else if path.extension().is_some_and(|end| end == "py") {
                into.push(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }

    #[test]
    fn what_is_damaged_is_made_whole_and_what_is_foreign_goes() {
        let state = tempfile::tempdir().unwrap();
        let folder = Shim::default().ready(state.path()).unwrap();
        let run = folder.join("azureml/core/run.py");
        let text = fs::read(&run).unwrap();
        fs::write(&run, "import os").unwrap();
        fs::create_dir(folder.join("azureml/core/__pycache__")).unwrap();
        fs::write(folder.join("azureml/core/__pycache__/run.cpython-311.pyc"), "x").unwrap();
        fs::write(folder.join("numpy.py"), "x").unwrap();
        assert_eq!(Shim::default().ready(state.path()).unwrap(), folder);
        assert_eq!(fs::read(&run).unwrap(), text);
        assert!(!folder.join("azureml/core/__pycache__").exists() && !folder.join("numpy.py").exists());
    }

    #[test]
    fn builders_at_once_all_find_it_whole() {
        let state = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let folder = Shim::default().ready(state.path()).unwrap();
                    for (path, text) in FILES {
                        assert_eq!(fs::read_to_string(folder.join(path)).unwrap(), *text, "{path}");
                    }
                });
            }
        });
    }

    #[test]
    fn it_comes_last_on_the_path() {
        let rows = [
            (vec![], "/s"),
            (vec![(PATH, "")], "/s"),
            (vec![(PATH, "lib:/x")], "lib:/x:/s"),
            (vec![(CHOICE, "shim")], "/s"),
        ];
        for (before, wanted) in rows {
            let mut variables = before.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            path(&mut variables, Path::new("/s"));
            assert_eq!(variables[PATH], wanted);
        }
        let mut sdk = BTreeMap::from([(CHOICE.to_owned(), SDK.to_owned())]);
        path(&mut sdk, Path::new("/s"));
        assert_eq!(sdk.get(PATH), None);
    }
}
