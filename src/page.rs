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
            PaginationKind::PageNumber { param, first, .. } => PageAt::Number { param: param.clone(), number: *first },
            PaginationKind::Offset { param, .. } => PageAt::Number { param: param.clone(), number: 0 },
            PaginationKind::None
            | PaginationKind::Cursor { .. }
            | PaginationKind::NextLink { .. }
            | PaginationKind::LinkHeader => PageAt::Start,
        };
        let size = pagination.page_size_param.clone().map(|param| (param, pagination.page_size));
        PageCursor { number: 1, at, size }
    }
}

/// What follows a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Another page.
    Page(PageCursor),
    /// Nothing: all has been read.
    End,
}

/// Why the platform's paging cannot be followed. No text holds a token or a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PagingError {
    /// A token or link that was handed out before: a cycle.
    SeenToken {
        /// The page that hands it out.
        page: usize,
    },
    /// A page with the rows of an earlier one.
    Repeats {
        /// The page.
        page: usize,
        /// The earlier one.
        of: usize,
    },
    /// Too many empty pages in a row.
    OnlyEmpty {
        /// The last of them.
        page: usize,
    },
    /// More pages than the pipeline allows.
    TooMany {
        /// The pipeline's `max_pages`.
        max: usize,
    },
    /// A link that is no URL.
    NotALink {
        /// The page that holds it.
        page: usize,
    },
    /// A link to somewhere the pipeline does not name.
    Foreign {
        /// The page that holds it.
        page: usize,
        /// Scheme, host and port of the link.
        origin: String,
    },
}

impl fmt::Display for PagingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PagingError::SeenToken { page } => {
                write!(f, "page {page} leads back to a page that was read before: the platform's paging is a circle")
            }
            PagingError::Repeats { page, of } => {
                write!(f, "page {page} repeats page {of}: the platform's paging is a circle")
            }
            PagingError::OnlyEmpty { page } => {
                write!(f, "the {MAX_EMPTY} pages up to page {page} are empty and yet lead on")
            }
            PagingError::TooMany { max } => {
                write!(f, "there are more than {max} pages (`max_pages`): ask for shorter windows or raise it")
            }
            PagingError::NotALink { page } => write!(f, "the next link of page {page} is not a URL"),
            PagingError::Foreign { page, origin } => write!(
                f,
                "the next link of page {page} leads to `{origin}`, which the pipeline does not name, and was not \
                 followed (add the host to `api.hosts` if it is the platform's)"
            ),
        }
    }
}

/// Whether the pipeline names the place of `url`: the base URL's or a server's scheme, host and port, or a host of `api.hosts` (with
/// or without a port) by the base URL's scheme or https. Credentials go nowhere else.
pub fn named_by(api: &Api, url: &Url) -> bool {
    if !url.username().is_empty() || url.password().is_some() {
        return false;
    }
    if url.origin() == api.base_url.origin() || api.servers.iter().any(|(_, server)| server.origin() == url.origin()) {
        return true;
    }
    let Some(host) = url.host_str() else { return false };
    let with_port = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
    let listed = api.hosts.iter().any(|named| {
        named.eq_ignore_ascii_case(&with_port) || (named.eq_ignore_ascii_case(host) && url.port().is_none())
    });
    listed && (url.scheme() == "https" || url.scheme() == api.base_url.scheme())
}

/// Follows the pages of one list or one unit.
#[derive(Debug)]
pub struct Pager<'a> {
    api: &'a Api,
    pagination: &'a Pagination,
    at: PageCursor,
    /// Hashes of tokens and links that were handed out: 8 bytes a page, at most `max_pages`.
    tokens: HashSet<u64>,
    /// Fingerprints of the pages that held rows, and their numbers.
    pages: HashMap<u64, usize>,
    empty: usize,
}

