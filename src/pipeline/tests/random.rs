//! No text makes the reader panic, and whatever passes the schema fits the types it was made from.

use proptest::prelude::*;

use super::*;

const DEMO: &str = include_str!("../../../pipelines/demo.toml");

/// Lines that mean something, so that mutations get past the syntax.
const LINES: [&str; 30] = [
    "[auth]",
    "kind = \"offset\"",
    "kind = 5",
    "page_size = -1",
    "size = 99999999999999999999",
    "safety = nan",
    "requests = 1.5",
    "shared = \"app\"",
    "weights = { create = 30, poll = 0 }",
    "endpoints = [\"metrics\", 1]",
    "per = \"0s\"",
    "window = \"fixed\"",
    "[[usage]]",
    "[[quotas]]",
    "[columns.x]",
    "type = \"decimal\"",
    "precision = 300",
    "from = \"a..b\"",
    "path = \"/{x}}\"",
    "json = { a = [1979-05-27T07:32:00Z, { b = [[]] }] }",
    "schedule = \"* * * * *\"",
    "[[responses]]",
    "[report.poll]",
    "status = [200, 99999]",
    "wait = [{ steps = [\"1s\"], as = \"seconds\" }]",
    "creates = true",
    "done = [1, true]",
    "action = \"adopt\"",
    "midnight = \"UTC\"",
    "query = { a = [1, true, \"{from}\"], b = [], é = \"ü{\" }",
];

fn never_internal(text: &str, settings: &[Override]) -> Result<(), TestCaseError> {
    if let Err(error) = parse("demo.toml", text, settings, &SharedQuotas::default()) {
        prop_assert_eq!(error.kind(), ErrorKind::BadInput, "{}", error.report());
    }
    Ok(())
}

/// The same of a settings file's quotas.
fn shared_never_internal(text: &str) -> Result<(), TestCaseError> {
    if let Err(error) = SharedQuotas::parse("hourmark.toml", text) {
        prop_assert_eq!(error.kind(), ErrorKind::BadInput, "{}", error.report());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn arbitrary_text_never_panics(text in "(?s).{0,200}") {
        never_internal(&text, &[])?;
        shared_never_internal(&text)?;
    }

    #[test]
    fn a_demo_with_lines_changed_never_panics(
        edits in prop::collection::vec((0usize..110, 0usize..LINES.len(), 0u8..3), 1..4)
    ) {
        let mut lines: Vec<&str> = DEMO.lines().collect();
        for (at, line, how) in edits {
            let at = at.min(lines.len() - 1);
            match how {
                0 => lines[at] = LINES[line],
                1 => lines.insert(at, LINES[line]),
                _ => { lines.remove(at); }
            }
        }
        never_internal(&lines.join("\n"), &[])?;
    }

    #[test]
    fn settings_of_any_lines_never_panic(lines in prop::collection::vec(0usize..LINES.len(), 0..8)) {
        let mut text = "[quotas.app]\n".to_owned();
        for line in lines {
            text.push_str(LINES[line]);
            text.push('\n');
        }
        shared_never_internal(&text)?;
    }

    #[test]
    fn a_demo_with_bytes_changed_never_panics(
        edits in prop::collection::vec((0usize..6000, any::<char>()), 1..6)
    ) {
        let mut text: Vec<char> = DEMO.chars().collect();
        for (at, character) in edits {
            let at = at % text.len();
            text[at] = character;
        }
        never_internal(&text.into_iter().collect::<String>(), &[])?;
    }

    #[test]
    fn any_setting_never_panics(
        key in "(api|auth|accounts|request|pagination|hour|columns|window|quotas|usage|retry|lake|responses|report)(\\.(0|1|kind|path|from|query|json|per|size|list|headers|a|status|wait|poll|rows|action|creates)){0,3}",
        value in prop_oneof![any::<String>(), Just("{}".to_owned()), Just("[]".to_owned()), Just("-1".to_owned()),
            Just("{ kind = \"none\" }".to_owned()), Just("[{ a = 1 }]".to_owned()), Just("1e400".to_owned())]
    ) {
        if let Ok(setting) = Override::parse(&format!("{key}={value}")) {
            never_internal(DEMO, &[setting])?;
        }
    }
}
