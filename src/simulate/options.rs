//! What a simulator can be told: one flag per setting, defaults in one place.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use clap::{Args, Command, FromArgMatches};

use super::endpoint::Endpoint;
use super::faults::FaultKind;
use super::latency::Latency;
use super::limit::{EndpointLimit, Limit, Weight, WindowForm};
use super::refusal::RefusalStyle;
use super::reports::Duplicates;

/// Settings of one simulated API. [`Options::default`] has the defaults of the flags, except that it listens on a free
/// port.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8787")]
    pub listen: SocketAddr,

    /// Seed of everything invented: accounts, campaigns, values, faults
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,

    /// How many accounts there are
    #[arg(long, value_name = "COUNT", default_value_t = 8)]
    pub accounts: usize,

    /// How many campaigns each account has
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    pub campaigns: usize,

    /// Time zones of the accounts, given out in turn [example: Europe/Berlin,Asia/Kolkata]
    #[arg(
        long,
        value_name = "ZONES",
        value_delimiter = ',',
        default_value = "Europe/Berlin,America/New_York,Asia/Kolkata,Pacific/Apia,Australia/Lord_Howe,UTC,Asia/Kathmandu,America/Los_Angeles"
    )]
    pub zones: Vec<Tz>,

    /// Bearer token that every request under /v1 must carry [default: none is asked for]
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,

    /// Time that each answer under /v1 takes, or the shortest and the longest [example: 20ms..200ms]
    #[arg(long, value_name = "DURATIONS", default_value = "0s")]
    pub latency: Latency,

    /// Share of that time which passes before the request is counted by the quotas
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub counted_at: f64,

    /// Most rows a page can have, and its size where the request names none
    #[arg(long, value_name = "ROWS", default_value_t = 500)]
    pub page_size_max: usize,

    /// How long a cursor can be used, on the simulator's clock
    #[arg(long, value_name = "DURATION", default_value = "2h", value_parser = humantime::parse_duration)]
    pub cursor_life: Duration,

    /// The simulator's clock: `system`, or an instant at which it stands until moved [example: 2026-11-20T12:00:00Z]
    #[arg(long, value_name = "CLOCK", default_value = "system")]
    pub clock: Clock,

    /// No campaign has data from before this instant
    #[arg(long, value_name = "INSTANT", default_value = "2020-01-01T00:00:00Z")]
    pub epoch: DateTime<Utc>,

    /// Share of campaign-hours without any delivery; their rows are absent
    #[arg(long, value_name = "SHARE", default_value_t = 0.15)]
    pub quiet_share: f64,

    /// Give every campaign-hour a row from the moment it begins, for ever
    #[arg(long)]
    pub dense: bool,

    /// Answer a page number past the end with the last page again, as some platforms do
    #[arg(long)]
    pub clamp_pages: bool,

    /// Refuse a metrics query of more rows than this with TOO_MUCH_DATA [default: any number]
    #[arg(long, value_name = "ROWS")]
    pub row_cap: Option<u64>,

    /// How often a report must be polled before it is done
    #[arg(long, value_name = "COUNT", default_value_t = 2)]
    pub report_polls: u32,

    /// How long a report takes at least, in real time
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    pub report_time: Duration,

    /// Share of reports that end as failed
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub report_fail_share: f64,

    /// How long a report can be read after its creation, in real time [default: for ever]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub report_life: Option<Duration>,

    /// What is said to the creation of a report that was created before
    #[arg(long, value_name = "ANSWER", value_enum, default_value_t)]
    pub duplicate_reports: Duplicates,

    /// Quotas the server enforces.
    #[command(flatten)]
    pub quotas: QuotaOptions,

    /// Faults the server commits.
    #[command(flatten)]
    pub faults: FaultOptions,
}

/// The quotas that the server enforces, exactly, over windows that slide (`20/1m`) or begin at full periods of UTC
/// (`20/1m@fixed`).
#[derive(Debug, Clone, Args, Default, PartialEq)]
pub struct QuotaOptions {
    /// Requests allowed in all; several limits hold together [example: 20/1s,5000/1h]
    #[arg(long = "app-quota", value_name = "LIMITS", value_delimiter = ',')]
    pub app: Vec<Limit>,

    /// Requests allowed for each account; a batch counts once for each of its accounts [example: 200/1h]
    #[arg(long = "account-quota", value_name = "LIMITS", value_delimiter = ',')]
    pub account: Vec<Limit>,

    /// Requests allowed for an endpoint, all accounts together [example: metrics=60/1m,create_report=5/15m]
    #[arg(long = "endpoint-quota", value_name = "LIMITS", value_delimiter = ',')]
    pub endpoint: Vec<EndpointLimit>,

    /// What a request for an endpoint counts for, in each limit [default: 1] [example: create_report=3,metrics=2]
    #[arg(long = "weight", value_name = "WEIGHTS", value_delimiter = ',')]
    pub weights: Vec<Weight>,

    /// After a violation, how long every call of that scope is refused [example: 5s]
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    pub penalty: Duration,

    /// Refused calls count against the window too
    #[arg(long)]
    pub count_refused: bool,

    /// How a request beyond a quota is refused
    #[arg(long, value_name = "STYLE", value_enum, default_value_t)]
    pub refusal: RefusalStyle,

    /// Leave X-Usage and X-RateLimit-* away, except where refusals consist of them
    #[arg(long)]
    pub no_usage_headers: bool,
}