impl<'a> Pager<'a> {
    /// Stands before the first page.
    pub fn new(api: &'a Api, pagination: &'a Pagination) -> Pager<'a> {
        let at = PageCursor::first(pagination);
        Pager { api, pagination, at, tokens: HashSet::new(), pages: HashMap::new(), empty: 0 }
    }

    /// The page to ask for.
    pub fn at(&self) -> &PageCursor {
        &self.at
    }

    /// Takes in what the page brought and names what follows. `asked` is the URL that the page came from (relative
    /// links are resolved against it), `link` the answer's `Link` header.
    ///
    /// # Errors
    /// [`PagingError`], after which nothing of the read pages may be used.
    pub fn next(&mut self, facts: &PageFacts, asked: &Url, link: Option<&str>) -> Result<Next, PagingError> {
        let page = self.at.number;
        self.empty = if facts.records == 0 { self.empty + 1 } else { 0 };
        let Some(at) = self.following(facts, asked, link)? else { return Ok(Next::End) };
        if self.empty >= MAX_EMPTY {
            return Err(PagingError::OnlyEmpty { page });
        }
        if page >= self.pagination.max_pages {
            return Err(PagingError::TooMany { max: self.pagination.max_pages });
        }
        self.at = PageCursor { number: page + 1, at, size: self.at.size.clone() };
        Ok(Next::Page(self.at.clone()))
    }

    fn following(&mut self, facts: &PageFacts, asked: &Url, link: Option<&str>) -> Result<Option<PageAt>, PagingError> {
        let pagination = self.pagination;
        let repeated = self.repeated(facts);
        match &pagination.kind {
            PaginationKind::None => Ok(None),
            PaginationKind::Cursor { param, .. } => {
                self.refuse(repeated)?;
                let Some(token) = facts.next.as_deref().filter(|token| !token.is_empty()) else { return Ok(None) };
                self.remember(token)?;
                Ok(Some(PageAt::Token { param: param.clone(), token: token.to_owned() }))
            }
            PaginationKind::NextLink { .. } => {
                self.refuse(repeated)?;
                self.follow(facts.next.as_deref(), asked)
            }
            PaginationKind::LinkHeader => {
                self.refuse(repeated)?;
                self.follow(link.and_then(next_of_header), asked)
            }
            // A number beyond the last page is clamped by some platforms: the last page comes again, which is the end.
            PaginationKind::PageNumber { .. } | PaginationKind::Offset { .. } if repeated.is_some() => Ok(None),
            PaginationKind::PageNumber { param, .. } => {
                let more = facts.total.map_or(self.is_full(facts), |pages| (self.at.number as u64) < pages);
                Ok(self.number(more, param, 1))
            }
            PaginationKind::Offset { param, .. } => {
                // By what came and not by what was asked for: some platforms give smaller pages than that.
                let step = if facts.records == 0 { pagination.page_size.max(1) } else { facts.records } as u64;
                let more = facts.total.map_or(self.is_full(facts), |total| self.offset() + step < total);
                Ok(self.number(more, param, step))
            }
        }
    }

    fn offset(&self) -> u64 {
        if let PageAt::Number { number, .. } = self.at.at { number } else { 0 }
    }

    fn number(&self, more: bool, param: &str, step: u64) -> Option<PageAt> {
        more.then(|| PageAt::Number { param: param.to_owned(), number: self.offset() + step })
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

    fn refuse(&self, repeated: Option<usize>) -> Result<(), PagingError> {
        match repeated {
            Some(of) => Err(PagingError::Repeats { page: self.at.number, of }),
            None => Ok(()),
        }
    }

    fn remember(&mut self, token: &str) -> Result<(), PagingError> {
        if self.tokens.insert(xxh3_64(token.as_bytes())) {
            Ok(())
        } else {
            Err(PagingError::SeenToken { page: self.at.number })
        }
    }

    fn follow(&mut self, link: Option<&str>, asked: &Url) -> Result<Option<PageAt>, PagingError> {
        let page = self.at.number;
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
