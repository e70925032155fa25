//! A server that does all that a cache must never do to us: every fault of a network and every attack in a table. Whatever it
//! does, the build goes on, its outputs are right, nothing lands elsewhere, the user is told once, and little time is lost.
//!
//! The server holds what an honest push left, changed for each case; forged entries are made with the library's own codecs.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::string_slice,
    clippy::too_many_lines,
    reason = "a test may die, and its tables are long"
)]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use amlrun::cache::known::PackRef;
use amlrun::cache::pack::{Packed, Packer};
use amlrun::content::{Content, Entry, Kind, encode};
use amlrun::digest::{Digest, Sealer};
use amlrun::relpath::RelPath;
use amlrun::staleness::Recorded;
use serde_json::{Value, json};

const AMLFILE: &str = r#"
format = 1
[experiments.make]
command = "mkdir -p out/sub && printf right > out/a && printf right > out/sub/b && printf right > final && echo said"
outputs = ["out", "final"]
sources = []
"#;
const KEY: &str = "a secret of the team";

type Blobs = BTreeMap<String, Vec<u8>>;

/// What a case must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// The job runs, and nothing is said of the cache.
    Miss,
    /// The job runs, and one warning says so.
    Warned,
    /// The run is taken.
    Hit,
}

/// Answers a request in the place of an honest server; none: as that would.
type Says = dyn Fn(&Request, usize) -> Option<Reply> + Send + Sync;

/// How the server answers.
#[derive(Clone)]
enum Manner {
    /// As it should.
    Honest,
    /// As this says.
    Says(Arc<Says>),
}

struct Request {
    method: String,
    path: String,
    number: usize,
}

/// An answer that is none of an honest server.
enum Reply {
    /// Bytes as they are, then the end of the connection.
    Raw(Vec<u8>),
    /// These bytes, then silence.
    Stall(Vec<u8>),
    /// These bytes, then one more a second for ever.
    Drip(Vec<u8>),
    /// These bytes, then this piece over and over.
    Endless(Vec<u8>, Vec<u8>),
    /// Only half of what was sent is kept, and it is called good.
    KeepHalf,
}

fn status(line: &str, headers: &str) -> Reply {
    Reply::Raw(format!("HTTP/1.1 {line}\r\ncontent-length: 0\r\n{headers}\r\n").into_bytes())
}

struct Server {
    address: String,
    blobs: Arc<Mutex<Blobs>>,
}

impl Server {
    fn start(blobs: Blobs, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let blobs = Arc::new(Mutex::new(blobs));
        let (shared, requests) = (Arc::clone(&blobs), Arc::new(AtomicUsize::new(0)));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (blobs, manner, requests) = (Arc::clone(&shared), manner.clone(), Arc::clone(&requests));
                std::thread::spawn(move || drop(serve(&stream, &blobs, &manner, &requests)));
            }
        });
        Self { address, blobs }
    }
}

