//! Ray's Jobs API: HTTP with the dashboard of a cluster. Called by the target `ray` from several threads at once. It never
//! takes a connection that failed for an answer, and no header's value comes into a text.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use ureq::http::{Request, StatusCode};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Error};

use super::job::Job;
use crate::target::remote::Fault;

/// For a name to be resolved, and for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// For an answer: a head that has much to do takes its time.
const ANSWER: Duration = Duration::from_secs(30);
/// No answer is longer than this: a list of all jobs with the ends of their logs.
const LONGEST: u64 = 256 << 20;

/// An answer that is one.
struct Answer {
    status: StatusCode,
    text: String,
}

/// What is asked of a cluster to run.
#[derive(Debug)]
pub(super) struct Submission<'s> {
    /// The name of the job: who repeats it gets no second job.
    pub(super) id: &'s str,
    /// Its command.
    pub(super) entrypoint: &'s str,
    /// Told to people who look at the dashboard.
    pub(super) metadata: BTreeMap<&'static str, String>,
    /// Processors.
    pub(super) cpus: u32,
    /// GPUs.
    pub(super) gpus: u32,
    /// Bytes.
    pub(super) memory: Option<u64>,
}

/// The way to a cluster's dashboard.
#[derive(Debug)]
pub(super) struct Api {
    target: String,
    address: String,
    headers: Vec<(String, String)>,
    /// A header that cannot be made, and why.
    unmade: Option<String>,
    agent: Agent,
    reached: AtomicBool,
}

