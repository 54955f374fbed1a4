//! Parameters of a query string. What is not asked for is refused: a sandbox should not hide a misspelt name.

use chrono::DateTime;

use super::reply::Problem;

/// The parameters that were not read yet.
#[derive(Debug)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    pub(super) fn read(query: &str) -> Self {
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let place = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(place).1)
    }

    pub(super) fn need(&mut self, name: &str) -> Result<String, Problem> {
        self.take(name).ok_or_else(|| Problem::bad("MISSING_PARAMETER", format!("`{name}` is missing")))
    }

    /// The page size: what is asked for, at most `max`.
    pub(super) fn limit(&mut self, max: usize) -> Result<usize, Problem> {
        match self.take("limit").as_deref().map(str::parse::<usize>) {
            None => Ok(max),
            Some(Ok(limit)) if (1..=max).contains(&limit) => Ok(limit),
            Some(_) => Err(Problem::bad("BAD_PARAMETER", format!("`limit` is a number from 1 to {max}"))),
        }
    }

    /// The page number, from 1 on.
    pub(super) fn page(&mut self) -> Result<u64, Problem> {
        match self.take("page").as_deref().map(str::parse::<u64>) {
            None => Ok(1),
            Some(Ok(page)) if page >= 1 => Ok(page),
            Some(_) => Err(Problem::bad("BAD_PARAMETER", "`page` is a number from 1 on")),
        }
    }

    /// Refuses what nobody has read.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(Problem::bad("UNKNOWN_PARAMETER", format!("`{name}` is not known here"))),
        }
    }
}

/// Seconds since 1970 of an instant in RFC 3339.
pub(super) fn instant(name: &str, text: &str) -> Result<i64, Problem> {
    if let Ok(instant) = DateTime::parse_from_rfc3339(text) {
        return Ok(instant.timestamp());
    }
    let hint = if text.contains(' ') { "; is its `+` not written %2B?" } else { "" };
    let message = format!("`{name}` is an instant like 2026-11-20T09:00:00Z, not `{text}`{hint}");
    Err(Problem::bad("BAD_PARAMETER", message))
}

/// A part of a path without percent signs.
pub(super) fn unescape(part: &str) -> String {
    let text = part.replace('+', "%2B");
    url::form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}
