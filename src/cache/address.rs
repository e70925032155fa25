//! Which cache is meant: the text of `[workspace] cache` or `--cache`, understood. Pure.

use std::fmt;
use std::path::{Path, PathBuf};

/// A cache's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A folder, absolute.
    Folder(PathBuf),
    /// A bucket or container, and the place in it (without slashes at its ends).
    Object {
        /// Whose.
        cloud: Cloud,
        /// The bucket or container.
        bucket: String,
        /// Where in it; may be empty.
        prefix: String,
    },
    /// A web server that understands GET, HEAD and PUT: the address without a slash at its end, and what it is told of who
    /// asks.
    Web {
        /// Without user and password.
        url: String,
        /// `user:password` of the address.
        login: Option<String>,
    },
}

/// The clouds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cloud {
    /// `s3://`.
    Amazon,
    /// `az://`.
    Azure,
    /// `gs://`.
    Google,
}

impl Cloud {
    /// As it stands before `://`.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Amazon => "s3",
            Self::Azure => "az",
            Self::Google => "gs",
        }
    }
}

impl Address {
    /// Understands a text; a path is relative to `base`, which is absolute.
    ///
    /// # Errors
    /// Where it is no address: why, to be read after the text itself.
    pub fn parse(text: &str, base: &Path) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("is empty".to_owned());
        }
        let Some((scheme, rest)) = text.split_once("://") else { return Ok(Self::Folder(below(base, text))) };
        let object = |cloud: Cloud| {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            let prefix = prefix.trim_matches('/');
            let strange = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '?' | '#' | '\\');
            if bucket.is_empty() || bucket.contains(['@', ':']) || bucket.chars().any(strange) {
                return Err(format!("names no bucket or container: {scheme}://NAME/PLACE is expected"));
            }
            if prefix.chars().any(strange) || prefix.split('/').any(|part| matches!(part, "." | "..")) {
                return Err("has a place that cannot be one of a bucket".to_owned());
            }
            Ok(Self::Object { cloud, bucket: bucket.to_owned(), prefix: prefix.to_owned() })
        };
        match scheme.to_ascii_lowercase().as_str() {
            "file" => match rest.strip_prefix('/') {
                Some(path) => Ok(Self::Folder(Path::new("/").join(path))),
                None => Err("is no path of this machine: file:///FOLDER is expected".to_owned()),
            },
            "s3" => object(Cloud::Amazon),
            "az" | "azure" => object(Cloud::Azure),
            "gs" => object(Cloud::Google),
            scheme @ ("https" | "http") => web(scheme, rest),
            _ => Err(format!("begins with `{scheme}://`; s3://, az://, gs://, https:// or a folder are understood")),
        }
    }

    /// Whether it is asked over a network, so that it may be slow or gone.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        !matches!(self, Self::Folder(_))
    }
}

/// `../x` of `/a/b` is `/a/x`; a `..` behind a name stays, as that may be a link.
fn below(base: &Path, text: &str) -> PathBuf {
    let (mut base, mut text) = (base, text);
    while let Some((rest, parent)) = text.strip_prefix("../").zip(base.parent()) {
        (text, base) = (rest, parent);
    }
    base.join(text)
}

fn web(scheme: &str, rest: &str) -> Result<Address, String> {
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, host) = match host.rsplit_once('@') {
        Some((login, host)) => (Some(login.to_owned()), host),
        None => (None, host),
    };
    let strange = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
    if host.is_empty() || rest.chars().any(strange) {
        return Err(format!("names no server: {scheme}://HOST/PLACE is expected"));
    }
    if path.contains(['?', '#']) {
        return Err("has a `?` or `#`, after which nothing can be named".to_owned());
    }
    let path = path.trim_matches('/');
    let slash = if path.is_empty() { "" } else { "/" };
    Ok(Address::Web { url: format!("{scheme}://{host}{slash}{path}"), login })
}

impl fmt::Display for Address {
    /// As it may be shown: without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "{}", path.display()),
            Self::Object { cloud, bucket, prefix } => {
                let slash = if prefix.is_empty() { "" } else { "/" };
                write!(f, "{}://{bucket}{slash}{prefix}", cloud.scheme())
            }
            Self::Web { url, .. } => f.write_str(url),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, shown: Result<&str, &str>) {
        match (Address::parse(text, Path::new("/project")), shown) {
            (Ok(address), Ok(shown)) => assert_eq!(address.to_string(), shown, "{text}"),
            (Err(why), Err(word)) => assert!(why.contains(word), "{text}: {why}"),
            (got, wanted) => panic!("{text}: {got:?}, not {wanted:?}"),
        }
    }

    #[test]
    fn addresses_are_understood() {
        check("../cache", Ok("/cache"));
        check("a/../cache", Ok("/project/a/../cache"));
        check("/mnt/cache", Ok("/mnt/cache"));
        check("file:///mnt/cache", Ok("/mnt/cache"));
        check("file://host/cache", Err("file:///"));
        check("s3://bucket", Ok("s3://bucket"));
        check("s3://bucket/a/b/", Ok("s3://bucket/a/b"));
        check("az://container/x", Ok("az://container/x"));
        check("gs://bucket/x", Ok("gs://bucket/x"));
        check("s3:///x", Err("names no bucket"));
        check("s3://bucket/../x", Err("cannot be one of a bucket"));
        check("https://host:8443/a/b/", Ok("https://host:8443/a/b"));
        check("https://user:secret@host/a", Ok("https://host/a"));
        check("https://", Err("names no server"));
        check("https://host/a?b", Err("`?`"));
        check("ftp://host/a", Err("begins with `ftp://`"));
        check("  ", Err("is empty"));
    }
}