impl Api {
    /// A way on which nothing was sent yet. `headers` stand for variables by `${env.X}`.
    pub(super) fn new(
        target: &str,
        address: &str,
        headers: &BTreeMap<String, String>,
        variables: &BTreeMap<String, String>,
    ) -> Self {
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let mut config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .user_agent(concat!("amlrun/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .timeout_per_read(Some(ANSWER))
            .timeout_per_write(Some(ANSWER));
        let address = address.trim_end_matches('/');
        if is_loopback(address) {
            config = config.proxy(None);
        }
        let (mut made, mut unmade) = (Vec::new(), None);
        for (name, value) in headers {
            match filled(value, variables) {
                Ok(value) => made.push((name.clone(), value)),
                Err(missing) => {
                    unmade =
                        Some(format!("target `{target}`: the header `{name}` needs the variable {missing}: set it"));
                }
            }
        }
        let agent = config.build().new_agent();
        let reached = AtomicBool::new(false);
        Self { target: target.to_owned(), address: address.to_owned(), headers: made, unmade, agent, reached }
    }

    /// The address, without a password in it.
    pub(super) fn place(&self) -> String {
        match self.address.split_once("://") {
            Some((scheme, rest)) => {
                let (authority, path) =
                    rest.split_once('/').map_or((rest, String::new()), |(a, p)| (a, format!("/{p}")));
                format!("{scheme}://{}{path}", authority.rsplit('@').next().unwrap_or_default())
            }
            None => self.address.clone(),
        }
    }

    /// Whether the cluster has answered before.
    pub(super) fn was_reached(&self) -> bool {
        self.reached.load(Ordering::Relaxed)
    }

    /// The version of Ray.
    ///
    /// # Errors
    /// See [`Fault`].
    pub(super) fn version(&self) -> Result<String, Fault> {
        let (what, answer) = self.send("GET", "/api/version", None)?;
        let value: Option<Value> = serde_json::from_str(&answer.text).ok();
        match value.as_ref().and_then(|value| value.get("ray_version")).and_then(Value::as_str) {
            Some(version) if answer.status.is_success() => {
                self.reached.store(true, Ordering::Relaxed);
                Ok(version.to_owned())
            }
            _ => Err(self.unexpected(&what, &answer)),
        }
    }

    /// How the cluster is; none where this Ray does not say.
    ///
    /// # Errors
    /// See [`Fault`].
    pub(super) fn cluster(&self) -> Result<Option<Value>, Fault> {
        let (_, answer) = self.send("GET", "/api/cluster_status", None)?;
        Ok(answer.status.is_success().then(|| serde_json::from_str(&answer.text).ok()).flatten())
    }

    /// Submits a job, unless there is one of this name.
    ///
    /// # Errors
    /// See [`Fault`].
    pub(super) fn submit(&self, job: &Submission<'_>) -> Result<(), Fault> {
        let mut body = json!({
            "entrypoint": job.entrypoint,
            "submission_id": job.id,
            "metadata": job.metadata,
            "entrypoint_num_cpus": job.cpus,
        });
        if let Some(fields) = body.as_object_mut() {
            if job.gpus > 0 {
                fields.insert("entrypoint_num_gpus".to_owned(), json!(job.gpus));
            }
            if let Some(memory) = job.memory {
                fields.insert("entrypoint_memory".to_owned(), json!(memory));
            }
        }
        let (what, answer) = self.send("POST", "/api/jobs/", Some(&body))?;
        if answer.status.is_success() || self.job(job.id)?.is_some() {
            return Ok(()); // a name that is repeated is refused, by one version of Ray in one way, by the next in another
        }
        let busy = ["try again", "No available agent", "TimeoutError"].iter().any(|sign| answer.text.contains(sign));
        Err(if busy { Fault::Lost(self.text(&what, &cause(&answer))) } else { self.unexpected(&what, &answer) })
    }

    /// A job; none where there is none of this name.
    ///
    /// # Errors
    /// See [`Fault`].
    pub(super) fn job(&self, id: &str) -> Result<Option<Job>, Fault> {
        let (what, answer) = self.send("GET", &format!("/api/jobs/{id}"), None)?;
        let value: Option<Value> = serde_json::from_str(&answer.text).ok();
        match value.as_ref().and_then(Job::of) {
            Some((_, job)) if answer.status.is_success() => Ok(Some(job)),
            // Not any 404: a gateway has its own, and a job that is not there is submitted.
            None if answer.status == StatusCode::NOT_FOUND && answer.text.contains("does not exist") => Ok(None),
            _ => Err(self.unexpected(&what, &answer)),
        }
    }

    /// All jobs that were submitted to the cluster, by name.
    ///
    /// # Errors
    /// See [`Fault`].
    pub(super) fn jobs(&self) -> Result<BTreeMap<String, Job>, Fault> {
        let (what, answer) = self.send("GET", "/api/jobs/", None)?;
        match serde_json::from_str(&answer.text) {
            Ok(Value::Array(jobs)) if answer.status.is_success() => Ok(jobs.iter().filter_map(Job::of).collect()),
            _ => Err(self.unexpected(&what, &answer)),
        }
    }

    /// Stops a job; one that is over, or not there, is let be.
    ///
    /// # Errors
    /// See [`Fault`].
    pub(super) fn stop(&self, id: &str) -> Result<(), Fault> {
        self.send("POST", &format!("/api/jobs/{id}/stop"), None).map(drop)
    }

    /// Removes a job from Ray's list; what Ray does not take to be over stays.
    ///
    /// # Errors
    /// See [`Fault`].
    pub(super) fn delete(&self, id: &str) -> Result<(), Fault> {
        self.send("DELETE", &format!("/api/jobs/{id}"), None).map(drop)
    }

    /// Sends, and takes whatever is answered.
    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<(String, Answer), Fault> {
        let what = format!("{method} {}{path}", self.place());
        if let Some(why) = &self.unmade {
            return Err(Fault::Refused(why.clone()));
        }
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.address));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let invalid = |error: ureq::http::Error| {
            Fault::Refused(self.text(&what, &format!("{error}: check `address` and `headers`")))
        };
        let sent = match (body, method) {
            (Some(body), _) => {
                let request = request.header("content-type", "application/json").body(body.to_string());
                self.agent.run(request.map_err(invalid)?)
            }
            (None, "POST") => self.agent.run(request.body(String::new()).map_err(invalid)?),
            (None, _) => self.agent.run(request.body(()).map_err(invalid)?),
        };
        let heard = sent.and_then(|answer| {
            let status = answer.status();
            let text = answer.into_body().into_with_config().limit(LONGEST).lossy_utf8(true).read_to_string()?;
            Ok(Answer { status, text })
        });
        let answer = heard.map_err(|error| self.broke(&what, &error))?;
        match answer.status.as_u16() {
            401 | 403 | 407 => {
                Err(Fault::Refused(self.text(&what, &format!("{}: set `headers` to what it asks for", cause(&answer)))))
            }
            502..=504 => Err(self.lost(self.text(&what, &cause(&answer)))),
            _ => Ok((what, answer)),
        }
    }

    fn text(&self, what: &str, why: &str) -> String {
        format!("target `{}`: `{what}`: {why}", self.target)
    }

    /// What may pass by itself, unless it has never been otherwise: then somebody has to look.
    fn lost(&self, why: String) -> Fault {
        if self.was_reached() { Fault::Lost(why) } else { Fault::Refused(why) }
    }

    fn broke(&self, what: &str, error: &Error) -> Fault {
        self.lost(self.text(what, &advice(error)))
    }

    fn unexpected(&self, what: &str, answer: &Answer) -> Fault {
        let next = match answer.status.as_u16() {
            500 => ": the head's own log (dashboard.log) says more",
            400 => "",
            _ => ": that is no Ray dashboard; check `address`, whose port is 8265 as a rule",
        };
        let why = self.text(what, &format!("{}{next}", cause(answer)));
        if answer.status.is_server_error() && what.starts_with("GET") { self.lost(why) } else { Fault::Refused(why) }
    }
}

