//! What is wrong with a pipeline file: every problem with its line and key, all of them at once.

use std::collections::HashSet;
use std::fmt;

use crate::error::Error;

/// Where a value of the file comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// A line of the file, from 1.
    Line(usize),
    /// `--set` on the command line.
    Set,
}

/// The way to a value: keys and, for elements of a list, numbers from 0.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct KeyPath(Vec<String>);

impl KeyPath {
    /// The file itself.
    pub(super) fn root() -> KeyPath {
        KeyPath::default()
    }

    /// The key `name` of the table at this path.
    pub(super) fn key(&self, name: &str) -> KeyPath {
        let mut path = self.clone();
        path.0.push(name.to_owned());
        path
    }

    /// The element `index` of the list at this path.
    pub(super) fn index(&self, index: usize) -> KeyPath {
        self.key(&index.to_string())
    }

    /// The keys one by one.
    pub(super) fn segments(&self) -> &[String] {
        &self.0
    }

    /// Whether what stands here may be a secret that someone wrote into the file, so that no message may repeat it.
    pub(super) fn may_hold_secret(&self) -> bool {
        match self.0.as_slice() {
            [table, .., last] if table == "auth" => last != "kind" && last != "name",
            [table] if table == "auth" => true,
            path => path.iter().any(|key| key == "headers" || key == "base_url" || names_a_secret(key)),
        }
    }
}

/// Whether a header or parameter of this name usually carries a secret.
pub(super) fn names_a_secret(name: &str) -> bool {
    const PARTS: [&str; 8] =
        ["authorization", "cookie", "password", "secret", "access_token", "developer_token", "auth_token", "api_key"];
    let plain = name.to_ascii_lowercase().replace('-', "_");
    let whole = ["token", "apikey", "username"].contains(&plain.as_str());
    whole || PARTS.iter().any(|part| plain.contains(part))
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, key) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
            if bare {
                f.write_str(key)?;
            } else {
                write!(f, "{}", shown(key))?;
            }
        }
        Ok(())
    }
}

/// `text` in quotes, on one line and not longer than a line.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 60;
    if text.chars().count() <= LONGEST {
        return format!("{text:?}");
    }
    let start: String = text.chars().take(LONGEST).collect();
    format!("{start:?}...")
}

/// `expected one of a, b, c`, with the word that was probably meant.
pub(super) fn expected_one_of(found: &str, words: &[&str]) -> String {
    format!("expected one of {}{}", words.join(", "), did_you_mean(found, words))
}

/// ` (did you mean "b"?)`, or nothing where no word is like `found`.
pub(super) fn did_you_mean(found: &str, words: &[&str]) -> String {
    nearest(found, words).map(|meant| format!(" (did you mean \"{meant}\"?)")).unwrap_or_default()
}

/// The word that is most like `found`, if one is like it at all.
fn nearest<'w>(found: &str, words: &[&'w str]) -> Option<&'w str> {
    const ALIKE: f64 = 0.8;
    let found = found.to_lowercase();
    let mut best: Option<(f64, &str)> = None;
    for word in words {
        let likeness = strsim::jaro_winkler(&found, &word.to_lowercase());
        if likeness >= ALIKE && best.is_none_or(|(so_far, _)| likeness > so_far) {
            best = Some((likeness, word));
        }
    }
    best.map(|(_, word)| word)
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Problem {
    origin: Origin,
    /// The first key on the way to it; empty for the file as a whole.
    part: String,
    message: String,
}

/// Everything that is wrong with one file.
#[derive(Debug)]
pub(super) struct Problems {
    file: String,
    list: Vec<Problem>,
}

impl Problems {
    /// Nothing wrong so far with `file`.
    pub(super) fn new(file: &str) -> Problems {
        Problems { file: file.to_owned(), list: Vec::new() }
    }

    /// One more, at or under `path`.
    pub(super) fn add(&mut self, origin: Origin, path: &KeyPath, message: impl Into<String>) {
        let part = path.segments().first().cloned().unwrap_or_default();
        self.list.push(Problem { origin, part, message: message.into() });
    }

    /// The first keys of everything that is wrong so far.
    pub(super) fn parts(&self) -> HashSet<String> {
        self.list.iter().map(|problem| problem.part.clone()).collect()
    }

    /// How many so far.
    pub(super) fn count(&self) -> usize {
        self.list.len()
    }

    /// Whether nothing is wrong.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them as one error, in the order of the file's lines, those of `--set` last.
    pub(super) fn into_error(mut self) -> Error {
        self.list.sort_by_key(|problem| problem.origin);
        let word = if self.list.len() == 1 { "problem" } else { "problems" };
        let mut text = format!("{} {word} in `{}`", self.list.len(), self.file);
        for problem in &self.list {
            let file = &self.file;
            let message = &problem.message;
            match problem.origin {
                Origin::Line(line) => text.push_str(&format!("\n{file}:{line}: {message}")),
                Origin::Set => text.push_str(&format!("\n{file}: --set: {message}")),
            }
        }
        Error::bad_input(text)
    }
}
