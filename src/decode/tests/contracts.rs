//! Answers in the shapes of real platforms, with the values that follow from them.

use super::*;

fn zoned(id: &str, zone: &str) -> Account {
    Account { currency: "USD".to_owned(), ..account(id, zone) }
}

fn read(pipeline: &Pipeline, account: Account, window: Window, body: &str) -> Result<(RecordBatch, PageFacts), String> {
    decode_bytes(pipeline, &[account], window, body.as_bytes()).map_err(|error| error.to_string())
}

fn snapchat() -> Pipeline {
    of_file(
        r#"
        [pagination]
        kind = "next_link"
        next = "timeseries_stats.?.timeseries_stat.paging.next_link"
        [records]
        path = "timeseries_stats.?.timeseries_stat.breakdown_stats.campaign"
        each = "timeseries"
        [hour]
        kind = "instant"
        from = "timeseries.*.start_time"
        [columns]
        campaign_id = { from = "id" }
        impressions = { type = "int", from = "timeseries.*.stats.impressions" }
        swipes = { type = "int", from = "timeseries.*.stats.swipes" }
        spend = { type = "micros", from = "timeseries.*.stats.spend" }
        "#,
    )
}

#[test]
fn snapchat_campaigns_within_an_account() {
    let body = r#"{"request_status":"SUCCESS","request_id":"6740aa02","timeseries_stats":[{"sub_request_status":"SUCCESS","timeseries_stat":{
     "id":"aaaa1111-2222-4333-8444-555566667777","type":"AD_ACCOUNT","granularity":"HOUR",
     "start_time":"2026-11-01T00:00:00.000-07:00","end_time":"2026-11-01T03:00:00.000-08:00","paging":{"next_link":""},
     "breakdown_stats":{"campaign":[
      {"id":"7b0c2f4e-1111-4aaa-8bbb-000000000001","type":"CAMPAIGN","granularity":"HOUR","timeseries":[
        {"start_time":"2026-11-01T01:00:00.000-07:00","end_time":"2026-11-01T01:00:00.000-08:00","stats":{"impressions":2210,"swipes":35,"spend":7150000}},
        {"start_time":"2026-11-01T01:00:00.000-0800","end_time":"2026-11-01T02:00:00.000-08:00","stats":{"impressions":4,"swipes":0,"spend":7150000.0}}]},
      {"id":"7b0c2f4e-1111-4aaa-8bbb-000000000002","type":"CAMPAIGN","granularity":"HOUR","timeseries":[]}]}}}]}"#;
    let window = between("2026-11-01T07:00:00Z", "2026-11-01T11:00:00Z");
    let account = || zoned("1", "America/Los_Angeles");
    let (batch, facts) = read(&snapchat(), account(), window, body).expect("a page");
    let hours = "campaign_id hour local_hour hours_covered impressions swipes spend";
    assert_eq!(
        table(&batch, hours),
        [
            "7b0c2f4e-1111-4aaa-8bbb-000000000001 | 2026-11-01T08:00:00Z | 2026-11-01T01:00:00 | 1 | 2210 | 35 | 7.150000",
            "7b0c2f4e-1111-4aaa-8bbb-000000000001 | 2026-11-01T09:00:00Z | 2026-11-01T01:00:00 | 1 | 4 | 0 | 7.150000",
        ],
        "both hours of the repeated label"
    );
    assert_eq!((facts.records, facts.next.clone()), (2, None), "an empty link is none");
    let more = body.replace(r#""next_link":"""#, r#""next_link":"https://ads.example/more?cursor=c""#);
    let (_, facts) = read(&snapchat(), account(), window, &more).expect("a page");
    assert_eq!(facts.next.as_deref(), Some("https://ads.example/more?cursor=c"));
}

#[test]
fn snapchat_of_the_other_shape_is_not_zero_rows() {
    let body = r#"{"request_status":"SUCCESS","timeseries_stats":[{"sub_request_status":"SUCCESS","timeseries_stat":{
     "id":"7b0c2f4e-1111-4aaa-8bbb-000000000001","type":"CAMPAIGN","timeseries":[
      {"start_time":"2026-11-20T09:00:00.000-08:00","stats":{"impressions":2210}}]}}]}"#;
    let error = read(&snapchat(), zoned("1", "UTC"), year(), body).expect_err("another shape");
    assert!(error.contains("no records at `timeseries_stats.?.timeseries_stat.breakdown_stats.campaign`"), "{error}");
}