/// The faults that the server commits, drawn from the seed.
#[derive(Debug, Clone, Args, PartialEq)]
pub struct FaultOptions {
    /// Share of requests under /v1 that meet a fault [example: 0.1]
    #[arg(long = "fault-rate", value_name = "SHARE", default_value_t = 0.0)]
    pub rate: f64,

    /// Kinds of faults to draw from [default: each kind except stall]
    #[arg(long = "faults", value_name = "KINDS", value_delimiter = ',')]
    pub kinds: Vec<FaultKind>,

    /// Most faults in a row on one logical request (same address and idempotency key)
    #[arg(long = "fault-streak", value_name = "COUNT", default_value_t = 3)]
    pub streak: u32,

    /// How long a stalled answer stays silent before its connection is closed
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    pub stall: Duration,
}

impl Default for Options {
    fn default() -> Self {
        let command = Self::augment_args(Command::new("simulate"));
        let matches = command.get_matches_from(["simulate", "--listen", "127.0.0.1:0"]);
        Self::from_arg_matches(&matches).expect("the flags' own defaults are valid")
    }
}

impl Options {
    /// What the demo runs against: the defaults, under a quota that a hasty client would meet.
    pub fn demo() -> Self {
        let app = vec![Limit { requests: 50, period: Duration::from_secs(1), form: WindowForm::Sliding }];
        Self { quotas: QuotaOptions { app, ..QuotaOptions::default() }, ..Self::default() }
    }

    /// Finds what single flags cannot: values that are valid alone and useless here. Lists every problem.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let shares = [
            ("--quiet-share", self.quiet_share),
            ("--report-fail-share", self.report_fail_share),
            ("--fault-rate", self.faults.rate),
            ("--counted-at", self.counted_at),
        ];
        for (flag, share) in shares {
            if !(0.0..=1.0).contains(&share) {
                problems.push(format!("`{flag}` is a share from 0 to 1, not {share}"));
            }
        }
        if self.zones.is_empty() {
            problems.push("`--zones` names no time zone".to_owned());
        }
        if self.page_size_max == 0 {
            problems.push("`--page-size-max` must be at least 1".to_owned());
        }
        if self.accounts > 1_000_000 || self.campaigns > 99_999 {
            problems.push("at most 1000000 accounts of 99999 campaigns each".to_owned());
        }
        problems.extend(self.quotas.problems());
        problems
    }
}

impl QuotaOptions {
    /// What a request counts for.
    pub(super) fn cost(&self, endpoint: Option<Endpoint>) -> u64 {
        let weight = self.weights.iter().rev().find(|weight| Some(weight.endpoint) == endpoint);
        weight.map_or(1, |weight| u64::from(weight.cost))
    }

    /// Weights that no window of a limit would ever have room for.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for weight in &self.weights {
            let own = self.endpoint.iter().filter(|entry| entry.endpoint == weight.endpoint).map(|entry| &entry.limit);
            for limit in self.app.iter().chain(&self.account).chain(own) {
                if weight.cost > limit.requests {
                    problems.push(format!("a request of the weight `{weight}` never fits the limit `{limit}`"));
                }
            }
        }
        problems
    }
}

/// What time the simulator takes it to be. Quotas, latency and stalls are in real time whatever this says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// The system's clock, moved by this much.
    System(TimeDelta),
    /// Stands still until it is set or advanced.
    Fixed(DateTime<Utc>),
}

impl Clock {
    /// The simulator's now, given the system's.
    pub fn now(self, system: DateTime<Utc>) -> DateTime<Utc> {
        match self {
            Self::System(ahead) => system + ahead,
            Self::Fixed(now) => now,
        }
    }

    /// The clock `step` further on.
    pub fn advanced(self, step: TimeDelta) -> Self {
        match self {
            Self::System(ahead) => Self::System(ahead + step),
            Self::Fixed(now) => Self::Fixed(now + step),
        }
    }
}

impl FromStr for Clock {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "system" {
            return Ok(Self::System(TimeDelta::zero()));
        }
        DateTime::parse_from_rfc3339(text)
            .map(|now| Self::Fixed(now.with_timezone(&Utc)))
            .map_err(|_| format!("`{text}` is no clock; write `system` or an instant like 2026-11-20T12:00:00Z"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_flags() {
        let options = Options::default();
        assert_eq!(options.accounts, 8);
        assert_eq!(options.zones.len(), 8);
        assert_eq!(options.faults.streak, 3);
        assert_eq!(options.clock, Clock::System(TimeDelta::zero()));
        assert!(options.problems().is_empty());
    }

    #[test]
    fn all_problems_are_listed() {
        let options = Options { quiet_share: 1.5, page_size_max: 0, ..Options::default() };
        assert_eq!(options.problems().len(), 2);
        let mut options = Options { counted_at: -0.1, ..Options::default() };
        options.quotas.app = vec!["3/1s".parse().expect("a limit")];
        options.quotas.endpoint = vec!["metrics=2/1s".parse().expect("a limit")];
        options.quotas.weights = vec!["metrics=3".parse().expect("a weight"), "create=4".parse().expect("a weight")];
        assert_eq!(
            options.problems(),
            [
                "`--counted-at` is a share from 0 to 1, not -0.1",
                "a request of the weight `metrics=3` never fits the limit `2/1s`",
                "a request of the weight `create_report=4` never fits the limit `3/1s`",
            ]
        );
    }
}
