//! From words to statements.

use super::lex::{Word, words};
use super::{Py, Statement};

/// Expressions are not nested deeper.
const DEEPEST: usize = 60;

/// The assignments and calls of a script, in order, whatever block they stand in.
#[must_use]
pub fn statements(text: &str) -> Vec<Statement> {
    let words = words(text);
    let mut found = Vec::new();
    for line in words.split(|(word, _)| *word == Word::End) {
        let mut reader = Reader { words: line, at: 0 };
        found.extend(reader.statement());
    }
    found
}

struct Reader<'w> {
    words: &'w [(Word, usize)],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<&Word> {
        self.words.get(self.at).map(|(word, _)| word)
    }

    fn line(&self) -> usize {
        self.words.get(self.at).or(self.words.last()).map_or(0, |(_, line)| *line)
    }

    fn sign(&mut self, sign: char) -> bool {
        let is = self.peek() == Some(&Word::Sign(sign));
        self.at += usize::from(is);
        is
    }

    fn statement(&mut self) -> Option<Statement> {
        let line = self.line();
        if matches!(self.peek()?, Word::Name(word) if ["import", "from", "def", "class", "if", "for", "while", "elif"].contains(&word.as_str()))
        {
            return None;
        }
        if matches!(self.peek()?, Word::Name(word) if word == "return") {
            self.at += 1;
        }
        let value = self.expression(0);
        match (value, self.peek()) {
            (Py::Name(name), Some(Word::Sign('=')))
                if self.words.get(self.at + 1).is_none_or(|(word, _)| *word != Word::Sign('=')) =>
            {
                self.at += 1;
                let value = self.expression(0);
                // `x = a if b else c`, `x = y + 1`: not literal after all.
                let value = if self.at < self.words.len() { Py::Other } else { value };
                Some(Statement { name, value, line })
            }
            (value @ Py::Call(..), _) => Some(Statement { name: String::new(), value, line }),
            _ => None,
        }
    }

    fn expression(&mut self, depth: usize) -> Py {
        let value = self.primary(depth);
        // An operator makes it something else; what belongs to it is passed over.
        let mut other = false;
        while let Some(Word::Sign('+' | '-' | '*' | '/' | '%' | '|' | '&' | '<' | '>' | '@' | '^')) = self.peek() {
            self.at += 1;
            other = true;
            self.primary(depth + 1);
        }
        if let Some(Word::Name(word)) = self.peek()
            && ["if", "for", "in", "and", "or", "not", "is", "else", "as", "lambda", "async"].contains(&word.as_str())
        {
            self.skip();
            return Py::Other;
        }
        if other { Py::Other } else { value }
    }

    /// To the next `,` or closing bracket of this level.
    fn skip(&mut self) {
        let mut depth = 0_usize;
        while let Some(word) = self.peek() {
            match word {
                Word::Sign('(' | '[' | '{') => depth += 1,
                Word::Sign(')' | ']' | '}' | ',') if depth == 0 => return,
                Word::Sign(')' | ']' | '}') => depth -= 1,
                _ => {}
            }
            self.at += 1;
        }
    }

    fn primary(&mut self, depth: usize) -> Py {
        if depth > DEEPEST {
            self.skip();
            return Py::Other;
        }
        let Some(word) = self.peek().cloned() else { return Py::Other };
        self.at += 1;
        match word {
            Word::Number(text) => Py::Number(text),
            Word::Text(first) => {
                let mut text = first;
                while let Some(Word::Text(more)) = self.peek().cloned() {
                    self.at += 1;
                    text = text.zip(more).map(|(a, b)| a + &b);
                }
                let method = self.peek() == Some(&Word::Sign('.'));
                if method {
                    self.skip();
                }
                text.filter(|_| !method).map_or(Py::Other, Py::Text)
            }
            Word::Sign('-') => match self.primary(depth + 1) {
                Py::Number(text) => Py::Number(format!("-{text}")),
                _ => Py::Other,
            },
            Word::Sign('[') => self.list(']', depth),
            Word::Sign('(') => match self.list(')', depth) {
                // `(x)` is x.
                Py::List(mut items)
                    if items.len() == 1
                        && self.words.get(self.at.wrapping_sub(2)).is_none_or(|(word, _)| *word != Word::Sign(',')) =>
                {
                    items.pop().unwrap_or(Py::Other)
                }
                other => other,
            },
            Word::Sign('{') => self.dict(depth),
            Word::Sign('*') => {
                self.sign('*');
                self.primary(depth + 1);
                Py::Other
            }
            Word::Name(name) => match name.as_str() {
                "None" => Py::None,
                "True" => Py::Bool(true),
                "False" => Py::Bool(false),
                "not" | "lambda" | "await" | "yield" => {
                    self.skip();
                    Py::Other
                }
                _ => self.trailers(name, depth),
            },
            Word::Sign(_) | Word::End => Py::Other,
        }
    }

    /// `.name`, `(…)` and `[…]` behind a name.
    fn trailers(&mut self, name: String, depth: usize) -> Py {
        let mut value = Py::Name(name);
        loop {
            let line = self.line();
            if self.sign('.') {
                let Some(Word::Name(attribute)) = self.peek().cloned() else { return Py::Other };
                self.at += 1;
                value = match value {
                    Py::Name(name) => Py::Name(format!("{name}.{attribute}")),
                    _ => Py::Other,
                };
            } else if self.sign('(') {
                let (positional, named) = self.arguments(depth);
                value = match value {
                    Py::Name(name) => Py::Call(name, positional, named, line),
                    _ => Py::Other,
                };
            } else if self.sign('[') {
                self.list(']', depth);
                value = Py::Other;
            } else {
                return value;
            }
        }
    }

    fn list(&mut self, close: char, depth: usize) -> Py {
        let mut items = Vec::new();
        let mut other = false;
        while !self.sign(close) {
            if self.peek().is_none() {
                return Py::Other;
            }
            let before = self.at;
            items.push(self.expression(depth + 1));
            if !self.sign(',') && self.peek() != Some(&Word::Sign(close)) {
                other = true;
                self.at = self.at.max(before + 1);
            }
        }
        if other { Py::Other } else { Py::List(items) }
    }

    fn dict(&mut self, depth: usize) -> Py {
        let mut pairs = Vec::new();
        let mut other = false;
        while !self.sign('}') {
            if self.peek().is_none() {
                return Py::Other;
            }
            let before = self.at;
            let key = self.expression(depth + 1);
            if self.sign(':') {
                let value = self.expression(depth + 1);
                pairs.push((key, value));
            } else {
                other = true;
            }
            if !self.sign(',') && self.peek() != Some(&Word::Sign('}')) {
                other = true;
                self.at = self.at.max(before + 1);
            }
        }
        if other { Py::Other } else { Py::Dict(pairs) }
    }

    fn arguments(&mut self, depth: usize) -> (Vec<Py>, Vec<(String, Py)>) {
        let (mut positional, mut named) = (Vec::new(), Vec::new());
        while !self.sign(')') {
            let before = self.at;
            let Some(word) = self.peek().cloned() else { break };
            let is_named = matches!(self.words.get(self.at + 1), Some((Word::Sign('='), _)))
                && !matches!(self.words.get(self.at + 2), Some((Word::Sign('='), _)));
            match word {
                Word::Name(name) if is_named => {
                    self.at += 2;
                    let value = self.expression(depth + 1);
                    named.push((name, value));
                }
                _ => positional.push(self.expression(depth + 1)),
            }
            if !self.sign(',') && self.peek() != Some(&Word::Sign(')')) {
                self.at = self.at.max(before + 1);
            }
        }
        (positional, named)
    }
}
