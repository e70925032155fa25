//! The far side of targets that have a shell: a small Python program that is sent over, asked over one connection, and
//! supervises the jobs there.
//!
//! Called by `ssh`, `slurm` and `ray`. Nothing but Python 3.6 is asked of the far side. Everything that is asked may be asked
//! again, so a connection that breaks costs time and nothing else.

mod bring;
mod image;
mod ray;
mod runs;
mod send;
mod surroundings;
mod wire;

pub use ray::{Files, Noted};
pub use runs::Room;
pub use wire::{Connector, Link, Trouble};

use crate::relpath::RelPath;

/// The program that is sent over.
const PROGRAM: &str = concat!(
    include_str!("agent.py"),
    include_str!("container.py"),
    include_str!("slurm.py"),
    include_str!("ray.py"),
    // Only few jobs log to it: a text until then, which no other start has to compile.
    "\nTRACKING = r'''",
    include_str!("mlflow.py"),
    "'''\n",
    include_str!("main.py")
);

/// A path as the protocol writes it: a text whose characters are the bytes of the path.
fn written(path: &RelPath) -> String {
    path.as_bytes().iter().map(|&byte| char::from(byte)).collect()
}

/// A path that was written so; none where it would lead outside, or is none.
fn read(text: &str) -> Option<RelPath> {
    use std::os::unix::ffi::OsStringExt as _;
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
    RelPath::new(std::ffi::OsString::from_vec(bytes?)).ok()
}
