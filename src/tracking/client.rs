//! A client of a real MLflow server, for `amlrun runs export --mlflow` and `runs import --mlflow`.
//!
//! Called by `cli`. It asks as MLflow's own clients do, waits for whole answers and tries nothing twice. Credentials come from
//! the address or from MLflow's own variables, and are in no message.

use std::fs::File;
use std::io::{self, Read as _};
use std::time::Duration;

use base64::Engine as _;
use serde_json::Value;
use ureq::Agent;
use ureq::http::{Method, Request, Response, header};
use ureq::tls::{RootCerts, TlsConfig};

/// For a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// For an answer to begin, and for the next bytes: a server on a small database takes its time.
const ANSWER: Duration = Duration::from_mins(2);
/// An answer that is no file is no longer.
const LONGEST: u64 = 256 << 20;

/// Why a server could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("{asked} of {server}: {why}")]
pub struct ClientError {
    asked: String,
    server: String,
    why: String,
    /// Its code, as in `RESOURCE_DOES_NOT_EXIST`; empty where there was none.
    pub code: String,
}

/// An MLflow server.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    /// Without credentials, without a slash at its end.
    server: String,
    authorization: Option<String>,
}

impl Client {
    /// The server at an address (`http://host:5000`), with the credentials in it, else those of these variables; none where
    /// it is no address.
    #[must_use]
    pub fn new(address: &str, variable: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        let (scheme, rest) = address.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"))?;
        let end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        if host.is_empty() {
            return None;
        }
        let basic = |pair: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let unescaped = |user: &str| super::http::unescape(user, false).unwrap_or_else(|| user.to_owned());
        let named = || Some(format!("{}:{}", given("MLFLOW_TRACKING_USERNAME")?, given("MLFLOW_TRACKING_PASSWORD")?));
        let authorization = user
            .map(|user| basic(&unescaped(user)))
            .or_else(|| named().map(|pair| basic(&pair)))
            .or_else(|| Some(format!("Bearer {}", given("MLFLOW_TRACKING_TOKEN")?)));
        let config = Agent::config_builder()
            .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
            .http_status_as_error(false)
            .user_agent(concat!("amlrun/", env!("CARGO_PKG_VERSION")))
            .max_redirects(0)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .timeout_per_read(Some(ANSWER))
            .build();
        let path = path.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        Some(Self { agent: config.new_agent(), server: format!("{scheme}://{host}{path}"), authorization })
    }

    /// The address without credentials.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    fn error(&self, asked: &str, why: &dyn std::fmt::Display) -> ClientError {
        ClientError { asked: asked.to_owned(), server: self.server.clone(), why: why.to_string(), code: String::new() }
    }

    fn request(&self, method: Method, path: &str) -> ureq::http::request::Builder {
        let builder = Request::builder().method(method).uri(format!("{}/api/2.0/{path}", self.server));
        match &self.authorization {
            Some(authorization) => builder.header(header::AUTHORIZATION, authorization),
            None => builder,
        }
    }

    /// The answer, where it is one of success.
    fn good(&self, asked: &str, mut answer: Response<ureq::Body>) -> Result<Response<ureq::Body>, ClientError> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = answer.body_mut().with_config().limit(64 << 10).read_to_string().unwrap_or_default();
        let said: Value = serde_json::from_str(&text).unwrap_or_default();
        let part = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (code, message) = (part("error_code"), part("message"));
        let why = if message.is_empty() {
            format!("it answered {status}")
        } else {
            format!("it answered {status}: {message}")
        };
        Err(ClientError { code, ..self.error(asked, &why) })
    }

    fn whole(&self, asked: &str, answer: Response<ureq::Body>) -> Result<Value, ClientError> {
        let mut answer = self.good(asked, answer)?;
        let text = answer.body_mut().with_config().limit(LONGEST).read_to_string();
        let text = text.map_err(|error| self.error(asked, &error))?;
        serde_json::from_str(&text).map_err(|_| self.error(asked, &"its answer is no JSON; is it an MLflow server?"))
    }

    /// Asks an endpoint with a body, as in `runs/create`.
    ///
    /// # Errors
    /// Where it cannot be reached or says no.
    pub fn post(&self, endpoint: &str, body: &Value) -> Result<Value, ClientError> {
        let request = self.request(Method::POST, &format!("mlflow/{endpoint}"));
        let request = request.header(header::CONTENT_TYPE, "application/json").body(body.to_string());
        let request = request.map_err(|error| self.error(endpoint, &error))?;
        let answer = self.agent.run(request).map_err(|error| self.error(endpoint, &error))?;
        self.whole(endpoint, answer)
    }

    /// Asks an endpoint with a query.
    ///
    /// # Errors
    /// Where it cannot be reached or says no.
    pub fn get(&self, endpoint: &str, query: &[(&str, &str)]) -> Result<Value, ClientError> {
        let pairs: Vec<String> =
            query.iter().map(|(name, value)| format!("{name}={}", escaped(value, false))).collect();
        let request = self.request(Method::GET, &format!("mlflow/{endpoint}?{}", pairs.join("&"))).body(());
        let request = request.map_err(|error| self.error(endpoint, &error))?;
        let answer = self.agent.run(request).map_err(|error| self.error(endpoint, &error))?;
        self.whole(endpoint, answer)
    }

    /// Puts a file at a path of the server's artifact store.
    ///
    /// # Errors
    /// Where it cannot be sent.
    pub fn put_file(&self, path: &str, file: &File) -> Result<(), ClientError> {
        let length = file.metadata().map_err(|error| self.error(path, &error))?.len();
        let request = self.request(Method::PUT, &artifact(path)).header(header::CONTENT_LENGTH, length);
        let request = request.header(header::CONTENT_TYPE, "application/octet-stream").body(file);
        let request = request.map_err(|error| self.error(path, &error))?;
        let answer = self.agent.run(request).map_err(|error| self.error(path, &error))?;
        self.good(path, answer).map(drop)
    }

    /// Writes what lies at a path of the server's artifact store.
    ///
    /// # Errors
    /// Where it cannot be had, or not be written.
    pub fn get_file(&self, path: &str, to: &mut File) -> Result<(), ClientError> {
        let request = self.request(Method::GET, &artifact(path)).body(());
        let request = request.map_err(|error| self.error(path, &error))?;
        let answer = self.agent.run(request).map_err(|error| self.error(path, &error))?;
        let mut answer = self.good(path, answer)?;
        let announced: Option<u64> =
            answer.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let mut body = answer.body_mut().as_reader().take(u64::MAX);
        let written = io::copy(&mut body, to).map_err(|error| self.error(path, &error))?;
        match announced {
            Some(length) if length != written => Err(self.error(path, &"its answer was cut short")),
            _ => Ok(()),
        }
    }
}

