//! `Amlfile.lock` as text: TOML, one form for one content, so that locking twice gives the same bytes.
//!
//! ```toml
//! version = 1
//!
//! [[environment]]
//! name = "sklearn"
//! python = "CPython 3.11"
//! platform = "linux-x86_64-gnu"
//! asked = "<digest of the requirements>"
//!
//! [[environment.package]]
//! name = "six"
//! version = "1.16.0"
//! hashes = [
//!     "sha256:…",
//! ]
//! ```

use std::fmt::Write;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::installed::normalized;
use super::lock::{Lock, Package, Section, Slot, VERSION};
use super::lock_scan;
use super::requirements::line_at;

pub(super) const HEADER: &str =
    "# What the environments of the Amlfile resolved to. Written by `amlrun env lock`; commit it, do not edit it.\n";

/// Writes it.
pub(super) fn write(lock: &Lock) -> String {
    let mut text = format!("{HEADER}version = {VERSION}\n");
    for (slot, section) in &lock.sections {
        text.push_str("\n[[environment]]\n");
        field(&mut text, "name", &slot.environment);
        field(&mut text, "python", &slot.python);
        field(&mut text, "platform", &slot.platform);
        field(&mut text, "asked", &section.asked.to_string());
        for package in &section.packages {
            text.push_str("\n[[environment.package]]\n");
            field(&mut text, "name", &package.name);
            field(&mut text, "version", &package.version);
            if let Some(source) = &package.source {
                field(&mut text, "source", source);
            }
            text.push_str("hashes = [");
            for hash in &package.hashes {
                let _infallible = write!(text, "\n    {},", quoted(hash));
            }
            text.push_str(if package.hashes.is_empty() { "]\n" } else { "\n]\n" });
        }
    }
    text
}

fn field(text: &mut String, name: &str, value: &str) {
    let _infallible = writeln!(text, "{name} = {}", quoted(value));
}

