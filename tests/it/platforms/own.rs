//! The harness itself, with an invented API: what is right passes, and what is wrong is told.

use std::path::Path;

use super::scenario::{Case, Fixtures, cases};
use super::{harness, verdicts};

const PIPELINE: &str = r#"
platform = "acme"

[api]
base_url = "https://api.acme.example/v1"

[auth]
kind = "bearer"
token = "env:ACME_TOKEN"

[accounts]
path = "/accounts"
records = "items"
id = "id"
name = "name"
time_zone = "zone"
currency = "currency"

[request]
path = "/accounts/{account}/hours"
query = { from = "{from}", to = "{to}" }

[request.time]
format = "rfc3339"
zone = "utc"
end = "exclusive"

[pagination]
kind = "cursor"
next = "next"
param = "after"

[records]
path = "rows"

[hour]
kind = "instant"
from = "hour"
zone = "account"

[columns]
campaign_id = { from = "campaign" }
campaign_name = { from = "name" }
clicks = { type = "int", from = "clicks", default = 0 }
spend = { type = "micros", from = "spend", default = 0 }

[window]
align = "hour"
size = 24
settle = "30m"
refresh = ["1d"]
history = "2h"

[[responses]]
status = 410
action = "skip_account"
"#;

const SCENARIO: &str = r#"
about = "two pages of an account, an hour each"
now = "2026-11-02T12:35:00Z"
args = ["run"]
exit = 0
rows = "day.csv"
said = ["1 published"]

[env]
ACME_TOKEN = "acme-test-token"

[set]
"api.base_url" = "{server}/v1"
"retry.base" = "10ms"

[[exchange]]
method = "GET"
path = "/v1/accounts"
headers = { authorization = "Bearer acme-test-token", cookie = "" }
answers = ["accounts.json"]

[[exchange]]
method = "GET"
path = "/v1/accounts/7/hours"
query = [["to", "2026-11-02T12:00:00Z"], ["from", "2026-11-02T00:00:00Z"]]
answers = ["throttled.json", "metrics.json"]

[[exchange]]
method = "GET"
path = "/v1/accounts/7/hours"
query = [["from", "2026-11-02T00:00:00Z"], ["to", "2026-11-02T12:00:00Z"], ["after", "p2"]]
answers = ["last_page.json"]
"#;

const ROWS: &str =
    "account_id,campaign_id,hour,local_hour,utc_offset_minutes,hours_covered,currency,campaign_name,clicks,spend
7,9007199254740993,2026-11-02T10:00:00Z,2026-11-02T05:00:00,-300,1,USD,\"Shoes, \"\"red\"\"\",3,1.840000
7,9007199254740993,2026-11-02T11:00:00Z,2026-11-02T06:00:00,-300,1,USD,\"Shoes, \"\"red\"\"\",0,0.000000
";

