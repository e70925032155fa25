//! The two installers, uv and pip: what they are called with to resolve and to install.
//!
//! An environment holds exactly what its section of the lock says, no pip and no setuptools besides: so both make the
//! same of the same key. pip therefore works from a virtual environment of its own, kept in the user's cache.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::builder::{Managed, Setup};
use super::lock::{Package, Section};
use super::lock_text::{is_pinned, is_sound};
use super::place::Place;
use super::probe::Interpreter;
use super::requirements::Asked;
use super::resolve::{self, Context};
use super::tool::{Tool, for_installers};
use super::{EnvironmentError, Step};
use crate::launch::Recipe;
use crate::staleness::Key;

/// The first pip that knows `--report` and `--python`.
const PIP: (u32, u32) = (22, 3);

/// An installer that is there.
#[derive(Debug)]
pub(super) enum Installer {
    /// uv.
    Uv(PathBuf),
    /// pip: the interpreter of the virtual environment that it works from.
    Pip(PathBuf),
}

/// Uv where it is present, else pip with a virtual environment made for it.
pub(super) fn choose(
    setup: &Setup,
    uv: Option<PathBuf>,
    base: &Interpreter,
    told: &mut dyn FnMut(Step),
) -> Result<Installer, EnvironmentError> {
    if let Some(uv) = uv {
        return Ok(Installer::Uv(uv));
    }
    let mut facts = super::probe::facts(&base.probe);
    facts.insert("tool".to_owned(), "pip".to_owned());
    facts.insert("interpreter".to_owned(), base.path.display().to_string());
    let key = Key::of(facts);
    let place = Place::new(&setup.cache, &key);
    if place.is_complete(&key) {
        return Ok(Installer::Pip(place.python()));
    }
    let held = place.hold(&setup.halt)?;
    if !place.is_complete(&key) {
        place.clear()?;
        let call = |program: &Path| Tool::new(program, &for_installers(&setup.variables), &setup.root);
        call(&base.path).args(["-m", "venv"]).arg(&place.folder).guarded(&held)?.stream(&setup.halt, told)?;
        let said = call(&place.python()).args(["-m", "pip", "--version"]).capture()?;
        if pip_version(&said).is_none_or(|version| version < PIP) {
            let upgrade = ["-m", "pip", "install", "--quiet", "--no-user", "--upgrade", "pip"];
            call(&place.python()).args(upgrade).guarded(&held)?.stream(&setup.halt, told)?;
            let said = call(&place.python()).args(["-m", "pip", "--version"]).capture()?;
            if pip_version(&said).is_none_or(|version| version < PIP) {
                let why =
                    format!("no pip of version 22.3 or later is to be had for {}; install uv", base.probe.python());
                return Err(EnvironmentError::Unavailable(why));
            }
        }
        place.complete(&key)?;
    }
    Ok(Installer::Pip(place.python()))
}

/// `pip 23.2.1 from …` → (23, 2).
fn pip_version(said: &str) -> Option<(u32, u32)> {
    let mut parts = said.strip_prefix("pip ")?.split(['.', ' ']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().unwrap_or(0)))
}

/// One resolution: for whom, of what, and where its files lie meanwhile. The folder stays where it fails, so that the
/// command can be repeated.
#[derive(Debug)]
pub(super) struct Resolution<'r> {
    pub(super) setup: &'r Setup,
    pub(super) base: &'r Interpreter,
    pub(super) asked: &'r Asked,
    /// Versions that were locked before: kept where the requirements still allow them.
    pub(super) before: Option<&'r Section>,
    pub(super) folder: &'r Path,
    /// The held lock of the lock file.
    pub(super) held: &'r File,
}

