//! How pages follow each other.

use super::super::problem::KeyPath;
use super::super::{Pagination, PaginationKind, raw};
use super::Checker;

impl Checker<'_> {
    pub(super) fn pagination(&mut self, path: &KeyPath, pagination: &raw::Pagination) -> Option<Pagination> {
        let common = common(pagination);
        if let Some(name) = common.size_param {
            self.parameter(&path.key("page_size_param"), name)?;
            if common.size.is_none() {
                self.wrong(&path.key("page_size_param"), "sends a size that is not given: expected `page_size` too");
                return None;
            }
        }
        if let Some(param) = page_param(pagination) {
            self.parameter(&path.key("param"), param)?;
        }
        let kind = match pagination {
            raw::Pagination::None => PaginationKind::None,
            raw::Pagination::Cursor { next, more, param, .. } => {
                let next = self.place(&path.key("next"), next)?;
                let more = self.optional_place(&path.key("more"), more)?;
                PaginationKind::Cursor { next, more, param: param.clone() }
            }
            raw::Pagination::NextLink { next, .. } => {
                PaginationKind::NextLink { next: self.place(&path.key("next"), next)? }
            }
            raw::Pagination::LinkHeader { .. } => PaginationKind::LinkHeader,
            raw::Pagination::PageNumber { param, first, total_pages, .. } => PaginationKind::PageNumber {
                param: param.clone(),
                first: *first,
                total_pages: self.optional_place(&path.key("total_pages"), total_pages)?,
            },
            raw::Pagination::Offset { param, total, .. } => {
                PaginationKind::Offset { param: param.clone(), total: self.optional_place(&path.key("total"), total)? }
            }
        };
        Some(Pagination {
            kind,
            page_size: common.size.unwrap_or(0) as usize,
            page_size_param: common.size_param.clone(),
            max_pages: common.max_pages as usize,
        })
    }
}

/// What all kinds of pagination but `none` have in common.
pub(super) struct PagingCommon<'a> {
    pub(super) size: Option<u32>,
    pub(super) size_param: &'a Option<String>,
    max_pages: u32,
}

pub(super) fn common(pagination: &raw::Pagination) -> PagingCommon<'_> {
    use raw::Pagination::{Cursor, LinkHeader, NextLink, None as OnePage, Offset, PageNumber};
    let (size, size_param, max_pages) = match pagination {
        OnePage => (None, &None, 1),
        Cursor { page_size, page_size_param, max_pages, .. }
        | NextLink { page_size, page_size_param, max_pages, .. }
        | LinkHeader { page_size, page_size_param, max_pages } => (*page_size, page_size_param, *max_pages),
        PageNumber { page_size, page_size_param, max_pages, .. }
        | Offset { page_size, page_size_param, max_pages, .. } => (Some(*page_size), page_size_param, *max_pages),
    };
    PagingCommon { size, size_param, max_pages }
}

/// The parameter by which the next page is asked for.
pub(super) fn page_param(pagination: &raw::Pagination) -> Option<&String> {
    match pagination {
        raw::Pagination::Cursor { param, .. }
        | raw::Pagination::PageNumber { param, .. }
        | raw::Pagination::Offset { param, .. } => Some(param),
        raw::Pagination::None | raw::Pagination::NextLink { .. } | raw::Pagination::LinkHeader { .. } => None,
    }
}
