//! How a request beyond a quota is refused, and what answers tell about the quotas.
//!
//! Platforms tell the wait in many ways. Each style but the first tells it in exactly one place, so that a client which
//! reads another place is found out.

use std::time::Duration;

use axum::http::{HeaderName, StatusCode, header};
use clap::ValueEnum;
use serde_json::{Map, Value, json};

use super::hours;
use super::options::QuotaOptions;
use super::quota::{Refused, ScopeKind, Standing, Use};
use super::reply::Reply;
use super::world::World;

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
const USAGE: HeaderName = HeaderName::from_static("x-usage");

/// How a request beyond a quota is refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum RefusalStyle {
    /// 429, `Retry-After` in seconds, and the headers of every other answer
    #[default]
    #[value(name = "429")]
    Seconds,
    /// 429 without any header or wait
    #[value(name = "bare")]
    Bare,
    /// 429 with `Retry-After` as a date
    #[value(name = "date")]
    Date,
    /// 429 with `X-RateLimit-Remaining` and `X-RateLimit-Reset` as seconds since 1970, which all other answers have too
    #[value(name = "reset")]
    Reset,
    /// 429 with `RateLimit-Policy` and `RateLimit`
    #[value(name = "ietf")]
    Ietf,
    /// 400 with the wait in the text of the message
    #[value(name = "text")]
    Text,
    /// 200 with a code for each scope, and the wait as `retry_after_ms`
    #[value(name = "in-200")]
    In200,
    /// 400 with a code for each scope, and the wait as `regain_seconds` in `X-Usage`
    #[value(name = "usage")]
    Usage,
}

impl RefusalStyle {
    /// The name used on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Seconds | Self::Bare | Self::Date | Self::Reset | Self::Ietf => StatusCode::TOO_MANY_REQUESTS,
            Self::Text | Self::Usage => StatusCode::BAD_REQUEST,
            Self::In200 => StatusCode::OK,
        }
    }

    fn code(self, scope: ScopeKind) -> &'static str {
        match (self, scope) {
            (Self::In200 | Self::Usage, ScopeKind::App) => "RATE_LIMITED_APP",
            (Self::In200 | Self::Usage, ScopeKind::Account) => "RATE_LIMITED_ACCOUNT",
            (Self::In200 | Self::Usage, ScopeKind::Endpoint) => "RATE_LIMITED_ENDPOINT",
            _ => "RATE_LIMITED",
        }
    }
}

/// The answer to a call that was refused at `now` (since 1970); none where it was admitted. The scope and the wait it
/// tells are those of the first scope that refused: a platform that has found one does not look at the next.
pub(super) fn refusal(options: &QuotaOptions, standing: &Standing, world: &World, now: Duration) -> Option<Reply> {
    let first = standing.refused.first()?;
    let style = options.refusal;
    let seconds = whole_seconds(first.wait);
    let message = match style {
        RefusalStyle::Seconds => format!("too many requests; come back in {seconds} s"),
        RefusalStyle::Text => format!("Too many requests. Retry after {seconds} seconds, please."),
        _ => "too many requests".to_owned(),
    };
    let mut error = json!({"code": style.code(first.scope), "message": message, "scope": first.scope.name()});
    if style == RefusalStyle::In200 {
        error["retry_after_ms"] = json!(first.wait.as_nanos().div_ceil(1_000_000) as u64);
    }
    let reply = Reply::json(style.status(), json!({"error": error}).to_string());
    let again = whole_seconds(now + first.wait);
    let reply = match style {
        RefusalStyle::Seconds => reply.with(header::RETRY_AFTER, seconds.to_string()),
        RefusalStyle::Date => {
            reply.with(header::DATE, http_date(now.as_secs())).with(header::RETRY_AFTER, http_date(again))
        }
        RefusalStyle::Reset => reply.with(REMAINING, "0").with(RESET, again.to_string()),
        RefusalStyle::Ietf => {
            let (policy, state) = ietf(&standing.refused);
            reply
                .with(HeaderName::from_static("ratelimit-policy"), policy)
                .with(HeaderName::from_static("ratelimit"), state)
        }
        RefusalStyle::Usage => reply.with(USAGE, usage(standing, world)),
        RefusalStyle::Bare | RefusalStyle::Text | RefusalStyle::In200 => reply,
    };
    Some(reply)
}

/// The headers that tell where the quotas stood when the call was counted. Refusals of most styles have only their own.
pub(super) fn quota_headers(
    options: &QuotaOptions,
    standing: &Standing,
    world: &World,
    now: Duration,
) -> Vec<(HeaderName, String)> {
    let own_only = !standing.refused.is_empty() && options.refusal != RefusalStyle::Seconds;
    if own_only || options.no_usage_headers {
        return Vec::new();
    }
    let mut headers = Vec::new();
    if let Some(room) = standing.tightest {
        let reset = match options.refusal {
            RefusalStyle::Reset => whole_seconds(now + room.reset),
            _ => whole_seconds(room.reset),
        };
        headers.push((LIMIT, room.limit.to_string()));
        headers.push((REMAINING, room.remaining.to_string()));
        headers.push((RESET, reset.to_string()));
    }
    headers.push((USAGE, usage(standing, world)));
    headers
}

/// One member for each kind of scope that is exhausted.
fn ietf(refused: &[Refused]) -> (String, String) {
    let (mut policies, mut states) = (Vec::new(), Vec::new());
    for Refused { scope, limit, wait } in refused {
        let (name, window) = (scope.name(), whole_seconds(limit.period));
        policies.push(format!("\"{name}\";q={};w={window}", limit.requests));
        states.push(format!("\"{name}\";r=0;t={}", whole_seconds(*wait)));
    }
    (policies.join(", "), states.join(", "))
}