impl Resolution<'_> {
    /// Resolves.
    ///
    /// # Errors
    /// Where there is no solution, or the installer fails.
    pub(super) fn run(&self, by: &Installer, told: &mut dyn FnMut(Step)) -> Result<Vec<Package>, EnvironmentError> {
        clear(self.folder)?;
        let direct = self.asked.direct();
        let context = Context { root: &self.setup.root, direct: &direct };
        let input = self.file("requirements.txt", &self.input(matches!(by, Installer::Uv(_))))?;
        let constraints = self.file("constraints.txt", &lines(&self.asked.constraints))?;
        let output = self.folder.join("resolved");
        let answer = match by {
            Installer::Uv(uv) => {
                let before = self.before.map(|section| section.preferences(&[])).unwrap_or_default();
                self.file("resolved", &before)?;
                let tool = self.call(uv)?.args(["pip", "compile", "--quiet", "--generate-hashes", "--no-header"]);
                let tool =
                    tool.args(["--no-annotate", "--color=never", "--no-progress", "--python"]).arg(&self.base.path);
                let tool = tool.args(uv_options(&self.asked.options)).arg("--constraints").arg(&constraints);
                tool.arg("--output-file").arg(&output).arg(&input).stream(&self.setup.halt, told)
            }
            Installer::Pip(python) => self.by_pip(python, &input, &constraints, &output, told),
        };
        answer?;
        let text = std::fs::read_to_string(&output);
        let text = text.map_err(|source| EnvironmentError::Io { doing: "read", path: output, source })?;
        let packages = match by {
            Installer::Uv(_) => resolve::compiled(&text, &context),
            Installer::Pip(_) => resolve::reported(&text, &context),
        };
        let packages = packages.map_err(EnvironmentError::Unavailable)?;
        // What a lock cannot say is refused here, not when the lock is read.
        if let Some(package) = packages.iter().find(|package| !is_sound(package) || !is_pinned(package)) {
            let Package { name, source, .. } = package;
            let from = source.as_ref().map(|source| format!(" from `{source}`")).unwrap_or_default();
            let why = format!("`{name}`{from} cannot be locked: there is no hash of it, or blanks are in its address");
            return Err(EnvironmentError::Unavailable(why));
        }
        clear(self.folder)?;
        Ok(packages)
    }

    /// pip has no preferences: the old versions are tried as constraints, then without those that are asked for by
    /// name, then not at all.
    fn by_pip(
        &self,
        python: &Path,
        input: &Path,
        constraints: &Path,
        output: &Path,
        told: &mut dyn FnMut(Step),
    ) -> Result<(), EnvironmentError> {
        let before = |except: &[String]| self.before.map(|section| section.preferences(except)).unwrap_or_default();
        let mut tries = vec![before(&[]), before(&self.asked.names())];
        tries.dedup();
        tries.retain(|pins| !pins.is_empty());
        let call = |pins: Option<&Path>| {
            let tool =
                self.call(python)?.args(["-m", "pip", "install", "--dry-run", "--ignore-installed", "--no-user"]);
            let tool = tool.args(["--no-color", "--progress-bar=off", "--report"]).arg(output);
            let tool = tool.arg("-r").arg(input).arg("-c").arg(constraints);
            Ok::<_, EnvironmentError>(match pins {
                Some(pins) => tool.arg("-c").arg(pins),
                None => tool,
            })
        };
        for pins in &tries {
            let pins = self.file("pins.txt", pins)?;
            if call(Some(&pins))?.stream(&self.setup.halt, &mut |_| {}).is_ok() {
                return Ok(());
            }
        }
        call(None)?.stream(&self.setup.halt, told)
    }

    fn call(&self, program: &Path) -> Result<Tool, EnvironmentError> {
        Tool::new(program, &for_installers(&self.setup.variables), &self.setup.root).guarded(self.held)
    }

    fn input(&self, uv: bool) -> String {
        let options = self.asked.options.iter().filter(|option| !uv || in_file_for_uv(option)).cloned();
        lines(&options.chain(self.asked.for_installer(&self.setup.root)).collect::<Vec<_>>())
    }

    fn file(&self, name: &str, text: &str) -> Result<PathBuf, EnvironmentError> {
        let path = self.folder.join(name);
        private(&path, text)?;
        Ok(path)
    }
}

/// Installs exactly a section into a fresh virtual environment.
pub(super) struct Installation<'i> {
    pub(super) setup: &'i Setup,
    pub(super) asked: &'i Asked,
    pub(super) section: &'i Section,
    /// The environment's interpreter.
    pub(super) python: &'i Path,
    /// The file for the requirements: it stays where the installation fails.
    pub(super) file: &'i Path,
    /// The held lock of the place.
    pub(super) held: &'i File,
}

