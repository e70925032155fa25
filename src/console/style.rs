//! Colour: whether there is any, and the few styles that are used. Colour never carries meaning alone: every text reads
//! the same without it.

/// Paints text, or leaves it alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Style {
    color: bool,
}

impl Style {
    /// With colour, or without.
    #[must_use]
    pub fn new(color: bool) -> Self {
        Self { color }
    }

    /// `--color always|never|auto`. `auto` asks the variables that other tools ask (<https://no-color.org>,
    /// <https://bixense.com/clicolors>), in that order, and then whether the stream is a terminal.
    #[must_use]
    pub fn choose<'a>(when: &str, variable: impl Fn(&str) -> Option<&'a str>, terminal: bool) -> Self {
        let set = |name| variable(name).filter(|value| !value.is_empty());
        Self::new(match when {
            "always" => true,
            "never" => false,
            _ if set("NO_COLOR").is_some() => false,
            _ if set("CLICOLOR_FORCE").is_some_and(|value| value != "0") => true,
            _ if set("CLICOLOR") == Some("0") || set("TERM") == Some("dumb") => false,
            _ => terminal,
        })
    }

    /// Whether there is colour.
    #[must_use]
    pub fn is_colored(self) -> bool {
        self.color
    }

    /// Text in this paint.
    #[must_use]
    pub fn paint(self, paint: Paint, text: &str) -> String {
        match (self.color && !text.is_empty(), paint.code()) {
            (true, Some(code)) => format!("\x1b[{code}m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }

    /// Adds text in this paint.
    pub fn push(self, to: &mut String, paint: Paint, text: &str) {
        match (self.color && !text.is_empty(), paint.code()) {
            (true, Some(code)) => {
                to.push_str("\x1b[");
                to.push_str(code);
                to.push('m');
                to.push_str(text);
                to.push_str("\x1b[0m");
            }
            _ => to.push_str(text),
        }
    }
}

/// The paints.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Paint {
    /// As it comes.
    #[default]
    Plain,
    /// Heads, names.
    Bold,
    /// What matters less.
    Dim,
    /// Went well.
    Good,
    /// Went wrong.
    Bad,
    /// To be looked at.
    Caution,
    /// Is going on.
    Active,
}

impl Paint {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Bold => Some("1"),
            Self::Dim => Some("2"),
            Self::Good => Some("32"),
            Self::Bad => Some("1;31"),
            Self::Caution => Some("33"),
            Self::Active => Some("36"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_follows_the_flag_then_the_variables_then_the_terminal() {
        let check = |when: &str, variables: &[(&str, &'static str)], terminal: bool, expected: bool| {
            let look = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
            assert_eq!(Style::choose(when, look, terminal).is_colored(), expected, "{when} {variables:?} {terminal}");
        };
        check("auto", &[], true, true);
        check("auto", &[], false, false);
        check("auto", &[("NO_COLOR", "1")], true, false);
        check("auto", &[("NO_COLOR", "")], true, true);
        check("auto", &[("NO_COLOR", "1"), ("CLICOLOR_FORCE", "1")], false, false);
        check("auto", &[("CLICOLOR_FORCE", "1")], false, true);
        check("auto", &[("CLICOLOR_FORCE", "0")], false, false);
        check("auto", &[("CLICOLOR", "0")], true, false);
        check("auto", &[("TERM", "dumb")], true, false);
        check("always", &[("NO_COLOR", "1")], false, true);
        check("never", &[("CLICOLOR_FORCE", "1")], true, false);
    }

    #[test]
    fn nothing_is_painted_without_colour() {
        assert_eq!(Style::new(false).paint(Paint::Bad, "x"), "x");
        assert_eq!(Style::new(true).paint(Paint::Good, "x"), "\x1b[32mx\x1b[0m");
        assert_eq!(Style::new(true).paint(Paint::Plain, "x"), "x");
    }
}
