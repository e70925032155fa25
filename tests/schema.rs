//! The JSON schema of the Amlfile takes what the parser takes, and refuses what it refuses; the reference lists what there
//! is (`SNAPSHOTS=overwrite cargo test --test schema` writes it anew).

#![expect(clippy::unwrap_used, clippy::panic, reason = "a schema of another shape fails the test")]

use amlrun::amlfile::{parse, reference, schema};
use amlrun::diagnostic::{Source, any_error};
use serde_json::Value;

/// As much of draft-07 as the schema uses. Answers where the value does not fit.
fn misfit(schema: &Value, root: &Value, value: &Value, at: &str) -> Option<String> {
    let no = |why: &str| Some(format!("{at}: {why}"));
    if let Some(name) = schema["$ref"].as_str() {
        return misfit(root.pointer(name.trim_start_matches('#')).unwrap(), root, value, at);
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    let is = |kind: &&str| match *kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64(),
        "number" => value.is_number(),
        other => panic!("type {other}"),
    };
    if !types.is_empty() && !types.iter().any(is) {
        return no(&format!("is no {types:?}"));
    }
    if schema.get("const").is_some_and(|only| only != value)
        || schema["enum"].as_array().is_some_and(|all| !all.contains(value))
    {
        return no("is none of the values");
    }
    if schema["minimum"].as_i64().zip(value.as_i64()).is_some_and(|(least, number)| number < least) {
        return no("is too small");
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str())
        && !regex::Regex::new(pattern).unwrap().is_match(text)
    {
        return no("does not match");
    }
    if let Some(text) = value.as_str()
        && schema["minLength"].as_u64().is_some_and(|least| (text.len() as u64) < least)
    {
        return no("is too short");
    }
    if let Some(items) = value.as_array() {
        let count = items.len() as u64;
        if schema["minItems"].as_u64().is_some_and(|least| count < least)
            || schema["maxItems"].as_u64().is_some_and(|most| count > most)
        {
            return no("has a wrong number of items");
        }
        if let Some(item) = schema.get("items")
            && let Some(why) =
                items.iter().enumerate().find_map(|(i, value)| misfit(item, root, value, &format!("{at}[{i}]")))
        {
            return Some(why);
        }
    }
    if let Some(entries) = value.as_object() {
        if let Some(missing) =
            schema["required"].as_array().into_iter().flatten().find(|key| !entries.contains_key(key.as_str().unwrap()))
        {
            return no(&format!("has no {missing}"));
        }
        for (key, value) in entries {
            let at = format!("{at}.{key}");
            let more = &schema["additionalProperties"];
            let why = match schema["properties"].get(key) {
                Some(schema) => misfit(schema, root, value, &at),
                None if more == &Value::Bool(false) => Some(format!("{at} is no key")),
                None if more.is_object() => misfit(more, root, value, &at),
                None => None,
            };
            if why.is_some() {
                return why;
            }
        }
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(ways) = schema[key].as_array() {
            let fits = ways.iter().filter(|way| misfit(way, root, value, at).is_none()).count();
            if fits == 0 || (key == "oneOf" && fits != 1) {
                return no(&format!("fits {fits} of {key}"));
            }
        }
    }
    for rule in schema["allOf"].as_array().into_iter().flatten() {
        if misfit(&rule["if"], root, value, at).is_none()
            && let Some(why) = misfit(&rule["then"], root, value, at)
        {
            return Some(why);
        }
    }
    None
}

fn check(text: &str, fits: bool) {
    let source = Source { name: "Amlfile".into(), text: format!("format = 1\n{text}") };
    let (_, faults) = parse(&source);
    assert_eq!(!any_error(&faults), fits, "the parser on {text:?}: {faults:?}");
    let value = serde_json::to_value(toml::from_str::<toml::Table>(&source.text).unwrap()).unwrap();
    let schema = schema();
    let misfit = misfit(&schema, &schema, &value, "");
    assert_eq!(misfit.is_none(), fits, "the schema on {text:?}: {misfit:?}");
}

#[test]
fn the_example_fits() {
    check(&include_str!("../Amlfile.example").replace("format = 1", ""), true);
}

#[test]
fn parser_and_schema_agree() {
    check("[experiments.x]\nscript = \"a.py\"\nretries = 0", true);
    check("[experiments.x]\nretries = -1", false);
    check("[experiments.x]\nscirpt = \"a.py\"", false);
    check("[experiments.x]\ninputs = 1", false);
    check("[experiments.x]\ninputs = [\"a\"]", true);
    check("[experiments.x]\ninputs = { a = \"b\" }", true);
    check("[experiments.x]\nresources = { memory = \"4G\" }", false);
    check("[experiments.x]\nresources = { memory = \"4.5 GiB\", time = \"1h 30m\" }", true);
    check("[experiments.x]\nresources = { time = \"90\" }", false);
    check("[experiments.x]\nisolation = \"none\"", false);
    check("[experiments.x]\nmatrix = { a = 1 }", false);
    check("[experiments.x]\nmatrix = { a = [1, \"x\", [1, 2]] }", true);
    check("[experiments.x]\ndistributed = { type = \"pytorch\", workers = 1 }", false);
    check("[experiments.x]\ndistributed = { type = \"tensorflow\", workers = 1 }", true);
    check("[experiments.x]\ndistributed = { nodes = 1 }", false);
    check("[targets.x]\ntype = \"slurm\"\nhost = \"x\"", false);
    check("[targets.x]\ntype = \"slurm\"\npartition = \"x\"\ndescription = \"y\"", true);
    check("[targets.x]\ntype = \"slum\"", false);
    check("[params]\na = 1\nb = [1, 2]\nc = \"x\"", true);
    check("[params]\na = { b = 1 }", false);
    check(
        "[experiments.x.sweep.space]\na = { uniform = [0, 1] }\nb = { choice = [1, { c = 2, d = { randint = 3 } }] }",
        true,
    );
    check("[experiments.x.sweep.space]\na = { uniform = [0] }", false);
    check("[experiments.x.sweep.space]\na = { uniform = [0, 1], normal = [0, 1] }", false);
    check("[experiments.x.sweep.space]\na = { unifrom = [0, 1] }", false);
    check("[workspace]\nname = \"\"", false);
}

#[test]
fn the_reference_is_up_to_date() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/amlfile-keys.md");
    let expected = snapbox::Data::read_from(&file, None).raw();
    snapbox::Assert::new().action_env("SNAPSHOTS").normalize_paths(false).eq(reference(), expected);
}
