//! What follows from what Ray says and what stands in a run's folder; answers as Ray 2.60 gives them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::api::Api;
use super::job::{Both, Job, Status, resources};
use crate::launch::{Outcome, Usage};
use crate::target::agent::{Files, Noted};
use crate::target::remote::{Fault, State};

fn job(value: &Value) -> Job {
    Job::of(value).unwrap().1
}

fn said(status: &str, message: &str, exit: Option<i64>, error: Option<&str>) -> Job {
    job(
        &json!({"submission_id": "amlrun-1", "status": status, "message": message, "driver_exit_code": exit, "error_type": error}),
    )
}

#[test]
fn answers_are_read() {
    let answer = json!({"type": "SUBMISSION", "job_id": null, "submission_id": "amlrun-x1", "driver_info": null,
        "status": "SUCCEEDED", "entrypoint": "echo", "message": "Job finished successfully.", "error_type": null,
        "start_time": 1_795_735_048_790_u64, "end_time": 1_795_735_053_894_u64, "metadata": {"amlrun_directory": "/far"}, "runtime_env": null,
        "driver_agent_http_address": "http://127.0.0.1:39503", "driver_node_id": "f33c", "driver_exit_code": 0});
    let (message, error) = ("Job finished successfully.".to_owned(), String::new());
    let (ended, directory) = (Some(1_795_735_053_894), Some("/far".to_owned()));
    let expected = Job { status: Status::Succeeded, message, exit: Some(0), error, ended, directory };
    assert_eq!(Job::of(&answer), Some(("amlrun-x1".to_owned(), expected)));
    let table = [
        (json!({"type": "DRIVER", "submission_id": null, "job_id": "01000000", "status": "RUNNING"}), None),
        (json!({"submission_id": "a"}), None),
        (json!("Job a does not exist"), None),
        (json!({"submission_id": "a", "status": "PENDING"}), Some(Status::Pending)),
        (json!({"submission_id": "a", "status": "RUNNING"}), Some(Status::Running)),
        (json!({"submission_id": "a", "status": "STOPPED"}), Some(Status::Stopped)),
        (json!({"submission_id": "a", "status": "FAILED"}), Some(Status::Failed)),
        // What is not known is not taken for an end.
        (json!({"submission_id": "a", "status": "MIGRATING"}), Some(Status::Running)),
    ];
    for (answer, expected) in table {
        assert_eq!(Job::of(&answer).map(|(_, job)| job.status), expected, "{answer}");
    }
}

#[test]
fn a_run_stands_where_both_sides_say() {
    let pending = said("PENDING", "Job has not started yet. It may be waiting for resources.", None, None);
    let running = said("RUNNING", "Job is currently running.", None, None);
    let stopped = said("STOPPED", "Job was intentionally stopped.", None, None);
    let succeeded = said("SUCCEEDED", "Job finished successfully.", Some(0), None);
    let done = State::Ended(Outcome::Failed { code: 3 }, Usage::default());
    let canceled = State::Ended(Outcome::Canceled, Usage::default());
    let waits = State::Queued("Ray job amlrun-1: it may be waiting for resources".to_owned());
    let unlisted = State::Queued("Ray job amlrun-1: not listed yet".to_owned());
    // (files, asked to end, job, submitted, settled) to the state; text: what the end says.
    let state = |files: &Files, asked: bool, job: Option<&Job>, submitted: bool, settled: bool| {
        let noted = Noted { files: files.clone(), asked };
        Both { id: "amlrun-1", folder: "/shared", noted: &noted, job, submitted, settled }.state()
    };
    let ended = Files::Ended(done.clone());
    let table = [
        (state(&ended, false, None, true, false), done.clone()),
        (state(&ended, false, Some(&running), true, false), done.clone()),
        (state(&ended, true, Some(&stopped), true, true), done),
        (state(&Files::Absent, false, Some(&running), true, true), State::Absent),
        // Laid out and not known to Ray: it never ran, and may be submitted.
        (state(&Files::Laid, false, None, false, true), State::Absent),
        (state(&Files::Laid, false, None, true, false), unlisted.clone()),
        (state(&Files::Laid, false, Some(&pending), true, false), waits),
        (state(&Files::Laid, false, Some(&running), true, false), State::Running),
        (state(&Files::Laid, false, Some(&succeeded), true, false), unlisted),
        (state(&Files::Begun, false, Some(&pending), true, false), State::Running),
        (state(&Files::Begun, false, Some(&running), true, true), State::Running),
        (state(&Files::Begun, false, None, true, false), State::Running),
        (state(&Files::Begun, false, Some(&stopped), true, false), State::Running),
        (state(&Files::Begun, true, Some(&stopped), true, true), canceled.clone()),
        (state(&Files::Told, true, Some(&stopped), true, true), canceled),
        (state(&Files::Told, false, Some(&stopped), true, false), State::Running),
    ];
    for (at, (found, expected)) in table.into_iter().enumerate() {
        assert_eq!(found, expected, "row {at}");
    }
    let log = "Job entrypoint command failed with exit code 2, last available logs (truncated to 20,000 chars):\n\
               2026-11-26 23:17:39,367\tINFO job_manager.py:581 -- Runtime env is setting up.\n\
               Running entrypoint for job amlrun-1: cd /shared\nsh: 1: cd: can't cd to /shared\n";
    let failed = said("FAILED", log, Some(2), Some("JOB_ENTRYPOINT_COMMAND_ERROR"));
    let late = "Job supervisor actor failed to start within 900.0 seconds. This timeout can be configured.";
    let late = said("FAILED", late, None, Some("JOB_SUPERVISOR_ACTOR_START_TIMEOUT"));
    let died =
        said("FAILED", "Job supervisor actor died: The actor died.\nmore", None, Some("JOB_SUPERVISOR_ACTOR_DIED"));
    let texts = [
        (state(&Files::Told, false, Some(&stopped), true, true), "stopped in Ray, not by amlrun"),
        (state(&Files::Begun, false, Some(&stopped), true, true), "stopped in Ray, not by amlrun"),
        (
            state(&Files::Laid, false, Some(&failed), true, true),
            "ended with 2: sh: 1: cd: can't cd to /shared; do all nodes see /shared?",
        ),
        (
            state(&Files::Laid, false, Some(&late), true, true),
            "RAY_JOB_START_TIMEOUT_SECONDS where the head is started",
        ),
        (state(&Files::Begun, false, Some(&died), true, true), "actor died: The actor died.; its node went down"),
        (state(&Files::Laid, false, Some(&succeeded), true, true), "has left no word; do all nodes see /shared?"),
        (state(&Files::Begun, false, None, true, true), "does not know job amlrun-1 any more"),
        (state(&Files::Laid, false, None, true, true), "does not know job amlrun-1 any more"),
        (state(&Files::Told, false, None, true, true), "told to end by the machine"),
    ];
    for (found, expected) in texts {
        match &found {
            State::Ended(Outcome::Broken { why }, _) | State::Gone(why) => assert!(why.contains(expected), "{why}"),
            other => panic!("{other:?} for {expected}"),
        }
    }
}

