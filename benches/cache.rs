//! The shared cache against itself: 10,000 small files against one object of the same bytes, through Azurite and s3s-fs, there
//! and back; and what the second push sends after one file changed. `cargo bench --bench cache`, with the scripts of
//! `../shared/engines` beside the checkout.
//!
//! The pairs run in interleaved rounds, and the best of each counts.

#![expect(clippy::disallowed_methods, reason = "a benchmark measures time and runs programs")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const ROUNDS: usize = 3;
const FILES: usize = 10_000;
/// Of each file.
const SIZE: usize = 4096;

type Anything = Box<dyn std::error::Error>;
type Variables = BTreeMap<String, String>;

fn main() -> Result<(), Anything> {
    let engines = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/engines");
    let place = tempfile::tempdir()?;
    for (name, script) in [("azurite", "azurite-up.sh"), ("s3s-fs", "s3s-up.sh")] {
        let folder = place.path().join(name);
        std::fs::create_dir_all(&folder)?;
        for kept in ["npm", "cargo"] {
            let kept_at = Path::new(env!("CARGO_TARGET_TMPDIR")).join("engines").join(script).join(kept);
            std::fs::create_dir_all(&kept_at)?;
            std::os::unix::fs::symlink(kept_at, folder.join(kept))?;
        }
        run(Command::new("bash").arg(engines.join(script)).arg(&folder))?;
        let measured = measure(name, &folder, place.path());
        run(Command::new("bash").arg(engines.join("down.sh")).arg(&folder))?;
        measured?;
    }
    Ok(())
}

fn measure(name: &str, engine: &Path, place: &Path) -> Result<(), Anything> {
    let variables = exports(&std::fs::read_to_string(engine.join("env"))?);
    let base = if name == "azurite" {
        run(Command::new("python3").args(["-c", CONTAINER]).envs(&variables))?;
        "az://bench"
    } else {
        std::fs::create_dir_all(engine.join("root/bench"))?;
        "s3://bench"
    };
    let (many, one) = (project(place, name, "many", true)?, project(place, name, "one", false)?);
    let mut best: BTreeMap<&str, f64> = BTreeMap::new();
    let mut sent = (0, 0);
    for round in 0..ROUNDS {
        for (what, root) in [("many", &many), ("one", &one)] {
            let cache = format!("{base}/{what}-{round}");
            let _ = std::fs::remove_dir_all(root.join(".amlrun/cache-v1"));
            let (took, report) = timed(root, "push", &cache, &variables)?;
            let other = place.join(format!("{name}-{what}-{round}"));
            std::fs::create_dir_all(&other)?;
            std::fs::copy(root.join("Amlfile"), other.join("Amlfile"))?;
            let (back, _) = timed(&other, "pull", &cache, &variables)?;
            for (key, took) in [
                (if what == "many" { "push many" } else { "push one" }, took),
                (if what == "many" { "pull many" } else { "pull one" }, back),
            ] {
                let least = best.entry(key).or_insert(f64::MAX);
                *least = least.min(took);
            }
            if what == "many" && round == ROUNDS - 1 {
                sent.0 = report;
                std::fs::write(root.join("seed"), "2")?;
                amlrun(root, &["--cache-mode", "off", "-q"], &variables)?;
                sent.1 = timed(root, "push", &cache, &variables)?.1;
            }
        }
    }
    let mut out = std::io::stdout();
    for direction in ["push", "pull"] {
        let (many, one) = (best[&*format!("{direction} many")], best[&*format!("{direction} one")]);
        writeln!(
            out,
            "{name}: {direction} of {FILES} files {many:.2} s, of one object {one:.2} s: {:.2}x",
            many / one
        )?;
    }
    let share = f64::from(u32::try_from(sent.1)?) / f64::from(u32::try_from(sent.0)?) * 100.0;
    writeln!(out, "{name}: first push {} bytes, after one changed file {} bytes: {share:.2} %", sent.0, sent.1)?;
    Ok(())
}

/// A project whose one job has left files of random bytes, many or one; the first depends on `seed`.
fn project(place: &Path, engine: &str, what: &str, many: bool) -> Result<PathBuf, Anything> {
    let root = place.join(format!("{engine}-{what}"));
    std::fs::create_dir_all(&root)?;
    let command = if many {
        format!(
            "python3 -c \\\"import os, random; r = random.Random(1); [(os.makedirs('out/%03d' % (n // 100), exist_ok=True), \
             open('out/%03d/%05d' % (n // 100, n), 'wb').write(r.randbytes({SIZE}))) for n in range({FILES})]; \
             open('out/042/04242', 'w').write(open('seed').read())\\\""
        )
    } else {
        format!(
            "python3 -c \\\"import random; open('out', 'wb').write(random.Random(1).randbytes({}))\\\"",
            SIZE * FILES
        )
    };
    let text = format!(
        "format = 1\n[experiments.make]\ncommand = \"{command}\"\ninputs = [\"seed\"]\noutputs = [\"out\"]\nsources = []\n"
    );
    std::fs::write(root.join("Amlfile"), text)?;
    std::fs::write(root.join("seed"), "1")?;
    amlrun(&root, &["--cache-mode", "off", "-q"], &Variables::new())?;
    Ok(root)
}

fn amlrun(root: &Path, arguments: &[&str], variables: &Variables) -> Result<String, Anything> {
    run(Command::new(env!("CARGO_BIN_EXE_amlrun")).args(arguments).current_dir(root).envs(variables))
}

/// Seconds, and the bytes that were sent.
fn timed(root: &Path, what: &str, cache: &str, variables: &Variables) -> Result<(f64, u64), Anything> {
    if !root.join("seed").exists() {
        std::fs::write(root.join("seed"), "1")?;
    }
    let began = Instant::now();
    let report = amlrun(root, &["cache", what, "--json", "--cache", cache], variables)?;
    let took = began.elapsed().as_secs_f64();
    let report: serde_json::Value = serde_json::from_str(&report)?;
    let state = &report["jobs"][0]["state"];
    if state != &format!("{what}ed") {
        return Err(format!("nothing was {what}ed: {report}").into());
    }
    Ok((took, report["sent"].as_u64().unwrap_or_default()))
}

fn exports(text: &str) -> Variables {
    let words = shell_words::split(&text.replace('\n', " ")).unwrap_or_default();
    words.iter().filter_map(|word| word.split_once('=')).map(|(n, v)| (n.to_owned(), v.to_owned())).collect()
}

fn run(command: &mut Command) -> Result<String, Anything> {
    let done = command.output()?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        return Err(format!("{command:?} failed: {}: {said}", done.status).into());
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// Makes the container `bench`, as its owner would.
const CONTAINER: &str = r#"
import base64, datetime, hashlib, hmac, os, urllib.request
fields = dict(part.split("=", 1) for part in os.environ["AZURE_STORAGE_CONNECTION_STRING"].split(";") if part)
account, url = fields["AccountName"], fields["BlobEndpoint"] + "/bench?restype=container"
now = datetime.datetime.now(datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
text = f"PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{now}\nx-ms-version:2021-08-06\n/{account}/{account}/bench\nrestype:container"
sign = base64.b64encode(hmac.new(base64.b64decode(fields["AccountKey"]), text.encode(), hashlib.sha256).digest()).decode()
headers = {"x-ms-date": now, "x-ms-version": "2021-08-06", "Authorization": f"SharedKey {account}:{sign}", "Content-Length": "0"}
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(urllib.request.Request(url, method="PUT", headers=headers))
"#;
