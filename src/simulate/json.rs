//! Rows as JSON text, written straight into the page.

use std::fmt::{Display, Write};

use chrono::NaiveDate;

use super::hours::{Hour, utc};
use super::scan::Row;
use super::values::Values;
use super::world::{Account, Campaign};

/// The fields of a metrics row that a request may choose from; the key (account, campaign, hour) is always there.
pub(super) const FIELDS: [&str; 11] = [
    "campaign_name",
    "date",
    "hour_of_day",
    "hour_range",
    "impressions",
    "clicks",
    "spend_micros",
    "spend",
    "conversions",
    "actions",
    "updated_at",
];

/// All of [`FIELDS`].
pub(super) const ALL_FIELDS: u32 = (1 << FIELDS.len()) - 1;

/// Appends one metrics row with the chosen fields.
pub(super) fn metrics_row(out: &mut String, row: &Row<'_>, fields: u32) {
    let (hour, values) = (&row.hour, &row.values);
    let decimals = row.account.currency.decimals;
    push(out, format_args!(r#"{{"account_id":"{}","campaign_id":"{}","#, row.account.id, row.campaign.id));
    push(out, format_args!(r#""hour":"{}""#, Instant(hour)));
    let mut field = |number: usize, value: &dyn Display| {
        if fields & (1 << number) != 0 {
            push(out, format_args!(r#","{}":{value}"#, FIELDS[number]));
        }
    };
    field(0, &row.campaign.name_json);
    field(1, &format_args!(r#""{}""#, hour.date));
    field(2, &hour.hour_of_day);
    field(3, &HourRange(hour.hour_of_day));
    field(4, &format_args!(r#""{}""#, values.impressions));
    field(5, &values.clicks);
    field(6, &(values.spend * 10_u64.pow(6 - decimals)));
    field(7, &format_args!(r#""{}""#, Money(values.spend, decimals)));
    field(8, &Halves(values.conversion_halves));
    let purchases = values.conversion_halves / 2;
    // No actions, no field: a platform omits what did not happen.
    if values.clicks > 0 || purchases > 0 {
        field(9, &Actions { clicks: values.clicks, purchases });
    }
    field(10, &format_args!(r#""{}""#, utc(row.updated).format("%Y-%m-%dT%H:%M:%SZ")));
    out.push('}');
}

/// Appends one row of a day report: local date and label, every number as text, no instant.
pub(super) fn insight_row(out: &mut String, campaign: &Campaign, hour: &Hour, values: &Values, decimals: u32) {
    push(
        out,
        format_args!(
            r#"{{"campaign_id":"{}","campaign_name":{},"date":"{}","hour_of_day":"{}","hour_range":{},"#,
            campaign.id,
            campaign.name_json,
            hour.date,
            hour.hour_of_day,
            HourRange(hour.hour_of_day)
        ),
    );
    push(
        out,
        format_args!(
            r#""impressions":"{}","clicks":"{}","spend":"{}","conversions":"{}"}}"#,
            values.impressions,
            values.clicks,
            Money(values.spend, decimals),
            Halves(values.conversion_halves)
        ),
    );
}

/// Appends one row of the daily report: the sums of an account's day.
pub(super) fn daily_row(out: &mut String, account: &Account, date: NaiveDate, sums: &Values) {
    let decimals = account.currency.decimals;
    push(out, format_args!(r#"{{"account_id":"{}","date":"{date}","impressions":{},"#, account.id, sums.impressions));
    push(out, format_args!(r#""clicks":{},"spend_micros":{},"#, sums.clicks, sums.spend * 10_u64.pow(6 - decimals)));
    let (spend, conversions) = (Money(sums.spend, decimals), Halves(sums.conversion_halves));
    push(out, format_args!(r#""spend":"{spend}","conversions":{conversions}}}"#));
}

/// Writing to a `String` cannot fail, so the result says nothing.
pub(super) fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

struct Instant<'a>(&'a Hour);

impl Display for Instant<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Hour { date, hour_of_day, minute, offset_seconds, .. } = self.0;
        write!(formatter, "{date}T{hour_of_day:02}:{minute:02}:00")?;
        if *offset_seconds == 0 {
            return formatter.write_str("Z");
        }
        let sign = if *offset_seconds < 0 { '-' } else { '+' };
        let minutes = offset_seconds.unsigned_abs() / 60;
        write!(formatter, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

struct HourRange(u32);

impl Display for HourRange {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, r#""{0:02}:00:00 - {0:02}:59:59""#, self.0)
    }
}

/// An amount in the smallest unit, with the currency's own number of decimals.
struct Money(u64, u32);

impl Display for Money {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let unit = 10_u64.pow(self.1);
        match self.1 {
            0 => write!(formatter, "{}", self.0),
            decimals => write!(formatter, "{}.{:0width$}", self.0 / unit, self.0 % unit, width = decimals as usize),
        }
    }
}

struct Halves(u64);

impl Display for Halves {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fraction = if self.0 % 2 == 1 { ".5" } else { "" };
        write!(formatter, "{}{fraction}", self.0 / 2)
    }
}

struct Actions {
    clicks: u64,
    purchases: u64,
}

impl Display for Actions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("[")?;
        let mut separator = "";
        for (kind, value) in [("link_click", self.clicks), ("purchase", self.purchases)] {
            if value > 0 {
                write!(formatter, r#"{separator}{{"action_type":"{kind}","value":"{value}"}}"#)?;
                separator = ",";
            }
        }
        formatter.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_has_the_decimals_of_its_currency() {
        assert_eq!(Money(1_462, 2).to_string(), "14.62");
        assert_eq!(Money(7, 2).to_string(), "0.07");
        assert_eq!(Money(1_462, 0).to_string(), "1462");
        assert_eq!(Money(1_462, 3).to_string(), "1.462");
    }

    #[test]
    fn halves_are_written_as_short_as_they_can_be() {
        assert_eq!((Halves(3).to_string(), Halves(4).to_string()), ("1.5".to_owned(), "2".to_owned()));
    }

    #[test]
    fn instants_carry_their_offset() {
        let date = chrono::NaiveDate::from_ymd_opt(2026, 11, 20).expect("a date");
        let mut hour = Hour { start: 0, offset_seconds: -12_600, date, hour_of_day: 9, minute: 0 };
        assert_eq!(Instant(&hour).to_string(), "2026-11-20T09:00:00-03:30");
        hour.offset_seconds = 46_800;
        assert_eq!(Instant(&hour).to_string(), "2026-11-20T09:00:00+13:00");
        hour.offset_seconds = 0;
        assert_eq!(Instant(&hour).to_string(), "2026-11-20T09:00:00Z");
    }
}