impl Installation<'_> {
    /// Installs.
    ///
    /// # Errors
    /// Where the installer fails.
    pub(super) fn run(&self, by: &Installer, told: &mut dyn FnMut(Step)) -> Result<(), EnvironmentError> {
        let direct = self.asked.direct();
        let at = |package: &Package, source: &str| match source.strip_prefix("./") {
            Some(inside) => format!("file://{}", self.setup.root.join(inside).display()),
            None => {
                direct.get(&package.name).filter(|_| !source.starts_with("git+")).map_or(source, |it| it).to_owned()
            }
        };
        let uv = matches!(by, Installer::Uv(_));
        let options = self.asked.options.iter().filter(|option| !uv || in_file_for_uv(option)).cloned();
        let options: Vec<String> = options.filter(|option| option != "--require-hashes").collect();
        let pinned = self.section.pinned(at);
        if !pinned.is_empty() {
            private(self.file, &format!("{}{pinned}", lines(&options)))?;
            self.call(by)?.arg("--require-hashes").arg("-r").arg(self.file).stream(&self.setup.halt, told)?;
        }
        let unhashed = self.section.unhashed(at);
        if !unhashed.is_empty() {
            private(self.file, &format!("{}{}", lines(&options), lines(&unhashed)))?;
            self.call(by)?.arg("-r").arg(self.file).stream(&self.setup.halt, told)?;
        }
        let _gone = std::fs::remove_file(self.file);
        Ok(())
    }

    fn call(&self, by: &Installer) -> Result<Tool, EnvironmentError> {
        let mut variables = for_installers(&self.setup.variables);
        // Constraints have done their work; here they would only clash with the hashes.
        variables.retain(|name, _| !["PIP_CONSTRAINT", "UV_CONSTRAINT", "UV_OVERRIDE"].contains(&name.as_str()));
        let tool = |program: &Path| Tool::new(program, &variables, &self.setup.root).guarded(self.held);
        Ok(match by {
            Installer::Uv(uv) => {
                let tool = tool(uv)?.args(["pip", "install", "--no-deps", "--compile-bytecode", "--color=never"]);
                let tool = tool.args(["--no-progress", "--python"]).arg(self.python);
                tool.args(uv_options(&self.asked.options))
            }
            Installer::Pip(pip) => {
                let tool = tool(pip)?.args(["-m", "pip", "--python"]).arg(self.python).args(["install", "--no-deps"]);
                tool.args(["--no-user", "--no-color", "--progress-bar=off", "--no-warn-script-location"])
            }
        })
    }
}

/// What another machine needs to install the same: everything that the lock says, and the options that both installers
/// read. Credentials that this machine's addresses hold stay here: the other one has its own.
pub(super) fn recipe(managed: &Managed) -> Result<Recipe, EnvironmentError> {
    let local = managed.section.packages.iter().find(|p| p.source.as_ref().is_some_and(|s| s.starts_with("./")));
    if let Some(package) = local {
        let why = format!(
            "`{}` is installed from a folder of the workspace: that cannot be built elsewhere yet",
            package.name
        );
        return Err(EnvironmentError::Unavailable(why));
    }
    let at = |_: &Package, source: &str| source.to_owned();
    let options =
        managed.asked.options.iter().filter(|option| in_file_for_uv(option) && !option.contains('@')).cloned();
    let head = lines(&options.collect::<Vec<_>>());
    let with_head = |text: String| if text.is_empty() { text } else { format!("{head}{text}") };
    Ok(Recipe::Managed {
        key: managed.key.digest,
        python: managed.interpreter.probe.python(),
        platform: managed.interpreter.probe.platform.clone(),
        pinned: with_head(managed.section.pinned(at)),
        unhashed: with_head(lines(&managed.section.unhashed(at))),
    })
}

/// The options of a requirements file that uv reads there too.
fn in_file_for_uv(option: &str) -> bool {
    let known =
        ["-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--no-index", "--no-binary", "--only-binary"];
    known.contains(&option.split([' ', '=']).next().unwrap_or_default())
}

/// The options of a requirements file that uv takes on its command line, under other names.
fn uv_options(options: &[String]) -> Vec<String> {
    let mut translated = Vec::new();
    for option in options {
        match option.split_once([' ', '=']).unwrap_or((option, "")) {
            ("--pre", _) => translated.push("--prerelease=allow".to_owned()),
            ("--trusted-host", host) => translated.push(format!("--allow-insecure-host={host}")),
            _ => {}
        }
    }
    translated
}

fn lines(list: &[String]) -> String {
    let mut text = list.join("\n");
    if !list.is_empty() {
        text.push('\n');
    }
    text
}

fn clear(folder: &Path) -> Result<(), EnvironmentError> {
    match std::fs::remove_dir_all(folder) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(EnvironmentError::Io { doing: "remove", path: folder.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Writes a file that only the user may read: the options in it may hold credentials.
fn private(path: &Path, text: &str) -> Result<(), EnvironmentError> {
    let write = || -> std::io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|source| EnvironmentError::Io { doing: "write", path: path.to_owned(), source })
}
