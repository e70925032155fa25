//! Images on the target: the one that is here, by its identity, and never another one of the same name.
//!
//! Called where an environment is made ready. What is not there is sent as the engine here writes it and the engine there reads
//! it; a connection that breaks costs what was sent.

use std::io::Read as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::Link;
use super::surroundings::Around;
use crate::launch::Image;
use crate::target::remote::Fault;

/// So many bytes travel at once.
const PIECE: usize = 2 << 20;

/// Has the image there, and says what starts a container of it. `told` hears that it is sent, an empty line first.
pub(super) fn ready(link: &Link, image: &Image, told: &mut dyn FnMut(String)) -> Result<Around, Fault> {
    let answer = link.ask(&json!({"op": "image", "identity": image.identity}))?;
    let engine = answer.get("engine").and_then(Value::as_str).unwrap_or_default().to_owned();
    if !answer.get("there").and_then(Value::as_bool).unwrap_or(false) {
        told(String::new());
        told(format!("sending the image {} to {}", image.name, link.place()));
        send(link, image)?;
    }
    let container = json!({"engine": engine, "image": image.identity, "name": image.name, "options": image.options});
    Ok(Around { container: Some(container), ..Around::default() })
}

fn send(link: &Link, image: &Image) -> Result<(), Fault> {
    let shown = format!("{} save {}", image.client.program.display(), image.name);
    let failed = |why: &dyn std::fmt::Display| Fault::Refused(format!("{}: `{shown}` here: {why}", link.named()));
    #[expect(clippy::disallowed_methods, reason = "the engine's client is a process")]
    let mut save = Command::new(&image.client.program);
    save.arg("save").arg(&image.identity).env_clear().envs(&image.client.variables);
    save.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = save.spawn().map_err(|error| failed(&error))?;
    let sent = child.stdout.take().map_or(Ok(()), |from| pieces(link, image, from));
    if sent.is_err() {
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| failed(&error))?;
    sent?;
    if !status.success() {
        return Err(failed(&status));
    }
    // Only now is it read as a whole: half an image would be one that nobody asked for.
    link.ask(&json!({"op": "image_end", "identity": image.identity})).map(drop)
}

fn pieces(link: &Link, image: &Image, mut from: impl std::io::Read) -> Result<(), Fault> {
    let mut first = true;
    let mut piece = Vec::with_capacity(PIECE);
    loop {
        piece.clear();
        let read = from.by_ref().take(PIECE as u64).read_to_end(&mut piece);
        read.map_err(|error| Fault::Refused(format!("{}: reading the image here: {error}", link.named())))?;
        if piece.is_empty() {
            return Ok(());
        }
        link.exchange(&json!({"op": "image_piece", "identity": image.identity, "first": first}), &piece)?;
        first = false;
    }
}
