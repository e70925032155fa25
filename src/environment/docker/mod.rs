//! Environments that are containers: which engine there is, what an image's key is, and how an image comes to be here.
//!
//! docker, or podman where docker is absent, through its own command line. An image's key is its identity (the digest of its
//! configuration, the same on every machine); a Dockerfile's is its text and what it copies. Building and pulling happen
//! here; a container is started by whoever runs the job, as [`Container`] says.

mod context;
mod dockerfile;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::builder::Setup;
use super::place::hold;
use super::tool::Tool;
use super::{Activation, EnvironmentError, Step, interpreter};
use crate::digest::Digest;
use crate::launch::{Client, Image, Recipe};
use crate::project::model::Docker;
use crate::staleness::Key;

/// The container that a job runs in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Container {
    /// docker or podman, absolute.
    pub engine: PathBuf,
    /// The variables that the engine's client needs; none of them is for the job.
    pub variables: BTreeMap<String, String>,
    /// The image, by its identity or a name that amlrun alone gives.
    pub image: String,
    /// Options of `run`: whose the container's files are, GPUs, shared memory, what the Amlfile adds.
    pub options: Vec<String>,
}

impl Container {
    /// Whether the loopback of this machine is the container's own, as its options ask for.
    #[must_use]
    pub fn shares_network(&self) -> bool {
        let is_flag = |word: &str| matches!(word, "--network" | "--net");
        let joined = self.options.iter().filter_map(|option| option.split_once('='));
        let split = self.options.iter().zip(self.options.iter().skip(1));
        let mut all = joined.chain(split.map(|(flag, value)| (flag.as_str(), value.as_str())));
        all.any(|(flag, value)| is_flag(flag) && value == "host")
    }
}

/// Variables by which the engines' clients find their daemon, their configuration and their way out.
const OF_CLIENT: [&str; 3] = ["DOCKER_", "CONTAINER", "XDG_"];
/// The name of images that amlrun builds; the tag is the key.
const BUILT: &str = "amlrun-environment";

/// An engine that was found.
#[derive(Debug)]
struct Engine<'s> {
    setup: &'s Setup,
    program: PathBuf,
}

/// What an image here is.
struct Known {
    identity: String,
    /// `linux/amd64`.
    platform: String,
}

/// The key of a container; none where only a pull would tell and nothing may be written.
pub(super) fn key(
    setup: &Setup,
    docker: &Docker,
    frozen: bool,
    told: &mut dyn FnMut(Step),
) -> Result<Option<Key>, EnvironmentError> {
    let mut facts = BTreeMap::from([("kind".to_owned(), "container".to_owned())]);
    if !docker.arguments.is_empty() {
        facts.insert("arguments".to_owned(), shell_words::join(&docker.arguments));
    }
    if let Some(platform) = &docker.platform {
        facts.insert("platform".to_owned(), platform.clone());
    }
    if docker.dockerfile.is_some() {
        for (name, digest) in [("dockerfile", dockerfile::digest(setup, docker)?), ("context", copied(setup, docker)?)]
        {
            facts.insert(name.to_owned(), digest.to_string());
        }
        return Ok(Some(Key::of(facts)));
    }
    let engine = Engine::find(setup)?;
    let Some(image) = engine.image(docker, frozen, told)? else { return Ok(None) };
    facts.insert("image".to_owned(), image.identity);
    facts.insert("platform".to_owned(), image.platform);
    Ok(Some(Key::of(facts)))
}

/// Makes the image ready: pulls or builds it where it is not here.
pub(super) fn ready(
    setup: &Setup,
    docker: &Docker,
    told: &mut dyn FnMut(Step),
) -> Result<Activation, EnvironmentError> {
    let engine = Engine::find(setup)?;
    let image = if docker.dockerfile.is_some() {
        engine.built(docker, told)?
    } else {
        let image = engine.image(docker, false, told)?;
        image.map(|image| image.identity).ok_or_else(|| EnvironmentError::Unavailable("it is not here".to_owned()))?
    };
    let mut options = engine.user();
    options.extend(engine.init().map(str::to_owned));
    options.extend(asked(docker));
    let container = Container { engine: engine.program.clone(), variables: engine.variables(), image, options };
    Ok(Activation { container: Some(container), ..Activation::default() })
}

