//! The pipeline files that are built into the program, and copies of pipeline files under another name. Pure.

/// A pipeline file that is part of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuiltIn {
    /// Its name: the file's stem.
    pub name: &'static str,
    /// The file.
    pub text: &'static str,
}

/// Name and text of each, by name; written by the build script.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/built_in.rs"));

/// All of them, by name.
pub fn built_in() -> impl Iterator<Item = BuiltIn> {
    FILES.iter().map(|(name, text)| BuiltIn { name, text })
}

impl BuiltIn {
    /// The one line about it, as its file has it.
    pub fn description(&self) -> String {
        let document: Option<toml::Table> = self.text.parse().ok();
        let line = document.as_ref().and_then(|table| table.get("description")).and_then(toml::Value::as_str);
        line.unwrap_or_default().to_owned()
    }
}

/// The pipeline file `text` of `old` as one of `new`, with all its comments: the platform's name, the variables that
/// are named after it, the paths and commands that hold its name, and a line at its head that says where it is from.
pub fn copied(text: &str, old: &str, new: &str) -> String {
    let variables = renamed_variables(text, old, new);
    let mut copy = Vec::new();
    let mut named = false;
    let mut lines = text.lines().peekable();
    if let Some(schema) = lines.next_if(|line| line.starts_with("#:schema")) {
        copy.push(schema.to_owned());
        // The empty line of comment below it.
        lines.next_if(|line| line.trim() == "#");
        copy.push("#".to_owned());
    }
    copy.push(format!(
        "# `{new}`, begun as a copy of `{old}` (hourmark new {new} --like {old}): what is not changed yet is that"
    ));
    copy.push("# platform's: its addresses, its words, its limits, and what its answers mean.".to_owned());
    copy.push("#".to_owned());
    for line in lines {
        let mut line = words_replaced(line, &variables);
        if !named && let Some(changed) = with_platform(&line, new) {
            (line, named) = (changed, true);
        }
        copy.push(places_renamed(&line, old, new));
    }
    copy.push(String::new());
    copy.join("\n")
}

/// The line `platform = "..."` with another name.
fn with_platform(line: &str, new: &str) -> Option<String> {
    let value = line.strip_prefix("platform")?.trim_start().strip_prefix('=')?.trim_start().strip_prefix('"')?;
    let (_, rest) = value.split_once('"')?;
    Some(format!("platform = \"{new}\"{rest}"))
}

/// The variables in `env:NAME` that are named after `old`, and their names after `new`.
fn renamed_variables(text: &str, old: &str, new: &str) -> Vec<(String, String)> {
    let mut names: Vec<&str> = text
        .split("env:")
        .skip(1)
        .map(|rest| rest.split(|c: char| !is_word(c)).next().unwrap_or_default())
        .filter(|name| !name.is_empty())
        .collect();
    // The longest first, so that none is torn apart by another that it holds.
    names.sort_by_key(|name| (std::cmp::Reverse(name.len()), *name));
    names.dedup();
    let renamed = |name: &&str| Some(((*name).to_owned(), renamed_variable(name, old, new)?));
    names.iter().filter_map(renamed).collect()
}

/// `NEW_TOKEN` for `OLD_TOKEN`, where it begins with the first word of `old`. Further words of `old` (as the `ADS` of
/// `OLD_ADS_TOKEN`) are the name's as well.
fn renamed_variable(name: &str, old: &str, new: &str) -> Option<String> {
    let (old, new) = (old.to_uppercase(), new.to_uppercase());
    let mut of_old = old.split('_');
    let mut rest = name.split('_').peekable();
    rest.next_if_eq(&of_old.next()?)?;
    let mut taken = 1;
    while let Some(word) = rest.peek()
        && of_old.any(|old| old == *word)
    {
        rest.next();
        taken += 1;
    }
    let rest: Vec<&str> = rest.collect();
    if rest.is_empty() {
        return None;
    }
    // A name of one word for a name of one word: who has left `_ADS` away leaves it away again.
    let begin = if taken == 1 { new.strip_suffix("_ADS").unwrap_or(&new) } else { &new };
    Some(format!("{begin}_{}", rest.join("_")))
}

