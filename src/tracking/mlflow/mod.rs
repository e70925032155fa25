//! MLflow's REST interface over a run's log: what its clients of versions 2 and 3 send while a script runs.
//!
//! Called by the server, for a request whose token was that of a run. Answers are those of MLflow's own server, field by
//! field; what is not here answers as an endpoint that MLflow does not have. `docs/mlflow.md` lists what is.

mod artifacts;
mod experiments;
mod models;
mod registry;
mod runs;
mod search;
mod stages;
mod traces;
mod writing;

use serde_json::{Map, Value, json};

use super::http::{Answer, Connection, Fault, Head, unescape};
use super::server::{Live, Shared};
use crate::digest::Digest;

/// What MLflow calls a fault, and what was wrong.
#[derive(Debug)]
struct Wrong {
    status: u16,
    code: &'static str,
    message: String,
}

impl Wrong {
    fn absent(message: impl Into<String>) -> Self {
        Self { status: 404, code: "RESOURCE_DOES_NOT_EXIST", message: message.into() }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self { status: 400, code: "INVALID_PARAMETER_VALUE", message: message.into() }
    }

    fn there(message: impl Into<String>) -> Self {
        Self { status: 400, code: "RESOURCE_ALREADY_EXISTS", message: message.into() }
    }

    fn forbidden(message: impl Into<String>) -> Self {
        Self { status: 403, code: "PERMISSION_DENIED", message: message.into() }
    }
}

impl From<std::io::Error> for Wrong {
    fn from(error: std::io::Error) -> Self {
        Self { status: 500, code: "INTERNAL_ERROR", message: format!("amlrun could not keep it: {error}") }
    }
}

type Answered = Result<Value, Wrong>;

/// A request that was read.
struct Asked<'a> {
    shared: &'a Shared,
    live: &'a Live,
    /// The fields of its body or of its query.
    fields: Map<String, Value>,
}

impl Asked<'_> {
    /// A text; numbers are taken for texts, as MLflow does with identities.
    fn text(&self, name: &str) -> Option<String> {
        text(self.fields.get(name)?)
    }

    fn needed(&self, name: &str) -> Result<String, Wrong> {
        self.text(name).filter(|text| !text.is_empty()).ok_or_else(|| {
            Wrong::invalid(format!(
                "Missing value for required parameter '{name}'. See the API docs for more information about request parameters."
            ))
        })
    }

    fn number(&self, name: &str) -> Option<i64> {
        number(self.fields.get(name)?)
    }

    /// The items of a list; a query that names it once gives one.
    fn list(&self, name: &str) -> Vec<Value> {
        match self.fields.get(name) {
            Some(Value::Array(items)) => items.clone(),
            Some(Value::Null) | None => Vec::new(),
            Some(one) => vec![one.clone()],
        }
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

fn number(value: &Value) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "clamped")]
    match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(|number| number as i64)),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// `[{"key": k, "value": v}]` of a request.
fn pairs(items: &[Value]) -> Vec<(String, String)> {
    let pair = |item: &Value| Some((text(item.get("key")?)?, item.get("value").and_then(text).unwrap_or_default()));
    items.iter().filter_map(pair).collect()
}

/// An experiment's identity: a number, as MLflow's are, which the same name has everywhere.
pub(super) fn experiment_id(name: &str) -> String {
    let digest = Digest::of(name.as_bytes());
    let first = digest.as_bytes().iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    (first % 900_000_000_000_000_000 + 100_000_000_000_000_000).to_string()
}

const PREFIXES: [&str; 4] = ["/api/2.0/", "/ajax-api/2.0/", "/api/3.0/", "/ajax-api/3.0/"];

/// Answers a request.
pub(super) fn answer(shared: &Shared, live: &Live, head: &Head, connection: &mut Connection) -> Result<Answer, Fault> {
    let rest = PREFIXES.iter().find_map(|prefix| head.path.strip_prefix(prefix));
    if let Some(path) = rest.and_then(|rest| rest.strip_prefix("mlflow-artifacts/artifacts")) {
        return artifacts::answer(shared, live, path, head, connection);
    }
    let bytes = connection.body(head)?;
    match (head.path.as_str(), rest.and_then(|rest| rest.strip_prefix("mlflow/"))) {
        ("/health", _) => return Ok(Answer::text(200, "OK")),
        ("/version", _) => return Ok(Answer::text(200, "3.17.2")),
        (_, Some(endpoint)) => {
            let fields = match fields(head, &bytes) {
                Ok(fields) => fields,
                Err(wrong) => return Ok(told(Err(wrong))),
            };
            if let Some(answered) = route(&Asked { shared, live, fields }, &head.method, endpoint) {
                return Ok(told(answered));
            }
        }
        _ => {}
    }
    let message = format!("Endpoint not found for {} {}", head.method, head.path);
    Ok(told(Err(Wrong { status: 404, code: "ENDPOINT_NOT_FOUND", message })))
}