/// The image as another machine is to have it: made ready here first, as its identity is told by the engine here.
pub(super) fn recipe(setup: &Setup, docker: &Docker) -> Result<Recipe, EnvironmentError> {
    let engine = Engine::find(setup)?;
    let (image, name) = match (&docker.dockerfile, &docker.image) {
        (Some(file), _) => (engine.inspect(&engine.built(docker, &mut |_| {})?)?, file.to_string()),
        (None, name) => {
            let image = engine.image(docker, false, &mut |_| {})?;
            let gone = || EnvironmentError::Unavailable("it is not here".to_owned());
            (image.ok_or_else(gone)?, name.clone().unwrap_or_default())
        }
    };
    let client = Client { program: engine.program.clone(), variables: engine.variables() };
    Ok(Recipe::Container(Image { identity: image.identity, name, options: asked(docker), client }))
}

/// The options of `run` that the Amlfile asks for.
fn asked(docker: &Docker) -> Vec<String> {
    let mut options = Vec::new();
    if docker.gpus {
        options.extend(["--gpus".to_owned(), "all".to_owned()]);
    }
    if let Some(bytes) = docker.shm_size {
        options.extend(["--shm-size".to_owned(), format!("{bytes}b")]);
    }
    if let Some(platform) = &docker.platform {
        options.extend(["--platform".to_owned(), platform.clone()]);
    }
    options.extend(docker.arguments.iter().cloned());
    options
}

impl<'s> Engine<'s> {
    fn find(setup: &'s Setup) -> Result<Self, EnvironmentError> {
        let found = ["docker", "podman"].into_iter().find_map(|name| interpreter::on_path(setup, name).next());
        let none = || {
            let why = "neither docker nor podman is on PATH; install one of them";
            EnvironmentError::Unavailable(why.to_owned())
        };
        Ok(Self { setup, program: found.ok_or_else(none)? })
    }

    fn is_podman(&self) -> bool {
        self.program.ends_with("podman")
    }