/// Paths and commands with the pipeline's name in them, as `file:secrets/old.pem` and `hourmark run old`.
fn places_renamed(line: &str, old: &str, new: &str) -> String {
    let mut parts = Vec::new();
    for part in line.split(' ') {
        let command = parts.len() >= 2 && parts[parts.len() - 2] == "hourmark";
        let path = part.contains('/') || part.contains("file:");
        // Addresses are the platform's own.
        let renames = (command || path) && !part.contains("://");
        parts.push(if renames { words_replaced(part, &[(old.to_owned(), new.to_owned())]) } else { part.to_owned() });
    }
    parts.join(" ")
}

/// `text` with every one of the words replaced that stands alone.
fn words_replaced(text: &str, words: &[(String, String)]) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut word = String::new();
    for letter in text.chars().map(Some).chain([None]) {
        match letter {
            Some(letter) if is_word(letter) => word.push(letter),
            _ => {
                let other = words.iter().find(|(from, _)| *from == word).map(|(_, to)| to);
                replaced.push_str(other.unwrap_or(&word));
                word.clear();
                replaced.extend(letter);
            }
        }
    }
    replaced
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_file_has_a_name_a_text_and_a_line_about_it() {
        let names: Vec<&str> = built_in().map(|file| file.name).collect();
        assert!(names.contains(&"demo") && names.is_sorted(), "{names:?}");
        for file in built_in() {
            assert!(file.text.contains("[hour]"), "{}", file.name);
            assert!(!file.description().is_empty() && !file.description().contains('\n'), "{}", file.name);
        }
    }

    #[test]
    fn variables_take_the_new_name_s_words() {
        let cases = [
            ("LARK_ACCESS_TOKEN", "lark_ads", "kestrel", Some("KESTREL_ACCESS_TOKEN")),
            ("LARK_ACCESS_TOKEN", "lark_ads", "kestrel_ads", Some("KESTREL_ACCESS_TOKEN")),
            ("LARK_ADS_KEY", "lark_ads", "kestrel_ads", Some("KESTREL_ADS_KEY")),
            ("LARK_ADS_KEY", "lark_search_ads", "kestrel", Some("KESTREL_KEY")),
            ("LARK_KEY", "lark", "blue_heron", Some("BLUE_HERON_KEY")),
            ("LARK", "lark", "kestrel", None),
            ("LARKS_KEY", "lark", "kestrel", None),
            ("HOURMARK_LARK_KEY", "lark", "kestrel", None),
        ];
        for (name, old, new, expected) in cases {
            assert_eq!(renamed_variable(name, old, new).as_deref(), expected, "{name} of {old} for {new}");
        }
    }

    #[test]
    fn a_copy_keeps_comments_and_renames_what_is_named_after_the_old() {
        let text = "#:schema ./pipeline.schema.json\n#\n# Lark, version 2. LARK_TOKEN lives for a day.\n\
                    #     hourmark run lark_ads     what is due\n\n\
                    platform = \"lark_ads\"   # a remark\ndescription = \"Lark\"\n\n\
                    [api]\nbase_url = \"https://lark_ads.example/lark_ads\"\n[auth]\nkind = \"oauth2\"\n\
                    key = \"file:secrets/lark_ads.pem\"\ntoken = \"env:LARK_TOKEN\" # LARK_TOKEN_2 is another's\n\
                    platform = \"kept\"\n";
        insta::assert_snapshot!(copied(text, "lark_ads", "kestrel"), @r#"
        #:schema ./pipeline.schema.json
        #
        # `kestrel`, begun as a copy of `lark_ads` (hourmark new kestrel --like lark_ads): what is not changed yet is that
        # platform's: its addresses, its words, its limits, and what its answers mean.
        #
        # Lark, version 2. KESTREL_TOKEN lives for a day.
        #     hourmark run kestrel     what is due

        platform = "kestrel"   # a remark
        description = "Lark"

        [api]
        base_url = "https://lark_ads.example/lark_ads"
        [auth]
        kind = "oauth2"
        key = "file:secrets/kestrel.pem"
        token = "env:KESTREL_TOKEN" # LARK_TOKEN_2 is another's
        platform = "kept"
        "#);
    }
}