fn serve(stream: &TcpStream, blobs: &Mutex<Blobs>, manner: &Manner, requests: &AtomicUsize) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut out = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.split_whitespace();
        let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
        let (mut length, mut range, mut only_new) = (0, None, false);
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let header = header.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(n) = header.strip_prefix("content-length:") {
                length = n.trim().parse().unwrap_or(0);
            } else if let Some(r) = header.strip_prefix("range: bytes=") {
                range = r.split_once('-').map(|(a, b)| (a.parse::<usize>().unwrap(), b.parse::<usize>().unwrap()));
            } else if header.starts_with("if-none-match:") {
                only_new = true;
            }
        }
        let request = Request { method, path, number: requests.fetch_add(1, Ordering::SeqCst) };
        let mut body = vec![0; length];
        let reply = match manner {
            Manner::Honest => None,
            Manner::Says(says) => says(&request, length),
        };
        let is_half = matches!(reply, Some(Reply::KeepHalf));
        match reply {
            None | Some(Reply::KeepHalf) => {}
            Some(reply) => {
                // What was sent is taken, so that the answer is read.
                reader.read_exact(&mut body)?;
                return misbehave(out, reply);
            }
        }
        reader.read_exact(&mut body)?;
        let mut blobs = blobs.lock().unwrap();
        let (status, answer): (&str, Vec<u8>) = match (request.method.as_str(), blobs.get(&request.path)) {
            ("PUT", Some(_)) if only_new => ("412 Precondition Failed", Vec::new()),
            ("PUT", _) => {
                body.truncate(if is_half { length / 2 } else { length });
                blobs.insert(request.path.clone(), body);
                ("201 Created", Vec::new())
            }
            ("GET" | "HEAD", Some(blob)) => match range {
                Some((from, to)) => {
                    let to = (to + 1).min(blob.len());
                    ("206 Partial Content", blob.get(from..to).unwrap_or_default().to_vec())
                }
                None => ("200 OK", blob.clone()),
            },
            _ => ("404 Not Found", Vec::new()),
        };
        drop(blobs);
        write!(out, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", answer.len())?;
        if request.method != "HEAD" {
            out.write_all(&answer)?;
        }
    }
}

fn misbehave(mut out: &TcpStream, reply: Reply) -> std::io::Result<()> {
    match reply {
        Reply::Raw(bytes) => out.write_all(&bytes),
        Reply::KeepHalf => Ok(()),
        Reply::Stall(bytes) => {
            out.write_all(&bytes)?;
            // Until the other side has had enough.
            let _ = out.read(&mut [0; 1]);
            Ok(())
        }
        Reply::Drip(bytes) => {
            out.write_all(&bytes)?;
            loop {
                out.write_all(b"x")?;
                std::thread::sleep(Duration::from_secs(1));
            }
        }
        Reply::Endless(bytes, piece) => {
            out.write_all(&bytes)?;
            loop {
                out.write_all(&piece)?;
            }
        }
    }
}

/// One project in a folder of its own.
struct Project {
    _folder: tempfile::TempDir,
    outer: PathBuf,
    root: PathBuf,
}

impl Project {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let outer = folder.path().join("outer");
        let root = outer.join("project");
        std::fs::create_dir_all(&root).unwrap();
        std::fs::write(root.join("Amlfile"), AMLFILE).unwrap();
        Self { _folder: folder, outer, root }
    }

    fn run(&self, cache: &str, key: Option<&str>) -> (Output, Duration) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_amlrun"));
        command.args(["--cache", cache]).current_dir(&self.root).env_remove("AMLRUN_CACHE_KEY");
        for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "AMLRUN_CACHE_MODE", "GITHUB_EVENT_NAME"] {
            command.env_remove(name);
        }
        if let Some(key) = key {
            command.env("AMLRUN_CACHE_KEY", key);
        }
        let began = Instant::now();
        (command.output().unwrap(), began.elapsed())
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.root.join(path)).unwrap_or_default()
    }
}

/// What an honest push leaves.
fn honest(key: Option<&str>) -> Blobs {
    let server = Server::start(Blobs::new(), Manner::Honest);
    let (output, _) = Project::new().run(&server.address, key);
    assert!(output.status.success(), "{output:?}");
    let blobs = server.blobs.lock().unwrap().clone();
    assert_eq!(blobs.keys().filter(|path| path.contains("/records/")).count(), 1, "{:?}", blobs.keys());
    blobs
}

fn of_kind<'b>(blobs: &'b mut Blobs, kind: &str) -> &'b mut Vec<u8> {
    blobs.iter_mut().find(|(path, _)| path.contains(kind)).unwrap().1
}

/// Changes the record's JSON; signed anew with `key`.
fn forge(blobs: &mut Blobs, key: Option<&str>, change: impl FnOnce(&mut Value)) {
    let record = of_kind(blobs, "/records/");
    let at = record.iter().position(|b| *b == b'\n').unwrap();
    let mut value: Value = serde_json::from_slice(&record[at + 1..]).unwrap();
    change(&mut value);
    let body = value.to_string().into_bytes();
    let seal =
        key.map_or("-".to_owned(), |key| Sealer::new("amlrun cache record 1", key.as_bytes()).seal(&body).to_string());
    *record = [format!("amlrun-record 1 {seal}\n").into_bytes(), body].concat();
}