fn usage(standing: &Standing, world: &World) -> String {
    let accounts = standing.accounts.iter();
    let accounts: Map<String, Value> =
        accounts.map(|(account, used)| (world.accounts[*account].id.clone(), share(used))).collect();
    let endpoint: Map<String, Value> =
        standing.endpoint.iter().map(|(endpoint, used)| (endpoint.name().to_owned(), share(used))).collect();
    json!({"app": share(&standing.app), "account": accounts, "endpoint": endpoint}).to_string()
}

fn share(used: &Use) -> Value {
    if used.regain.is_zero() {
        return json!({"percent": used.percent});
    }
    json!({"percent": used.percent, "regain_seconds": whole_seconds(used.regain)})
}

/// Rounded up: who waits as told is admitted.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

fn http_date(seconds: u64) -> String {
    let instant = hours::utc(i64::try_from(seconds).unwrap_or(i64::MAX));
    instant.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::Options;
    use crate::simulate::quota::{Charge, Quotas};

    /// 2026-11-20T12:34:56.5Z
    const NOW: Duration = Duration::from_millis(1_795_178_096_500);

    /// The answer to the second call where one a minute is allowed to the account, with a penalty of 17 seconds.
    fn refused(style: RefusalStyle) -> (StatusCode, Vec<(String, String)>, Value) {
        let mut options = Options::default();
        options.quotas = QuotaOptions {
            app: vec!["10/1s".parse().expect("a limit")],
            account: vec!["1/10s".parse().expect("a limit")],
            penalty: Duration::from_millis(16_100),
            refusal: style,
            ..options.quotas
        };
        let world = World::new(&options);
        let mut quotas = Quotas::new(options.quotas.clone());
        let charge = Charge { accounts: vec![0], ..Charge::default() };
        assert!(refusal(&options.quotas, &quotas.admit(&charge, NOW), &world, NOW).is_none());
        let standing = quotas.admit(&charge, NOW);
        let reply = refusal(&options.quotas, &standing, &world, NOW).expect("a refusal");
        let headers = reply.headers.iter().cloned().chain(quota_headers(&options.quotas, &standing, &world, NOW));
        let headers = headers.map(|(name, value)| (name.to_string(), value)).skip(1).collect();
        (reply.status, headers, serde_json::from_slice(&reply.body).expect("json"))
    }

    #[test]
    fn each_style_tells_the_wait_in_its_own_place() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let account = json!({"100001": {"percent": 100, "regain_seconds": 17}});
        let usage = json!({"app": {"percent": 10}, "account": account, "endpoint": {}});
        let usage = header("x-usage", &usage.to_string());
        let (limit, remaining) = (header("x-ratelimit-limit", "1"), header("x-ratelimit-remaining", "0"));
        let date = |clock: &str| format!("Fri, 20 Nov 2026 {clock} GMT");
        let cases = [
            (RefusalStyle::Bare, 429, vec![]),
            (
                RefusalStyle::Seconds,
                429,
                vec![
                    header("retry-after", "17"),
                    limit,
                    remaining.clone(),
                    header("x-ratelimit-reset", "17"),
                    usage.clone(),
                ],
            ),
            (
                RefusalStyle::Date,
                429,
                vec![header("date", &date("12:34:56")), header("retry-after", &date("12:35:13"))],
            ),
            (RefusalStyle::Reset, 429, vec![remaining, header("x-ratelimit-reset", "1795178113")]),
            (
                RefusalStyle::Ietf,
                429,
                vec![header("ratelimit-policy", r#""account";q=1;w=10"#), header("ratelimit", r#""account";r=0;t=17"#)],
            ),
            (RefusalStyle::Text, 400, vec![]),
            (RefusalStyle::In200, 200, vec![]),
            (RefusalStyle::Usage, 400, vec![usage]),
        ];
        for (style, status, expected) in cases {
            let (found, headers, body) = refused(style);
            assert_eq!((found.as_u16(), headers), (status, expected), "{style:?}");
            assert_eq!(body["error"]["scope"], "account", "{style:?}");
            let own = matches!(style, RefusalStyle::In200 | RefusalStyle::Usage);
            assert_eq!(body["error"]["code"], if own { "RATE_LIMITED_ACCOUNT" } else { "RATE_LIMITED" }, "{style:?}");
            let told = body.to_string().contains("Retry after 17 seconds");
            assert_eq!(told, style == RefusalStyle::Text, "{body}");
            let told = body["error"]["retry_after_ms"].as_u64();
            assert_eq!(told, Some(16_100).filter(|_| style == RefusalStyle::In200), "{body}");
        }
    }

    #[test]
    fn several_exhausted_scopes_are_members_of_one_list() {
        let limit = |text: &str| text.parse().expect("a limit");
        let refused = [
            Refused { scope: ScopeKind::App, limit: limit("20/500ms"), wait: Duration::from_millis(400) },
            Refused { scope: ScopeKind::Endpoint, limit: limit("60/1m"), wait: Duration::from_secs(17) },
        ];
        let (policy, state) = ietf(&refused);
        assert_eq!(policy, r#""app";q=20;w=1, "endpoint";q=60;w=60"#);
        assert_eq!(state, r#""app";r=0;t=1, "endpoint";r=0;t=17"#);
    }
}
