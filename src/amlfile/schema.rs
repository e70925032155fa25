//! The JSON schema of the Amlfile (draft-07, which editors with TOML support read), made from the table of keys.

use serde_json::{Map, Value, json};

use super::keys::{EXPRESSIONS, Key, Kind, ROOT, Tagged};

/// The schema, as `amlrun schema` prints it.
#[must_use]
pub fn schema() -> Value {
    let mut root = table(ROOT.iter());
    if let Value::Object(root) = &mut root {
        root.insert("$schema".into(), json!("http://json-schema.org/draft-07/schema#"));
        root.insert("title".into(), json!("Amlfile"));
        root.insert("description".into(), json!("Environments, targets and experiments of an amlrun project."));
        root.insert("required".into(), json!(["format"]));
        root.insert("definitions".into(), json!({ "value": value(), "expression": expression() }));
    }
    root
}

fn table<'k>(keys: impl Iterator<Item = &'k Key>) -> Value {
    let properties: Map<String, Value> = keys.map(|key| (key.name.to_owned(), property(key))).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn property(key: &Key) -> Value {
    let mut schema = of(key.kind);
    if let Value::Object(fields) = &mut schema {
        fields.insert("description".into(), json!(key.doc));
        if let Some(default) = serde_json::from_str::<Value>(key.default).ok().filter(|_| !key.default.is_empty()) {
            fields.insert("default".into(), default);
        }
    }
    schema
}

fn of(kind: Kind) -> Value {
    match kind {
        Kind::Text => json!({ "type": "string", "minLength": 1 }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Count => json!({ "type": "integer", "minimum": 0 }),
        Kind::Positive => json!({ "type": "integer", "minimum": 1 }),
        Kind::Format => json!({ "type": "integer", "const": super::FORMAT }),
        Kind::Number => json!({ "type": "number" }),
        Kind::Memory => json!({ "type": "string", "pattern": r"^\s*[0-9.]+\s*(B|[KMGT]B|[KMGT]iB?)\s*$" }),
        Kind::Time => json!({ "type": "string", "pattern": r"^\s*([0-9.]+\s*(s|sec|m|min|h|d|w)\s*)+$" }),
        Kind::Scalar => json!({ "type": ["string", "number", "boolean"] }),
        Kind::Value => json!({ "$ref": "#/definitions/value" }),
        Kind::Choice(choices) => json!({ "type": "string", "enum": choices }),
        Kind::List(element) => json!({ "type": "array", "items": of(*element) }),
        Kind::Map(value) => json!({ "type": "object", "additionalProperties": of(*value) }),
        Kind::Table(keys) => table(keys.iter()),
        Kind::Paths => json!({ "anyOf": [of(Kind::List(&Kind::Text)), of(Kind::Map(&Kind::Text))] }),
        Kind::Tagged(tagged) => one_of(tagged),
        Kind::Expression => json!({ "$ref": "#/definitions/expression" }),
    }
}

fn one_of(tagged: &Tagged) -> Value {
    let names: Vec<&str> = tagged.variants.iter().map(|(name, _)| *name).collect();
    let rules: Vec<Value> = tagged
        .variants
        .iter()
        .map(|(name, keys)| {
            let mut then = table(tagged.common.iter().chain(keys.iter()));
            if let Some(Value::Object(properties)) = then.get_mut("properties") {
                properties.insert(tagged.tag.into(), json!({}));
            }
            let only: Map<String, Value> = [(tagged.tag.to_owned(), json!({ "const": name }))].into_iter().collect();
            json!({ "if": { "properties": only, "required": [tagged.tag] }, "then": then })
        })
        .collect();
    let tag: Map<String, Value> =
        [(tagged.tag.to_owned(), json!({ "type": "string", "enum": names, "description": tagged.doc }))]
            .into_iter()
            .collect();
    json!({ "type": "object", "properties": tag, "required": [tagged.tag], "allOf": rules })
}

fn value() -> Value {
    let scalar = of(Kind::Scalar);
    json!({ "anyOf": [scalar, { "type": "array", "items": scalar }] })
}

fn expression() -> Value {
    let rules: Vec<Value> = EXPRESSIONS
        .iter()
        .map(|expression| {
            let count = expression.arguments.len();
            let arguments = match count {
                0 => json!({ "type": "array", "minItems": 1 }),
                1 => {
                    json!({ "type": ["array", "integer"], "minItems": 1, "maxItems": 1, "items": { "type": "number" } })
                }
                _ => json!({ "type": "array", "minItems": count, "maxItems": count, "items": { "type": "number" } }),
            };
            let mut properties = Map::new();
            properties.insert(expression.name.to_owned(), arguments);
            json!({
                "type": "object", "properties": properties, "required": [expression.name],
                "additionalProperties": false, "description": expression.doc,
            })
        })
        .collect();
    json!({ "oneOf": rules })
}
