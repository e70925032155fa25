//! Reads the Amlfile from disk: the only I/O below `tree`.

use std::io::{Error, ErrorKind};
use std::path::Path;

use crate::diagnostic::Source;

/// Longer than any Amlfile; what is longer was named by mistake.
const LONGEST: u64 = 256 << 20;

/// Reads a file that shall be an Amlfile; `shown_name` is what messages call it.
///
/// # Errors
/// Where there is no such file, it is a folder or something else that is not a file, it cannot be read, or it is not
/// UTF-8 (the message names the line). The message is whole: it needs no path before it.
pub fn load(path: &Path, shown_name: &str) -> std::io::Result<Source> {
    let told = |kind: ErrorKind, why: String| Error::new(kind, why);
    let failed = |error: &Error| match error.kind() {
        ErrorKind::NotFound => told(ErrorKind::NotFound, format!("there is no file `{shown_name}`")),
        kind => told(kind, format!("could not read `{shown_name}`: {error}")),
    };
    let metadata = std::fs::metadata(path).map_err(|e| failed(&e))?;
    if metadata.is_dir() {
        let why = format!("`{shown_name}` is a folder; an Amlfile is a file (give the folder with `-C`)");
        return Err(told(ErrorKind::IsADirectory, why));
    }
    if metadata.is_file() && metadata.len() > LONGEST {
        let why = format!("`{shown_name}` has {} MiB, which is no Amlfile", metadata.len() >> 20);
        return Err(told(ErrorKind::FileTooLarge, why));
    }
    let bytes = std::fs::read(path).map_err(|e| failed(&e))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes().get(..valid).unwrap_or_default().split(|&byte| byte == b'\n').count();
        told(ErrorKind::InvalidData, format!("`{shown_name}` is not UTF-8: line {line} has a byte that is no text"))
    })?;
    Ok(Source { name: shown_name.to_owned(), text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &Path, expected: &str) {
        let error = load(path, "Amlfile").unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} should contain {expected:?}");
    }

    #[test]
    fn what_is_no_amlfile_is_said_so() {
        let folder = tempfile::tempdir().unwrap();
        check(folder.path(), "`Amlfile` is a folder");
        check(&folder.path().join("none"), "there is no file `Amlfile`");
        let mut file = tempfile::NamedTempFile::new_in(folder.path()).unwrap();
        std::io::Write::write_all(&mut file, b"format = 1\nname = \"\xff\"\n").unwrap();
        check(file.path(), "is not UTF-8: line 2");
    }

    #[test]
    fn an_empty_file_is_a_text() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(load(file.path(), "x/Amlfile").unwrap().name, "x/Amlfile");
    }
}
