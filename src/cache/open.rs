//! The cache of an address.

use std::sync::OnceLock;
use std::time::SystemTime;

use super::address::Address;
use super::breaker::Guarded;
use super::credentials::{self, Settings};
use super::folder::FolderRemote;
use super::object::ObjectRemote;
use super::web::WebRemote;
use super::{Created, Fault, Kind, Listed, Name, Range, Remote};

/// The cache of an address, guarded. Nothing is sent, read or written before it is used, no file of credentials either: an
/// invocation that finds everything fresh does not need it.
#[must_use]
pub fn open(address: &Address, settings: Settings) -> Guarded {
    let shown = address.to_string();
    Guarded::new(Box::new(Lazy { address: address.clone(), settings, made: OnceLock::new() }), shown)
}

fn make(address: &Address, settings: &Settings) -> Result<Box<dyn Remote>, String> {
    Ok(match address {
        Address::Folder(path) => Box::new(FolderRemote::open(path)),
        Address::Object { cloud, bucket, prefix } => Box::new(ObjectRemote::new(*cloud, bucket, prefix, settings)?),
        Address::Web { url, login } => {
            Box::new(WebRemote::new(url.clone(), credentials::web(settings, url, login.as_deref())))
        }
    })
}

/// A cache that is made when it is first asked.
struct Lazy {
    address: Address,
    settings: Settings,
    made: OnceLock<Result<Box<dyn Remote>, String>>,
}

impl Lazy {
    fn remote(&self) -> Result<&dyn Remote, Fault> {
        match self.made.get_or_init(|| make(&self.address, &self.settings)) {
            Ok(remote) => Ok(&**remote),
            Err(why) => Err(Fault::Down(why.clone())),
        }
    }
}

impl Remote for Lazy {
    fn get(&self, name: &Name, part: Option<Range>) -> Result<Option<Vec<u8>>, Fault> {
        self.remote()?.get(name, part)
    }

    fn size(&self, name: &Name) -> Result<Option<u64>, Fault> {
        self.remote()?.size(name)
    }

    fn create(&self, name: &Name, bytes: &[u8]) -> Result<Created, Fault> {
        self.remote()?.create(name, bytes)
    }

    fn replace(&self, name: &Name, bytes: &[u8]) -> Result<(), Fault> {
        self.remote()?.replace(name, bytes)
    }

    fn list(&self, kind: Kind) -> Result<Vec<Listed>, Fault> {
        self.remote()?.list(kind)
    }

    fn remove(&self, name: &Name) -> Result<(), Fault> {
        self.remote()?.remove(name)
    }

    fn tidy(&self, older: SystemTime) {
        if let Ok(remote) = self.remote() {
            remote.tidy(older);
        }
    }

    fn abandon(&self) {
        if let Some(Ok(remote)) = self.made.get() {
            remote.abandon();
        }
    }
}
