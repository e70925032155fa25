//! Tests of the port: texts in `texts.rs`, tools that are scripts in `tools.rs`, the real Python in `real.rs`.

mod real;
mod texts;
mod tools;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::{Activation, Builder, EnvironmentError, Environments, Halt, Setup, Step};
use crate::project::model::{Environment, EnvironmentKind, Packages};
use crate::staleness::Key;

/// A workspace and a cache that are gone when it is dropped.
struct World {
    folder: tempfile::TempDir,
    setup: Setup,
}

impl World {
    /// With the process's variables; `uv` says whether uv may be found.
    fn new(uv: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The temporary folder may be reached through a link.
        let at = |name: &str| folder.path().canonicalize().unwrap().join(name);
        let mut variables = process_variables();
        let without_uv = |path: &String| {
            let keep = path.split(':').filter(|f| uv || !Path::new(f).join("uv").exists());
            keep.collect::<Vec<_>>().join(":")
        };
        let path = variables.get("PATH").map(without_uv).unwrap_or_default();
        variables.insert("PATH".to_owned(), path);
        variables.retain(|name, _| !["PYTHONPATH", "VIRTUAL_ENV"].contains(&name.as_str()));
        std::fs::create_dir_all(at("project")).unwrap();
        let (root, cache, state) = (at("project"), at("cache"), at("project/.amlrun"));
        let lock_file = at("project/Amlfile.lock");
        Self { folder, setup: Setup { root, cache, state, variables, lock_file, halt: Halt::default() } }
    }

    fn builder(&self) -> Builder {
        Builder::new(self.setup.clone())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.setup.root.join(name);
        put(&path, text);
        path
    }

    fn lock_text(&self) -> Option<String> {
        std::fs::read_to_string(&self.setup.lock_file).ok()
    }

    fn key(&self, environment: &Environment, frozen: bool) -> Result<Option<Key>, EnvironmentError> {
        self.builder().key(environment, frozen, &mut |_| {})
    }

    /// Makes it ready; says also whether something was built.
    fn ready(&self, environment: &Environment) -> Result<(Activation, bool), EnvironmentError> {
        let mut built = false;
        let activation = self.builder().ready(environment, &mut |step| built |= matches!(step, Step::Started))?;
        Ok((activation, built))
    }

    /// Every file and folder of the cache.
    fn cached(&self) -> Vec<PathBuf> {
        let mut all = Vec::new();
        let mut open = vec![self.setup.cache.clone()];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                all.push(entry.path());
                open.extend(entry.path().is_dir().then(|| entry.path()));
            }
        }
        all
    }

    /// A folder of scripts that is looked into before all others of PATH.
    fn script(&mut self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let tools = self.folder.path().canonicalize().unwrap().join("tools");
        let path = tools.join(name);
        put(&path, text);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let old = self.setup.variables.get("PATH").cloned().unwrap_or_default();
        if !old.starts_with(&*tools.to_string_lossy()) {
            self.setup.variables.insert("PATH".to_owned(), format!("{}:{old}", tools.display()));
        }
        path
    }
}

#[expect(clippy::disallowed_methods, reason = "tests stand where `cli/surroundings.rs` does")]
fn process_variables() -> BTreeMap<String, String> {
    std::env::vars().collect()
}

fn put(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = std::fs::File::create(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn environment(kind: EnvironmentKind) -> Environment {
    let (name, variables) = ("it".to_owned(), BTreeMap::new());
    Environment { name, span: 0..0, description: None, kind, variables, spark: None, azureml: None }
}

fn managed(packages: &[&str]) -> Environment {
    let list = packages.iter().map(|&p| p.to_owned()).collect();
    environment(EnvironmentKind::Managed { python: None, packages: Packages::Listed(list) })
}

fn user_managed(interpreter: &str) -> Environment {
    environment(EnvironmentKind::UserManaged { interpreter: Some(interpreter.to_owned()) })
}

fn fact<'k>(key: &'k Key, name: &str) -> Option<&'k str> {
    key.facts.get(name).map(String::as_str)
}
