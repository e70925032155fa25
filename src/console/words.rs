//! Counts, durations, sizes, names and commands in words.

use std::fmt::Write as _;
use std::time::Duration;

use super::clean::clean;
use crate::relpath::{RelPath, escape};

/// `1 job`, `2 jobs`, `3 entries`, `4 matches`.
#[must_use]
pub fn count(n: usize, noun: &str) -> String {
    let mut text = n.to_string();
    text.push(' ');
    if n == 1 {
        text.push_str(noun);
        return text;
    }
    let vowel_before_y = noun.chars().rev().nth(1).is_some_and(|c| "aeiou".contains(c));
    match noun.strip_suffix('y') {
        Some(stem) if !vowel_before_y => {
            text.push_str(stem);
            text.push_str("ies");
        }
        _ => {
            text.push_str(noun);
            let hissing = ["s", "x", "ch", "sh"].iter().any(|end| noun.ends_with(end));
            text.push_str(if hissing { "es" } else { "s" });
        }
    }
    text
}

/// `12 ms`, `0.3 s`, `1 min 05 s`, `2 h 07 min`, `3 d 04 h`.
#[must_use]
pub fn duration(time: Duration) -> String {
    let mut text = String::new();
    push_duration(&mut text, u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
    text
}

/// The same of milliseconds, added to a text.
pub fn push_duration(to: &mut String, ms: u64) {
    let tenths = ms.saturating_add(50) / 100;
    let seconds = ms.saturating_add(500) / 1000;
    let minutes = seconds / 60;
    let hours = (seconds + 30) / 3600;
    // Writing to a String cannot fail.
    let _ = if ms < 100 {
        write!(to, "{ms} ms")
    } else if tenths < 600 {
        write!(to, "{}.{} s", tenths / 10, tenths % 10)
    } else if seconds < 3600 {
        write!(to, "{minutes} min {:02} s", seconds % 60)
    } else if hours < 24 {
        let minutes = (seconds + 30) / 60;
        write!(to, "{} h {:02} min", minutes / 60, minutes % 60)
    } else {
        let hours = (seconds + 1800) / 3600;
        write!(to, "{} d {:02} h", hours / 24, hours % 24)
    };
}

/// Whole seconds only, for a view that is redrawn: `0 s`, `59 s`, `1 min 05 s`.
#[must_use]
pub fn whole_seconds(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => duration(Duration::from_secs(seconds)),
    }
}

/// Whose run it was: `alice on gpu7`.
#[must_use]
pub fn whose(user: &str, host: &str) -> String {
    match (clean(user), clean(host)) {
        (user, host) if user.is_empty() && host.is_empty() => "somebody".to_owned(),
        (user, host) if host.is_empty() => user.into_owned(),
        (user, host) if user.is_empty() => format!("somebody on {host}"),
        (user, host) => format!("{user} on {host}"),
    }
}

/// `12 B`, `1.5 MiB`.
#[must_use]
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    // In tenths, so that 1023.96 KiB becomes 1.0 MiB and not 1024.0 KiB.
    let mut tenths = (u128::from(n) * 10 + 512) / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        unit += 1;
        let divisor = 1_u128 << (10 * (unit + 1));
        tenths = (u128::from(n) * 10 + divisor / 2) / divisor;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// A name in backticks.
#[must_use]
pub fn name(text: impl AsRef<str>) -> String {
    format!("`{}`", clean(text.as_ref()))
}

/// Names in backticks, as in `` `a`, `b` and `c` ``.
#[must_use]
pub fn names(all: &[impl AsRef<str>]) -> String {
    let mut text = String::new();
    for (i, one) in all.iter().enumerate() {
        text.push_str(match i {
            0 => "",
            _ if i + 1 == all.len() => " and ",
            _ => ", ",
        });
        text.push_str(&name(one));
    }
    text
}

/// A path of the workspace; one that is not UTF-8 with its bytes as `\xNN`.
#[must_use]
pub fn path(path: &RelPath) -> String {
    match (path.is_root(), std::str::from_utf8(path.as_bytes())) {
        (true, _) => ".".to_owned(),
        (false, Ok(text)) => clean(text).into_owned(),
        (false, Err(_)) => clean(&escape(path.as_bytes())).into_owned(),
    }
}

/// A command as one could type it into a shell.
#[must_use]
pub fn command(words: &[impl AsRef<str>]) -> String {
    clean(&shell_words::join(words)).into_owned()
}

/// A value that someone wrote: clean, cut to `columns`, and an empty one as `""`.
#[must_use]
pub fn value(text: &str, columns: usize) -> String {
    match text {
        "" => "\"\"".to_owned(),
        text => super::clean::fit(&clean(text), columns).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_plurals() {
        let check = |n: usize, noun: &str, expected: &str| assert_eq!(count(n, noun), expected);
        check(0, "job", "0 jobs");
        check(1, "job", "1 job");
        check(2, "job", "2 jobs");
        check(2, "entry", "2 entries");
        check(2, "key", "2 keys");
        check(3, "match", "3 matches");
        check(1, "match", "1 match");
    }

    #[test]
    fn durations_read_as_people_say_them() {
        let check = |ms: u64, expected: &str| assert_eq!(duration(Duration::from_millis(ms)), expected);
        check(0, "0 ms");
        check(99, "99 ms");
        check(100, "0.1 s");
        check(300, "0.3 s");
        check(1_249, "1.2 s");
        check(59_949, "59.9 s");
        check(59_950, "1 min 00 s");
        check(65_000, "1 min 05 s");
        check(3_599_499, "59 min 59 s");
        check(3_599_500, "1 h 00 min");
        check(3_600_000, "1 h 00 min");
        check(7_620_000, "2 h 07 min");
        check(86_399_000, "1 d 00 h");
        check(273_600_000, "3 d 04 h");
        check(u64::MAX, "213503982334 d 14 h");
    }

    #[test]
    fn sizes_are_binary() {
        let check = |n: u64, expected: &str| assert_eq!(bytes(n), expected);
        check(0, "0 B");
        check(1023, "1023 B");
        check(1024, "1.0 KiB");
        check(1_572_864, "1.5 MiB");
        check(1_048_575, "1.0 MiB");
        check(2_147_483_648, "2.0 GiB");
        check(u64::MAX, "16.0 EiB");
    }

    #[test]
    fn names_paths_and_commands_are_clean() {
        use std::os::unix::ffi::OsStrExt;
        assert_eq!(name("a\x1b"), "`a\\u{1b}`");
        assert_eq!(names(&["a"]), "`a`");
        assert_eq!(names(&["a", "b", "c"]), "`a`, `b` and `c`");
        assert_eq!(command(&["python", "train.py", "--name", "a b"]), "python train.py --name 'a b'");
        assert_eq!(path(&RelPath::root()), ".");
        assert_eq!(path(&RelPath::new("a/b c").unwrap()), "a/b c");
        assert_eq!(path(&RelPath::new(std::ffi::OsStr::from_bytes(b"a\xff")).unwrap()), "a\\xff");
        assert_eq!(value("", 10), "\"\"");
        assert_eq!(value("0123456789abc", 5), "0123…");
    }
}