fn artifact(path: &str) -> String {
    format!("mlflow-artifacts/artifacts/{}", escaped(path, true))
}

/// A text as it stands in an address.
fn escaped(text: &str, is_path: bool) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || (is_path && byte == b'/') {
            escaped.push(char::from(byte));
        } else {
            use std::fmt::Write as _;
            // Writing to a String does not fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// Where artifacts lie that the server itself hands out, of a run's `artifact_uri`; none where they lie elsewhere.
#[must_use]
pub fn served(uri: &str) -> Option<String> {
    let rest = uri.strip_prefix("mlflow-artifacts:")?;
    // `mlflow-artifacts://host:port/PATH` names a server, `mlflow-artifacts:/PATH` this one.
    let path = match rest.strip_prefix("//") {
        Some(rest) => rest.split_once('/').map_or("", |(_, path)| path),
        None => rest,
    };
    let path = path.trim_matches('/');
    (!path.is_empty()).then(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_stay_out_of_the_address() {
        let none = |_: &str| None;
        let client = Client::new("https://ada:p%40ss@host:5000/base/?x=1", &none).unwrap();
        assert_eq!(client.server(), "https://host:5000/base");
        assert_eq!(client.authorization.as_deref(), Some("Basic YWRhOnBAc3M="));
        let token = |name: &str| (name == "MLFLOW_TRACKING_TOKEN").then(|| "t".to_owned());
        assert_eq!(Client::new("http://h", &token).unwrap().authorization.as_deref(), Some("Bearer t"));
        assert!(Client::new("http://h", &none).unwrap().authorization.is_none());
        for wrong in ["mlruns", "file:///x", "http://", "http:///x", "databricks"] {
            assert!(Client::new(wrong, &none).is_none(), "{wrong}");
        }
    }

    #[test]
    fn what_the_server_hands_out() {
        assert_eq!(served("mlflow-artifacts:/1/ab/artifacts").as_deref(), Some("1/ab/artifacts"));
        assert_eq!(served("mlflow-artifacts://h:5000/1/ab/artifacts").as_deref(), Some("1/ab/artifacts"));
        for elsewhere in ["s3://b/1", "file:///x", "/x", "mlflow-artifacts:/"] {
            assert_eq!(served(elsewhere), None, "{elsewhere}");
        }
        assert_eq!(escaped("a b/ü", true), "a%20b/%C3%BC");
        assert_eq!(escaped("a/b", false), "a%2Fb");
    }
}
