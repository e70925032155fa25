//! The options of a script's command line, read from its text: calls of `add_argument` (argparse) and `option` (click).
//! A scan, no Python parser: what it does not understand it leaves out, and the proposal says so.

/// One option of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Flag {
    /// As it is typed, `--alpha`; a positional argument has no dashes.
    pub(super) text: String,
    /// The name of its value: `learning_rate` for `--learning-rate`.
    pub(super) name: String,
    /// What it takes.
    pub(super) takes: Takes,
}

/// What an option takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing: it is given or not.
    Nothing,
    /// A value, which has this default.
    Default(Literal),
    /// A value, and the script does not start without it.
    Required,
    /// A value, several, or something that was not understood; there is no need to give it.
    Unknown,
}

/// A Python literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Literal {
    /// A number, as TOML writes it.
    Number(String),
    /// A text.
    Text(String),
}

/// All options of a script, in the order of the text.
#[must_use]
pub(super) fn scan(script: &str) -> Vec<Flag> {
    let mut flags: Vec<Flag> = Vec::new();
    for call in calls(script) {
        if let Some(flag) = flag(&call)
            && flags.iter().all(|other| other.name != flag.name)
        {
            flags.push(flag);
        }
    }
    flags
}

/// The arguments of every call, split at their commas.
fn calls(script: &str) -> Vec<Vec<&str>> {
    let mut found: Vec<(usize, Vec<&str>)> = Vec::new();
    for callee in ["add_argument(", "click.option(", "@option(", "click.argument("] {
        for (at, _) in script.match_indices(callee) {
            let (before, after) =
                (script.get(..at).unwrap_or_default(), script.get(at + callee.len()..).unwrap_or_default());
            let line = before.rsplit('\n').next().unwrap_or_default();
            if !line.contains('#') {
                found.push((at, arguments(after)));
            }
        }
    }
    found.sort_by_key(|(at, _)| *at);
    found.into_iter().map(|(_, arguments)| arguments).collect()
}

/// The text up to the parenthesis that closes, split at the commas that stand in no bracket, quote or comment.
fn arguments(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start, mut quote, mut comment, mut escaped) = (0_u32, 0, None, false, false);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if comment => comment = c != '\n',
            _ if escaped => escaped = false,
            (Some(_), '\\') => escaped = true,
            (Some(open), c) => quote = Some(open).filter(|open| *open != c),
            (None, '"' | '\'') => quote = Some(c),
            (None, '#') => comment = true,
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')') if depth == 0 => {
                parts.push(text.get(start..at).unwrap_or_default().trim());
                break;
            }
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                parts.push(text.get(start..at).unwrap_or_default().trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.into_iter().map(without_comment).filter(|part| !part.is_empty()).collect()
}

/// Without the comments that stand before it.
fn without_comment(mut part: &str) -> &str {
    while part.starts_with('#') {
        part = part.split_once('\n').map_or("", |(_, rest)| rest.trim_start());
    }
    part
}

fn flag(arguments: &[&str]) -> Option<Flag> {
    let keyword = |name: &str| {
        arguments.iter().find_map(|argument| argument.strip_prefix(name)?.trim_start().strip_prefix('=').map(str::trim))
    };
    let texts: Vec<String> = arguments.iter().filter_map(|argument| quoted(argument)).collect();
    let text = texts.iter().find(|text| text.starts_with("--")).or_else(|| texts.first())?.clone();
    let named = keyword("dest").and_then(quoted).unwrap_or_else(|| text.trim_start_matches('-').replace('-', "_"));
    let mut letters = named.chars();
    let starts_well = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !letters.all(|c| c.is_ascii_alphanumeric() || c == '_') || text.contains('/') {
        return None;
    }
    let action = keyword("action").map(|action| quoted(action).unwrap_or_else(|| action.to_owned()));
    let switch = action.as_deref().is_some_and(|a| a != "store" && !a.ends_with("append") && a != "extend");
    let several =
        keyword("nargs").is_some() || keyword("multiple") == Some("True") || action.is_some_and(|a| a != "store");
    let required = keyword("required") == Some("True") || !text.starts_with('-');
    let takes = match keyword("default").map(literal) {
        _ if switch || keyword("is_flag") == Some("True") => Takes::Nothing,
        _ if several => Takes::Unknown,
        Some(Some(literal)) => Takes::Default(literal),
        None if required => Takes::Required,
        Some(None) | None => Takes::Unknown,
    };
    Some(Flag { text, name: named, takes })
}

