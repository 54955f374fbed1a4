//! The endpoints under /v1, and the names that settings and statistics have for them.

use std::str::FromStr;

/// An endpoint under /v1: what is counted, limited and weighed apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Endpoint {
    /// The list of accounts.
    Accounts,
    /// The campaigns of one account.
    Campaigns,
    /// Hourly rows of some accounts.
    Metrics,
    /// One day of one account.
    Insights,
    /// Sums over days of some accounts.
    Daily,
    /// The creation of a report.
    CreateReport,
    /// A poll of a report.
    Report,
    /// The rows of a report.
    ReportRows,
}

impl Endpoint {
    const ALL: [Self; 8] = [
        Self::Accounts,
        Self::Campaigns,
        Self::Metrics,
        Self::Insights,
        Self::Daily,
        Self::CreateReport,
        Self::Report,
        Self::ReportRows,
    ];

    /// The name used in settings, headers and statistics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Accounts => "accounts",
            Self::Campaigns => "campaigns",
            Self::Metrics => "metrics",
            Self::Insights => "insights",
            Self::Daily => "daily",
            Self::CreateReport => "create_report",
            Self::Report => "report",
            Self::ReportRows => "report_rows",
        }
    }
}

impl FromStr for Endpoint {
    type Err = String;

    /// Reads a name; `create` and `rows` will do for those of reports.
    fn from_str(text: &str) -> Result<Self, String> {
        let name = match text {
            "create" => "create_report",
            "rows" => "report_rows",
            name => name,
        };
        Self::ALL.into_iter().find(|endpoint| endpoint.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("there is no endpoint `{text}`; there are {names}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for endpoint in Endpoint::ALL {
            assert_eq!(endpoint.name().parse(), Ok(endpoint));
        }
        assert_eq!("create".parse(), Ok(Endpoint::CreateReport));
        assert_eq!("rows".parse(), Ok(Endpoint::ReportRows));
        assert!("reports".parse::<Endpoint>().expect_err("unknown").contains("create_report"));
    }
}
