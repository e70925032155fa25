//! Amounts with units, as in `4GiB` and `1h 30m`.

use std::time::Duration;

const MEMORY: &[(&str, u64)] = &[
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
];

const TIME: &[(&str, f64)] =
    &[("s", 1.0), ("sec", 1.0), ("m", 60.0), ("min", 60.0), ("h", 3600.0), ("d", 86400.0), ("w", 604_800.0)];

/// Why a text is no amount: what is wrong with it, and what it likely should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoAmount {
    /// A fragment, as in `has no unit`.
    pub why: String,
    /// The text that was likely meant.
    pub meant: Option<String>,
}

fn no<T>(why: impl Into<String>, meant: Option<String>) -> Result<T, NoAmount> {
    Err(NoAmount { why: why.into(), meant })
}

/// The number that a text begins with, and the rest.
fn number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest.trim_start()))
}

/// Bytes of memory: `512MB`, `4GiB`, `1.5 GiB`; `KB` to `TB` count by thousands, `KiB` to `TiB` by 1024.
///
/// # Errors
/// Where it is no amount of memory.
pub fn memory(text: &str) -> Result<u64, NoAmount> {
    let text = text.trim();
    let Some((amount, unit)) = number(text) else { return no("is no amount of memory", Some("4GiB".into())) };
    if unit.is_empty() {
        return no("has no unit", Some(format!("{text}GiB")));
    }
    let Some((_, bytes)) = MEMORY.iter().find(|(name, _)| *name == unit) else {
        let plain = unit.trim_end_matches(['b', 'B']).trim_end_matches('i').to_ascii_uppercase();
        let meant = matches!(plain.as_str(), "K" | "M" | "G" | "T").then(|| format!("{amount}{plain}iB"));
        return no(format!("has an unknown unit `{unit}`"), meant);
    };
    #[expect(clippy::cast_precision_loss, reason = "all units are exact in an f64")]
    let total = amount * *bytes as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
    if (1.0..9e18).contains(&total) { Ok(total as u64) } else { no("is out of range", None) }
}

/// A length of time: `90s`, `10m`, `1h 30m`, `2d`.
///
/// # Errors
/// Where it is none, or none at all (0).
pub fn time(text: &str) -> Result<Duration, NoAmount> {
    let mut rest = text.trim();
    let mut total = 0.0;
    if rest.is_empty() {
        return no("is no length of time", Some("1h".into()));
    }
    while !rest.is_empty() {
        let Some((amount, after)) = number(rest) else { return no("is no length of time", Some("1h 30m".into())) };
        let end = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(end).unwrap_or((after, ""));
        if unit.is_empty() {
            let meant = (rest == text.trim() && next.is_empty()).then(|| format!("{rest}s"));
            return no("has no unit", meant);
        }
        let Some((_, seconds)) = TIME.iter().find(|(name, _)| *name == unit) else {
            let first = unit.chars().next().map(|c| c.to_ascii_lowercase()).filter(|c| "smhdw".contains(*c));
            let meant = first.filter(|_| total == 0.0 && next.is_empty()).map(|c| format!("{amount}{c}"));
            return no(format!("has an unknown unit `{unit}`"), meant);
        };
        total += amount * seconds;
        rest = next.trim_start();
    }
    match Duration::try_from_secs_f64(total) {
        Ok(time) if !time.is_zero() && total < 3.2e9 => Ok(time),
        _ => no("is out of range", None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: std::fmt::Debug>(amount: &Result<T, NoAmount>, expected: &str) {
        let shown = match amount {
            Ok(value) => format!("{value:?}"),
            Err(no) => format!("{}; {}", no.why, no.meant.as_deref().unwrap_or("-")),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn memory_has_units() {
        check(&memory("4GiB"), "4294967296");
        check(&memory("1.5 GB"), "1500000000");
        check(&memory("512Mi"), "536870912");
        check(&memory("4G"), "has an unknown unit `G`; 4GiB");
        check(&memory("4gb"), "has an unknown unit `gb`; 4GiB");
        check(&memory("4"), "has no unit; 4GiB");
        check(&memory("four"), "is no amount of memory; 4GiB");
        check(&memory("0MB"), "is out of range; -");
        check(&memory("-4GB"), "is no amount of memory; 4GiB");
        check(&memory("99999999999TiB"), "is out of range; -");
    }

    #[test]
    fn time_has_units() {
        check(&time("90s"), "90s");
        check(&time("1h 30m"), "5400s");
        check(&time("1h30min"), "5400s");
        check(&time(" 2d "), "172800s");
        check(&time("0.5s"), "500ms");
        check(&time("90"), "has no unit; 90s");
        check(&time("1h 30"), "has no unit; -");
        check(&time("2 hours"), "has an unknown unit `hours`; 2h");
        check(&time("01:30:00"), "has no unit; -");
        check(&time(""), "is no length of time; 1h");
        check(&time("soon"), "is no length of time; 1h 30m");
        check(&time("0s"), "is out of range; -");
        check(&time("-1s"), "is no length of time; 1h 30m");
        check(&time("1e9d"), "has an unknown unit `e`; -");
    }
}
