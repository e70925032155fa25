//! What a Dockerfile takes from its context, so that its key is what it copies and not the whole folder around it.

use std::path::PathBuf;

use crate::digest::Digest;
use crate::environment::EnvironmentError;
use crate::environment::builder::Setup;
use crate::project::model::Docker;

/// What is taken from the context.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Whatever is in it: it cannot be told from the text.
    All,
    /// What these patterns name, relative to the context.
    Named(Vec<String>),
}

/// Where the Dockerfile lies.
pub(super) fn path(setup: &Setup, docker: &Docker) -> PathBuf {
    setup.root.join(docker.dockerfile.as_ref().map(|file| file.as_path().to_owned()).unwrap_or_default())
}

/// The Dockerfile's text.
pub(super) fn text(setup: &Setup, docker: &Docker) -> Result<String, EnvironmentError> {
    let path = path(setup, docker);
    std::fs::read_to_string(&path).map_err(|source| EnvironmentError::Io { doing: "read", path, source })
}

/// The digest of its text.
pub(super) fn digest(setup: &Setup, docker: &Docker) -> Result<Digest, EnvironmentError> {
    text(setup, docker).map(|text| Digest::of(text.as_bytes()))
}

/// What the instructions of a Dockerfile take from the context. Whatever is not understood takes all.
pub(super) fn taken(text: &str) -> Taken {
    let mut named = Vec::new();
    for instruction in instructions(text) {
        let (name, rest) = instruction.split_once(char::is_whitespace).unwrap_or((&instruction, ""));
        match name.to_ascii_uppercase().as_str() {
            "COPY" | "ADD" => match sources(rest.trim()) {
                Some(sources) => named.extend(sources),
                None => return Taken::All,
            },
            // A mount of the context; and an image may bring instructions with it.
            "RUN" if rest.contains("--mount") && rest.contains("bind") && !rest.contains("from=") => return Taken::All,
            "ONBUILD" => return Taken::All,
            _ => {}
        }
    }
    named.sort();
    named.dedup();
    Taken::Named(named)
}

/// Instructions, with continued lines put together and comments left out.
fn instructions(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = String::new();
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (part, goes_on) = line.strip_suffix('\\').map_or((line, false), |part| (part, true));
        open.push_str(part);
        open.push(' ');
        if !goes_on {
            found.push(std::mem::take(&mut open).trim().to_owned());
        }
    }
    if !open.trim().is_empty() {
        found.push(open.trim().to_owned());
    }
    found
}

/// The sources of a COPY or ADD; none of its arguments where it copies from another stage; `None` for what cannot be told.
fn sources(mut rest: &str) -> Option<Vec<String>> {
    while let Some(flag) = rest.strip_prefix("--") {
        let (flag, after) = flag.split_once(char::is_whitespace)?;
        if flag.starts_with("from=") {
            return Some(Vec::new());
        }
        rest = after.trim_start();
    }
    let mut words: Vec<String> =
        if rest.starts_with('[') { serde_json::from_str(rest).ok()? } else { shell_words::split(rest).ok()? };
    words.pop()?;
    if words.iter().any(|word| word.contains('$')) {
        return None;
    }
    // Of a here-document the text itself stands in the Dockerfile, and an address is not of the context.
    words.retain(|word| !word.starts_with("<<") && !word.contains("://") && !word.starts_with("git@"));
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copied_is_taken() {
        let named = |names: &[&str]| Taken::Named(names.iter().map(|&name| name.to_owned()).collect());
        let rows = [
            ("FROM x\nRUN pip install y\n", named(&[])),
            ("FROM x\nCOPY a b /to/\n", named(&["a", "b"])),
            ("copy --chown=1:1 requirements.txt \\\n  # a remark\n  lib/ /to/\n", named(&["lib/", "requirements.txt"])),
            ("COPY [\"a file\", \"/to\"]\n", named(&["a file"])),
            ("COPY --from=build /bin/tool /bin/\nADD https://host/x /x\n", named(&[])),
            ("COPY . .\n", named(&["."])),
            ("COPY $WHAT /to\n", Taken::All),
            ("RUN --mount=type=bind,target=/src make\n", Taken::All),
            ("RUN --mount=type=cache,target=/cache pip install x\n", named(&[])),
            ("COPY <<EOF /to\n", named(&[])),
            ("COPY 'unfinished\n", Taken::All),
        ];
        for (text, taken) in rows {
            assert_eq!(super::taken(text), taken, "{text}");
        }
    }
}