#[test]
fn what_a_cluster_has_is_told() {
    let usage = json!({"CPU": [1.5, 2.0], "memory": [0.0, 23_238_962_688.0_f64], "GPU": [0.0, 1.0]});
    let nodes = json!({"a": {}, "b": {}});
    let status = json!({"data": {"clusterStatus": {"loadMetricsReport": {"usage": usage, "usageByNode": nodes}}}});
    let expected = "2 nodes: 2 processors (1.5 in use), 1 GPU (0 in use), 21.6 GiB of memory";
    assert_eq!(resources(&status).as_deref(), Some(expected));
    assert_eq!(resources(&json!({"data": {"clusterStatus": null}})), None);
}

/// A server that gives these answers, one a connection, and then goes.
fn server(answers: Vec<String>) -> String {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut heard = Vec::new();
            let mut piece = [0; 4096];
            while !heard.windows(4).any(|four| four == b"\r\n\r\n") {
                let n = stream.read(&mut piece).unwrap();
                heard.extend_from_slice(&piece[..n]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    address
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

#[test]
fn what_is_heard_is_lost_refused_or_an_answer() {
    let none = BTreeMap::new();
    let version = answer("200 OK", "{\"ray_version\": \"2.60.0\"}");
    let ask = |first: bool, answers: &[String]| {
        let mut all = if first { Vec::new() } else { vec![version.clone()] };
        all.extend_from_slice(answers);
        let api = Api::new("ray", &server(all), &none, &none);
        if !first {
            api.version().unwrap();
        }
        api.job("amlrun-1")
    };
    assert_eq!(ask(false, &[answer("404 Not Found", "Job amlrun-1 does not exist")]), Ok(None));
    let running = "{\"submission_id\": \"amlrun-1\", \"status\": \"RUNNING\"}";
    assert!(ask(false, &[answer("200 OK", running)]).unwrap().is_some());
    // (first contact, answer, lost, text)
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_owned();
    let table = [
        (false, answer("502 Bad Gateway", ""), true, "502 Bad Gateway"),
        (false, answer("500 Internal Server Error", "Traceback\nRpcError: gone"), true, "RpcError: gone"),
        (false, cut.clone(), true, "GET http://127.0.0.1:"),
        (false, String::new(), true, "GET http://127.0.0.1:"),
        (true, cut, false, "check `address`"),
        (false, answer("404 Not Found", "<html>no</html>"), false, "that is no Ray dashboard"),
        (false, answer("401 Unauthorized", "who?"), false, "set `headers`"),
        (true, answer("200 OK", "hello"), false, "that is no Ray dashboard"),
    ];
    for (first, said, lost, text) in table {
        match (ask(first, std::slice::from_ref(&said)), lost) {
            (Err(Fault::Lost(why)), true) | (Err(Fault::Refused(why)), false) => {
                assert!(why.starts_with("target `ray`: `GET ") && why.contains(text), "{why}");
            }
            (other, _) => panic!("{said:?}: {other:?}"),
        }
    }
}
