//! The platform's own words in a document.

use serde_json::Value;

/// Where platforms put their messages, as JSON pointers.
pub(super) const PLACES: [&str; 14] = [
    "/error/message",
    "/message",
    "/error_description",
    "/errors/0/message",
    "/error/errors/0/message",
    "/0/error/message",
    "/error",
    "/detail",
    "/details",
    "/Errors/0/Message",
    "/OperationErrors/0/Message",
    "/debug_message",
    "/display_message",
    "/title",
];

/// The first message that is not empty, on one line.
pub(crate) fn message(document: &Value) -> Option<String> {
    let found = PLACES.iter().filter_map(|place| document.pointer(place)?.as_str()).map(one_line);
    found.into_iter().find(|message| !message.is_empty())
}

/// One line: white space and control characters become single spaces.
pub(crate) fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<&str>>().join(" ")
}
