//! Which recorded answer a request gets. Pure.
//!
//! Requests are the same when method, path and query are, whatever the order of the parameters and whatever the host; a
//! recorded value that was masked fits anything. Of several the one with the same body goes first.

use std::collections::BTreeMap;

use url::Url;
use url::form_urlencoded;

use super::format::Exchange;
use crate::secret::MASKED;

/// The recorded answers by request.
#[derive(Debug, Default)]
pub struct Index {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    body: Option<String>,
    answers: Vec<Exchange>,
    /// The answer to give next; the last stays.
    next: usize,
}

/// A request that arrived.
#[derive(Debug, Clone, Default)]
pub struct Arrived {
    /// `GET` or `POST`.
    pub method: String,
    /// The path.
    pub path: String,
    /// The query as it was sent.
    pub query: String,
    /// The body; empty for none.
    pub body: String,
    /// Whether it asks for an answer only if that has changed.
    pub conditional: bool,
}

impl Index {
    /// Adds an exchange behind the others of its request. Those without an answer or a usable URL are left out.
    pub fn add(&mut self, exchange: Exchange) {
        let Ok(url) = Url::parse(&exchange.url) else { return };
        if exchange.status.is_none() {
            return;
        }
        let (path, query) = (url.path().to_owned(), pairs(url.query().unwrap_or_default()));
        let same = |entry: &&mut Entry| {
            entry.method == exchange.method
                && entry.path == path
                && entry.query == query
                && entry.body == exchange.request_body
        };
        match self.entries.iter_mut().find(same) {
            Some(entry) => entry.answers.push(exchange),
            None => self.entries.push(Entry {
                method: exchange.method.clone(),
                path,
                query,
                body: exchange.request_body.clone(),
                answers: vec![exchange],
                next: 0,
            }),
        }
    }

    /// How many different requests are known.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none are known.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The answer to `arrived`, and the next one of that request the next time; `None` where it was never recorded.
    pub fn answer(&mut self, arrived: &Arrived) -> Option<&Exchange> {
        let query = pairs(&arrived.query);
        let fits =
            |entry: &Entry| entry.method == arrived.method && entry.path == arrived.path && fits(&entry.query, &query);
        let same_body = |entry: &Entry| entry.body.as_deref().unwrap_or_default() == arrived.body;
        let place = self.entries.iter().position(|entry| fits(entry) && same_body(entry));
        let place = place.or_else(|| self.entries.iter().position(fits))?;
        self.entries[place].take(arrived.conditional)
    }

    /// The recorded request that looks most like `arrived`.
    pub fn nearest(&self, arrived: &Arrived) -> Option<String> {
        let asked = shown(&arrived.method, &arrived.path, &pairs(&arrived.query));
        let known = self.entries.iter().map(|entry| shown(&entry.method, &entry.path, &entry.query));
        known.max_by(|one, other| strsim::jaro(one, &asked).total_cmp(&strsim::jaro(other, &asked)))
    }
}

impl Entry {
    /// The next answer that fits: who asks without a condition cannot be told that nothing has changed.
    fn take(&mut self, conditional: bool) -> Option<&Exchange> {
        let usable = |exchange: &Exchange| conditional || exchange.status != Some(304);
        let ahead = (self.next..self.answers.len()).find(|place| usable(&self.answers[*place]));
        let place = ahead.or_else(|| (0..self.answers.len()).rev().find(|place| usable(&self.answers[*place])))?;
        self.next = place + 1;
        self.answers.get(place)
    }
}

/// The parameters, in order of name and value.
fn pairs(query: &str) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    pairs.sort();
    pairs
}

