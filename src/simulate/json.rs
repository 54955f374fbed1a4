//! Rows as JSON text, written straight into the page.

use std::fmt::{Display, Write};

use chrono::{Datelike, NaiveDate, Timelike};

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

/// Appends one metrics row with the chosen fields. A client is measured against this: it is written piece by piece,
/// without the machinery of formatting.
pub(super) fn metrics_row(out: &mut String, row: &Row<'_>, fields: u32) {
    let (hour, values) = (&row.hour, &row.values);
    let decimals = row.account.currency.decimals;
    push_all(out, [r#"{"account_id":""#, &row.account.id, r#"","campaign_id":""#, &row.campaign.id, r#"","hour":""#]);
    push_instant(out, hour);
    out.push('"');
    // Appends the field's name, where it was chosen.
    let chosen = |out: &mut String, number: usize| {
        let is_chosen = fields & (1 << number) != 0;
        if is_chosen {
            push_all(out, [",\"", FIELDS[number], "\":"]);
        }
        is_chosen
    };
    if chosen(out, 0) {
        out.push_str(&row.campaign.name_json);
    }
    if chosen(out, 1) {
        push(out, format_args!(r#""{}""#, hour.date));
    }
    if chosen(out, 2) {
        push_number(out, u64::from(hour.hour_of_day));
    }
    if chosen(out, 3) {
        push(out, format_args!("{}", HourRange(hour.hour_of_day)));
    }
    if chosen(out, 4) {
        out.push('"');
        push_number(out, values.impressions);
        out.push('"');
    }
    if chosen(out, 5) {
        push_number(out, values.clicks);
    }
    if chosen(out, 6) {
        push_number(out, values.spend * 10_u64.pow(6 - decimals));
    }
    if chosen(out, 7) {
        push(out, format_args!(r#""{}""#, Money(values.spend, decimals)));
    }
    if chosen(out, 8) {
        let (whole, fraction) = Halves(values.conversion_halves).parts();
        push_number(out, whole);
        out.push_str(fraction);
    }
    let purchases = values.conversion_halves / 2;
    // No actions, no field: a platform omits what did not happen.
    if (values.clicks > 0 || purchases > 0) && chosen(out, 9) {
        push_actions(out, values.clicks, purchases);
    }
    if chosen(out, 10) {
        out.push('"');
        let moment = utc(row.updated);
        push_date_and_hour(out, moment.date_naive(), moment.hour());
        push_two(out, ":", moment.minute());
        push_two(out, ":", moment.second());
        out.push_str("Z\"");
    }
    out.push('}');
}

fn push_all<const N: usize>(out: &mut String, pieces: [&str; N]) {
    pieces.iter().for_each(|piece| out.push_str(piece));
}

fn push_number(out: &mut String, number: u64) {
    out.push_str(itoa::Buffer::new().format(number));
}

/// A number below 100 as two digits.
fn push_two(out: &mut String, before: &str, number: u32) {
    out.push_str(before);
    out.push(char::from(b'0' + (number / 10 % 10) as u8));
    out.push(char::from(b'0' + (number % 10) as u8));
}

/// `2026-11-20T09`; years have four digits.
fn push_date_and_hour(out: &mut String, date: NaiveDate, hour: u32) {
    let year = date.year().clamp(0, 9_999).unsigned_abs();
    push_two(out, "", year / 100);
    push_two(out, "", year % 100);
    push_two(out, "-", date.month());
    push_two(out, "-", date.day());
    push_two(out, "T", hour);
}

/// `2026-11-20T09:00:00+01:00`
fn push_instant(out: &mut String, hour: &Hour) {
    let Hour { date, hour_of_day, minute, offset_seconds, .. } = *hour;
    push_date_and_hour(out, date, hour_of_day);
    push_two(out, ":", minute);
    out.push_str(":00");
    if offset_seconds == 0 {
        out.push('Z');
        return;
    }
    let minutes = offset_seconds.unsigned_abs() / 60;
    push_two(out, if offset_seconds < 0 { "-" } else { "+" }, minutes / 60);
    push_two(out, ":", minutes % 60);
}

fn push_actions(out: &mut String, clicks: u64, purchases: u64) {
    let mut separator = "[";
    for (kind, value) in [("link_click", clicks), ("purchase", purchases)] {
        if value > 0 {
            push_all(out, [separator, r#"{"action_type":""#, kind, r#"","value":""#]);
            push_number(out, value);
            out.push_str(r#""}"#);
            separator = ",";
        }
    }
    out.push(']');
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

impl Halves {
    /// The whole number and what follows it.
    fn parts(&self) -> (u64, &'static str) {
        (self.0 / 2, if self.0 % 2 == 1 { ".5" } else { "" })
    }
}

impl Display for Halves {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, fraction) = self.parts();
        write!(formatter, "{whole}{fraction}")
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
        let text = |hour: &Hour| {
            let mut text = String::new();
            push_instant(&mut text, hour);
            text
        };
        assert_eq!(text(&hour), "2026-11-20T09:00:00-03:30");
        hour.offset_seconds = 46_800;
        assert_eq!(text(&hour), "2026-11-20T09:00:00+13:00");
        hour.offset_seconds = 0;
        assert_eq!(text(&hour), "2026-11-20T09:00:00Z");
    }
}