#[test]
fn apple_rows_with_their_hours() {
    let pipeline = of_file(
        r#"
        [pagination]
        kind = "offset"
        param = "offset"
        page_size = 1000
        total = "pagination.totalResults"
        [records]
        path = "data.reportingDataResponse.row"
        each = "granularity"
        [hour]
        kind = "pattern"
        from = "granularity.*.date"
        patterns = ["%Y-%m-%d %H", "%Y-%m-%dT%H", "%Y-%m-%d-%H"]
        zone = "utc"
        [columns]
        campaign_id = { from = "metadata.campaignId" }
        campaign_name = { from = "metadata.campaignName" }
        impressions = { type = "int", from = "granularity.*.impressions" }
        taps = { type = "int", from = "granularity.*.taps" }
        spend = { type = "decimal", precision = 18, scale = 2, from = "granularity.*.localSpend.amount" }
        spend_currency = { type = "text", from = "granularity.*.localSpend.currency" }
        "#,
    );
    let body = r#"{"data":{"reportingDataResponse":{"row":[
     {"other":false,"metadata":{"campaignId":542000011,"campaignName":"Brand US","campaignStatus":"ENABLED","deleted":false,"orgId":4050001},
      "granularity":[
       {"date":"2026-03-01 13","impressions":410,"taps":22,"ttr":0.0537,"totalInstalls":9,"localSpend":{"amount":"14.08","currency":"USD"}},
       {"date":"2026-03-01T14","impressions":3,"taps":0,"ttr":0.0,"totalInstalls":0,"localSpend":{"amount":"0","currency":"USD"}}]},
     {"other":false,"metadata":{"campaignId":542000012,"campaignName":"Generic","campaignStatus":"PAUSED","deleted":true,"orgId":4050001},
      "granularity":[{"date":"2026-03-01-13","impressions":51,"taps":1,"ttr":0.0196,"totalInstalls":0,"localSpend":{"amount":"0.75","currency":"USD"}}]}],
     "grandTotals":null}},
     "pagination":{"totalResults":2,"startIndex":0,"itemsPerPage":2},"error":null}"#;
    let (batch, facts) = read(&pipeline, zoned("1", "UTC"), year(), body).expect("a page");
    assert_eq!(
        table(&batch, "campaign_id campaign_name hour impressions taps spend spend_currency"),
        [
            "542000011 | Brand US | 2026-03-01T13:00:00Z | 410 | 22 | 14.08 | USD",
            "542000011 | Brand US | 2026-03-01T14:00:00Z | 3 | 0 | 0.00 | USD",
            "542000012 | Generic | 2026-03-01T13:00:00Z | 51 | 1 | 0.75 | USD",
        ]
    );
    assert_eq!((facts.records, facts.total), (2, Some(2)), "pages count campaigns, not hours");
    assert!(facts.unknown.to_string().contains("granularity.*.ttr in 2 records"), "{}", facts.unknown);
    let failed = r#"{"data":null,"pagination":null,"error":{"errors":[{"messageCode":"X","message":"m"}]}}"#;
    let error = read(&pipeline, zoned("1", "UTC"), year(), failed).expect_err("an error");
    assert!(error.contains("no records at `data.reportingDataResponse.row`"), "{error}");
}

fn x() -> Pipeline {
    of_file(
        r#"
        [records]
        path = "data"
        each = "id_data"
        skip_empty = true
        [hour]
        kind = "position"
        start = "request.params.start_time"
        length = "time_series_length"
        [columns]
        campaign_id = { from = "id" }
        impressions = { type = "int", from = "id_data.*.metrics.impressions", default = 0 }
        clicks = { type = "int", from = "id_data.*.metrics.clicks", default = 0 }
        spend = { type = "micros", from = "id_data.*.metrics.billed_charge_local_micro", default = 0 }
        follows = { type = "int", from = "id_data.*.metrics.follows", default = 0 }
        "#,
    )
}

