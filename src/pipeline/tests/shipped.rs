//! Files that are right: the shipped ones, the starter, the smallest one, folders.

use std::time::Duration;

use super::*;
use crate::pipeline::ValueTest;

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

fn shipped(file: &str) -> Pipeline {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines").join(file);
    load(&path, &[], &SharedQuotas::default()).unwrap_or_else(|error| panic!("{}", error.report()))
}

fn pairs(parameters: &Parameters) -> Vec<(&str, &str)> {
    parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn place(text: &str) -> JsonPath {
    JsonPath::parse(text).expect("a place")
}

#[test]
fn the_demo_says_what_the_simulator_needs() {
    let demo = shipped("demo.toml");
    assert_eq!((demo.name.as_str(), demo.platform.as_str()), ("demo", "simulator"));
    assert_eq!(demo.api.base_url.as_str(), "http://127.0.0.1:8787/");
    assert_eq!(demo.auth, Auth::Bearer { token: SecretSource::Env("HOURMARK_DEMO_TOKEN".into()), proof: None });
    assert_eq!(demo.missing, Missing::Drop { max_share: 0.5 });
    let names: Vec<&str> = pairs(&demo.request.query).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["account_ids", "from", "to", "fields"], "the file's order");
    assert_eq!(demo.request.accounts_per_request, 10);
    assert_eq!((demo.pagination.page_size, demo.pagination.max_pages), (500, 10_000));
    assert_eq!(demo.window.align, Align::Hour);
    assert_eq!(demo.window.refresh.last(), Some(&Duration::from_secs(28 * DAY)));
    let [quota] = demo.quotas.as_slice() else { panic!("one quota: {:?}", demo.quotas) };
    assert_eq!((quota.units, quota.per, quota.burst, quota.safety), (20, Duration::from_secs(1), 1, 1.0));
    assert_eq!(demo.identity.account, Some(place("account_id")));
    let names: Vec<&str> = demo.columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(
        names,
        ["impressions", "clicks", "spend", "conversions", "link_clicks", "purchases", "updated_at"],
        "the file's order, without the identity"
    );
    assert_eq!(demo.columns[2].kind, ColumnKind::Micros);
    assert_eq!(demo.columns[3].kind, ColumnKind::Decimal { precision: 18, scale: 4 });
    assert_eq!(demo.columns[3].default.as_deref(), Some("0"));
    let pick = Pick { by: "action_type".into(), equals: "link_click".into(), value: "value".into() };
    assert_eq!(demo.columns[4].pick, Some(pick));
}

#[test]
fn the_second_platform_sends_lists_and_utc_days() {
    let pipeline = shipped("pinterest_ads.toml");
    let campaigns = pipeline.campaigns.expect("campaigns");
    let statuses = [("entity_statuses", "ACTIVE"), ("entity_statuses", "PAUSED"), ("entity_statuses", "ARCHIVED")];
    assert_eq!(pairs(&campaigns.list.query), statuses);
    assert_eq!(pipeline.request.join, Join::Repeat);
    assert_eq!(pipeline.request.campaigns_per_request, 200);
    let time = TimeText { format: TimeFormat::Date, zone: ZoneRule::Utc, end_inclusive: true };
    assert_eq!(pipeline.request.time, time);
    assert_eq!((pipeline.window.align, pipeline.window.size), (Align::UtcDay, 1));
    assert_eq!(pipeline.window.retention, Some(Duration::from_secs(8 * DAY)));
    assert_eq!(pipeline.records.path, JsonPath::default());
    assert!(matches!(pipeline.pagination.kind, PaginationKind::None));
    let Accounts::Endpoint(accounts) = pipeline.accounts else { panic!("an endpoint") };
    assert_eq!(pairs(&accounts.list.query), [("include_shared_accounts", "true")]);
    assert_eq!((accounts.time_zone, accounts.time_zone_default), (Some(place("time_zone")), Some(chrono_tz::UTC)));
    let rule = ResponseRule {
        statuses: vec![400],
        header: None,
        path: Some((place("code"), ValueTest::AnyOf(vec!["12".into()]))),
        action: ResponseAction::Retry,
    };
    assert!(pipeline.responses.contains(&rule), "{:?}", pipeline.responses);
    assert_eq!(pipeline.quotas.iter().map(|quota| quota.units).collect::<Vec<u32>>(), [300, 100]);
}

#[test]
fn the_starter_passes_as_it_is() {
    for name in ["acme", "tv_2"] {
        let file = format!("pipelines/{name}.toml");
        let pipeline = parse(&file, &starter(name), &[], &SharedQuotas::default())
            .unwrap_or_else(|error| panic!("{}", error.report()));
        assert_eq!((pipeline.name.as_str(), pipeline.platform.as_str()), (name, name));
    }
}

