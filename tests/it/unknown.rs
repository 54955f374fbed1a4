//! Fields that no column names: counted, and shown once per run.

use serde_json::Value;

use super::sandbox::Sandbox;
use super::story::*;

#[test]
fn fields_that_no_column_names_are_shown_with_their_counts() {
    let api = api(&["--accounts", "3", "--campaigns", "2"]);
    let sandbox = Sandbox::new(&api, Some(NOW));
    sandbox.edit(",actions,updated_at\"", ",actions,updated_at,date,spend\"");
    // The actions of a record are wanted by name where it has any; without those columns they are not.
    let path = sandbox.path().join("pipelines/demo.toml");
    let text = std::fs::read_to_string(&path).expect("the pipeline");
    let kept: Vec<&str> = text.lines().filter(|line| !line.contains("from = \"actions\"")).collect();
    std::fs::write(&path, kept.join("\n")).expect("the pipeline");
    let ran =
        sandbox.run(&["run", "demo", "--set", "pagination.page_size=50", "-v", "--log-format", "json"]).expect_code(0);

    let rows = api.truth(FIRST, SETTLED).len();
    let text = api.get(&format!("/sim/truth?from={FIRST}&to={SETTLED}&fields=actions"));
    let acted = text.lines().filter(|line| line.contains("actions")).count();
    assert!(acted < rows && rows >= 100, "{acted} of {rows}");
    let records = numbers(&ran, "rows")[0];
    assert_eq!(records, rows as u64);
    let line = ran.err.lines().find(|line| line.trim_start().starts_with("unknown ")).expect("the report's line");
    let expected = format!("date in {rows} records, spend in {rows} records, actions in {acted} records");
    assert_eq!(
        line.trim_start().trim_start_matches("unknown").trim(),
        format!("fields that no column names: {expected}")
    );

    let logged: Vec<Value> = ran.err.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let said: Vec<&str> = logged.iter().filter_map(|line| line["unknown_fields"].as_str()).collect();
    assert_eq!(said, [expected.as_str()], "once per run");
}
