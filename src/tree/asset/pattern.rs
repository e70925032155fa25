//! A line of an ignore file as Azure ML reads it: the `gitwildmatch` of its packages, which is not git's own.
//!
//! It goes by the whole path and knows no folders: `a/` leaves out all that lies in `a`, and `!a/keep.py` after it takes
//! that file in again. Each line becomes a few tokens, one for each part of the regular expression that the packages make.

/// A line that decides something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    /// Whether what it matches is left out; a line with `!` takes it in again.
    pub excludes: bool,
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// This character.
    Char(char),
    /// `[^/]`.
    Any,
    /// `[a-z]`: whether it is negated, and its ranges.
    Class(bool, Vec<(char, char)>),
    /// `[^/]*`.
    Star,
    /// `[^/]+`.
    Plus,
    /// `(?:.+/)?`.
    Lead,
    /// `(?:/.+)?`.
    Inner,
    /// `(?:/.*)?`.
    MayGoOn,
    /// `/.*`.
    Below,
    /// `.+`.
    All,
}

/// Reads a line: nothing for a comment or a blank one, an error where the packages raise one.
pub(super) fn pattern(line: &str) -> Result<Option<Pattern>, String> {
    let text = strip(line);
    if text.is_empty() || text.starts_with('#') || text == "/" {
        return Ok(None);
    }
    let (excludes, text) = text.strip_prefix('!').map_or((true, text), |rest| (false, rest));
    let mut parts: Vec<&str> = text.split('/').collect();
    for at in (1..parts.len()).rev() {
        if parts[at - 1] == "**" && parts[at] == "**" {
            parts.remove(at);
        }
    }
    if parts == ["**", ""] {
        // Everything but the files at the top.
        return Ok(Some(Pattern { excludes, tokens: vec![Token::All, Token::Below] }));
    }
    if parts[0].is_empty() {
        parts.remove(0);
    } else if (parts.len() == 1 || parts.len() == 2 && parts[1].is_empty()) && parts[0] != "**" {
        parts.insert(0, "**");
    }
    let end = parts.len().wrapping_sub(1);
    match parts.last() {
        None => return Err(format!("`{line}` is no pattern to the packages of Azure ML")),
        Some(&"") if end > 0 => parts[end] = "**",
        Some(_) => {}
    }
    let tokens = tokens(&parts).map_err(|why| format!("`{line}`: {why}"))?;
    Ok(Some(Pattern { excludes, tokens }))
}

fn tokens(parts: &[&str]) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut slash = false;
    let end = parts.len() - 1;
    for (at, part) in parts.iter().enumerate() {
        if *part == "**" {
            match at {
                0 if end == 0 => tokens.push(Token::All),
                0 => {
                    tokens.push(Token::Lead);
                    slash = false;
                }
                _ if at == end => tokens.push(Token::Below),
                _ => {
                    tokens.push(Token::Inner);
                    slash = true;
                }
            }
            continue;
        }
        if slash {
            tokens.push(Token::Char('/'));
        }
        if *part == "*" {
            tokens.push(Token::Plus);
        } else {
            segment(part, &mut tokens)?;
        }
        if at == end {
            tokens.push(Token::MayGoOn);
        }
        slash = true;
    }
    Ok(tokens)
}

/// `[ab]*.py`: one part between slashes.
fn segment(part: &str, tokens: &mut Vec<Token>) -> Result<(), String> {
    let text: Vec<char> = part.chars().collect();
    let mut at = 0;
    while let Some(&c) = text.get(at) {
        at += 1;
        match c {
            '\\' => {
                let escaped = text.get(at).ok_or("a `\\` at the end escapes nothing")?;
                tokens.push(Token::Char(*escaped));
                at += 1;
            }
            '*' => tokens.push(Token::Star),
            '?' => tokens.push(Token::Any),
            '[' => {
                let mut close = at + usize::from(text.get(at) == Some(&'!'));
                close += usize::from(text.get(close) == Some(&']'));
                while text.get(close).is_some_and(|c| *c != ']') {
                    close += 1;
                }
                if close < text.len() {
                    tokens.push(class(&text[at..close])?);
                    at = close + 1;
                } else {
                    tokens.push(Token::Char('['));
                }
            }
            c => tokens.push(Token::Char(c)),
        }
    }
    Ok(())
}

/// What stands between the brackets. `^` has no meaning, `\` is itself.
fn class(text: &[char]) -> Result<Token, String> {
    let negated = text.first() == Some(&'!');
    let text = &text[usize::from(negated)..];
    let mut ranges = Vec::new();
    let mut at = 0;
    while let Some(&from) = text.get(at) {
        if let (Some('-'), Some(&to)) = (text.get(at + 1), text.get(at + 2)) {
            if to < from {
                return Err(format!("the range `{from}-{to}` runs backwards"));
            }
            ranges.push((from, to));
            at += 3;
        } else {
            ranges.push((from, from));
            at += 1;
        }
    }
    Ok(Token::Class(negated, ranges))
}

/// As Python's `str.strip` does it.
fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c))
}

