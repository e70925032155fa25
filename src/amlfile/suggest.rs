//! Did you mean: the name that a mistyped one is nearest to.

/// The candidate nearest to `typed`, where one is near enough to be what was meant: at most a third of the letters
/// differ (a swap of neighbours counts once), or only case, `-` and `_` do.
pub fn nearest<'c>(typed: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let typed: Vec<char> = plain(typed).collect();
    let allowed = (typed.len() / 3).clamp(1, 3);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let other: Vec<char> = plain(candidate).collect();
        let near = if typed.len().abs_diff(other.len()) > allowed { usize::MAX } else { distance(&typed, &other) };
        let longest = typed.len().max(other.len());
        let begins = typed.len() >= 3 && other.starts_with(&typed) || other.len() >= 3 && typed.starts_with(&other);
        let score = if near <= allowed && near < longest {
            near
        } else if begins {
            allowed + 1
        } else {
            continue;
        };
        if best.is_none_or(|(least, _)| score < least) {
            best = Some((score, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

fn plain(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase).map(|c| if c == '-' { '_' } else { c })
}

/// Damerau-Levenshtein distance (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i);
        for j in 1..=b.len() {
            let same = a[i - 1] == b[j - 1];
            let mut fewest = (last[j - 1] + usize::from(!same)).min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                fewest = fewest.min(before[j - 2] + 1);
            }
            row.push(fewest);
        }
        before = std::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(typed: &str, expected: Option<&str>) {
        let known = ["script", "sources", "source_directory", "inputs", "outputs", "needs", "tags", "cache"];
        assert_eq!(nearest(typed, known), expected, "{typed}");
    }

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        check("scirpt", Some("script"));
        check("input", Some("inputs"));
        check("Source-Directory", Some("source_directory"));
        check("source", Some("sources"));
        check("neds", Some("needs"));
        check("x", None);
        check("", None);
        check("retries", None);
    }
}
