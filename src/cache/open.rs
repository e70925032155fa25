//! The cache of an address.

use super::Remote;
use super::address::Address;
use super::breaker::Guarded;
use super::credentials::{self, Settings};
use super::folder::FolderRemote;
use super::object::ObjectRemote;
use super::web::WebRemote;

/// The cache of an address, guarded. Nothing is sent, read or written before it is used.
///
/// # Errors
/// Where the settings that the surroundings give are no settings: to be read after the address.
pub fn open(address: &Address, settings: &Settings) -> Result<Guarded, String> {
    let remote: Box<dyn Remote> = match address {
        Address::Folder(path) => Box::new(FolderRemote::open(path)),
        Address::Object { cloud, bucket, prefix } => Box::new(ObjectRemote::new(*cloud, bucket, prefix, settings)?),
        Address::Web { url, login } => {
            Box::new(WebRemote::new(url.clone(), credentials::web(settings, url, login.as_deref())))
        }
    };
    Ok(Guarded::new(remote, address.to_string()))
}