/// A TOML basic string.
fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            c if c.is_control() => {
                let _infallible = write!(text, "\\u{:04X}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

/// Reads it.
///
/// # Errors
/// What is wrong, with its line; a file that is wrong is never written over.
pub(super) fn read(text: &str) -> Result<Lock, String> {
    if let Some(lock) = lock_scan::scan(text) {
        return Ok(lock);
    }
    parse(text)
}

/// As [`read`], by way of TOML whatever the form.
///
/// # Errors
/// What is wrong, with its line.
pub(super) fn parse(text: &str) -> Result<Lock, String> {
    let document = DeTable::parse(text).map_err(|error| {
        let why = error.message().replace('\n', "; ");
        Fault { at: error.span().map_or(0, |span| span.start), why }.told(text)
    })?;
    read_table(&document).map_err(|fault| fault.told(text))
}

/// What is wrong at a byte of the text.
struct Fault {
    at: usize,
    why: String,
}

impl Fault {
    fn told(&self, text: &str) -> String {
        let line = line_at(text, self.at);
        let marker = text
            .lines()
            .nth(line - 1)
            .is_some_and(|line| ["<<<<<<<", "=======", ">>>>>>>"].iter().any(|m| line.starts_with(m)));
        let next = if marker {
            "a merge left its markers; take either side, then run `amlrun env lock`"
        } else {
            "restore it from version control, or delete it and run `amlrun env lock`"
        };
        format!("line {line}: {}; {next}", self.why)
    }
}

fn read_table(document: &Spanned<DeTable<'_>>) -> Result<Lock, Fault> {
    let mut lock = Lock::default();
    let top = document.get_ref();
    let version = top.get("version").ok_or_else(|| Fault { at: 0, why: "it has no `version`".to_owned() })?;
    let number = version.get_ref().as_integer().and_then(|n| i64::from_str_radix(n.as_str(), n.radix()).ok());
    match number {
        Some(VERSION) => {}
        Some(number) if number > VERSION => {
            let why = format!("version {number} was written by a newer amlrun, which has to be used here too");
            return Err(Fault { at: version.span().start, why });
        }
        _ => return Err(Fault { at: version.span().start, why: format!("`version` is not {VERSION}") }),
    }
    known(top, &["version", "environment"])?;
    for table in tables(top, "environment")? {
        let keys = table.get_ref();
        known(keys, &["name", "python", "platform", "asked", "package"])?;
        let slot = Slot {
            environment: text_of(&table, "name")?,
            python: text_of(&table, "python")?,
            platform: text_of(&table, "platform")?,
        };
        let asked = text_of(&table, "asked")?;
        let asked = asked.parse().map_err(|error| Fault { at: table.span().start, why: format!("{error}") })?;
        let mut packages = Vec::new();
        for table in tables(keys, "package")? {
            packages.push(package(&table)?);
        }
        if lock.sections.insert(slot, Section::new(asked, packages)).is_some() {
            return Err(Fault { at: table.span().start, why: "a second section of the same environment".to_owned() });
        }
    }
    Ok(lock)
}

fn package(table: &Table<'_, '_>) -> Result<Package, Fault> {
    known(table.get_ref(), &["name", "version", "source", "hashes"])?;
    let at = table.span().start;
    let mut hashes = Vec::new();
    for item in table.get_ref().get("hashes").and_then(|list| list.get_ref().as_array()).into_iter().flatten() {
        let hash = item.get_ref().as_str().unwrap_or_default();
        if !is_hash(hash) {
            return Err(Fault {
                at: item.span().start,
                why: "a hash that is not `sha256:` and 64 hex digits".to_owned(),
            });
        }
        hashes.push(hash.to_owned());
    }
    let source = table.get_ref().contains_key("source").then(|| text_of(table, "source")).transpose()?;
    let (name, version) = (text_of(table, "name")?, text_of(table, "version")?);
    let package = Package { name, version, source, hashes };
    if !is_sound(&package) {
        return Err(Fault { at, why: "a package whose name, version or source is not one".to_owned() });
    }
    if !is_pinned(&package) {
        return Err(Fault { at, why: format!("package `{}` has no hashes", package.name) });
    }
    Ok(package)
}

/// `sha256:` and 64 hex digits.
pub(super) fn is_hash(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Whether its texts may become words of a requirements file: nothing in them may begin another option or line.
pub(super) fn is_sound(package: &Package) -> bool {
    let sound = |text: &str| !text.is_empty() && !text.starts_with('-') && !text.contains(char::is_whitespace);
    sound(&package.name)
        && sound(&package.version)
        && package.source.as_deref().is_none_or(sound)
        && normalized(&package.name) == package.name
}

/// Whether what is installed is certain: by hashes, or by a commit.
pub(super) fn is_pinned(package: &Package) -> bool {
    !package.hashes.is_empty() || package.source.as_deref().is_some_and(|source| source.starts_with("git+"))
}

/// A table with its place.
struct Table<'t, 'i>(&'t DeTable<'i>, std::ops::Range<usize>);

impl<'t, 'i> Table<'t, 'i> {
    fn get_ref(&self) -> &'t DeTable<'i> {
        self.0
    }
    fn span(&self) -> std::ops::Range<usize> {
        self.1.clone()
    }
}

fn tables<'t, 'i>(table: &'t DeTable<'i>, name: &str) -> Result<Vec<Table<'t, 'i>>, Fault> {
    let Some(list) = table.get(name) else { return Ok(Vec::new()) };
    let fault = |at: usize| Fault { at, why: format!("`{name}` is not a list of tables") };
    let items = list.get_ref().as_array().ok_or_else(|| fault(list.span().start))?;
    let one = |item: &'t Spanned<DeValue<'i>>| {
        let table = item.get_ref().as_table().ok_or_else(|| fault(item.span().start))?;
        Ok(Table(table, item.span()))
    };
    items.iter().map(one).collect()
}

fn known(table: &DeTable<'_>, names: &[&str]) -> Result<(), Fault> {
    match table.keys().find(|key| !names.contains(&key.get_ref().as_ref())) {
        Some(key) => Err(Fault { at: key.span().start, why: format!("unknown key `{}`", key.get_ref()) }),
        None => Ok(()),
    }
}

fn text_of(table: &Table<'_, '_>, name: &str) -> Result<String, Fault> {
    let value = table.get_ref().get(name);
    let text = value.and_then(|value| value.get_ref().as_str());
    let at = value.map_or(table.span().start, |value| value.span().start);
    text.map(str::to_owned).ok_or_else(|| Fault { at, why: format!("`{name}` is missing or not a text") })
}
