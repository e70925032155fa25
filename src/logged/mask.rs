//! Cuts the values of secrets out of what was logged, in whatever form they stand there: as they are, as JSON escapes them
//! (once and twice, as a text in a text), with Python's `\u` escapes, with `%` escapes.
//!
//! A run whose amlrun was killed is recorded by another amlrun, which need not know its secrets. For it there are their
//! digests: what has such a digest is cut out.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Facts, Series};
use crate::digest::{Digest, Digester};

/// What stands in place of a secret.
const INSTEAD: &str = "***";
/// Values shorter than this are no secrets, and every other line may hold them.
const SHORTEST: usize = 4;

/// The forms of the secrets of a run.
#[derive(Clone, Default)]
pub struct Secrets {
    /// Longest first.
    forms: Vec<Form>,
    salt: String,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.forms.len())
    }
}

#[derive(Clone)]
enum Form {
    Text(Vec<u8>),
    Hashed(Hashed),
}

/// A form of a secret that is not known itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Hashed {
    length: usize,
    /// The sum of its bytes, so that few texts need be hashed.
    sum: u32,
    digest: Digest,
}

/// What can be kept of secrets for whoever does not know them.
#[derive(Debug, Serialize, Deserialize)]
struct Sealed {
    salt: String,
    forms: Vec<Hashed>,
}

impl Secrets {
    /// Those of these values.
    #[must_use]
    pub fn new(values: &[String]) -> Self {
        let mut forms: Vec<String> = Vec::new();
        for value in values.iter().map(|value| value.trim()).filter(|value| value.len() >= SHORTEST) {
            let (once, ascii) = (json(value), python(value));
            forms.extend([json(&once), json(&ascii), once, ascii, percent(value, false), percent(value, true)]);
            forms.push(value.to_owned());
        }
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        forms.dedup();
        Self { forms: forms.into_iter().map(|form| Form::Text(form.into_bytes())).collect(), salt: String::new() }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.forms.is_empty()
    }

    /// What may lie on disk while the run goes on; `salt` is random.
    #[must_use]
    pub fn seal(&self, salt: &str) -> String {
        let sealed = |form: &Form| match form {
            Form::Text(text) => Hashed { length: text.len(), sum: sum(text), digest: hash(salt, text) },
            Form::Hashed(hashed) => hashed.clone(),
        };
        let sealed = Sealed { salt: salt.to_owned(), forms: self.forms.iter().map(sealed).collect() };
        serde_json::to_string(&sealed).unwrap_or_default()
    }

    /// Secrets of which only that is known; none where it cannot be read.
    #[must_use]
    pub fn unseal(text: &str) -> Option<Self> {
        let sealed: Sealed = serde_json::from_str(text).ok()?;
        Some(Self { forms: sealed.forms.into_iter().map(Form::Hashed).collect(), salt: sealed.salt })
    }

    fn at(&self, rest: &[u8]) -> Option<usize> {
        self.forms.iter().find_map(|form| match form {
            Form::Text(text) => rest.starts_with(text).then_some(text.len()),
            Form::Hashed(hashed) => {
                let window = rest.get(..hashed.length)?;
                (sum(window) == hashed.sum && hash(&self.salt, window) == hashed.digest).then_some(hashed.length)
            }
        })
    }

    /// A text without them; none where they are not in it.
    #[must_use]
    pub fn cut(&self, text: &str) -> Option<String> {
        let bytes = text.as_bytes();
        let mut shown: Vec<u8> = Vec::new();
        let (mut from, mut is_cut) = (0, false);
        while let Some(rest) = bytes.get(from..).filter(|rest| !rest.is_empty()) {
            if let Some(length) = self.at(rest) {
                shown.extend_from_slice(INSTEAD.as_bytes());
                (from, is_cut) = (from + length.max(1), true);
            } else {
                shown.extend(rest.first());
                from += 1;
            }
        }
        is_cut.then(|| String::from_utf8_lossy(&shown).into_owned())
    }
}

fn sum(bytes: &[u8]) -> u32 {
    bytes.iter().map(|byte| u32::from(*byte)).sum()
}

