//! Placeholders in the texts of requests.

use super::super::Placeholder;
use super::super::problem::{KeyPath, expected_one_of, shown};
use super::Checker;

impl Checker<'_> {
    /// Reports placeholders of `text` that are unknown or not among `allowed`; returns the others, in their order.
    /// Braces around anything but one word are text, because filters written as JSON hold many, but they come in pairs.
    pub(super) fn placeholders(&mut self, path: &KeyPath, text: &str, allowed: &[Placeholder]) -> Vec<Placeholder> {
        let mut found = Vec::new();
        let mut open = 0_usize;
        for (index, character) in text.char_indices() {
            match character {
                '{' => {
                    open += 1;
                    if let Some(word) = word_at(&text[index + 1..]) {
                        found.extend(self.placeholder(path, word, allowed));
                    }
                }
                '}' if open == 0 => return self.unpaired(path, text),
                '}' => open -= 1,
                _ => {}
            }
        }
        if open > 0 { self.unpaired(path, text) } else { found }
    }

    fn unpaired(&mut self, path: &KeyPath, text: &str) -> Vec<Placeholder> {
        let found = if path.may_hold_secret() { "not a template".to_owned() } else { shown(text) };
        self.wrong(path, format!("is {found}: it has a brace without its partner"));
        Vec::new()
    }

    fn placeholder(&mut self, path: &KeyPath, word: &str, allowed: &[Placeholder]) -> Option<Placeholder> {
        let known = Placeholder::ALL.iter().find(|(_, name)| *name == word).map(|(placeholder, _)| *placeholder);
        if let Some(placeholder) = known.filter(|placeholder| allowed.contains(placeholder)) {
            return Some(placeholder);
        }
        let mut words = Vec::new();
        for (placeholder, name) in Placeholder::ALL {
            if allowed.contains(&placeholder) {
                words.push(format!("{{{name}}}"));
            }
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let found = format!("{{{word}}}");
        let problem = match known {
            Some(_) => format!("holds {found}, which cannot stand here"),
            None => format!("holds the unknown placeholder {found}"),
        };
        self.wrong(path, format!("{problem}: {}", expected_one_of(&found, &words)));
        None
    }
}

/// The word that `text` begins with, where a closing brace follows it.
fn word_at(text: &str) -> Option<&str> {
    let (word, _) = text.split_once('}')?;
    let good = |c: char| c.is_ascii_alphabetic() || c == '_';
    (!word.is_empty() && word.chars().all(good)).then_some(word)
}
