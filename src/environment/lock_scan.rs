//! The quick way to read an `Amlfile.lock`: line by line, where it has exactly the form that `lock_text` writes.
//!
//! Every invocation reads the lock, and hundreds of hashes as TOML cost milliseconds. What deviates in any way, a damaged
//! file above all, is left to the TOML reader, which says what is wrong.

use std::collections::BTreeMap;
use std::str::Lines;

use super::lock::{Lock, Package, Section, Slot};
use super::lock_text::{HEADER, is_hash, is_pinned, is_sound};

/// The lock; none where the text is not of that form.
pub(super) fn scan(text: &str) -> Option<Lock> {
    let body = text.strip_prefix(HEADER)?.strip_prefix("version = 1\n")?;
    // Escapes, and bytes that TOML forbids, are not for here.
    if body.contains('\\') || body.bytes().any(|byte| byte != b'\n' && byte.is_ascii_control()) || !text.ends_with('\n')
    {
        return None;
    }
    let mut lines = body.lines();
    let mut sections = BTreeMap::new();
    let mut open: Option<(Slot, crate::digest::Digest, Vec<Package>)> = None;
    while let Some(line) = lines.next() {
        if !line.is_empty() {
            return None;
        }
        match (lines.next()?, &mut open) {
            ("[[environment]]", _) => {
                close(&mut sections, open.take())?;
                let slot = Slot {
                    environment: field(lines.next()?, "name")?,
                    python: field(lines.next()?, "python")?,
                    platform: field(lines.next()?, "platform")?,
                };
                open = Some((slot, field(lines.next()?, "asked")?.parse().ok()?, Vec::new()));
            }
            ("[[environment.package]]", Some((_, _, packages))) => packages.push(package(&mut lines)?),
            _ => return None,
        }
    }
    close(&mut sections, open)?;
    Some(Lock { sections })
}

/// Adds a section that is read to its end; none where there is one like it.
fn close(
    sections: &mut BTreeMap<Slot, Section>,
    open: Option<(Slot, crate::digest::Digest, Vec<Package>)>,
) -> Option<()> {
    let Some((slot, asked, packages)) = open else { return Some(()) };
    sections.insert(slot, Section::new(asked, packages)).is_none().then_some(())
}

fn package(lines: &mut Lines<'_>) -> Option<Package> {
    let (name, version) = (field(lines.next()?, "name")?, field(lines.next()?, "version")?);
    let mut line = lines.next()?;
    let source = field(line, "source");
    if source.is_some() {
        line = lines.next()?;
    }
    let mut hashes = Vec::new();
    if line == "hashes = [" {
        loop {
            let line = lines.next()?;
            if line == "]" {
                break;
            }
            let hash = line.strip_prefix("    \"")?.strip_suffix("\",")?;
            hashes.push(is_hash(hash).then(|| hash.to_owned())?);
        }
    } else if line != "hashes = []" {
        return None;
    }
    let package = Package { name, version, source, hashes };
    (is_sound(&package) && is_pinned(&package)).then_some(package)
}

/// The text of `name = "text"`.
fn field(line: &str, name: &str) -> Option<String> {
    let text = line.strip_prefix(name)?.strip_prefix(" = \"")?.strip_suffix('"')?;
    (!text.contains('"')).then(|| text.to_owned())
}