    fn variables(&self) -> BTreeMap<String, String> {
        let own = |name: &str| {
            ["PATH", "HOME", "TMPDIR", "SSH_AUTH_SOCK"].contains(&name)
                || OF_CLIENT.iter().any(|beginning| name.starts_with(beginning))
                || name.to_ascii_lowercase().ends_with("_proxy")
        };
        let variables = self.setup.variables.iter();
        variables.filter(|(name, _)| own(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn tool(&self) -> Tool {
        Tool::new(&self.program, &self.variables(), &self.setup.root)
    }

    /// Whoever calls owns what the job writes. Podman without root maps its own root to the caller, so the caller must be
    /// kept as himself.
    fn user(&self) -> Vec<String> {
        let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
        if self.is_podman() && !user.is_root() {
            return vec!["--userns=keep-id".to_owned()];
        }
        vec!["--user".to_owned(), format!("{}:{}", user.as_raw(), group.as_raw())]
    }

    /// An init as the container's first process: without one, a program that does not handle a signal is not ended by it.
    /// Podman's is a package of its own, which need not be there.
    fn init(&self) -> Option<&'static str> {
        let known = ["/usr/libexec/podman/catatonit", "/usr/lib/podman/catatonit", "/usr/bin/catatonit"];
        let there = !self.is_podman() || known.iter().any(|init| Path::new(init).exists());
        there.then_some("--init")
    }

    /// What an image is, if it is here.
    fn inspect(&self, name: &str) -> Result<Known, EnvironmentError> {
        let format = "{{.Id}} {{.Os}}/{{.Architecture}}";
        let said = self.tool().args(["image", "inspect", "--format", format]).arg(name).capture()?;
        let (identity, platform) = said.trim().split_once(' ').unwrap_or((said.trim(), ""));
        let identity = identity.strip_prefix("sha256:").unwrap_or(identity);
        Ok(Known { identity: identity.to_owned(), platform: platform.to_owned() })
    }

    /// The image that the Amlfile names, pulled where it is not here; none where that may not be.
    fn image(
        &self,
        docker: &Docker,
        frozen: bool,
        told: &mut dyn FnMut(Step),
    ) -> Result<Option<Known>, EnvironmentError> {
        let name = docker.image.as_deref().unwrap_or_default();
        // `linux/arm64/v8` is `linux/arm64` to whoever inspects.
        let fits = |image: &Known| docker.platform.as_ref().is_none_or(|wanted| wanted.starts_with(&image.platform));
        match self.inspect(name) {
            Ok(image) if fits(&image) => return Ok(Some(image)),
            Err(error) if !is_missing(&error) => return Err(error),
            _ if frozen => return Ok(None),
            _ => {}
        }
        told(Step::Started);
        let platform = docker.platform.iter().flat_map(|platform| ["--platform", platform]);
        self.tool().arg("pull").args(platform).arg(name).stream(&self.setup.halt, told)?;
        self.inspect(name).map(Some)
    }

    /// The name of the image of a Dockerfile, built where it is not here: by one builder at a time.
    fn built(&self, docker: &Docker, told: &mut dyn FnMut(Step)) -> Result<String, EnvironmentError> {
        let files = context::files(self.setup, docker)?;
        let text = dockerfile::digest(self.setup, docker)?;
        let copied = context::digest(&files)?;
        let platform = docker.platform.clone().unwrap_or_default();
        let recipe = BTreeMap::from([
            ("dockerfile".to_owned(), text.to_string()),
            ("context".to_owned(), copied.to_string()),
            ("platform".to_owned(), platform),
        ]);
        let tag = Key::of(recipe).digest.to_string();
        let name = format!("{BUILT}:{}", tag.get(..32).unwrap_or(&tag));
        match self.inspect(&name) {
            Ok(_) => return Ok(name),
            Err(error) if !is_missing(&error) => return Err(error),
            Err(_) => {}
        }
        let lock = self.setup.cache.join("images-v1").join(format!("{tag}.lock"));
        let held = hold(&lock, &self.setup.halt)?;
        if self.inspect(&name).is_ok() {
            return Ok(name);
        }
        told(Step::Started);
        let sent = context::Packed::new(self.setup, docker, &files)?;
        if sent.digest(&files)? != copied {
            let why = "what the Dockerfile copies is being changed; run amlrun again when it holds still";
            return Err(EnvironmentError::Unavailable(why.to_owned()));
        }
        let platform = docker.platform.iter().flat_map(|platform| ["--platform", platform]);
        let build = self.tool().arg("build").args(platform).args(["--tag", &name, "--file"]).arg(sent.dockerfile());
        build.arg(sent.folder()).guarded(&held)?.stream(&self.setup.halt, told)?;
        Ok(name)
    }
}

fn copied(setup: &Setup, docker: &Docker) -> Result<Digest, EnvironmentError> {
    context::digest(&context::files(setup, docker)?)
}

/// Whether an engine said that it does not have the image, rather than that it cannot be reached.
fn is_missing(error: &EnvironmentError) -> bool {
    let EnvironmentError::Tool { tail, .. } = error else { return false };
    let tail = tail.to_ascii_lowercase();
    ["no such image", "image not known", "failed to find image", "no such object"]
        .iter()
        .any(|word| tail.contains(word))
}

/// The folder that the Dockerfile is built in, absolute.
fn folder(setup: &Setup, docker: &Docker) -> PathBuf {
    let own = || docker.dockerfile.as_ref().and_then(|file| file.as_path().parent().map(Path::to_owned));
    let folder = docker.context.as_ref().map(|context| context.as_path().to_owned()).or_else(own);
    setup.root.join(folder.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_shared_where_the_options_say_so() {
        let rows: &[(&[&str], bool)] = &[
            (&[], false),
            (&["--network", "host"], true),
            (&["--net=host"], true),
            (&["--network=host", "--gpus", "all"], true),
            (&["--gpus", "all", "--net", "host"], true),
            (&["--network", "none"], false),
            (&["--network=bridge"], false),
            (&["--name", "--network", "hosts"], false),
            (&["--hostname", "host"], false),
            (&["--network"], false),
        ];
        for (options, wanted) in rows {
            let container = Container {
                engine: PathBuf::new(),
                variables: BTreeMap::new(),
                image: String::new(),
                options: options.iter().map(|&option| option.to_owned()).collect(),
            };
            assert_eq!(container.shares_network(), *wanted, "{options:?}");
        }
    }
}
