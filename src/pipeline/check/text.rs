//! Texts with a form of their own: lengths of time, sizes, names, zones, URLs, places, secrets, cron.

use std::time::Duration;

use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds, Year};
use url::{Host, Url};

use super::super::problem::{KeyPath, did_you_mean, names_a_secret, shown};
use super::super::{HeaderText, JsonPath, ZoneRule};
use super::Checker;
use crate::secret::SecretSource;

/// Identifiers are column and folder names: PostgreSQL's limit is the tightest that they meet.
const LONGEST_NAME: usize = 63;

/// Lower-case letters, digits and underscores, a letter first, at most 63 of them.
pub(super) fn is_identifier(text: &str) -> bool {
    text.len() <= LONGEST_NAME
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

impl Checker<'_> {
    pub(super) fn identifier(&mut self, path: &KeyPath, text: &str) -> Option<String> {
        if is_identifier(text) {
            return Some(text.to_owned());
        }
        let expected = "expected lower-case letters, digits and underscores, a letter first, 63 at most";
        self.wrong(path, format!("is {}: {expected}", shown(text)));
        None
    }

    pub(super) fn duration(&mut self, path: &KeyPath, text: &str) -> Option<Duration> {
        let parsed = parse_duration(text);
        if parsed.is_none() {
            self.wrong(path, format!("is {}: expected a length of time such as 500ms, 30s, 5m, 2h or 3d", shown(text)));
        }
        parsed
    }

    /// A length of time that is not nothing.
    pub(super) fn waiting_time(&mut self, path: &KeyPath, text: &str) -> Option<Duration> {
        let time = self.duration(path, text)?;
        if time.is_zero() {
            self.wrong(path, format!("is {}: expected more than nothing", shown(text)));
            return None;
        }
        Some(time)
    }

    /// A number of bytes.
    pub(super) fn size(&mut self, path: &KeyPath, text: &str) -> Option<u64> {
        let parsed = parse_size(text).filter(|bytes| *bytes > 0);
        if parsed.is_none() {
            self.wrong(path, format!("is {}: expected a size such as 500KB, 64MB or 1GB", shown(text)));
        }
        parsed
    }

    /// The text is never repeated: it may hold a name and password.
    pub(super) fn base_url(&mut self, path: &KeyPath, text: &str) -> Option<Url> {
        let parsed = Url::parse(text.trim_end_matches('/')).ok();
        let Some(url) = parsed.filter(|url| ["http", "https"].contains(&url.scheme()) && url.has_host()) else {
            self.wrong(path, "is not an http or https URL: expected one such as https://api.example.com/v1");
            return None;
        };
        if !url.username().is_empty() || url.password().is_some() {
            self.wrong(path, "holds a name or password: expected them in `[auth]`, as env:NAME or file:PATH");
            return None;
        }
        if url.query().is_some() || url.fragment().is_some() {
            self.wrong(path, "has a query or a fragment: expected them in the request's `query`");
            return None;
        }
        Some(url)
    }

    pub(super) fn host(&mut self, path: &KeyPath, text: &str) -> Option<()> {
        let plain = Host::parse(text).is_ok_and(|host| host.to_string() == text) && text.contains(['.', ':']);
        if plain || text == "localhost" {
            return Some(());
        }
        self.wrong(path, format!("is {}: expected a host in lower case such as cdn.example.com", shown(text)));
        None
    }

    /// What an `http` path after the base URL looks like, placeholders aside.
    pub(super) fn url_path(&mut self, path: &KeyPath, text: &str) -> Option<()> {
        let good = |c: char| c.is_ascii_graphic() && !['?', '#', '\\'].contains(&c);
        if text.starts_with('/') && text.chars().all(good) {
            return Some(());
        }
        // Not repeated: a query in it may hold a token.
        self.wrong(path, "is not a path: expected one such as /v1/metrics, without a query (that is `query`)");
        None
    }

    pub(super) fn secret(&mut self, path: &KeyPath, text: &str) -> Option<SecretSource> {
        let source = SecretSource::parse(text);
        if source.is_none() {
            self.wrong(path, "is not a secret's whereabouts: expected env:NAME or file:PATH, never the secret itself");
        }
        source
    }

    pub(super) fn header_name(&mut self, path: &KeyPath, name: &str) -> Option<()> {
        let good = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if !name.is_empty() && name.chars().all(good) {
            return Some(());
        }
        self.wrong(path, "is not a header's name: expected letters, digits and dashes");
        None
    }

    pub(super) fn header_value(&mut self, path: &KeyPath, name: &str, text: &str) -> Option<HeaderText> {
        if text.starts_with("env:") || text.starts_with("file:") {
            return Some(HeaderText::Secret(self.secret(path, text)?));
        }
        if names_a_secret(name) {
            self.wrong(path, "usually holds a secret: expected env:NAME or file:PATH, never the secret itself");
            return None;
        }
        if !text.chars().all(|c| c == '\t' || c == ' ' || c.is_ascii_graphic()) {
            self.wrong(path, "is not a header's value: expected printable ASCII on one line");
            return None;
        }
        Some(HeaderText::Literal(text.to_owned()))
    }

    /// A query or form parameter's name.
    pub(super) fn parameter(&mut self, path: &KeyPath, name: &str) -> Option<()> {
        if !name.is_empty() && !name.contains(['{', '}']) {
            return Some(());
        }
        self.wrong(path, format!("is {}: expected a parameter's name", shown(name)));
        None
    }

    pub(super) fn zone(&mut self, path: &KeyPath, text: &str) -> Option<Tz> {
        let zone = text.parse().ok();
        if zone.is_none() {
            let meant = nearest_zone(text);
            self.wrong(path, format!("is {}: expected an IANA time zone such as Europe/Berlin{meant}", shown(text)));
        }
        zone
    }

    pub(super) fn zone_rule(&mut self, path: &KeyPath, text: &str) -> Option<ZoneRule> {
        match text {
            "utc" | "UTC" => return Some(ZoneRule::Utc),
            "account" => return Some(ZoneRule::Account),
            _ => {}
        }
        if let Ok(zone) = text.parse() {
            return Some(ZoneRule::Fixed(zone));
        }
        let meant = nearest_zone(text);
        let expected = "expected utc, account, or an IANA time zone such as Europe/Berlin";
        self.wrong(path, format!("is {}: {expected}{meant}", shown(text)));
        None
    }

    pub(super) fn currency(&mut self, path: &KeyPath, text: &str) -> Option<String> {
        if text.len() == 3 && text.chars().all(|c| c.is_ascii_uppercase()) {
            return Some(text.to_owned());
        }
        self.wrong(path, format!("is {}: expected an ISO 4217 code of three capital letters such as EUR", shown(text)));
        None
    }

    /// One place in a row or a body.
    pub(super) fn place(&mut self, path: &KeyPath, text: &str) -> Option<JsonPath> {
        let place = self.places(path, text)?;
        if place.0.is_empty() || place.has_each() {
            self.wrong(path, format!("is {}: expected one place, as keys joined by dots without `*`", shown(text)));
            return None;
        }
        Some(place)
    }

    /// One place or, with `*`, several; the empty text is the whole body.
    pub(super) fn places(&mut self, path: &KeyPath, text: &str) -> Option<JsonPath> {
        let place = JsonPath::parse(text);
        if place.is_none() {
            self.wrong(path, format!("is {}: expected keys joined by dots such as data.items", shown(text)));
        }
        place
    }

    pub(super) fn optional_place(&mut self, path: &KeyPath, text: &Option<String>) -> Option<Option<JsonPath>> {
        match text {
            Some(text) => self.place(path, text).map(Some),
            None => Some(None),
        }
    }

    pub(super) fn cron(&mut self, path: &KeyPath, text: &str) -> Option<String> {
        const FIELDS: [(&str, &str); 5] = [
            ("minute", "0 to 59"),
            ("hour", "0 to 23"),
            ("day of month", "1 to 31"),
            ("month", "1 to 12"),
            ("day of week", "0 to 7"),
        ];
        let fields: Vec<&str> = text.split_whitespace().collect();
        if fields.len() != FIELDS.len() {
            let expected = "expected five fields (minute, hour, day of month, month, day of week) as in 5 * * * *";
            self.wrong(path, format!("is {}: {expected}", shown(text)));
            return None;
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let before = self.problems.count();
        for (index, field) in fields.iter().enumerate() {
            let mut alone = ["*"; 5];
            alone[index] = field;
            if parser.parse(&alone.join(" ")).is_err() {
                let (shown_text, shown_field) = (shown(text), shown(field));
                let (name, range) = FIELDS[index];
                let expected = format!("expected {range}, `*`, a list, a range or a step");
                self.wrong(path, format!("is {shown_text}: its {name} is {shown_field}, {expected}"));
            }
        }
        let joined = fields.join(" ");
        if self.problems.count() == before && parser.parse(&joined).is_err() {
            self.wrong(path, format!("is {}: expected a cron expression such as 5 * * * *", shown(text)));
        }
        (self.problems.count() == before).then_some(joined)
    }
}

fn nearest_zone(text: &str) -> String {
    let names: Vec<&str> = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
    did_you_mean(text, &names)
}

/// Digits and one unit. A month or a year is no fixed length, so there are no longer units than days.
fn parse_duration(text: &str) -> Option<Duration> {
    const LONGEST_DAYS: u64 = 36_500;
    let (number, unit) = number_and_unit(text)?;
    let milliseconds = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let total = number.checked_mul(milliseconds)?;
    (total <= LONGEST_DAYS * 86_400_000).then(|| Duration::from_millis(total))
}

fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let bytes = match unit {
        "B" => 1,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    number.checked_mul(bytes)
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit))
}
