//! The metrics request: its texts, its body, and whether it asks for what a unit needs.

use indexmap::IndexMap;
use serde_json::Value as Json;

use super::super::problem::{KeyPath, names_a_secret};
use super::super::{Batch, Body, Join, KeyPlace, Parameters, Placeholder, RequestTemplate, TimeFormat, TimeText, raw};
use super::lists::{account_header, one_listed};
use super::source::{common, page_param};
use super::{Checker, rules};

const ALL: [Placeholder; 14] = [
    Placeholder::Parent,
    Placeholder::FromYear,
    Placeholder::FromMonth,
    Placeholder::FromDay,
    Placeholder::ToYear,
    Placeholder::ToMonth,
    Placeholder::ToDay,
    Placeholder::Account,
    Placeholder::Accounts,
    Placeholder::Campaigns,
    Placeholder::From,
    Placeholder::To,
    Placeholder::TimeZone,
    Placeholder::PageSize,
];

impl Checker<'_> {
    pub(super) fn request(&mut self, file: &raw::PipelineFile) -> Option<RequestTemplate> {
        let path = KeyPath::root().key("request");
        let request = &file.request;
        let before = self.problems.count();
        let (texts, used) = self.request_texts(&path, request, &ALL);
        self.asks_for_accounts(&path, request, file, &used);
        self.asks_for_campaigns(&path, file, &used);
        self.asks_for_window(&path, rules::window_size(&file.window), "window.size = 1", &used);
        let mut taken = request.parameter_names();
        let creates = self.creates(file, &taken);
        taken.extend(request.key_param.as_deref());
        if file.report.is_none() {
            self.paging_fits(&KeyPath::root().key("pagination"), &file.pagination, &used, &taken);
        } else if used.contains(&Placeholder::PageSize) {
            let message =
                format!("`{path}` makes a report and has no pages: expected {{page_size}} in `report.rows.query`");
            self.report(&path, message);
        }
        self.dates_fit(&path.key("time"), file);
        let time = self.time(&path.key("time"), &request.time);
        let server = self.server(&path.key("server"), &request.server, &file.api);
        let batch = self.batch(&path.key("batch"), file);
        if self.problems.count() > before {
            return None;
        }
        let (query, body) = texts?;
        let template = request.template(query, body, time?, creates?);
        Some(RequestTemplate { server: server?, batch, ..template })
    }

    /// A request's texts, and the placeholders in them. Only those of `allowed` may stand there.
    pub(super) fn request_texts(
        &mut self,
        path: &KeyPath,
        request: &raw::Request,
        allowed: &[Placeholder],
    ) -> (Option<(Parameters, Body)>, Vec<Placeholder>) {
        self.url_path(&path.key("path"), &request.path);
        let mut used = self.placeholders(&path.key("path"), &request.path, allowed);
        let (query, in_query) = self.parameters(&path.key("query"), &request.query, allowed);
        used.extend(in_query);
        let body = self.body(path, request, allowed, &mut used);
        (body.map(|body| (query, body)), used)
    }

    /// Query or form parameters as texts, and the placeholders in them.
    pub(super) fn parameters(
        &mut self,
        path: &KeyPath,
        parameters: &IndexMap<String, raw::Values>,
        allowed: &[Placeholder],
    ) -> (Parameters, Vec<Placeholder>) {
        let mut pairs = Vec::new();
        let mut used = Vec::new();
        for (name, raw::Values(texts)) in parameters {
            let path = path.key(name);
            self.parameter(&path, name);
            if names_a_secret(name) {
                let expected = "expected it in `[auth]`, as env:NAME or file:PATH, never in the file";
                self.wrong(&path, format!("usually holds a secret: {expected}"));
            }
            for text in texts {
                used.extend(self.placeholders(&path, text, allowed));
                pairs.push((name.clone(), text.clone()));
            }
        }
        (pairs.into_iter().collect(), used)
    }

    fn body(
        &mut self,
        path: &KeyPath,
        request: &raw::Request,
        allowed: &[Placeholder],
        used: &mut Vec<Placeholder>,
    ) -> Option<Body> {
        let before = self.problems.count();
        for (key, given) in [("json", request.json.is_some()), ("form", request.form.is_some())] {
            if given && request.method == raw::Method::Get {
                self.wrong(&path.key(key), "is a body, which a GET does not have: expected `method = \"POST\"`");
            }
        }
        if request.json.is_some() && request.form.is_some() {
            self.wrong(&path.key("form"), "cannot stand beside `request.json`: a request has one body");
        }
        let mut body = Body::None;
        if let Some(form) = &request.form {
            let (form, in_form) = self.parameters(&path.key("form"), form, allowed);
            used.extend(in_form);
            body = Body::Form(form);
        }
        if request.json.is_some() {
            // A body beside a GET is reported above.
            let rules = JsonTexts { join: request.join, allowed };
            body = self.json_body(path, raw::Method::Post, &request.json, &rules, used);
        }
        (self.problems.count() == before).then_some(body)
    }

    /// The placeholders of every text in a JSON document.
    pub(super) fn json_texts(
        &mut self,
        path: &KeyPath,
        value: &Json,
        rules: &JsonTexts<'_>,
        used: &mut Vec<Placeholder>,
    ) {
        match value {
            Json::String(text) => {
                if path.segments().last().is_some_and(|key| names_a_secret(key)) {
                    self.wrong(path, "usually holds a secret: expected it in `[auth]`, as env:NAME or file:PATH");
                }
                let found = self.placeholders(path, text, rules.allowed);
                if rules.join == raw::Join::Repeat && found.iter().any(is_list) {
                    self.wrong(path, "cannot be repeated in a JSON body: expected `join = \"array\"` or \"comma\"");
                }
                used.extend(found);
            }
            Json::Array(list) => {
                for (index, value) in list.iter().enumerate() {
                    self.json_texts(&path.index(index), value, rules, used);
                }
            }
            Json::Object(object) => {
                for (key, value) in object {
                    self.json_texts(&path.key(key), value, rules, used);
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }

    pub(super) fn asks_for_accounts(
        &mut self,
        path: &KeyPath,
        request: &raw::Request,
        file: &raw::PipelineFile,
        used: &[Placeholder],
    ) {
        let single = used.contains(&Placeholder::Account) || account_header(&file.api);
        let batch = used.contains(&Placeholder::Accounts);
        let size = request.accounts_per_request;
        let batched = request.batch.is_some();
        if size > 1 && single && !batched && !batch {
            let message = format!("is {size}, but the request names one {{account}}: expected 1, or {{accounts}}");
            self.wrong(&path.key("accounts_per_request"), message);
        } else if size > 1 && !batch && !batched {
            let message = format!("is {size}, but the request does not name them: expected {{accounts}} in it");
            self.wrong(&path.key("accounts_per_request"), message);
        } else if !single && !batch && !one_listed(&file.accounts) {
            let message =
                format!("`{path}` asks the same for every account: expected {{account}} or {{accounts}} in it");
            self.report(path, message);
        }
    }

    fn asks_for_campaigns(&mut self, path: &KeyPath, file: &raw::PipelineFile, used: &[Placeholder]) {
        if !used.contains(&Placeholder::Campaigns) {
            return;
        }
        if file.campaigns.is_none() {
            let message =
                format!("`{path}` names {{campaigns}}, but nothing lists them: expected a table `[campaigns]`");
            self.report(path, message);
        }
        if file.request.accounts_per_request > 1 && file.request.batch.is_none() {
            let message = "must be 1 where the request names {campaigns}: they are one account's";
            self.wrong(&path.key("accounts_per_request"), message);
        }
    }

    /// Several accounts' requests in one. Each is about one account, and nothing that is created twice may be among them.
    fn batch(&mut self, path: &KeyPath, file: &raw::PipelineFile) -> Option<Batch> {
        let batch = file.request.batch.as_ref()?;
        self.url_path(&path.key("path"), &batch.path);
        self.parameter(&path.key("param"), &batch.param);
        if file.request.method == raw::Method::Post {
            self.wrong(path, "holds GET requests only: expected `method = \"GET\"` in `[request]`");
        }
        if file.request.server.is_some() {
            self.wrong(path, "cannot stand beside `request.server`: its requests are the base URL's");
        }
        let links = matches!(file.pagination, raw::Pagination::NextLink { .. } | raw::Pagination::LinkHeader { .. });
        if links {
            self.wrong(path, "cannot follow links: expected a `pagination.kind` with a parameter");
        }
        Some(Batch { path: batch.path.clone(), size: batch.size as usize, param: batch.param.clone() })
    }

    /// A request without its window would bring the same rows for every unit. `size` is how much a window has at most,
    /// `single` what makes it the least.
    pub(super) fn asks_for_window(&mut self, path: &KeyPath, size: u32, single: &str, used: &[Placeholder]) {
        let begins = [Placeholder::From, Placeholder::FromDay].iter().any(|begin| used.contains(begin));
        let ends = [Placeholder::To, Placeholder::ToDay].iter().any(|end| used.contains(end));
        if !begins {
            self.report(path, format!("`{path}` does not say where its window begins: expected {{from}} in it"));
        } else if !ends && size > 1 {
            let message = format!("`{path}` does not say where its window ends: expected {{to}} in it, or `{single}`");
            self.report(path, message);
        }
    }

    /// A date names a whole day on one clock: another clock's window would be cut or widened in silence.
    fn dates_fit(&mut self, path: &KeyPath, file: &raw::PipelineFile) {
        let time = &file.request.time;
        let fits = match file.window.align {
            raw::Align::Hour => false,
            raw::Align::AccountDay => time.zone == "account",
            // Dates of another clock are those that cover the UTC day.
            raw::Align::UtcDay => time.zone != "account",
        };
        if time.format == raw::Notation::Date && !fits {
            let expected = "expected `window.align = \"account_day\"` with `zone = \"account\"`, or \"utc_day\" with \"utc\" or an IANA name";
            self.wrong(&path.key("format"), format!("is \"date\", which names whole days: {expected}"));
        }
    }

    pub(super) fn time(&mut self, path: &KeyPath, time: &raw::RequestTime) -> Option<TimeText> {
        let zone = self.zone_rule(&path.key("zone"), &time.zone)?;
        let format = match time.format {
            raw::Notation::Date => TimeFormat::Date,
            raw::Notation::Rfc3339 => TimeFormat::Rfc3339,
            raw::Notation::Naive => TimeFormat::Naive,
            raw::Notation::UnixSeconds => TimeFormat::UnixSeconds,
            raw::Notation::UnixMilliseconds => TimeFormat::UnixMilliseconds,
        };
        Some(TimeText { format, zone, end_inclusive: time.end == raw::WindowEnd::Inclusive })
    }

    /// Whether the request and its paging go together: no parameter twice, and a size where one is used.
    pub(super) fn paging_fits(
        &mut self,
        path: &KeyPath,
        pagination: &raw::Pagination,
        used: &[Placeholder],
        taken: &[&str],
    ) {
        let common = common(pagination);
        if used.contains(&Placeholder::PageSize) && common.size.is_none() {
            self.report(path, format!("missing key `{}`: the request holds {{page_size}}", path.key("page_size")));
        }
        let page_param = page_param(pagination);
        for (key, name) in [("param", page_param), ("page_size_param", common.size_param.as_ref())] {
            let Some(name) = name else { continue };
            if taken.contains(&name.as_str()) {
                let message = format!("is {name:?}, which the request sends already: expected it in one place");
                self.wrong(&path.key(key), message);
            }
        }
        if page_param.is_some() && page_param == common.size_param.as_ref() {
            self.wrong(&path.key("page_size_param"), "is the same as `param`: expected two parameters");
        }
    }
}

/// What holds for all texts of a JSON body.
pub(super) struct JsonTexts<'a> {
    pub(super) join: raw::Join,
    pub(super) allowed: &'a [Placeholder],
}

impl raw::Request {
    /// The names of the parameters that it sends.
    pub(super) fn parameter_names(&self) -> Vec<&str> {
        let query = self.query.keys();
        let form = self.form.iter().flatten().map(|(name, _)| name);
        let json = self.json.iter().flatten().map(|(name, _)| name);
        query.chain(form).chain(json).map(String::as_str).collect()
    }

    /// The checked request, with its checked parts.
    pub(super) fn template(
        &self,
        query: Parameters,
        body: Body,
        time: TimeText,
        creates: Option<KeyPlace>,
    ) -> RequestTemplate {
        RequestTemplate {
            method: self.method.checked(),
            path: self.path.clone(),
            server: None,
            batch: None,
            query,
            body,
            accounts_per_request: self.accounts_per_request as usize,
            campaigns_per_request: self.campaigns_per_request as usize,
            join: self.join.checked(),
            time,
            creates,
        }
    }
}

impl raw::Join {
    pub(super) fn checked(self) -> Join {
        match self {
            raw::Join::Comma => Join::Comma,
            raw::Join::Repeat => Join::Repeat,
            raw::Join::Array => Join::Array,
        }
    }
}

fn is_list(placeholder: &Placeholder) -> bool {
    [Placeholder::Accounts, Placeholder::Campaigns, Placeholder::Parents].contains(placeholder)
}
