//! What can be told of a Spark target without running anything: whether its master takes connections.
//!
//! Called by `amlrun targets`. Jobs of such a target run on this machine, where their drivers are (see `local`), so it
//! submits nothing.

use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::remote::Finding;
use crate::project::model::Target;

/// How long a master may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The master of a target.
#[must_use]
pub fn master(target: &Target) -> &str {
    target.options.get("master").and_then(toml::Value::as_str).unwrap_or_default()
}

/// What is found of a target. Of masters other than Spark's own, only spark-submit knows.
#[must_use]
pub fn check(target: &Target) -> Vec<Finding> {
    let finding = |good: bool, text: String| vec![Finding { name: "master".to_owned(), good, text }];
    let master = master(target);
    let Some(places) = master.strip_prefix("spark://") else {
        return finding(true, format!("{master}: not asked, spark-submit finds it"));
    };
    let mut why = String::new();
    for place in places.split(',') {
        match connect(place) {
            Ok(()) => return finding(true, format!("spark://{place} takes connections")),
            Err(error) => why = format!("{place}: {error}"),
        }
    }
    finding(
        false,
        format!("no master answers ({why}); start it (sbin/start-master.sh), or correct `master` of the target"),
    )
}

fn connect(place: &str) -> std::io::Result<()> {
    let mut last = std::io::Error::other("no address");
    for address in place.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}