const X: &str = r#"{"data_type":"stats","time_series_length":3,
 "data":[{"id":"ca11","id_data":[{"segment":null,"metrics":{"impressions":[1200,0,310],"clicks":[14,0,2],"billed_charge_local_micro":[5120000,0,940000],"follows":null}}]},
         {"id":"ca12","id_data":[{"segment":null,"metrics":{"impressions":null,"clicks":null,"billed_charge_local_micro":null,"follows":null}}]}],
 "request":{"params":{"start_time":"2026-03-01T13:00:00Z","end_time":"2026-03-01T16:00:00Z","entity":"CAMPAIGN","entity_ids":["ca11","ca12"],"granularity":"HOUR","placement":"ALL_ON_TWITTER","metric_groups":["ENGAGEMENT","BILLING"]}}}"#;

#[test]
fn x_columns_without_labels() {
    let window = between("2026-03-01T13:00:00Z", "2026-03-01T16:00:00Z");
    let (batch, facts) = read(&x(), zoned("1", "Asia/Kolkata"), window, X).expect("a page");
    assert_eq!(
        table(&batch, "campaign_id hour utc_offset_minutes impressions clicks spend follows"),
        [
            "ca11 | 2026-03-01T13:00:00Z | 330 | 1200 | 14 | 5.120000 | 0",
            "ca11 | 2026-03-01T15:00:00Z | 330 | 310 | 2 | 0.940000 | 0",
        ],
        "hours in which nothing happened are left away, and so is a campaign of which all is null"
    );
    assert_eq!((facts.records, facts.outside), (2, 0));

    let short = X.replace("[14,0,2]", "[14,0]");
    let error = read(&x(), zoned("1", "UTC"), window, &short).expect_err("an array shorter than the others");
    assert!(error.starts_with("the answer is not a page: record 1: `clicks`"), "{error}");
    let later = between("2026-03-01T14:00:00Z", "2026-03-01T17:00:00Z");
    let error = read(&x(), zoned("1", "UTC"), later, X).expect_err("other hours");
    assert!(error.contains("`request.params.start_time` holds `\"2026-03-01T13:00:00Z\"`"), "{error}");
    let longer = between("2026-03-01T13:00:00Z", "2026-03-01T17:00:00Z");
    let error = read(&x(), zoned("1", "UTC"), longer, X).expect_err("fewer hours");
    assert!(error.contains("holds a list of 3, expected one value for each of the 4 hours"), "{error}");
}

#[test]
fn reddit_data_as_an_object_and_as_a_list() {
    let pipeline = of_file(
        r#"
        [pagination]
        kind = "next_link"
        next = "pagination.next_url"
        [records]
        path = "data.?.metrics"
        [hour]
        kind = "instant"
        from = "hour"
        [columns]
        campaign_id = { from = "campaign_id" }
        impressions = { type = "int", from = "impressions" }
        spend = { type = "micros", from = "spend" }
        sales = { type = "cents", from = "conversion_purchase_total_value", whole = ["JPY"] }
        "#,
    );
    let metrics = r#"{"metrics":[
     {"campaign_id":"2100000000000000011","hour":"2026-03-01T13:00:00+00:00","currency":"USD","impressions":5310,"spend":12480000,"conversion_purchase_total_value":129900},
     {"campaign_id":"2100000000000000011","hour":"2026-03-01T14:00:00+00:00","currency":"USD","impressions":118,"spend":null,"conversion_purchase_total_value":null},
     {"campaign_id":"2100000000000000012","hour":"2026-03-01T05:00:00−08:00","currency":"USD","impressions":77,"spend":310000}],
     "metrics_updated_at":"2026-03-01T15:02:11.000000+00:00"}"#;
    let next = r#"{"next_url":"https://ads.example/reports?page.token=abc","previous_url":null}"#;
    let expected = [
        "2100000000000000011 | 2026-03-01T13:00:00Z | 5310 | 12.480000 | 1299.00",
        "2100000000000000011 | 2026-03-01T14:00:00Z | 118 | null | null",
        "2100000000000000012 | 2026-03-01T13:00:00Z | 77 | 0.310000 | null",
    ];
    for data in [metrics.to_owned(), format!("[{metrics}]")] {
        let body = format!(r#"{{"data":{data},"pagination":{next}}}"#);
        let (batch, facts) = read(&pipeline, zoned("1", "UTC"), year(), &body).expect("a page");
        assert_eq!(table(&batch, "campaign_id hour impressions spend sales"), expected);
        assert_eq!(facts.next.as_deref(), Some("https://ads.example/reports?page.token=abc"));
    }
    for body in [r#"{"data":{"metrics":[]},"pagination":{}}"#, r#"{"data":[{"metrics":[]}],"pagination":{}}"#] {
        let (batch, facts) = read(&pipeline, zoned("1", "UTC"), year(), body).expect("the last page");
        assert_eq!((batch.num_rows(), facts.next), (0, None));
    }
}