fn put(blobs: &mut Blobs, packed: &Packed) -> Value {
    let digest = packed.digest.to_string();
    blobs.insert(format!("/amlrun-v1/packs/{}/{digest}", &digest[..2]), packed.bytes.clone());
    serde_json::to_value(PackRef::of(packed)).unwrap()
}

fn pack(objects: &[Vec<u8>]) -> Packed {
    let mut packer = Packer::default();
    for bytes in objects {
        assert!(packer.add(Digest::of(bytes), bytes).is_none());
    }
    packer.finish().unwrap()
}

/// Puts another content in the place of an output: `out` (a folder) or `final`.
fn with_output(blobs: &mut Blobs, path: &str, content: Content, objects: &[Vec<u8>]) {
    let packed = put(blobs, &pack(objects));
    forge(blobs, None, |record| {
        record["packs"].as_array_mut().unwrap().push(packed);
        for output in record["ended"]["outputs"].as_array_mut().unwrap() {
            if output["path"] == path {
                *output = serde_json::to_value(Recorded::new(RelPath::new(path).unwrap(), content)).unwrap();
            }
        }
    });
}

fn entry(name: &str, kind: Kind, bytes: &[u8]) -> Entry {
    Entry { name: name.as_bytes().to_vec(), kind, digest: Digest::of(bytes), size: bytes.len() as u64 }
}

/// A folder with these entries in the place of `out`, and the objects that it takes.
fn with_folder(blobs: &mut Blobs, entries: &[Entry], mut objects: Vec<Vec<u8>>) {
    let node = encode(entries);
    let content = Content { kind: Kind::Folder, digest: Digest::of(&node), size: entries.iter().map(|e| e.size).sum() };
    objects.push(node);
    with_output(blobs, "out", content, &objects);
}

struct Case {
    name: &'static str,
    expect: Expect,
    key: Option<&'static str>,
    manner: Manner,
    tamper: Box<dyn Fn(&mut Blobs) + Send + Sync>,
    /// Where the project's cache is, if not at the server.
    elsewhere: Option<&'static str>,
}

fn says(
    name: &'static str,
    expect: Expect,
    says: impl Fn(&Request, usize) -> Option<Reply> + Send + Sync + 'static,
) -> Case {
    let manner = Manner::Says(Arc::new(says));
    Case { name, expect, key: None, manner, tamper: Box::new(|_| {}), elsewhere: None }
}

fn holds(name: &'static str, expect: Expect, tamper: impl Fn(&mut Blobs) + Send + Sync + 'static) -> Case {
    Case { name, expect, key: None, manner: Manner::Honest, tamper: Box::new(tamper), elsewhere: None }
}

fn folder(name: &'static str, make: impl Fn() -> (Vec<Entry>, Vec<Vec<u8>>) + Send + Sync + 'static) -> Case {
    holds(name, Expect::Warned, move |blobs| {
        let (entries, objects) = make();
        with_folder(blobs, &entries, objects);
    })
}