/// What the starter shows as comments are defaults: with them it means the same as without.
#[test]
fn the_smallest_file_has_every_default() {
    let pipeline = good(SMALL, &[]);
    assert_eq!(pipeline.name, "acme");
    assert_eq!(pipeline.schedule, "5 * * * *");
    assert_eq!(pipeline.api.base_url.as_str(), "https://api.example.com/v1", "no slash at the end");
    assert_eq!(pipeline.api.connect_timeout, Duration::from_secs(5));
    assert_eq!(pipeline.api.first_byte_timeout, Duration::from_secs(60));
    assert_eq!(pipeline.api.stall_timeout, Duration::from_secs(30));
    assert_eq!(pipeline.api.max_body, 64_000_000);
    assert_eq!(pipeline.missing, Missing::Keep);
    let ages = [1, 3, 24, 72, 168, 672].map(|hours| Duration::from_secs(hours * HOUR));
    let window = WindowRules {
        align: Align::Hour,
        size: 24,
        settle: Duration::from_secs(1_800),
        refresh: ages.to_vec(),
        account_refresh: Default::default(),
        learn: false,
        lookback: Duration::ZERO,
        history: Duration::from_secs(3 * DAY),
        retention: None,
    };
    assert_eq!(pipeline.window, window);
    let retry = Retry {
        total: Duration::from_secs(900),
        attempts: 6,
        base: Duration::from_millis(500),
        cap: Duration::from_secs(60),
        max_wait: Duration::from_secs(300),
    };
    assert_eq!(pipeline.retry, retry);
    assert_eq!(pipeline.lake, LakeLayout { partition_by: PartitionBy::Date, buckets: 1 });
    assert_eq!((pipeline.pagination.page_size, pipeline.pagination.max_pages), (0, 1));
    let Accounts::List(accounts) = pipeline.accounts else { panic!("a list") };
    assert_eq!(accounts[0].time_zone, chrono_tz::Asia::Kolkata);
}

#[test]
fn default_marks_end_where_the_platform_forgets() {
    let pipeline = good(SMALL, &["window.retention=3d"]);
    assert_eq!(pipeline.window.refresh, [1, 3, 24, 72].map(|hours| Duration::from_secs(hours * HOUR)));
}

#[test]
fn set_replaces_adds_and_makes_tables() {
    let settings = [
        "api.base_url=http://127.0.0.1:9000",
        "description=5 o'clock",
        "quotas.0.name=app",
        "quotas.0.requests=20",
        "quotas.0.per=1s",
        "request.query.limit=7",
        "lake.partition_by=[\"date\", \"hour\"]",
    ];
    let pipeline = good(SMALL, &settings);
    assert_eq!(pipeline.api.base_url.as_str(), "http://127.0.0.1:9000/");
    assert_eq!(pipeline.description, "5 o'clock");
    assert_eq!(pipeline.quotas[0].units, 20);
    assert_eq!(pairs(&pipeline.request.query)[3], ("limit", "7"));
    assert_eq!(pipeline.lake.partition_by, PartitionBy::DateHour);
}

#[test]
fn set_without_a_key_is_refused_and_not_repeated() {
    for text in ["", "hunter2", "=hunter2", "a..b=hunter2", &format!("{}b=hunter2", "a.".repeat(20))] {
        let error = Override::parse(text).expect_err(text);
        assert!(!error.report().contains("hunter2"), "{}", error.report());
    }
}

#[test]
fn a_filter_written_as_json_is_text_and_its_placeholders_count() {
    let query = r#"{ filter = '{"ids":{accounts},"range":{"from":"{from}","to":"{to}"}}' }"#;
    let pipeline = good(SMALL, &[&format!("request.query={query}"), "request.join=array"]);
    assert_eq!(pairs(&pipeline.request.query)[0].0, "filter");
    assert_eq!(pipeline.request.join, Join::Array);
}

#[test]
fn a_folder_gives_its_pipelines_by_name_and_every_error() {
    let folder = tempfile::tempdir().expect("a folder");
    for (file, text) in [("b.toml", SMALL), ("a.toml", SMALL), ("c.toml", "platform = 1"), ("notes.txt", "")] {
        std::fs::write(folder.path().join(file), text).expect("written");
    }
    let (pipelines, errors) = load_folder(folder.path(), &overrides(&["platform=other"]), &SharedQuotas::default());
    let names: Vec<&str> = pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(pipelines.iter().all(|pipeline| pipeline.platform == "other"));
    assert_eq!(errors.len(), 1);
    let (pipelines, errors) = load_folder(&folder.path().join("absent"), &[], &SharedQuotas::default());
    assert_eq!((pipelines.len(), errors.len()), (0, 1));
}