fn microsoft() -> Pipeline {
    of_file(
        r#"
        [records]
        path = ""
        format = "csv"
        csv_header = "TimePeriod"
        csv_footers = ["@", "©"]
        nulls = ["--"]
        [hour]
        kind = "pattern"
        from = "TimePeriod"
        patterns = ["%Y-%m-%d|%H", "%m/%d/%Y 12:00:00 AM|%H"]
        zone = "utc"
        [columns]
        account_id = { from = "AccountId" }
        campaign_id = { from = "CampaignId" }
        campaign_name = { from = "CampaignName" }
        impressions = { type = "int", from = "Impressions" }
        clicks = { type = "int", from = "Clicks" }
        spend = { type = "decimal", precision = 18, scale = 2, from = "Spend" }
        conversions = { type = "decimal", precision = 18, scale = 6, from = "Conversions" }
        "#,
    )
}

const MICROSOFT: &str = r#""TimePeriod","AccountId","CampaignId","CampaignName","CurrencyCode","Impressions","Clicks","Spend","Conversions"
"2026-03-01|13","180000001","420000011","Brand, UK","GBP","1204","31","18.42","2.00"
"2026-03-01|14","180000001","420000011","Brand, UK","GBP","0","1","0.55","0.00"
"2026-03-01|7","180000001","420000012","Generic ""A""","GBP","77","0","0.00","--"
"#;

#[test]
fn microsoft_reports_with_and_without_their_header_and_footer() {
    let head = "\"Report Name: hourly\"\n\"Report Time: 3/1/2026,3/2/2026\"\n\"Time Zone: (GMT) Greenwich, London\"\n\
                \"Last Completed Available Day: 3/1/2026 12:00:00 AM (GMT)\"\n\
                \"Last Completed Available Hour: 3/2/2026 9:00:00 AM (GMT)\"\n\"Report Aggregation: Hourly\"\n\
                \"Report Filter: \"\n\"Potential Incomplete Data: true\"\n\"Rows: 3\"\n\n";
    let expected = [
        "180000001 | 420000011 | Brand, UK | 2026-03-01T13:00:00Z | 1204 | 31 | 18.42 | 2.000000",
        "180000001 | 420000011 | Brand, UK | 2026-03-01T14:00:00Z | 0 | 1 | 0.55 | 0.000000",
        "180000001 | 420000012 | Generic \"A\" | 2026-03-01T07:00:00Z | 77 | 0 | 0.00 | null",
    ];
    let columns = "account_id campaign_id campaign_name hour impressions clicks spend conversions";
    let account = || zoned("180000001", "Europe/London");
    for foot in
        ["", "\n\"@2026 Microsoft Corporation. All rights reserved. \"\n", "\n\"©2026 Microsoft Corporation\"\n"]
    {
        for head in ["", head] {
            let body = format!("\u{feff}{head}{MICROSOFT}{foot}");
            for body in [body.clone(), body.replace('\n', "\r\n")] {
                let (batch, facts) = read(&microsoft(), account(), year(), &body).expect("a report");
                assert_eq!(table(&batch, columns), expected);
                assert_eq!((facts.records, facts.unknown.to_string().as_str()), (3, "CurrencyCode in 3 records"));
            }
        }
    }
    let old = MICROSOFT.replace("2026-03-01|", "3/1/2026 12:00:00 AM|");
    let (batch, _) = read(&microsoft(), account(), year(), &old).expect("the older form");
    assert_eq!(table(&batch, columns), expected);
    let other = MICROSOFT.replace("2026-03-01|7", "1 March, 7");
    assert_eq!(
        read(&microsoft(), account(), year(), &other).expect_err("no known form"),
        "record 3: `hour` at `TimePeriod` holds `\"1 March, 7\"`, \
         expected an hour written as `%Y-%m-%d|%H` or `%m/%d/%Y 12:00:00 AM|%H`"
    );
}

