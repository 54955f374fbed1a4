//! How answers are read: good and bad use of the words for records, hours and columns.

use insta::assert_snapshot;

use super::*;

/// [`SMALL`] from `[records]` on.
fn read_as(rest: &str) -> String {
    let (before, _) = SMALL.split_once("[records]").expect("records");
    format!("{before}{rest}")
}

const HOUR: &str = "[hour]\nkind = \"instant\"\nfrom = \"hour\"\n";
const COLUMNS: &str = "[columns]\ncampaign_id = { from = \"id\" }\n";

#[test]
fn shapes_and_manners_are_read() {
    let pipeline = good(
        &read_as(
            r#"
            [records]
            path = "data.?.rows"
            each = "series.hours"
            skip_empty = true
            [hour]
            kind = "pattern"
            from = "series.hours.*.date"
            patterns = ["%Y-%m-%d|%H", "%d.%m.%Y %H"]
            zone = "account"
            repeated = "first"
            [columns]
            account_id = { from = "account.?", after = "customers/" }
            campaign_id = { from = "series.hours.*.campaign", after = "urn:" }
            placement = { type = "text", from = "placement", after = "p:" }
            clicks = { type = "int", from = "series.hours.*.clicks" }
            spend = { type = "cents", from = "series.hours.*.spend", whole = ["JPY", "KRW"], default = 5 }
            sales = { type = "decimal", precision = 18, scale = 6, from = "sales", round = true }
            "#,
        ),
        &[],
    );
    assert_eq!(pipeline.records.path.to_string(), "data.?.rows");
    let shape = RecordShape { each: JsonPath::parse("series.hours"), format: RecordFormat::Json, skip_empty: true };
    assert_eq!(pipeline.shape, shape);
    let HourSource::Pattern { from, patterns, zone: ZoneRule::Account, repeated: RepeatedHour::First } = pipeline.hour
    else {
        panic!("{:?}", pipeline.hour)
    };
    assert_eq!(from.to_string(), "series.hours.*.date");
    assert_eq!(patterns.iter().map(ToString::to_string).collect::<Vec<_>>(), ["%Y-%m-%d|%H", "%d.%m.%Y %H"]);
    let identity = pipeline.identity;
    assert_eq!(
        (identity.account_after.as_deref(), identity.campaign_after.as_deref()),
        (Some("customers/"), Some("urn:"))
    );
    let manners: Vec<(ColumnKind, Manner)> =
        pipeline.columns.iter().map(|column| (column.kind, column.manner.clone())).collect();
    assert_eq!(
        manners,
        [
            (ColumnKind::Text, Manner::After("p:".to_owned())),
            (ColumnKind::Int, Manner::Plain),
            (ColumnKind::Cents, Manner::Whole(vec!["JPY".to_owned(), "KRW".to_owned()])),
            (ColumnKind::Decimal { precision: 18, scale: 6 }, Manner::Rounded),
        ]
    );
    let field = schema::data_type(ColumnKind::Cents);
    assert_eq!(field, arrow::datatypes::DataType::Decimal128(20, 2));
}

#[test]
fn a_csv_and_hours_by_position_are_read() {
    let records = "[records]\npath = \"\"\nformat = \"csv\"\ncsv_header = \"Id\"\ncsv_footers = [\"@\", \"Total\"]\n";
    let pipeline = good(&read_as(&format!("{records}{HOUR}{COLUMNS}")), &[]);
    let footers = vec!["@".to_owned(), "Total".to_owned()];
    assert_eq!(pipeline.shape.format, RecordFormat::Csv { header: "Id".to_owned(), footers });

    let hour = "[hour]\nkind = \"position\"\nstart = \"request.start\"\nlength = \"length\"\n";
    let pipeline = good(&read_as(&format!("[records]\npath = \"data\"\n{hour}{COLUMNS}")), &[]);
    let place = |text| JsonPath::parse(text);
    assert!(
        matches!(&pipeline.hour, HourSource::Position { start, length }
            if *start == place("request.start") && *length == place("length")),
        "{:?}",
        pipeline.hour
    );
    let days =
        format!("[records]\npath = \"data\"\n{hour}{COLUMNS}[request.time]\nformat = \"date\"\nzone = \"utc\"\n");
    good(&read_as(&format!("{days}[window]\nalign = \"utc_day\"\n")), &[]);
}