fn told(answered: Answered) -> Answer {
    match answered {
        Ok(value) => Answer::json(200, &value),
        Err(wrong) => Answer::json(wrong.status, &json!({ "error_code": wrong.code, "message": wrong.message })),
    }
}

fn fields(head: &Head, bytes: &[u8]) -> Result<Map<String, Value>, Wrong> {
    let mut fields = query(&head.query);
    if !bytes.iter().all(u8::is_ascii_whitespace) {
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(body)) => fields.extend(body),
            Ok(Value::Null) => {}
            _ => return Err(Wrong { status: 400, code: "BAD_REQUEST", message: "the body is no JSON object".into() }),
        }
    }
    Ok(fields)
}

/// The fields of a query; one that stands there several times is a list.
fn query(text: &str) -> Map<String, Value> {
    let mut fields = Map::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(value)) = (unescape(name, true), unescape(value, true)) else { continue };
        match fields.get_mut(&name) {
            None => drop(fields.insert(name, value.into())),
            Some(Value::Array(items)) => items.push(value.into()),
            Some(other) => *other = Value::Array(vec![other.take(), value.into()]),
        }
    }
    fields
}

/// The answer of an endpoint; none where there is no such endpoint.
fn route(asked: &Asked<'_>, method: &str, endpoint: &str) -> Option<Answered> {
    let parts: Vec<String> = endpoint.split('/').filter_map(|part| unescape(part, false)).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    Some(match (method, parts.as_slice()) {
        ("POST", ["runs", "create"]) => writing::create(asked),
        ("POST", ["runs", "update"]) => writing::update(asked),
        ("POST", ["runs", "delete"]) => writing::set_deleted(asked, true),
        ("POST", ["runs", "restore"]) => writing::set_deleted(asked, false),
        ("POST", ["runs", "log-metric"]) => writing::metric(asked),
        ("POST", ["runs", "log-parameter"]) => writing::param(asked),
        ("POST", ["runs", "set-tag"]) => writing::tag(asked),
        ("POST", ["runs", "delete-tag"]) => writing::delete_tag(asked),
        ("POST", ["runs", "log-batch"]) => writing::batch(asked),
        ("POST", ["runs", "log-inputs"]) => writing::inputs(asked),
        ("POST", ["runs", "log-model"]) => writing::model(asked),
        ("POST", ["runs", "outputs"]) => writing::outputs(asked),
        ("GET", ["runs", "get"]) => runs::get(asked),
        ("POST", ["runs", "search"]) => search::runs(asked),
        ("GET", ["metrics", "get-history"]) => runs::history(asked),
        ("GET", ["artifacts", "list"]) => artifacts::of_run(asked),
        ("GET", ["experiments", "get"]) => experiments::get(asked),
        ("GET", ["experiments", "get-by-name"]) => experiments::by_name(asked),
        ("POST", ["experiments", "create"]) => experiments::create(asked),
        ("POST" | "GET", ["experiments", "search"]) => experiments::search(asked),
        ("POST", ["experiments", "set-experiment-tag"]) => Ok(json!({})),
        // The clients of MLflow 2 begin and end one by other requests to this.
        ("POST", ["traces"]) if asked.fields.contains_key("trace") => traces::start(asked),
        ("GET", ["traces", id]) if !matches!(*id, "get" | "batchGet") => traces::get(asked, id),
        ("POST", ["logged-models"]) => models::create(asked),
        ("POST", ["logged-models", "search"]) => models::search(asked),
        ("GET", ["logged-models", id]) => models::get(asked, id),
        ("PATCH", ["logged-models", id]) => models::finalize(asked, id),
        ("PATCH", ["logged-models", id, "tags"]) => models::tags(asked, id),
        ("POST", ["logged-models", id, "params"]) => models::params(asked, id),
        ("POST", ["registered-models", "create"]) => registry::create(asked),
        ("GET", ["registered-models", "get"]) => registry::get(asked),
        ("GET", ["registered-models", "search"]) => registry::search(asked),
        ("POST", ["registered-models", "alias"]) => registry::set_alias(asked, true),
        ("DELETE", ["registered-models", "alias"]) => registry::set_alias(asked, false),
        ("GET", ["registered-models", "alias"]) => registry::of_alias(asked),
        ("GET" | "POST", ["registered-models", "get-latest-versions"]) => stages::latest(asked),
        ("PATCH", ["model-versions", "update"]) => stages::update(asked),
        ("POST", ["model-versions", "transition-stage"]) => stages::transition(asked),
        ("POST", ["model-versions", "set-tag"]) => stages::set_tag(asked),
        ("DELETE", ["model-versions", "delete-tag"]) => stages::delete_tag(asked),
        ("POST", ["model-versions", "create"]) => registry::version(asked),
        ("GET", ["model-versions", "get"]) => registry::get_version(asked),
        ("GET", ["model-versions", "search"]) => registry::search_versions(asked),
        ("GET", ["model-versions", "get-download-uri"]) => registry::download(asked),
        _ => return None,
    })
}