fn hash(salt: &str, bytes: &[u8]) -> Digest {
    let mut digester = Digester::new("amlrun sealed secret");
    digester.bytes(salt.as_bytes()).bytes(bytes);
    digester.finish()
}

/// As it stands in a JSON text.
fn json(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    quoted.get(1..quoted.len() - 1).unwrap_or_default().to_owned()
}

/// As Python's `json.dumps` writes it.
fn python(text: &str) -> String {
    let mut escaped = String::new();
    for c in json(text).chars() {
        if c.is_ascii() {
            escaped.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    escaped
}

/// As it stands in an address.
fn percent(text: &str, whole: bool) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte) || (byte == b'/' && !whole) {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

pub(super) fn text(secrets: &Secrets, text: &mut String) {
    if let Some(cut) = secrets.cut(text) {
        *text = cut;
    }
}

fn key(secrets: &Secrets, name: &str) -> String {
    secrets.cut(name).unwrap_or_else(|| name.to_owned())
}

fn value(secrets: &Secrets, nested: &mut Value) {
    match nested {
        Value::String(found) => text(secrets, found),
        Value::Array(items) => items.iter_mut().for_each(|item| value(secrets, item)),
        Value::Object(fields) => {
            let old = std::mem::take(fields);
            for (name, mut inner) in old {
                value(secrets, &mut inner);
                fields.insert(key(secrets, &name), inner);
            }
        }
        Value::Number(number) if is_secret(secrets, &number.to_string()) => *nested = INSTEAD.into(),
        _ => {}
    }
}

/// Whether a number is a secret, and not only has some of its digits.
fn is_secret(secrets: &Secrets, number: &str) -> bool {
    secrets.at(number.as_bytes()) == Some(number.len())
}

pub(super) fn series(secrets: &Secrets, series: &mut Series) {
    if let Some(of) = &mut series.of {
        text(secrets, of);
    }
    text(secrets, &mut series.name);
    for point in &mut series.points {
        if is_secret(secrets, &point.value.to_string()) {
            point.value = f64::NAN;
        }
        if is_secret(secrets, &point.step.to_string()) {
            point.step = 0;
        }
    }
}

pub(super) fn facts(secrets: &Secrets, facts: &mut Facts) {
    for map in [&mut facts.params, &mut facts.properties] {
        let old = std::mem::take(map);
        map.extend(old.into_iter().map(|(name, mut value)| {
            text(secrets, &mut value);
            (key(secrets, &name), value)
        }));
    }
    let old = std::mem::take(&mut facts.tags);
    facts.tags.extend(old.into_iter().map(|(name, mut value)| {
        if let Some(value) = &mut value {
            text(secrets, value);
        }
        (key(secrets, &name), value)
    }));
    for table in &mut facts.tables {
        text(secrets, &mut table.kind);
        text(secrets, &mut table.name);
        value(secrets, &mut table.value);
    }
    let old = std::mem::take(&mut facts.artifacts);
    facts.artifacts.extend(old.into_iter().map(|path| key(secrets, &path)));
    for model in &mut facts.models {
        text(secrets, &mut model.name);
        text(secrets, &mut model.path);
        let old = std::mem::take(&mut model.tags);
        model.tags.extend(old.into_iter().map(|(name, mut value)| {
            text(secrets, &mut value);
            (key(secrets, &name), value)
        }));
    }
    for tag in &mut facts.model_tags {
        text(secrets, &mut tag.model);
        text(secrets, &mut tag.tag);
        if let Some(value) = &mut tag.value {
            text(secrets, value);
        }
    }
    for alias in &mut facts.aliases {
        text(secrets, &mut alias.model);
        text(secrets, &mut alias.alias);
    }
    facts.datasets.iter_mut().for_each(|dataset| value(secrets, dataset));
    let old = std::mem::take(&mut facts.logged_models);
    facts.logged_models.extend(old.into_iter().map(|(id, mut model)| {
        value(secrets, &mut model);
        (key(secrets, &id), model)
    }));
    for found in [&mut facts.status, &mut facts.error, &mut facts.experiment].into_iter().flatten() {
        text(secrets, found);
    }
}
