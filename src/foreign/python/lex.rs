//! The words of Python, as far as literals and calls need them.

/// A word.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    /// A name or a keyword.
    Name(String),
    /// A number as it is written.
    Number(String),
    /// A text; none for an f-string or bytes.
    Text(Option<String>),
    /// An operator or a bracket.
    Sign(char),
    /// The end of a line outside of brackets.
    End,
}

/// The words and their lines, from 1.
pub(super) fn words(text: &str) -> Vec<(Word, usize)> {
    let mut lexer = Lexer { chars: text.chars().collect(), at: 0, line: 1, depth: 0, words: Vec::new() };
    lexer.run();
    lexer.words
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
    depth: usize,
    words: Vec<(Word, usize)>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn run(&mut self) {
        while let Some(c) = self.peek(0) {
            let line = self.line;
            match c {
                '\n' => {
                    // A line that begins with a word at its very start ends whatever bracket was left open.
                    let next = self.peek(1);
                    if self.depth > 0 && next.is_some_and(|c| c.is_alphabetic() || c == '_') && self.is_statement(1) {
                        self.depth = 0;
                    }
                    if self.depth == 0 {
                        self.words.push((Word::End, line));
                    }
                    self.line += 1;
                    self.at += 1;
                }
                '#' => self.skip_line(),
                // A magic of a notebook.
                '!' | '%' if self.at_start() => self.skip_line(),
                '\\' if self.peek(1) == Some('\n') => {
                    self.line += 1;
                    self.at += 2;
                }
                '"' | '\'' => self.text(""),
                c if c.is_whitespace() => self.at += 1,
                c if c.is_alphabetic() || c == '_' => self.name(),
                c if c.is_ascii_digit() || (c == '.' && self.peek(1).is_some_and(|d| d.is_ascii_digit())) => {
                    self.number();
                }
                c => {
                    match c {
                        '(' | '[' | '{' => self.depth += 1,
                        ')' | ']' | '}' => self.depth = self.depth.saturating_sub(1),
                        _ => {}
                    }
                    self.words.push((Word::Sign(c), line));
                    self.at += 1;
                }
            }
        }
        self.words.push((Word::End, self.line));
    }

    fn at_start(&self) -> bool {
        self.depth == 0 && self.words.last().is_none_or(|(word, _)| *word == Word::End)
    }

    /// Whether a line, so many characters ahead, begins with a word that begins a statement.
    fn is_statement(&self, ahead: usize) -> bool {
        let word: String = self
            .chars
            .iter()
            .skip(self.at + ahead)
            .take_while(|c| c.is_alphanumeric() || **c == '_')
            .take(10)
            .collect();
        ["import", "from", "def", "class", "if", "while", "with", "return", "try"].contains(&word.as_str())
    }

    fn skip_line(&mut self) {
        while self.peek(0).is_some_and(|c| c != '\n') {
            self.at += 1;
        }
    }

    fn name(&mut self) {
        let start = self.at;
        while self.peek(0).is_some_and(|c| c.is_alphanumeric() || c == '_') {
            self.at += 1;
        }
        let name: String = self.chars.iter().skip(start).take(self.at - start).collect();
        let is_prefix = name.len() <= 2 && name.chars().all(|c| "rRbBfFuU".contains(c));
        if is_prefix && matches!(self.peek(0), Some('"' | '\'')) {
            return self.text(&name.to_lowercase());
        }
        self.words.push((Word::Name(name), self.line));
    }

    fn number(&mut self) {
        let start = self.at;
        while let Some(c) = self.peek(0) {
            let sign = matches!(c, '+' | '-')
                && matches!(self.chars.get(self.at.wrapping_sub(1)), Some('e' | 'E'))
                && self.at > start;
            if !(c.is_ascii_alphanumeric() || c == '.' || c == '_' || sign) {
                break;
            }
            self.at += 1;
        }
        let number: String = self.chars.iter().skip(start).take(self.at - start).filter(|c| **c != '_').collect();
        self.words.push((Word::Number(number), self.line));
    }

    fn text(&mut self, prefix: &str) {
        let line = self.line;
        let Some(quote) = self.peek(0) else { return };
        let long = self.peek(1) == Some(quote) && self.peek(2) == Some(quote);
        self.at += if long { 3 } else { 1 };
        let mut text = String::new();
        while let Some(c) = self.peek(0) {
            let closes = c == quote && (!long || (self.peek(1) == Some(quote) && self.peek(2) == Some(quote)));
            if closes {
                self.at += if long { 3 } else { 1 };
                break;
            }
            if c == '\n' {
                if !long {
                    break;
                }
                self.line += 1;
            }
            self.at += 1;
            if c == '\\' && !prefix.contains('r') {
                let Some(next) = self.peek(0) else { break };
                self.at += 1;
                match next {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    '\n' => self.line += 1,
                    '\\' | '\'' | '"' => text.push(next),
                    other => text.extend(['\\', other]),
                }
            } else {
                text.push(c);
            }
        }
        let literal = !prefix.contains('b') && (!prefix.contains('f') || !text.contains('{'));
        self.words.push((Word::Text(literal.then_some(text)), line));
    }
}