const ANSWERS: &[(&str, &str)] = &[
    (
        "accounts.json",
        r#"{"status": 200, "body": {"items": [{"id": 7, "name": "n", "zone": "America/New_York", "currency": "USD"}]}}"#,
    ),
    (
        "metrics.json",
        r#"{"status": 200, "pack": null, "body": {"rows": [{"campaign": 9007199254740993, "name": "Shoes, \"red\"",
            "hour": "2026-11-02T10:00:00Z", "clicks": 3, "spend": 1840000}], "next": "p2"}}"#,
    ),
    (
        "last_page.json",
        r#"{"status": 200, "headers": {"content-type": "application/json"}, "text":
            "{\"rows\":[{\"campaign\":9007199254740993,\"name\":\"Shoes, \\\"red\\\"\",\"hour\":\"2026-11-02T11:00:00Z\"}]}"}"#,
    ),
    ("throttled.json", r#"{"status": 429, "headers": {"retry-after": "0"}, "body": {"error": "slow down"}}"#),
    ("empty.json", r#"{"body": {"rows": []}}"#),
    ("transient.json", r#"{"status": 502, "text": "<html></html>"}"#),
    ("permanent.json", r#"{"status": 400, "body": {"error": "no"}}"#),
    ("expired_token.json", r#"{"status": 401, "body": {"error": "who are you"}}"#),
    ("gone.json", r#"{"status": 410}"#),
    ("partial.json", r#"{"status": 200, "text": "{\"rows\":[{\"campaign\":1,"}"#),
    ("partial_batch.json", r#"{"batch": ["empty.json", null, "transient.json"]}"#),
];

/// The invented API in a folder, with these texts replaced in the files of these names.
struct Acme {
    _folder: tempfile::TempDir,
    fixtures: Fixtures,
}

impl Acme {
    fn new(edits: &[(&str, &str, &str)]) -> Acme {
        let folder = tempfile::tempdir().expect("a folder");
        let answers = folder.path().join("fixtures/acme");
        std::fs::create_dir_all(&answers).expect("a folder");
        let pipeline = folder.path().join("acme.toml");
        let write = |path: &Path, text: &str| {
            let name = path.file_name().expect("a name").to_string_lossy();
            let mut text = text.to_owned();
            for (file, from, to) in edits.iter().filter(|(file, ..)| *file == name) {
                assert!(text.contains(from), "`{from}` is not in {file}");
                text = text.replace(from, to);
            }
            std::fs::write(path, text).expect("a file");
        };
        write(&pipeline, PIPELINE);
        write(&answers.join("day.toml"), SCENARIO);
        write(&answers.join("day.csv"), ROWS);
        for (name, text) in ANSWERS {
            write(&answers.join(name), text);
        }
        let fixtures = Fixtures { name: "acme".to_owned(), pipeline, folder: answers };
        Acme { _folder: folder, fixtures }
    }

    /// What is wrong with its one scenario, without what the program printed.
    fn problems(&self) -> String {
        let all = cases(&self.fixtures);
        let [case]: &[Case; 1] = all.as_slice().try_into().expect("one scenario");
        let problems = harness::run(case).into_iter().filter(|said| !said.contains("it printed"));
        problems.collect::<Vec<_>>().join("\n")
    }
}

#[test]
fn a_platform_that_is_as_its_scenario_says_passes() {
    assert_eq!(Acme::new(&[]).problems(), "");
}

#[test]
fn a_wrong_parameter_is_shown_against_the_nearest_exchange() {
    let acme = Acme::new(&[
        ("acme.toml", "to = \"{to}\"", "until = \"{to}\""),
        ("acme.toml", "history = \"2h\"", "history = \"2h\"\n[retry]\nattempts = 2\nbase = \"10ms\""),
        ("day.toml", "exit = 0\nrows = \"day.csv\"\nsaid = [\"1 published\"]", "exit = 1"),
    ]);
    let problems = acme.problems();
    let first: Vec<&str> = problems.lines().take(4).collect();
    assert_eq!(
        first,
        [
            "no exchange fits GET /v1/accounts/7/hours?from=2026-11-02T00%3A00%3A00Z&until=2026-11-02T12%3A00%3A00Z",
            "  the nearest is exchange 2 (GET /v1/accounts/7/hours):",
            "    query: not sent: to = `2026-11-02T12:00:00Z`",
            "    query: not expected: until = `2026-11-02T12:00:00Z`",
        ],
        "{problems}"
    );
    assert!(problems.contains("exchange 2 (GET /v1/accounts/7/hours) was asked 0 times, expected 2"), "{problems}");
}

#[test]
fn a_request_that_is_missing_or_sent_too_often_is_told() {
    let acme =
        Acme::new(&[("last_page.json", r#"\"}]}""#, r#"\"}],\"next\":null}""#), ("metrics.json", "\"p2\"", "null")]);
    let problems = acme.problems();
    assert!(problems.contains("exchange 3 (GET /v1/accounts/7/hours) was asked 0 times, expected 1"), "{problems}");
    let acme = Acme::new(&[("day.toml", "\"throttled.json\", \"metrics.json\"", "\"throttled.json\"")]);
    let problems = acme.problems();
    assert!(problems.contains("was sent once more than there are answers"), "{problems}");
    assert!(problems.contains("exit code"), "{problems}");
}

#[test]
fn a_wrong_row_is_shown_with_the_right_one() {
    let problems =
        Acme::new(&[("day.csv", "-300,1,USD,\"Shoes, \"\"red\"\"\",3", "-240,1,USD,\"Shoes, \"\"red\"\"\",4")])
            .problems();
    assert!(problems.starts_with("the lake has 2 rows, 2 expected\n  expected 7,9007199254740993,"), "{problems}");
    assert!(problems.contains("-240") && problems.contains("-300"), "{problems}");
    assert!(problems.contains("the lake has the sums"), "{problems}");
    let problems = Acme::new(&[("day.csv", ",clicks,spend\n", ",clicks,cost\n")]).problems();
    assert!(problems.contains("the lake has no column `cost`"), "{problems}");
}

#[test]
fn what_fits_two_exchanges_is_a_mistake_of_the_scenario() {
    let problems = Acme::new(&[("day.toml", "[\"to\", \"2026-11-02T12:00:00Z\"], ", "[\"to\", \"*\"], "),
        ("day.toml", "[\"after\", \"p2\"]]\nanswers = [\"last_page.json\"]",
         "[\"after\", \"p2\"]]\nanswers = [\"last_page.json\"]\n[[exchange]]\nmethod = \"GET\"\npath = \"/v1/accounts\"\nanswers = []")])
    .problems();
    assert!(problems.contains("GET /v1/accounts fits exchanges 1 and 4"), "{problems}");
}

#[test]
fn a_secret_that_is_printed_or_written_is_told() {
    let name = "Shoes, \\\"red\\\"";
    let problems = Acme::new(&[
        ("day.toml", "ACME_TOKEN = \"acme-test-token\"", "ACME_TOKEN = \"acme-test-token\"\nOTHER = \"acme-second\""),
        ("metrics.json", name, "acme-second"),
    ])
    .problems();
    assert!(problems.contains("the secret `OTHER` is in "), "{problems}");
}

#[test]
fn answers_mean_what_their_names_say() {
    let wrong = verdicts::problems(&Acme::new(&[]).fixtures);
    assert_eq!(wrong, Vec::<String>::new());
    let acme = Acme::new(&[
        ("acme.toml", "status = 410", "status = [410, 401]"),
        ("partial.json", r#"{\"campaign\":1,"#, "]}"),
        ("transient.json", "502", "429"),
    ]);
    std::fs::remove_file(acme.fixtures.folder.join("empty.json")).expect("removed");
    std::fs::write(acme.fixtures.folder.join("partial_batch.json"), "{}").expect("written");
    std::fs::write(acme.fixtures.folder.join("what.json"), "{}").expect("written");
    let wrong = verdicts::problems(&acme.fixtures);
    let begin: Vec<&str> = wrong.iter().map(|said| said.split([':', ' ']).next().unwrap_or_default()).collect();
    assert_eq!(begin, ["`expired_token.json`", "`partial.json`", "`transient.json`", "`what.json`", "no"], "{wrong:?}");
}