/// Why nothing was heard, and what to do.
fn advice(error: &Error) -> String {
    let is_timeout = |kind| matches!(kind, std::io::ErrorKind::TimedOut | std::io::ErrorKind::HostUnreachable);
    let (why, next) = match error {
        Error::HostNotFound => ("there is no host of that name".to_owned(), "check `address`"),
        Error::Timeout(_) => {
            ("no answer in time".to_owned(), "is the head on, and is the network (VPN, port-forward) up?")
        }
        Error::ConnectionFailed => {
            ("it cannot be reached".to_owned(), "check `address`, and that Ray's head runs there")
        }
        Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => (
            "nothing answers there".to_owned(),
            "check `address`, and that Ray's head runs there with its dashboard (`ray status`, `ray start --head`)",
        ),
        Error::Io(error) if is_timeout(error.kind()) => {
            ("it cannot be reached".to_owned(), "is the head on, and is the network (VPN, port-forward) up?")
        }
        Error::Io(error) if error.to_string().contains("lookup") => {
            ("there is no host of that name".to_owned(), "check `address`")
        }
        Error::BadUri(why) => (why.clone(), "write `address` as in \"http://head:8265\""),
        Error::Tls(why) => ((*why).to_owned(), "does `address` begin with the right one of http and https?"),
        Error::Rustls(why) => (why.to_string(), "does `address` begin with the right one of http and https?"),
        error => (error.to_string(), "check `address`"),
    };
    format!("{why}: {next}")
}

/// What an answer says that is not the one that was hoped for: its status, and the last line of its text, which is where
/// Python puts the cause.
fn cause(answer: &Answer) -> String {
    let status = answer.status;
    let is_page = answer.text.trim_start().starts_with('<');
    let last = answer.text.lines().map(str::trim).rfind(|line| line.len() > 1 && !is_page);
    let last: String = last.unwrap_or_default().chars().filter(|c| !c.is_control()).take(300).collect();
    let name = status.canonical_reason().unwrap_or_default();
    let said = if last.is_empty() { String::new() } else { format!(": {last}") };
    format!("{} {name}{said}", status.as_u16())
}

/// A text with the variables that it names as `${env.X}`; or the one that is missing.
fn filled(text: &str, variables: &BTreeMap<String, String>) -> Result<String, String> {
    let (mut made, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("${env.") {
        let Some((name, after)) = after.split_once('}') else { break };
        made.push_str(before);
        made.push_str(variables.get(name).ok_or_else(|| name.to_owned())?);
        rest = after;
    }
    made.push_str(rest);
    Ok(made)
}

/// Whether an address is of this machine, which no proxy is asked for.
fn is_loopback(address: &str) -> bool {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or_default().rsplit('@').next().unwrap_or_default();
    ["127.", "localhost", "[::1]"].iter().any(|start| host.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_take_variables() {
        let variables = BTreeMap::from([("TOKEN".to_owned(), "s3cret".to_owned())]);
        let table = [
            ("plain", Ok("plain")),
            ("Bearer ${env.TOKEN}", Ok("Bearer s3cret")),
            ("${env.TOKEN}:${env.TOKEN}", Ok("s3cret:s3cret")),
            ("${env.TOKEN", Ok("${env.TOKEN")),
            ("Bearer ${env.NONE}", Err("NONE")),
        ];
        for (text, expected) in table {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(filled(text, &variables), expected, "{text}");
        }
    }

    #[test]
    fn an_address_shows_no_password() {
        let none = BTreeMap::new();
        for (address, shown) in [
            ("http://127.0.0.1:8265/", "http://127.0.0.1:8265"),
            ("https://user:secret@ray.example/team", "https://ray.example/team"),
        ] {
            assert_eq!(Api::new("r", address, &none, &none).place(), shown);
        }
    }

    #[test]
    fn loopback_is_known() {
        let table = [
            ("http://127.0.0.1:1", true),
            ("http://localhost:8265/x", true),
            ("http://[::1]:1", true),
            ("https://head", false),
        ];
        for (address, expected) in table {
            assert_eq!(is_loopback(address), expected, "{address}");
        }
    }

    #[test]
    fn the_cause_is_the_last_line() {
        let of = |status: u16, text: &str| {
            cause(&Answer { status: StatusCode::from_u16(status).unwrap(), text: text.to_owned() })
        };
        let trace = "Traceback (most recent call last):\n  File \"x\", line 45, in submit\nValueError: Job a already exists.\n.\n";
        assert_eq!(of(500, trace), "500 Internal Server Error: ValueError: Job a already exists.");
        assert_eq!(of(404, "<html>\n<h1>no</h1></html>"), "404 Not Found");
        assert_eq!(of(400, ""), "400 Bad Request");
    }
}