fn google() -> Pipeline {
    of_file(
        r#"
        [records]
        path = "?.results"
        absent_is_empty = true
        [hour]
        kind = "date_hour"
        date = "segments.date"
        hour = "segments.hour"
        zone = "account"
        [columns]
        account_id = { from = "customer.id" }
        campaign_id = { from = "campaign.resourceName", after = "campaigns/" }
        campaign_name = { from = "campaign.name" }
        impressions = { type = "int", from = "metrics.impressions" }
        cost = { type = "micros", from = "metrics.costMicros" }
        conversions = { type = "decimal", precision = 18, scale = 6, from = "metrics.conversions", round = true }
        "#,
    )
}

#[test]
fn google_streams_are_lists_of_batches() {
    let row = |hour: u8, conversions: &str| {
        format!(
            r#"{{"customer":{{"resourceName":"customers/1234567890","id":"1234567890","currencyCode":"USD"}},
            "campaign":{{"resourceName":"customers/1234567890/campaigns/2233445566","name":"Brand - US"}},
            "metrics":{{"impressions":"640","costMicros":"9120000","conversions":{conversions}}},
            "segments":{{"date":"2026-11-20","hour":{hour}}}}}"#
        )
    };
    let (nine, ten) = (row(9, "1.5"), row(10, "0.30000000000000004"));
    let expected = [
        "1234567890 | 2233445566 | Brand - US | 2026-11-20T14:00:00Z | 640 | 9.120000 | 1.500000",
        "1234567890 | 2233445566 | Brand - US | 2026-11-20T15:00:00Z | 640 | 9.120000 | 0.300000",
    ];
    let columns = "account_id campaign_id campaign_name hour impressions cost conversions";
    let account = || zoned("1234567890", "America/New_York");
    let bodies = [
        format!(r#"[{{"results":[{nine}],"requestId":"r"}},{{"fieldMask":"f"}},{{"results":[{ten}]}}]"#),
        format!(r#"[{{"results":[{nine},{ten}],"queryResourceConsumption":"512"}}]"#),
        format!(r#"{{"results":[{nine},{ten}]}}"#),
    ];
    for body in bodies {
        let (batch, facts) = read(&google(), account(), year(), &body).expect("a stream");
        assert_eq!(table(&batch, columns), expected);
        assert_eq!(facts.records, 2);
    }
    for body in ["[]", r#"[{"fieldMask":"f"}]"#, "{}", r#"{"fieldMask":"f"}"#] {
        assert_eq!(read(&google(), account(), year(), body).expect("an empty one").0.num_rows(), 0, "{body}");
    }
    let cut = format!(r#"[{{"results":[{nine}]}},{{"results":[{ten}"#);
    assert!(read(&google(), account(), year(), &cut).expect_err("cut off").starts_with("the answer is not a page: "));
}

#[test]
fn linkedin_ids_in_lists_of_urns() {
    let pipeline = of_file(
        r#"
        [records]
        path = "elements"
        [hour]
        kind = "instant"
        from = "hour"
        [columns]
        campaign_id = { from = "pivotValues.?", after = "urn:li:sponsoredCampaign:" }
        spend = { type = "decimal", precision = 20, scale = 6, from = "costInLocalCurrency" }
        "#,
    );
    let body = r#"{"elements":[{"pivotValues":["urn:li:sponsoredCampaign:311000011"],"hour":"2026-03-01T00:00:00Z","costInLocalCurrency":"42.1300000000"}]}"#;
    let (batch, _) = read(&pipeline, zoned("1", "UTC"), year(), body).expect("a page");
    assert_eq!(table(&batch, "campaign_id spend"), ["311000011 | 42.130000"]);
    let two = body.replace("[\"urn", "[\"urn:li:sponsoredCampaign:1\",\"urn");
    let error = read(&pipeline, zoned("1", "UTC"), year(), &two).expect_err("two campaigns");
    assert!(error.contains("holds several elements, expected one element at most"), "{error}");
}