fn faults() -> Vec<Case> {
    use Expect::{Hit, Miss, Warned};
    let empty = |method: &'static str, line: &'static str, headers: &'static str| {
        move |request: &Request, _: usize| (method == "*" || request.method == method).then(|| status(line, headers))
    };
    let of_get = |path: &'static str, reply: fn() -> Reply| {
        move |request: &Request, _: usize| (request.method == "GET" && request.path.contains(path)).then(reply)
    };
    let mut all = vec![
        says("an empty cache", Miss, |r, _| (r.method != "PUT").then(|| status("404 Not Found", ""))),
        says("403 to all", Warned, empty("*", "403 Forbidden", "")),
        says("401 to all", Warned, empty("*", "401 Unauthorized", "www-authenticate: Basic\r\n")),
        says("407 to all", Warned, empty("*", "407 Proxy Authentication Required", "")),
        says("400 to all", Warned, empty("*", "400 Bad Request", "")),
        says("405 to all", Warned, empty("*", "405 Method Not Allowed", "")),
        says("500 to all", Warned, empty("*", "500 Internal Server Error", "")),
        says("502 to all", Warned, empty("*", "502 Bad Gateway", "")),
        says("503, come back in an hour", Warned, empty("*", "503 Service Unavailable", "retry-after: 3600\r\n")),
        says(
            "503, come back at a strange time",
            Warned,
            empty("*", "503 Service Unavailable", "retry-after: soon\r\n"),
        ),
        says("504 to all", Warned, empty("*", "504 Gateway Timeout", "")),
        says("429 to all", Warned, empty("*", "429 Too Many Requests", "")),
        says("503 once, come back in a second", Hit, |r, _| {
            (r.number == 0).then(|| status("503 Service Unavailable", "retry-after: 1\r\n"))
        }),
        says("500 once", Hit, |r, _| (r.number == 0).then(|| status("500 Internal Server Error", ""))),
        says("cut off once", Hit, |r, _| (r.number == 0).then(|| Reply::Raw(Vec::new()))),
        says("cut off always", Warned, |_, _| Some(Reply::Raw(Vec::new()))),
        says("cut off in the headers", Warned, |_, _| Some(Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-le".to_vec()))),
        says(
            "cut off in the middle of a record",
            Warned,
            of_get("/records/", || {
                Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\namlrun-record 1 -\n{".to_vec())
            }),
        ),
        says(
            "cut off in the middle of a pack",
            Warned,
            of_get("/packs/", || {
                Reply::Raw(b"HTTP/1.1 206 Partial Content\r\ncontent-length: 5000\r\n\r\nAML".to_vec())
            }),
        ),
        says("silence", Warned, |_, _| Some(Reply::Stall(Vec::new()))),
        says("silence in the headers", Warned, |_, _| Some(Reply::Stall(b"HTTP/1.1 200 OK\r\n".to_vec()))),
        says(
            "silence in a record",
            Warned,
            of_get("/records/", || {
                Reply::Stall(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\namlrun-record".to_vec())
            }),
        ),
        says(
            "silence in a pack",
            Warned,
            of_get("/packs/", || {
                Reply::Stall(b"HTTP/1.1 206 Partial Content\r\ncontent-length: 5000\r\n\r\nAML".to_vec())
            }),
        ),
        says(
            "a record that trickles in",
            Warned,
            of_get("/records/", || Reply::Drip(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n".to_vec())),
        ),
        says(
            "a record without end",
            Warned,
            of_get("/records/", || Reply::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 1 << 16])),
        ),
        says(
            "chunks without end",
            Warned,
            of_get("/records/", || {
                let piece = [b"10000\r\n".to_vec(), vec![b'x'; 1 << 16], b"\r\n".to_vec()].concat();
                Reply::Endless(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(), piece)
            }),
        ),
        says("headers without end", Warned, |_, _| {
            Some(Reply::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"x: y\r\n".repeat(1000)))
        }),
        says(
            "an absurd length",
            Warned,
            of_get("/records/", || Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 999999999999999\r\n\r\nx".to_vec())),
        ),
        says("no HTTP at all", Warned, |_, _| Some(Reply::Raw(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()))),
        says(
            "a page to log in",
            Warned,
            of_get("", || Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 23\r\n\r\n<html>please log in</ht".to_vec())),
        ),
        says("an empty record", Warned, of_get("/records/", || status("200 OK", ""))),
        says("a circle of redirects", Warned, |_, _| Some(status("302 Found", "location: /amlrun-v1/round\r\n"))),
        says("a redirect to nowhere", Warned, |_, _| Some(status("302 Found", "location: http://127.0.0.1:9/x\r\n"))),
        // From here on nothing is there to be read, and the push meets the fault.
        says("403 to writes", Warned, |r, _| writes(r, "403 Forbidden")),
        says("409 to writes", Miss, |r, _| writes(r, "409 Conflict")),
        says("412 to writes", Miss, |r, _| writes(r, "412 Precondition Failed")),
        says("413 to writes", Warned, |r, _| writes(r, "413 Content Too Large")),
        says("500 to writes", Warned, |r, _| writes(r, "500 Internal Server Error")),
        says("503 to writes", Warned, |r, _| writes(r, "503 Service Unavailable")),
        says("507, no room", Warned, |r, _| writes(r, "507 Insufficient Storage")),
        says("silence to writes", Warned, |r, _| match r.method.as_str() {
            "PUT" => Some(Reply::Stall(Vec::new())),
            _ => Some(status("404 Not Found", "")),
        }),
        says("writes that are kept by half", Miss, |r, _| (r.method == "PUT").then_some(Reply::KeepHalf)),
    ];
    for (name, place) in [
        ("nobody listens", "http://127.0.0.1:9/cache"),
        ("no such name", "https://cache.invalid/x"),
        ("no TLS", "https://127.0.0.1:9/x"),
        ("a cloud without credentials", "az://container/x"),
    ] {
        all.push(Case { elsewhere: Some(place), ..holds(name, Warned, |_| {}) });
    }
    // Nothing of an honest push may be there for these.
    for case in &mut all {
        if case.name.contains("writes") || case.name.starts_with("507") {
            case.tamper = Box::new(Blobs::clear);
        }
    }
    all
}

fn writes(request: &Request, line: &str) -> Option<Reply> {
    (request.method == "PUT").then(|| status(line, ""))
}

fn attacks() -> Vec<Case> {
    use Expect::{Hit, Warned};
    let record = |name, change: fn(&mut Value)| holds(name, Warned, move |blobs| forge(blobs, None, change));
    let signed = |name, expect, tamper: fn(&mut Blobs)| Case { key: Some(KEY), ..holds(name, expect, tamper) };
    let file = |name: &'static str| (vec![entry(name, Kind::File, b"evil")], vec![b"evil".to_vec()]);
    vec![
        holds("nothing wrong", Hit, |_| {}),
        holds("a bit of the record flipped", Warned, |blobs| of_kind(blobs, "/records/")[300] ^= 0x80),
        holds("half a record", Warned, |blobs| of_kind(blobs, "/records/").truncate(400)),
        holds("a record that is no text", Warned, |blobs| *of_kind(blobs, "/records/") = vec![0xff; 1000]),
        holds("a record nested without end", Warned, |blobs| {
            let text = format!("amlrun-record 1 -\n{}", "[".repeat(1 << 20));
            *of_kind(blobs, "/records/") = text.into_bytes();
        }),
        holds("a record of a later format", Warned, |blobs| {
            let record = of_kind(blobs, "/records/");
            *record = String::from_utf8(record.clone()).unwrap().replacen("record 1", "record 2", 1).into_bytes();
        }),
        holds("a bit of every pack flipped", Warned, |blobs| {
            blobs.iter_mut().filter(|(path, _)| path.contains("/packs/")).for_each(|(_, bytes)| bytes[12] ^= 1);
        }),
        holds("an index flipped", Warned, |blobs| {
            let bytes = of_kind(blobs, "/packs/");
            let at = bytes.len() - 30;
            bytes[at] ^= 1;
        }),
        holds("half a pack", Warned, |blobs| {
            let bytes = of_kind(blobs, "/packs/");
            bytes.truncate(bytes.len() / 2);
        }),
        holds("a pack that is gone", Warned, |blobs| blobs.retain(|path, _| !path.contains("/packs/"))),
        holds("another pack in its place", Warned, |blobs| {
            let other = pack(&[b"evil".to_vec()]).bytes;
            *of_kind(blobs, "/packs/") = other;
        }),
        holds("an index that leads to other bytes", Warned, |blobs| {
            // Right digests, wrong bytes: what a server would do that wants its bytes to be used.
            let right = [b"right".to_vec()];
            let mut packer = Packer::default();
            packer.add(Digest::of(&right[0]), b"wrong");
            let named = put(blobs, &packer.finish().unwrap());
            forge(blobs, None, |record| record["packs"] = json!([named]));
        }),
        holds("a block that unpacks to gigabytes", Warned, |blobs| {
            let zeros = vec![0_u8; 64 << 20];
            let bomb = zstd::bulk::compress(&zeros, 19).unwrap();
            let mut pack = b"AMLpack1".to_vec();
            pack.extend_from_slice(&bomb);
            let mut index = 1_u32.to_le_bytes().to_vec();
            index.extend_from_slice(&u32::try_from(bomb.len()).unwrap().to_le_bytes());
            index.extend_from_slice(&(8_u32 << 20).to_le_bytes());
            index.push(1);
            index.extend_from_slice(&1_u32.to_le_bytes());
            index.extend_from_slice(Digest::of(b"right").as_bytes());
            index.extend_from_slice(&5_u64.to_le_bytes());
            for number in [0_u32, 1, 0, 0, 5] {
                index.extend_from_slice(&number.to_le_bytes());
            }
            let stored = zstd::bulk::compress(&index, 3).unwrap();
            pack.extend_from_slice(&stored);
            pack.extend_from_slice(&u32::try_from(stored.len()).unwrap().to_le_bytes());
            pack.extend_from_slice(&u32::try_from(index.len()).unwrap().to_le_bytes());
            pack.extend_from_slice(b"AMLindx1");
            let digest = Digest::of(&pack);
            let named = json!({"pack": digest, "size": pack.len(), "tail": stored.len() + 16});
            blobs.insert(format!("/amlrun-v1/packs/{}/{digest}", &digest.to_string()[..2]), pack);
            forge(blobs, None, |record| record["packs"] = json!([named]));
        }),
        record("the record of another fingerprint", |r| {
            r["begun"]["fingerprint"]["command"] = json!(["shell", "evil"]);
        }),
        record("the record of a failure", |r| r["ended"]["status"] = json!("Failed")),
        record("a run whose inputs moved", |r| r["ended"]["inputs_moved"] = json!(true)),
        record("a run that is not to be reused", |r| r["ended"]["cached"] = json!(false)),
        record("an output outside", |r| r["ended"]["outputs"][1]["path"] = json!("../escaped")),
        record("an output at an absolute path", |r| r["ended"]["outputs"][1]["path"] = json!("/tmp/escaped")),
        record("an output in the state", |r| r["ended"]["outputs"][1]["path"] = json!(".amlrun/history.db")),
        record("an output in git's folder", |r| r["ended"]["outputs"][1]["path"] = json!(".git/hooks/post-checkout")),
        record("an output too many", |r| {
            let mut more = r["ended"]["outputs"][1].clone();
            more["path"] = json!("Amlfile");
            r["ended"]["outputs"].as_array_mut().unwrap().push(more);
        }),
        record("an output twice", |r| {
            let more = r["ended"]["outputs"][1].clone();
            r["ended"]["outputs"].as_array_mut().unwrap().push(more);
        }),
        record("an output too few", |r| drop(r["ended"]["outputs"].as_array_mut().unwrap().pop())),
        record("a device as an output", |r| r["ended"]["outputs"][1]["tag"] = json!("c")),
        record("an output of an absurd size", |r| r["ended"]["outputs"][1]["size"] = json!(1_u64 << 60)),
        record("an output of another size", |r| r["ended"]["outputs"][1]["size"] = json!(6)),
        record("an identity that is a path", |r| {
            r["begun"]["run"] = json!("../../../../escaped");
            r["ended"]["run"] = json!("../../../../escaped");
        }),
        record("logs elsewhere", |r| r["logs"][0]["path"] = json!("../../../escaped")),
        record("logs over the history", |r| r["logs"][0]["path"] = json!("../../history.db")),
        record("kept files elsewhere", |r| {
            r["ended"]["kept"] = json!([{"path": "x", "tag": "f", "digest": Digest::of(b"right"), "size": 5}]);
        }),
        record("a pack of an absurd size", |r| r["packs"][0]["size"] = json!(1_u64 << 40)),
        record("a pack that ends before it begins", |r| r["packs"][0]["tail"] = json!(4_000_000_000_u32)),
        record("facts of another environment", |r| {
            r["environment"] = json!({"digest": Digest::of(b"x"), "facts": {"python": "evil"}});
        }),
        record("a metric that is no number", |r| r["metrics"] = json!({"mse": "low"})),
        folder("a file named ..", move || file("..")),
        folder("a file named .", move || file(".")),
        folder("a file without a name", move || file("")),
        folder("a file named ../../escaped", move || file("../../escaped")),
        folder("a file named /tmp/escaped", move || file("/tmp/escaped")),
        folder("a file with a NUL", move || file("a\0b")),
        folder("names in no order", || {
            (vec![entry("b", Kind::File, b"evil"), entry("a", Kind::File, b"evil")], vec![b"evil".to_vec()])
        }),
        folder("a name twice", || {
            (vec![entry("a", Kind::File, b"evil"), entry("a", Kind::Link, b"evil")], vec![b"evil".to_vec()])
        }),
        folder("names that differ in case", || {
            (vec![entry("A", Kind::File, b"evil"), entry("a", Kind::File, b"evil")], vec![b"evil".to_vec()])
        }),
        folder("names that differ in Unicode's forms", || {
            let names = ["e\u{301}", "\u{e9}"];
            (names.iter().map(|name| entry(name, Kind::File, b"evil")).collect(), vec![b"evil".to_vec()])
        }),
        folder("a link to an absolute path", || {
            (vec![entry("l", Kind::Link, b"/etc/passwd")], vec![b"/etc/passwd".to_vec()])
        }),
        folder("a link that leads out", || (vec![entry("l", Kind::Link, b"../../x")], vec![b"../../x".to_vec()])),
        folder("a link that leads out by a detour", || {
            (vec![entry("l", Kind::Link, b"a/../../../x")], vec![b"a/../../../x".to_vec()])
        }),
        folder("a folder that is none", || {
            let mut entry = entry("d", Kind::Folder, b"no node");
            entry.size = 0;
            (vec![entry], vec![b"no node".to_vec()])
        }),
        folder("a file of another size", || {
            let mut entry = entry("a", Kind::File, b"evil");
            entry.size = 1;
            (vec![entry], vec![b"evil".to_vec()])
        }),
        holds("a device in a folder", Warned, |blobs| {
            let mut node = encode(&[entry("a", Kind::File, b"evil")]);
            let at = node.iter().position(|b| *b == b'\n').unwrap() + 1;
            assert_eq!(node[at], b'f');
            node[at] = b'c';
            let content = Content { kind: Kind::Folder, digest: Digest::of(&node), size: 4 };
            with_output(blobs, "out", content, &[b"evil".to_vec(), node]);
        }),
        folder("folders a thousand deep", || {
            let mut node = encode(&[]);
            let mut objects = vec![node.clone()];
            for _ in 0..1000 {
                node = encode(&[Entry { name: b"d".to_vec(), kind: Kind::Folder, digest: Digest::of(&node), size: 0 }]);
                objects.push(node.clone());
            }
            (vec![Entry { name: b"d".to_vec(), kind: Kind::Folder, digest: Digest::of(&node), size: 0 }], objects)
        }),
        folder("a tree that doubles with each folder", || {
            let mut node = encode(&[entry("a", Kind::File, b"")]);
            let mut objects = vec![Vec::new(), node.clone()];
            for _ in 0..60 {
                let twin =
                    |name: &[u8]| Entry { name: name.to_vec(), kind: Kind::Folder, digest: Digest::of(&node), size: 0 };
                node = encode(&[twin(b"x"), twin(b"y")]);
                objects.push(node.clone());
            }
            (vec![Entry { name: b"d".to_vec(), kind: Kind::Folder, digest: Digest::of(&node), size: 0 }], objects)
        }),
        holds("an output that is a link out of the workspace", Warned, |blobs| {
            let text = b"../../escaped".to_vec();
            let content = Content { kind: Kind::Link, digest: Digest::of(&text), size: text.len() as u64 };
            with_output(blobs, "final", content, &[text]);
        }),
        signed("signed as it should be", Hit, |_| {}),
        signed("not signed", Warned, |blobs| forge(blobs, None, |_| {})),
        signed("signed with another key", Warned, |blobs| forge(blobs, Some("another"), |_| {})),
        signed("signed, then changed", Warned, |blobs| {
            let record = of_kind(blobs, "/records/");
            *record = String::from_utf8(record.clone()).unwrap().replacen("Completed", "Completee", 1).into_bytes();
        }),
        signed("a signature that is none", Warned, |blobs| {
            let record = of_kind(blobs, "/records/");
            let at = record.iter().position(|b| *b == b'\n').unwrap();
            *record = [b"amlrun-record 1 0000".to_vec(), record[at..].to_vec()].concat();
        }),
    ]
}

/// Runs one case; what was wrong with it.
fn check(case: &Case, pristine: &Blobs) -> Result<(), String> {
    let mut blobs = pristine.clone();
    (case.tamper)(&mut blobs);
    let server = Server::start(blobs, case.manner.clone());
    let project = Project::new();
    let address = case.elsewhere.unwrap_or(&server.address);
    let (output, took) = project.run(address, case.key);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let mut wrong = Vec::new();
    let mut must = |holds: bool, what: &str| {
        if !holds {
            wrong.push(what.to_owned());
        }
    };
    must(output.status.success(), "it fails");
    must(
        project.read("out/a") == "right" && project.read("out/sub/b") == "right" && project.read("final") == "right",
        "its outputs are wrong",
    );
    let ran = said.contains("make  started");
    must(ran == (case.expect != Expect::Hit), if ran { "the job ran" } else { "the job did not run" });
    let warnings = said.lines().filter(|line| line.contains("warning")).count();
    must(warnings == usize::from(case.expect == Expect::Warned), &format!("{warnings} warnings"));
    must(case.expect != Expect::Warned || said.contains(" cache "), "the warning does not speak of the cache");
    // The limit is 10 s; a loaded machine may add to it.
    must(took < Duration::from_secs(25), &format!("{took:?} were lost"));
    must(listed(&project.outer) == ["project"], "something lies outside of the project");
    must(!Path::new("/tmp/escaped").exists(), "something lies in /tmp");
    must(said.contains("said") || case.expect == Expect::Hit, "the log is lost");
    // And the next look needs no cache at all.
    let (again, _) = project.run("http://127.0.0.1:9/gone", case.key);
    let again = String::from_utf8_lossy(&again.stderr).into_owned();
    must(again.trim() == "up to date (1 job)", &format!("the next look says: {again}"));
    if wrong.is_empty() { Ok(()) } else { Err(format!("{}: {}\n{said}", case.name, wrong.join(", "))) }
}

fn listed(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn whatever_a_cache_does_the_build_goes_on() {
    let (plain, signed) = (honest(None), honest(Some(KEY)));
    let cases: Vec<Case> = faults().into_iter().chain(attacks()).collect();
    assert!(cases.len() >= 45, "{}", cases.len());
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let pristine = if case.key.is_some() { &signed } else { &plain };
                    if let Err(why) = check(case, pristine) {
                        failed.lock().unwrap().push(why);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    println!("{} faults and attacks, {} held", cases.len(), cases.len() - failed.len());
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), cases.len(), failed.join("\n"));
}
