//! How pages follow each other: a small machine that names the next page, the end, or why the paging cannot be trusted.
//!
//! | kind | next | end | guards |
//! |---|---|---|---|
//! | cursor | the body's token | no token | a token or a page seen before |
//! | link, link header | the body's or header's URL | no link | a link or a page seen before, a host nobody named |
//! | page number | one more | a short page, the last of the total, a page seen before | |
//! | offset | so many rows more | a short page, the total, a page seen before | |
//!
//! All kinds: a hundred empty pages in a row and more than `max_pages` pages are errors; an empty page with a token is
//! followed; a full last page without a token is the end.

use std::collections::{HashMap, HashSet};
use std::fmt;

use url::Url;
use xxhash_rust::xxh3::xxh3_64;

use crate::decode::PageFacts;
use crate::pipeline::{Api, Pagination, PaginationKind};

/// More empty pages in a row than this are an error.
const MAX_EMPTY: usize = 100;

/// Which page a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageCursor {
    /// The page's number, from 1, as it is counted here.
    pub number: usize,
    /// Where it is.
    pub at: PageAt,
    /// The page size and the name it is sent under, where the platform wants it.
    pub size: Option<(String, usize)>,
}

/// Where a page is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageAt {
    /// At the beginning, without further words.
    Start,
    /// Behind a token.
    Token {
        /// What it is sent as.
        param: String,
        /// The token.
        token: String,
    },
    /// At a page number or an offset.
    Number {
        /// What it is sent as.
        param: String,
        /// The number.
        number: u64,
    },
    /// At a URL that the platform gave.
    Link(Url),
}

impl PageCursor {
    /// The first page.
    pub fn first(pagination: &Pagination) -> PageCursor {
        let at = match &pagination.kind {
            PaginationKind::PageNumber { param, .. } => {
                let PageAt::Number { number, .. } = &self.at.at else { return Ok(Next::End) };
                let more = facts.total.map_or(self.is_full(facts), |pages| (page as u64) < pages);
                more.then(|| PageAt::Number { param: param.clone(), number: number + 1 })
            }
            PaginationKind::Offset { param, .. } => {
                let PageAt::Number { number, .. } = &self.at.at else { return Ok(Next::End) };
                // By what came and not by what was asked for: some platforms give smaller pages than that.
                let step = if facts.records == 0 { self.pagination.page_size.max(1) } else { facts.records };
                let offset = number + step as u64;
                let more = facts.total.map_or(self.is_full(facts), |total| offset < total);
                more.then(|| PageAt::Number { param: param.clone(), number: offset })
            }
        };
        let Some(at) = at else { return Ok(Next::End) };
        if self.empty >= MAX_EMPTY {
            return Err(PagingError::OnlyEmpty { page });
        }
        if page >= self.pagination.max_pages {
            return Err(PagingError::TooMany { max: self.pagination.max_pages });
        }
        self.at = PageCursor { number: page + 1, at, size: self.at.size.clone() };
        Ok(Next::Page(self.at.clone()))
    }

    /// The number of the earlier page with the same rows.
    fn repeated(&mut self, facts: &PageFacts) -> Option<usize> {
        let fingerprint = facts.fingerprint.filter(|_| facts.records > 0)?;
        match self.pages.get(&fingerprint) {
            Some(earlier) => Some(*earlier),
            None => {
                self.pages.insert(fingerprint, self.at.number);
                None
            }
        }
    }

    fn remember(&mut self, token: &str) -> Result<(), PagingError> {
        if self.tokens.insert(xxh3_64(token.as_bytes())) {
            Ok(())
        } else {
            Err(PagingError::SeenToken { page: self.at.number })
        }
    }

    fn follow(
        &mut self,
        link: Option<&str>,
        asked: &Url,
        repeated: Option<usize>,
    ) -> Result<Option<PageAt>, PagingError> {
        let page = self.at.number;
        if let Some(of) = repeated {
            return Err(PagingError::Repeats { page, of });
        }
        let Some(link) = link.map(str::trim).filter(|link| !link.is_empty()) else { return Ok(None) };
        let mut url = asked.join(link).map_err(|_| PagingError::NotALink { page })?;
        url.set_fragment(None);
        if !named_by(self.api, &url) {
            return Err(PagingError::Foreign { page, origin: url.origin().ascii_serialization() });
        }
        self.tokens.insert(xxh3_64(asked.as_str().as_bytes()));
        self.remember(url.as_str())?;
        Ok(Some(PageAt::Link(url)))
    }

    fn is_full(&self, facts: &PageFacts) -> bool {
        facts.records > 0 && facts.records >= self.pagination.page_size
    }
}

/// The target of `rel="next"` in a `Link` header (RFC 8288), several headers joined by commas.
fn next_of_header(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some(open) = rest.find('<') {
        let (target, after) = rest[open + 1..].split_once('>')?;
        let end = end_of_parameters(after);
        if after[..end].split(';').any(is_next) {
            return Some(target);
        }
        rest = &after[end..];
    }
    None
}

/// Where a link's parameters end: at the first comma outside quotes.
fn end_of_parameters(text: &str) -> usize {
    let mut quoted = false;
    for (index, character) in text.char_indices() {
        match character {
            '"' => quoted = !quoted,
            ',' if !quoted => return index,
            _ => {}
        }
    }
    text.len()
}

fn is_next(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else { return false };
    let words = value.trim().trim_matches('"');
    name.trim().eq_ignore_ascii_case("rel")
        && words.split_ascii_whitespace().any(|word| word.eq_ignore_ascii_case("next"))
}

#[cfg(test)]
mod tests;