/// The value of a Python expression, where it is a plain literal.
fn literal(text: &str) -> Option<Literal> {
    let path = ["Path(", "pathlib.Path("].iter().find_map(|call| text.strip_prefix(call)?.strip_suffix(')'));
    let text = path.unwrap_or(text).trim();
    if let Some(text) = quoted(text) {
        return Some(Literal::Text(text));
    }
    if text == "True" || text == "False" {
        return Some(Literal::Text(text.to_owned()));
    }
    number(&text.replace('_', "")).map(Literal::Number)
}

/// A Python number as TOML writes it: with digits on both sides of the point, and none too many before it.
fn number(text: &str) -> Option<String> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '+')) {
        return None;
    }
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.to_string());
    }
    let value = text.parse::<f64>().ok().filter(|value| value.is_finite())?;
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, _) = text.split_once(['e', 'E']).unwrap_or((text, ""));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let whole = whole.strip_prefix('-').unwrap_or(whole);
    let tidy = digits(whole) && digits(fraction) && (whole == "0" || !whole.starts_with('0'));
    Some(if tidy { text.to_owned() } else { format!("{value:?}") })
}

/// The text of a plain string literal.
pub(super) fn quoted(text: &str) -> Option<String> {
    let text = text.trim();
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
    (!inner.contains(['\\', '\n']) && !inner.contains(quote)).then(|| inner.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_from_the_text() {
        let check = |script: &str, text: &str, name: &str, takes: Takes| {
            let expected = Flag { text: text.into(), name: name.into(), takes };
            assert_eq!(scan(script), [expected], "{script}");
        };
        let number = |n: &str| Takes::Default(Literal::Number(n.into()));
        let text = |t: &str| Takes::Default(Literal::Text(t.into()));
        check("p.add_argument('--alpha', type=float, default=0.03)", "--alpha", "alpha", number("0.03"));
        check("p.add_argument('-a', \"--alpha\", default = 1e-3, help='a, (b')", "--alpha", "alpha", number("1e-3"));
        check("p.add_argument(\n  '--lr',  # the rate, (really)\n  default=.5,\n)", "--lr", "lr", number("0.5"));
        check("p.add_argument('--lr', default=5.)", "--lr", "lr", number("5.0"));
        check("p.add_argument('--n', default=1_000)", "--n", "n", number("1000"));
        check("p.add_argument('--n', default=-3)", "--n", "n", number("-3"));
        check("p.add_argument('--learning-rate', default='x')", "--learning-rate", "learning_rate", text("x"));
        check("p.add_argument('--lr', dest='rate', default='')", "--lr", "rate", text(""));
        check("p.add_argument('--data', default=Path('data/a.csv'))", "--data", "data", text("data/a.csv"));
        check("p.add_argument('--fast', action='store_true')", "--fast", "fast", Takes::Nothing);
        check("p.add_argument('--fast', action=argparse.BooleanOptionalAction)", "--fast", "fast", Takes::Nothing);
        check("p.add_argument('--data', required=True)", "--data", "data", Takes::Required);
        check("p.add_argument('data')", "data", "data", Takes::Required);
        check("p.add_argument('--xs', nargs='+', default=[1, 2])", "--xs", "xs", Takes::Unknown);
        check("p.add_argument('--x', default=None)", "--x", "x", Takes::Unknown);
        check("p.add_argument('--x', default=f'{y}')", "--x", "x", Takes::Unknown);
        check("@click.option('--alpha', default=2, show_default=True)", "--alpha", "alpha", number("2"));
        check("@click.option('--fast', is_flag=True)", "--fast", "fast", Takes::Nothing);
    }

    #[test]
    fn what_is_no_option_is_left_out() {
        let check = |script: &str| assert_eq!(scan(script), [], "{script}");
        check("# p.add_argument('--alpha', default=0.03)");
        check("p.add_argument(name)");
        check("p.add_argument('--é', default=1)");
        check("@click.option('--shout/--no-shout', default=False)");
        check("p.add_argument(");
        check("");
    }

    #[test]
    fn a_repeated_option_counts_once() {
        assert_eq!(scan("a.add_argument('--x', default=1)\nb.add_argument('--x', default=2)").len(), 1);
    }
}
