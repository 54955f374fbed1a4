//! Requests that create something, and reports.

use indexmap::IndexMap;

use super::super::problem::{KeyPath, shown};
use super::super::{KeyPlace, Parameters, Placeholder, Poll, Report, ReportRows, raw};
use super::Checker;
use super::request::JsonTexts;

/// Where the key of a creation goes unless the file says something else.
const KEY_HEADER: &str = "Idempotency-Key";

impl Checker<'_> {
    /// Whether the metrics request creates something, and where its key goes. `taken` are the parameters that it sends.
    pub(super) fn creates(&mut self, file: &raw::PipelineFile, taken: &[&str]) -> Option<Option<KeyPlace>> {
        let path = KeyPath::root().key("request");
        let request = &file.request;
        let keys = [
            ("key_header", request.key_header.is_some()),
            ("key_param", request.key_param.is_some()),
            ("no_key", request.no_key),
        ];
        let mut first = None;
        for (key, _) in keys.into_iter().filter(|(_, given)| *given) {
            if !request.creates {
                self.wrong(&path.key(key), "has a meaning only with `creates = true`");
                return None;
            }
            if let Some(first) = first {
                self.wrong(&path.key(key), format!("cannot stand beside `{first}`: the key goes to one place"));
                return None;
            }
            first = Some(key);
        }
        if !request.creates {
            return Some(None);
        }
        if request.method == raw::Method::Get {
            self.wrong(&path.key("creates"), "is true, but a GET creates nothing: expected `method = \"POST\"`");
            return None;
        }
        if request.no_key {
            return Some(Some(KeyPlace::Nowhere));
        }
        if let Some(name) = &request.key_param {
            let path = path.key("key_param");
            self.parameter(&path, name)?;
            if taken.contains(&name.as_str()) {
                self.wrong(&path, format!("is {}, which the request sends already: expected another", shown(name)));
                return None;
            }
            return Some(Some(KeyPlace::Parameter(name.clone())));
        }
        let name = request.key_header.as_deref().unwrap_or(KEY_HEADER);
        let path = path.key("key_header");
        self.header_name(&path, name)?;
        if file.api.headers.keys().any(|other| other.eq_ignore_ascii_case(name)) {
            self.wrong(&path, format!("is {}, which `api.headers` sends already: expected another", shown(name)));
            return None;
        }
        Some(Some(KeyPlace::Header(name.to_owned())))
    }

    /// The report that the metrics request makes.
    pub(super) fn report_rules(&mut self, file: &raw::PipelineFile) -> Option<Option<Report>> {
        let Some(report) = &file.report else { return Some(None) };
        let path = KeyPath::root().key("report");
        let before = self.problems.count();
        if !file.request.creates && !self.silent.contains("request") {
            let message = "is made by the metrics request: expected `creates = true` in `[request]`";
            self.wrong(&path, message);
        }
        let id = self.place(&path.key("id"), &report.id);
        let poll = self.poll(&path.key("poll"), &report.poll, file);
        let rows = self.report_rows(&path.key("rows"), &report.rows, file);
        if self.problems.count() > before {
            return None;
        }
        Some(Some(Report { id: id?, poll: poll?, rows: rows? }))
    }

    fn report_rows(&mut self, path: &KeyPath, rows: &raw::ReportRows, file: &raw::PipelineFile) -> Option<ReportRows> {
        match (&rows.path, &rows.url) {
            (Some(text), None) => {
                let allowed = [Placeholder::Report, Placeholder::Account, Placeholder::Parent, Placeholder::PageSize];
                let before = self.problems.count();
                let (query, used) = self.report_request(path, text, &rows.query, &allowed, file);
                if self.problems.count() == before && !used.contains(&Placeholder::Report) {
                    self.names_no_report(path);
                }
                let taken: Vec<&str> = query.names().map(String::as_str).collect();
                self.paging_fits(&KeyPath::root().key("pagination"), &file.pagination, &used, &taken);
                let server = self.server(&path.key("server"), &rows.server, &file.api)?;
                Some(ReportRows::Endpoint { path: text.clone(), query, server })
            }
            (None, Some(place)) => {
                for (key, given) in [("query", !rows.query.is_empty()), ("server", rows.server.is_some())] {
                    if given {
                        self.wrong(&path.key(key), "has a meaning only with `path`: a URL is asked for as it is");
                    }
                }
                if !matches!(file.pagination, raw::Pagination::None) {
                    let message = "is for rows at an endpoint: a file that a URL leads to has one page";
                    self.wrong(&KeyPath::root().key("pagination"), message);
                }
                self.place(&path.key("url"), place).map(ReportRows::Url)
            }
            _ => {
                let message = format!("`{path}` must say where the rows are: expected one of `path` and `url`");
                self.report(path, message);
                None
            }
        }
    }

    fn names_no_report(&mut self, path: &KeyPath) {
        let message = format!("`{path}` does not say which report: expected {{report}} in its path, query or json");
        self.report(path, message);
    }

    fn poll(&mut self, path: &KeyPath, poll: &raw::Poll, file: &raw::PipelineFile) -> Option<Poll> {
        let allowed = [Placeholder::Report, Placeholder::Account, Placeholder::Parent];
        let before = self.problems.count();
        let (query, mut used) = self.report_request(path, &poll.path, &poll.query, &allowed, file);
        let rules = JsonTexts { join: raw::Join::Comma, allowed: &allowed };
        let body = self.json_body(path, poll.method, &poll.json, &rules, &mut used);
        if self.problems.count() == before && !used.contains(&Placeholder::Report) {
            self.names_no_report(path);
        }
        let server = self.server(&path.key("server"), &poll.server, &file.api);
        let status = self.place(&path.key("status"), &poll.status);
        let done = &poll.done.0;
        if done.is_empty() {
            self.wrong(&path.key("done"), "is empty: expected at least one status");
        }
        let failed = poll.failed.as_ref().map(|failed| failed.0.clone()).unwrap_or_default();
        if let Some(both) = failed.iter().find(|status| done.contains(status)) {
            let message = format!("holds {}, which `done` holds too: expected it in one of them", shown(both));
            self.wrong(&path.key("failed"), message);
        }
        let every = self.waiting_time(&path.key("every"), &poll.every);
        let cap = self.waiting_time(&path.key("cap"), &poll.cap);
        let patience = self.waiting_time(&path.key("patience"), &poll.patience);
        let (every, cap, patience) = (every?, cap?, patience?);
        if every > cap {
            let message = format!("is {}: expected at most `cap`, {}", shown(&poll.every), poll.cap);
            self.wrong(&path.key("every"), message);
        }
        if every > patience {
            let message = format!("is {}: expected at least `every`, {}", shown(&poll.patience), poll.every);
            self.wrong(&path.key("patience"), message);
        }
        Some(Poll {
            method: poll.method.checked(),
            path: poll.path.clone(),
            query,
            body,
            server: server?,
            status: status?,
            done: done.clone(),
            failed,
            every,
            cap,
            patience,
        })
    }

    /// The path and query of a request about a report. Only the query may hold a page size.
    fn report_request(
        &mut self,
        path: &KeyPath,
        text: &str,
        query: &IndexMap<String, raw::Values>,
        allowed: &[Placeholder],
        file: &raw::PipelineFile,
    ) -> (Parameters, Vec<Placeholder>) {
        self.url_path(&path.key("path"), text);
        let in_path = [Placeholder::Report, Placeholder::Account, Placeholder::Parent];
        let mut used = self.placeholders(&path.key("path"), text, &in_path);
        let (query, in_query) = self.parameters(&path.key("query"), query, allowed);
        used.extend(in_query);
        let several = file.request.accounts_per_request > 1 && !self.silent.contains("request");
        if several && used.contains(&Placeholder::Account) {
            let message = format!("`{path}` names one {{account}}, but a report is about several accounts");
            self.report(path, message);
        }
        (query, used)
    }
}