#[test]
fn lists_of_which_nothing_is_read() {
    let text = read_as(&format!("[records]\npath = \"data\"\neach = \"hours.?.list\"\n{HOUR}{COLUMNS}"));
    assert_snapshot!(problems(&text, &[]), @"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:19: `records.each` makes rows of which nothing is read: expected a place `hours.?.list.*.NAME` somewhere
    ");
    let text = read_as(&format!("[records]\npath = \"data\"\neach = \"hours.*\"\n{HOUR}{COLUMNS}"));
    assert_snapshot!(problems(&text, &[]), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:19: `records.each` is "hours.*": expected one place, as keys joined by dots without `*`
    "#);
}

#[test]
fn stars_beside_the_list() {
    let text = read_as(
        r#"
        [records]
        path = "data"
        each = "hours"
        [hour]
        kind = "date_hour"
        date = "hours.*.date"
        hour = "hours.*.*.hour"
        zone = "utc"
        [columns]
        campaign_id = { from = "*.id" }
        clicks = { type = "int", from = "others.*.clicks" }
        views = { type = "int", from = "hours.*" }
        "#,
    );
    assert_snapshot!(problems(&text, &[]), @r#"
    3 problems in `pipelines/acme.toml`
    pipelines/acme.toml:24: `hour.hour` is "hours.*.*.hour": expected one place, as keys joined by dots, with `*` only in `hours.*`
    pipelines/acme.toml:27: `columns.campaign_id.from` is "*.id": expected one place, as keys joined by dots, with `*` only in `hours.*`
    pipelines/acme.toml:28: `columns.clicks.from` is "others.*.clicks": expected one place, as keys joined by dots, with `*` only in `hours.*`
    "#);
}

#[test]
fn what_does_not_go_with_a_csv() {
    let text = read_as(
        r#"
        [pagination]
        kind = "cursor"
        next = "next"
        param = "after"
        [records]
        path = "data"
        format = "csv"
        absent_is_empty = true
        each = "hours"
        csv_footers = ["", "Total"]
        [hour]
        kind = "position"
        start = "start"
        [columns]
        campaign_id = { from = "hours.*.id" }
        clicks = { type = "int", from = "actions", pick = { by = "a", equals = "b", value = "c" } }
        "#,
    );
    assert_snapshot!(problems(&text, &[]), @r#"
    9 problems in `pipelines/acme.toml`
    pipelines/acme.toml:20: `pagination.next` is a place in a JSON body, but the answer is a CSV: expected none
    pipelines/acme.toml:22: missing key `records.csv_header`: expected a column's name, to know the line of names by
    pipelines/acme.toml:23: `records.path` is "data", but a CSV is rows from end to end: expected ""
    pipelines/acme.toml:25: `records.absent_is_empty` has a meaning only with `format = "json"`
    pipelines/acme.toml:26: `records.each` has a meaning only with `format = "json"`
    pipelines/acme.toml:27: `records.csv_footers.0` is empty, and every line begins so: expected a text
    pipelines/acme.toml:29: `hour.kind` is "position", but a cell of a CSV holds one value: expected another kind
    pipelines/acme.toml:30: `hour.start` is a place in a JSON body, but the answer is a CSV: expected none
    pipelines/acme.toml:33: `columns.clicks.pick` takes a value out of a list, but a cell of a CSV holds one value
    "#);
    let text = read_as(&format!(
        "[records]\npath = \"\"\nformat = \"csv\"\ncsv_header = \" \"\n{HOUR}{COLUMNS}[pagination]\nkind = \"offset\"\n\
         param = \"o\"\npage_size = 5\ntotal = \"total\"\n"
    ));
    assert_snapshot!(problems(&text, &[]), @"
    2 problems in `pipelines/acme.toml`
    pipelines/acme.toml:20: `records.csv_header` is empty: expected a column's name, to know the line of names by
    pipelines/acme.toml:30: `pagination.total` is a place in a JSON body, but the answer is a CSV: expected none
    ");
    let text =
        read_as(&format!("[records]\npath = \"data\"\ncsv_header = \"Id\"\ncsv_footers = [\"T\"]\n{HOUR}{COLUMNS}"));
    assert_snapshot!(problems(&text, &[]), @r#"
    2 problems in `pipelines/acme.toml`
    pipelines/acme.toml:19: `records.csv_header` has a meaning only with `format = "csv"`
    pipelines/acme.toml:20: `records.csv_footers` has a meaning only with `format = "csv"`
    "#);
}

#[test]
fn places_that_contradict_each_other() {
    let text = read_as(&format!(
        "[pagination]\nkind = \"cursor\"\nnext = \"data.?.next\"\nparam = \"after\"\n\
         [records]\npath = \"data.*.rows\"\n{HOUR}{COLUMNS}"
    ));
    assert_snapshot!(problems(&text, &[]), @"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:19: `pagination.next` has `?` where `records.path` has `*`, or the other way round: expected the same
    ");
    good(&text.replace("data.?.next", "other.?.next"), &[]);
    good(&text.replace("data.*.rows", "data.?.rows"), &[]);
}

#[test]
fn hours_that_cannot_be_made() {
    let of = |hour: &str| read_as(&format!("[records]\npath = \"data\"\n[hour]\n{hour}\n{COLUMNS}"));
    let patterns =
        "kind = \"pattern\"\nfrom = \"h\"\nzone = \"mars\"\npatterns = [\"%Y-%m-%d\", \"%Y-%m-%d %H\", \"%Q\"]";
    assert_snapshot!(problems(&of(patterns), &[]), @r#"
    3 problems in `pipelines/acme.toml`
    pipelines/acme.toml:22: `hour.zone` is "mars": expected utc, account, or an IANA time zone such as Europe/Berlin
    pipelines/acme.toml:23: `hour.patterns.0` is "%Y-%m-%d": expected the letters of strftime for a date and an hour, as in "%Y-%m-%d|%H"
    pipelines/acme.toml:23: `hour.patterns.2` is "%Q": expected the letters of strftime for a date and an hour, as in "%Y-%m-%d|%H"
    "#);
    let none = "kind = \"pattern\"\nfrom = \"h.*\"\nzone = \"utc\"\npatterns = []";
    assert_snapshot!(problems(&of(none), &[]), @r#"
    2 problems in `pipelines/acme.toml`
    pipelines/acme.toml:21: `hour.from` is "h.*": expected one place, as keys joined by dots without `*`
    pipelines/acme.toml:23: `hour.patterns` is empty: expected at least one form such as "%Y-%m-%d|%H"
    "#);
    let days = "kind = \"position\"\nstart = \"a.*\"\n[window]\nalign = \"account_day\"\n\
                [request.time]\nformat = \"date\"\nzone = \"account\"";
    assert_snapshot!(problems(&of(days), &[]), @r#"
    2 problems in `pipelines/acme.toml`
    pipelines/acme.toml:20: `hour.kind` is "position", and such hours are counted in UTC: expected `window.align` to be "hour" or "utc_day"
    pipelines/acme.toml:21: `hour.start` is "a.*": expected one place, as keys joined by dots without `*`
    "#);
}

#[test]
fn manners_that_do_not_fit() {
    let text = read_as(&format!(
        "[records]\npath = \"data\"\nskip_empty = true\n{HOUR}[columns]\n{}",
        r#"account_id = { from = "a", after = "" }
        campaign_id = { from = "id", round = true, whole = ["EUR"] }
        campaign_name = { from = "n", after = "x" }
        name = { type = "text", from = "n", round = true, after = "" }
        flag = { type = "bool", from = "f", after = "x", whole = ["EUR"] }
        spend = { type = "float", from = "s", whole = ["yen", "JPY"], round = true }
        cost = { type = "decimal", from = "s", precision = 9, scale = 2, default = "1.005", round = true, after = "x" }
        tax = { type = "text", from = "t", default = "1.5", precision = 3 }
        "#
    ));
    assert_snapshot!(problems(&text, &[]), @r#"
    14 problems in `pipelines/acme.toml`
    pipelines/acme.toml:24: `columns.account_id.after` is "": expected a text to look for
    pipelines/acme.toml:25: `columns.campaign_id.round` cannot be chosen: this column is always text and takes nothing but `from` and `after`
    pipelines/acme.toml:25: `columns.campaign_id.whole` cannot be chosen: this column is always text and takes nothing but `from` and `after`
    pipelines/acme.toml:26: `columns.campaign_name.after` cannot be chosen: this column is always text and takes nothing but `from`
    pipelines/acme.toml:27: `columns.name.round` has a meaning only with `type = "decimal"`
    pipelines/acme.toml:27: `columns.name.after` is "": expected a text to look for
    pipelines/acme.toml:28: `columns.flag.after` has a meaning only with `type = "text"`
    pipelines/acme.toml:28: `columns.flag.whole` has a meaning only with `type = "cents"`
    pipelines/acme.toml:29: `columns.spend.round` has a meaning only with `type = "decimal"`
    pipelines/acme.toml:29: `columns.spend.whole` has a meaning only with `type = "cents"`
    pipelines/acme.toml:29: `columns.spend.whole.0` is "yen": expected an ISO 4217 code of three capital letters such as EUR
    pipelines/acme.toml:30: `columns.cost.after` has a meaning only with `type = "text"`
    pipelines/acme.toml:30: `columns.cost.default` is "1.005": expected a number of 9 digits, 2 of them after the point
    pipelines/acme.toml:31: `columns.tax.precision` has a meaning only with `type = "decimal"`
    "#);
    let cents = read_as(&format!(
        "[records]\npath = \"data\"\nskip_empty = true\n{HOUR}{COLUMNS}{}",
        "spend = { type = \"cents\", from = \"s\", default = \"1.5\", whole = [\"yen\"] }\n"
    ));
    assert_snapshot!(problems(&cents, &[]), @r#"
    2 problems in `pipelines/acme.toml`
    pipelines/acme.toml:25: `columns.spend.whole.0` is "yen": expected an ISO 4217 code of three capital letters such as EUR
    pipelines/acme.toml:25: `columns.spend.default` is "1.5": expected a 64-bit integer of hundredths
    "#);
}

#[test]
fn cents_are_compared_and_ruled_as_decimals() {
    let text = format!(
        "{}spend = {{ type = \"cents\", from = \"s\", whole = [\"JPY\"] }}\n{}",
        read_as(&format!("[records]\npath = \"data\"\n{HOUR}{COLUMNS}")),
        r#"[quality.columns.spend]
        min = 0.01
        max = "1000000.5"
        not_falling = true
        [reconcile]
        account = "rows.*.account"
        date = "rows.*.date"
        [reconcile.request]
        path = "/daily"
        query = { account = "{account}", from = "{from}", to = "{to}" }
        time = { format = "date", zone = "account", end = "inclusive" }
        [reconcile.records]
        path = "data"
        each = "rows"
        skip_empty = true
        [reconcile.metrics]
        spend = { from = "rows.*.spend", tolerance = "0.05" }
        "#
    );
    let pipeline = good(&text, &[]);
    let rules = &pipeline.quality.rows[0];
    let limits: Vec<String> =
        [&rules.min, &rules.max].into_iter().flatten().map(|limit| format!("{:?}", limit.value)).collect();
    assert_eq!(limits, ["Decimal(1)", "Decimal(100000050)"]);
    let daily = pipeline.daily().expect("a report");
    assert_eq!(daily.shape.each, JsonPath::parse("rows"));
    assert_eq!(daily.columns[0].kind, ColumnKind::Cents);
    assert_eq!(daily.columns[0].manner, Manner::Whole(vec!["JPY".to_owned()]), "as the column");
    let metric = &pipeline.reconcile.as_ref().expect("a report").metrics[0];
    assert_eq!((metric.scale, metric.tolerance.amount), (2, Some(5)));
    let wrong = text.replace("min = 0.01", "min = 0.001");
    assert_snapshot!(problems(&wrong, &[]), @r#"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:26: `quality.columns.spend.min` is "0.001": expected a number of 20 digits, 2 of them after the point
    "#);
}

#[test]
fn without_numbers_no_row_is_empty() {
    let text = read_as(&format!(
        "[records]\npath = \"data\"\nskip_empty = true\n{HOUR}{COLUMNS}rate = {{ type = \"float\", from = \"r\" }}\n\
         device = {{ type = \"int\", from = \"d\" }}\n"
    ));
    good(&text, &[]);
    assert_snapshot!(problems(&format!("key = [\"device\"]\n{text}"), &[]), @"
    1 problem in `pipelines/acme.toml`
    pipelines/acme.toml:20: `records.skip_empty` needs a column to look at: expected one that is int, decimal, micros or cents and not in `key`
    ");
}
