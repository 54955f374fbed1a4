//! Limits as they are written: how much in which window, for which endpoint, and what a request weighs.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::endpoint::Endpoint;

/// So much per period: `20/1s` in a sliding window, `20/1s@fixed` in windows that begin at full periods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Requests allowed in one window; where endpoints have weights, the sum of these.
    pub requests: u32,
    /// Length of a window.
    pub period: Duration,
    /// Where windows begin.
    pub form: WindowForm,
}

/// Where the windows of a limit begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WindowForm {
    /// Anywhere: no window of the limit's length holds more than the limit.
    #[default]
    Sliding,
    /// At multiples of the period since 1970: full minutes, hours and days of UTC.
    Fixed,
}

impl Limit {
    /// When a call that arrives at `at` (since 1970) no longer counts.
    pub(super) fn leaves(&self, at: Duration) -> Duration {
        match self.form {
            WindowForm::Sliding => at + self.period,
            WindowForm::Fixed => {
                let period = self.period.as_nanos();
                let left = period - at.as_nanos() % period;
                at + Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX))
            }
        }
    }
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a limit; write requests per period, like 20/1s or 20/1m@fixed");
        let (requests, period) = text.split_once('/').ok_or_else(wrong)?;
        let (period, form) = match period.split_once('@') {
            None => (period, WindowForm::Sliding),
            Some((period, form)) if form.trim() == "fixed" => (period, WindowForm::Fixed),
            Some(_) => return Err(wrong()),
        };
        let requests: u32 = requests.trim().parse().map_err(|_| wrong())?;
        let period = humantime::parse_duration(period.trim()).map_err(|_| wrong())?;
        if requests == 0 || period.is_zero() {
            return Err(format!("`{text}` allows nothing; both numbers must be above zero"));
        }
        Ok(Self { requests, period, form })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match self.form {
            WindowForm::Sliding => "",
            WindowForm::Fixed => "@fixed",
        };
        write!(formatter, "{}/{}{form}", self.requests, humantime::format_duration(self.period))
    }
}

/// A limit of one endpoint, written `metrics=60/1m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndpointLimit {
    /// Whose requests are counted.
    pub endpoint: Endpoint,
    /// How many are allowed.
    pub limit: Limit,
}

impl FromStr for EndpointLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a limit of an endpoint; write it like metrics=60/1m");
        let (endpoint, limit) = text.split_once('=').ok_or_else(wrong)?;
        Ok(Self { endpoint: endpoint.trim().parse()?, limit: limit.parse()? })
    }
}

impl fmt::Display for EndpointLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}={}", self.endpoint.name(), self.limit)
    }
}

/// What a request for an endpoint counts for in every limit, written `create_report=3`. Without one it counts once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weight {
    /// Whose requests weigh so much.
    pub endpoint: Endpoint,
    /// What one of them counts for; zero is free.
    pub cost: u32,
}

impl FromStr for Weight {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a weight; write it like create_report=3");
        let (endpoint, cost) = text.split_once('=').ok_or_else(wrong)?;
        Ok(Self { endpoint: endpoint.trim().parse()?, cost: cost.trim().parse().map_err(|_| wrong())? })
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}={}", self.endpoint.name(), self.cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_and_written_alike() {
        let limit: Limit = "20/1s".parse().expect("valid");
        let form = WindowForm::Sliding;
        assert_eq!(limit, Limit { requests: 20, period: Duration::from_secs(1), form });
        let fixed: Limit = "500/1day @fixed".parse().expect("valid");
        assert_eq!((fixed.form, fixed.period), (WindowForm::Fixed, Duration::from_secs(86_400)));
        for text in ["20/1s", "20/1m@fixed", "5/15m", "500/1day@fixed"] {
            assert_eq!(text.parse::<Limit>().expect("valid").to_string(), text);
        }
        for wrong in ["20", "0/1s", "20/0s", "x/1s", "20/soon", "20/1s@", "20/1s@sliding", "20@fixed"] {
            assert!(wrong.parse::<Limit>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn limits_and_weights_of_endpoints_are_read_and_written_alike() {
        let limit: EndpointLimit = "rows=60/1m@fixed".parse().expect("valid");
        assert_eq!((limit.endpoint, limit.to_string().as_str()), (Endpoint::ReportRows, "report_rows=60/1m@fixed"));
        let weight: Weight = "create=3".parse().expect("valid");
        assert_eq!((weight.cost, weight.to_string().as_str()), (3, "create_report=3"));
        for wrong in ["metrics", "metrics=60", "pages=60/1m", "=60/1m"] {
            assert!(wrong.parse::<EndpointLimit>().is_err(), "{wrong}");
        }
        for wrong in ["metrics", "metrics=-1", "metrics=half", "pages=2"] {
            assert!(wrong.parse::<Weight>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn fixed_windows_end_at_full_periods_of_utc() {
        let at = |limit: &str, seconds: u64| {
            limit.parse::<Limit>().expect("valid").leaves(Duration::from_secs(seconds)).as_secs()
        };
        // 2026-11-20T12:34:56Z
        let moment = 1_795_178_096;
        assert_eq!(at("1/1m", moment), moment + 60);
        assert_eq!(at("1/1m@fixed", moment), moment + 4);
        assert_eq!(at("1/1h@fixed", moment), 1_795_179_600);
        assert_eq!(at("1/1d@fixed", moment), 1_795_219_200);
        assert_eq!(at("1/1d@fixed", 1_795_219_200), 1_795_219_200 + 86_400, "midnight begins the next");
    }
}
