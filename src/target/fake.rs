//! A target that computes instead of running: `exit 3` fails with 3, `signal 9` is killed, `say TEXT` prints, `write PATH
//! TEXT` writes a file below the working directory; commands are separated by `;`.

use std::sync::Mutex;

use super::{Cancel, CancelState, Report, Target};
use crate::event::Stream;
use crate::launch::{Launch, Outcome, Usage};

/// The fake, which remembers what it was asked to run.
#[derive(Debug, Default)]
pub struct FakeTarget {
    /// Every argv, in order.
    pub ran: Mutex<Vec<Vec<String>>>,
}

impl Target for FakeTarget {
    fn run(&self, launch: &Launch, cancel: &dyn Cancel, mail: &mut dyn FnMut(Report)) -> (Outcome, Usage) {
        if let Ok(mut ran) = self.ran.lock() {
            ran.push(launch.argv.clone());
        }
        if cancel.state() != CancelState::Run {
            return (Outcome::Canceled, Usage::default());
        }
        let text = text(&launch.argv);
        for step in text.split(';').map(str::trim) {
            let (verb, rest) = step.split_once(' ').unwrap_or((step, ""));
            match verb {
                "exit" => return (Outcome::Failed { code: rest.parse().unwrap_or(1) }, Usage::default()),
                "signal" => return (Outcome::Killed { signal: rest.parse().unwrap_or(9) }, Usage::default()),
                "say" => mail(Report::Line(Stream::Output, rest.to_owned())),
                "write" => {
                    let (path, text) = rest.split_once(' ').unwrap_or((rest, ""));
                    let write = || {
                        use std::io::Write as _;
                        std::fs::File::create(launch.cwd.join(path))?.write_all(text.as_bytes())
                    };
                    if let Err(error) = write() {
                        return (Outcome::Broken { why: error.to_string() }, Usage::default());
                    }
                }
                _ => {}
            }
        }
        (Outcome::Succeeded, Usage::default())
    }
}

/// The command as it was written, whether a shell was spared or not.
fn text(argv: &[String]) -> String {
    match argv {
        [_, dash_c, text] if dash_c == "-c" => text.clone(),
        [program, rest @ ..] => {
            let name = program.rsplit('/').next().unwrap_or(program).to_owned();
            std::iter::once(name).chain(rest.iter().cloned()).collect::<Vec<_>>().join(" ")
        }
        [] => String::new(),
    }
}