impl Pattern {
    /// Whether it matches a path, parts between `/`.
    pub(super) fn matches(&self, path: &[char]) -> bool {
        let mut failed = vec![false; (self.tokens.len() + 1) * (path.len() + 1)];
        self.from(0, path, 0, &mut failed)
    }

    fn from(&self, token: usize, path: &[char], at: usize, failed: &mut [bool]) -> bool {
        let place = token * (path.len() + 1) + at;
        if failed[place] {
            return false;
        }
        let found = self.step(token, path, at, failed);
        failed[place] = !found;
        found
    }

    fn step(&self, token: usize, path: &[char], at: usize, failed: &mut [bool]) -> bool {
        let here = path.get(at);
        let Some(kind) = self.tokens.get(token) else {
            // Python's `$` also stands before a line's end at the very end.
            return here.is_none() || here == Some(&'\n') && at + 1 == path.len();
        };
        let next = token + 1;
        // The ends of `.*` from `start`: `.` is anything but a line's end.
        let run = |start: usize| start + path[start..].iter().take_while(|c| **c != '\n').count();
        match kind {
            Token::Char(c) => here == Some(c) && self.from(next, path, at + 1, failed),
            Token::Any => here.is_some_and(|c| *c != '/') && self.from(next, path, at + 1, failed),
            Token::Class(negated, ranges) => {
                let within = |c: &char| ranges.iter().any(|(from, to)| from <= c && c <= to) != *negated;
                here.is_some_and(within) && self.from(next, path, at + 1, failed)
            }
            Token::Star | Token::Plus => {
                let least = usize::from(*kind == Token::Plus);
                let most = path[at..].iter().take_while(|c| **c != '/').count();
                (least..=most).any(|length| self.from(next, path, at + length, failed))
            }
            Token::Lead => {
                self.from(next, path, at, failed)
                    || (at + 1..run(at)).any(|slash| path[slash] == '/' && self.from(next, path, slash + 1, failed))
            }
            Token::Inner | Token::MayGoOn if self.from(next, path, at, failed) => true,
            Token::Inner => here == Some(&'/') && (at + 2..=run(at + 1)).any(|end| self.from(next, path, end, failed)),
            Token::MayGoOn | Token::Below => {
                here == Some(&'/') && (at + 1..=run(at + 1)).any(|end| self.from(next, path, end, failed))
            }
            Token::All => (at + 1..=run(at)).any(|end| self.from(next, path, end, failed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_out(lines: &[&str], path: &str) -> bool {
        let path: Vec<char> = path.chars().collect();
        let patterns = lines.iter().filter_map(|line| pattern(line).unwrap());
        patterns.fold(false, |out, one| if one.matches(&path) { one.excludes } else { out })
    }

    #[test]
    fn lines_decide_by_the_whole_path() {
        let check = |lines: &[&str], out: &[&str], kept: &[&str]| {
            for path in out {
                assert!(left_out(lines, path), "{lines:?} leave out {path}");
            }
            for path in kept {
                assert!(!left_out(lines, path), "{lines:?} keep {path}");
            }
        };
        check(&["*.pyc"], &["a.pyc", "a/b.pyc", "x.pyc/y"], &["a.py", "pyc"]);
        check(&["data/"], &["data/x", "a/data/x/y"], &["data", "mydata/x"]);
        check(&["/data"], &["data", "data/x"], &["a/data"]);
        check(&["a/b"], &["a/b", "a/b/c"], &["x/a/b"]);
        check(&["a/", "!a/keep.py"], &["a/x"], &["a/keep.py"]);
        check(&["**/x"], &["x", "a/x", "a/b/x/y"], &["xx"]);
        check(&["a/**/b"], &["a/b", "a/x/b", "a/x/y/b/z"], &["a/xb", "b"]);
        check(&["a/**"], &["a/x", "a/x/y"], &["a", "b/a/x"]);
        check(&["**/"], &["a/b"], &["a"]);
        check(&["**"], &["a", "a/b"], &[]);
        check(&["*"], &["a", "a/b"], &[]);
        check(&["/*"], &["a", "a/b"], &[]);
        check(&["a/*/"], &["a/b/c"], &["a/b"]);
        check(&["[!a]x"], &["bx", "b/bx", "/x"], &["ax"]);
        check(&["[]-]x", "[^a]y"], &["]x", "-x", "^y", "ay"], &["ax", "by"]);
        check(&["[ab"], &["[ab"], &["a", "b"]);
        check(&["\\#x", "# y", "  z  "], &["#x", "z"], &["# y", "y"]);
        check(&["?.py"], &["a.py", "ö.py"], &["ab.py", ".py"]);
        check(&["a\\*"], &["a*"], &["ab"]);
        check(&["é*"], &["été"], &["ete"]);
    }

    #[test]
    fn what_the_packages_refuse() {
        assert!(pattern("!").is_err() && pattern("a\\").is_err() && pattern("[z-a]").is_err());
        assert_eq!(pattern("").unwrap(), None);
        assert_eq!(pattern("/").unwrap(), None);
    }

    #[test]
    fn no_pattern_takes_for_ever() {
        let path: Vec<char> = "a/".repeat(400).chars().collect();
        assert!(!pattern("**/a/**/a/**/a/**/*a*a*a*b").unwrap().unwrap().matches(&path));
    }
}