/// Whether each recorded parameter has its own in `arrived` and none is left.
fn fits(recorded: &[(String, String)], arrived: &[(String, String)]) -> bool {
    if recorded.len() != arrived.len() {
        return false;
    }
    let mut left: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in arrived {
        left.entry(name).or_default().push(value);
    }
    // Those that say something first, so that a masked one does not take their place.
    let (masked, plain): (Vec<_>, Vec<_>) = recorded.iter().partition(|(_, value)| value.contains(MASKED));
    for (name, value) in plain {
        let Some(values) = left.get_mut(name.as_str()) else { return false };
        let Some(place) = values.iter().position(|other| other == value) else { return false };
        values.swap_remove(place);
    }
    masked.iter().all(|(name, _)| left.get_mut(name.as_str()).is_some_and(|values| values.pop().is_some()))
}

fn shown(method: &str, path: &str, query: &[(String, String)]) -> String {
    let mut text = format!("{method} {path}");
    for (place, (name, value)) in query.iter().enumerate() {
        text.push(if place == 0 { '?' } else { '&' });
        text.push_str(&format!("{name}={value}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(url: &str, status: u16, body: &str) -> Exchange {
        let url = format!("https://api.test{url}");
        let mut exchange = Exchange { method: "GET".into(), url, status: Some(status), ..Exchange::default() };
        exchange.set_body(body.as_bytes());
        exchange
    }

    fn index(all: &[(&str, u16, &str)]) -> Index {
        let mut index = Index::default();
        for (url, status, body) in all {
            index.add(exchange(url, *status, body));
        }
        index
    }

    fn get(path: &str, query: &str) -> Arrived {
        Arrived { method: "GET".into(), path: path.into(), query: query.into(), ..Arrived::default() }
    }

    fn body(index: &mut Index, arrived: &Arrived) -> Option<String> {
        index.answer(arrived)?.body.clone()
    }

    #[test]
    fn answers_come_one_after_another_and_the_last_stays() {
        let mut index = index(&[("/m?a=1&b=2", 500, "first"), ("/m?b=2&a=1", 200, "second"), ("/m?a=2", 200, "other")]);
        assert_eq!(index.len(), 2);
        let asked = get("/m", "b=2&a=1");
        let heard: Vec<_> = (0..3).map(|_| body(&mut index, &asked).expect("known")).collect();
        assert_eq!(heard, ["first", "second", "second"]);
    }

    #[test]
    fn masked_values_fit_anything_and_others_only_themselves() {
        let mut index = index(&[("/m?token=[secret]&a=1%202", 200, "yes")]);
        assert_eq!(body(&mut index, &get("/m", "a=1+2&token=whatever")), Some("yes".to_owned()));
        for query in ["a=1+2", "a=1&token=x", "a=1+2&token=x&more=1", "a=1+2&a=1+2"] {
            assert_eq!(body(&mut index, &get("/m", query)), None, "{query}");
        }
        assert_eq!(body(&mut index, &get("/n", "a=1+2&token=x")), None);
        assert_eq!(index.nearest(&get("/m", "a=1")), Some("GET /m?a=1 2&token=[secret]".to_owned()));
    }

    #[test]
    fn nobody_is_told_unchanged_who_did_not_ask() {
        let mut index = index(&[("/l", 200, "list"), ("/l", 304, "")]);
        let mut heard = Vec::new();
        for conditional in [false, false, true, false] {
            let asked = Arrived { conditional, ..get("/l", "") };
            heard.push(index.answer(&asked).expect("known").status);
        }
        assert_eq!(heard, [Some(200), Some(200), Some(304), Some(200)]);
    }

    #[test]
    fn the_same_body_goes_first() {
        let mut index = Index::default();
        for text in ["one", "two"] {
            let mut post = exchange("/p", 200, text);
            (post.method, post.request_body) = ("POST".into(), Some(format!("{{\"ask\":\"{text}\"}}")));
            index.add(post);
        }
        let post = |body: &str| Arrived { method: "POST".into(), path: "/p".into(), body: body.into(), ..get("", "") };
        assert_eq!(body(&mut index, &post(r#"{"ask":"two"}"#)), Some("two".to_owned()));
        assert_eq!(body(&mut index, &post("else")), Some("one".to_owned()));
    }
}
