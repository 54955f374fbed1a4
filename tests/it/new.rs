//! `new`: files that are built in, and copies of files.

use std::path::Path;

use crate::sandbox::Sandbox;

const NOW: &str = "2026-11-20T12:00:00Z";

fn alone() -> Sandbox {
    Sandbox::at("http://127.0.0.1:9", Some(NOW))
}

fn shipped(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines").join(format!("{name}.toml"));
    std::fs::read_to_string(path).expect("a pipeline file")
}

fn written(sandbox: &Sandbox, name: &str) -> String {
    std::fs::read_to_string(sandbox.path().join(format!("pipelines/{name}.toml"))).expect("the file")
}

#[test]
fn built_in_files_are_listed_and_written_as_they_are() {
    let sandbox = alone();
    let listed = sandbox.run(&["new", "--list"]).expect_code(0).out;
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split(' ').next()).collect();
    let mut there: Vec<String> = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines"))
        .expect("the folder")
        .filter_map(|entry| entry.expect("an entry").file_name().to_str()?.strip_suffix(".toml").map(str::to_owned))
        .collect();
    there.sort();
    assert_eq!(names, there);
    assert!(listed.contains("Hourly campaign metrics of the simulated ad API"), "{listed}");
    for name in names.into_iter().filter(|name| *name != "demo") {
        sandbox.run(&["new", name]).expect_code(0);
        assert_eq!(written(&sandbox, name), shipped(name));
        sandbox.run(&["new", name]).expect_code(2);
    }
}

#[test]
fn what_is_printed() {
    let sandbox = alone();
    let ran = sandbox.run(&["new", "pinterest_ads"]).expect_code(0);
    assert_eq!(ran.out, "wrote pipelines/pinterest_ads.toml, built in: Pinterest Ads, campaign metrics by hour\n");
    let ran = sandbox.run(&["new", "kestrel", "--like", "demo"]).expect_code(0);
    insta::assert_snapshot!(format!("{}{}", ran.out, ran.err), @"
    wrote pipelines/kestrel.toml, a copy of `demo`
    its secrets are read from env:HOURMARK_DEMO_TOKEN
    edit it, then: hourmark check pipelines/kestrel.toml
    ");
    let text = written(&sandbox, "kestrel");
    insta::assert_snapshot!(text.lines().take(12).collect::<Vec<_>>().join("\n"), @"
    #:schema ./pipeline.schema.json
    #
    # `kestrel`, begun as a copy of `demo` (hourmark new kestrel --like demo): what is not changed yet is that
    # platform's: its addresses, its words, its limits, and what its answers mean.
    #
    # The demo pipeline: hourly campaign metrics of the simulated ad API that ships with hourmark.
    #
    #     hourmark demo                                      starts the API, runs this file, shows the result
    #     hourmark simulate --token demo-token               starts only the API, on 127.0.0.1:8787
    #     HOURMARK_DEMO_TOKEN=demo-token hourmark run kestrel   then runs this file against it
    #
    # A pipeline is data: one such file is everything that hourmark knows about a platform. `hourmark check FILE` says what is
    ");
    assert_eq!(text.lines().count(), written(&sandbox, "demo").lines().count() + 3);
    assert!(
        text.contains("platform = \"kestrel\" ") && text.contains("# the value of the `platform` column"),
        "{text}"
    );
}

#[test]
fn a_copy_of_every_built_in_file_is_a_file_that_check_accepts() {
    let sandbox = alone();
    let listed = sandbox.run(&["new", "--list"]).expect_code(0).out;
    for (number, name) in listed.lines().filter_map(|line| line.split(' ').next()).enumerate() {
        let copy = format!("kestrel_{number}");
        let ran = sandbox.run(&["new", &copy, "--like", name]).expect_code(0);
        assert_eq!(ran.out, format!("wrote pipelines/{copy}.toml, a copy of `{name}`\n"));
        sandbox.run(&["check", &copy]).expect_code(0);
        let text = written(&sandbox, &copy);
        assert!(text.contains(&format!("\nplatform = \"{copy}\"")), "{text}");
        let first = name.split('_').next().unwrap_or_default().to_uppercase();
        assert!(!text.contains(&format!("env:{first}_")), "{name}'s variables are not renamed");
    }
}

#[test]
fn a_copy_of_one_s_own_file() {
    let sandbox = alone();
    sandbox.run(&["new", "lark_ads"]).expect_code(0);
    sandbox.edit("demo", "demo");
    let ran = sandbox.run(&["new", "kestrel", "--like", "pipelines/lark_ads.toml"]).expect_code(0);
    assert!(ran.err.contains("env:KESTREL_ADS_TOKEN") || ran.err.contains("env:KESTREL_TOKEN"), "{}", ran.err);
    let text = written(&sandbox, "kestrel");
    assert!(text.contains("hourmark check pipelines/kestrel.toml"), "{text}");
    // One's own goes before the built-in one of the same name.
    sandbox.edit("Hourly campaign metrics of the simulated ad API", "my own");
    sandbox.run(&["new", "heron", "--like", "demo"]).expect_code(0);
    assert!(written(&sandbox, "heron").contains("my own"));
}

#[test]
fn what_is_refused() {
    let sandbox = alone();
    let said = |arguments: &[&str]| sandbox.run(arguments).expect_code(2).err;
    insta::assert_snapshot!(said(&["new", "demo"]), @"
    error: `pipelines/demo.toml` is there already
      hint: choose another name, or remove the file
    ");
    insta::assert_snapshot!(said(&["new", "Kestrel!", "--like", "demo"]), @"
    error: `Kestrel!` cannot be a pipeline's name
      hint: expected lower-case letters, digits and `_`, a letter first, as in `hourmark new acme_ads`
    ");
    let absent = said(&["new", "kestrel", "--like", "larks"]);
    assert!(
        absent.starts_with("error: there is no pipeline `larks`: `pipelines/larks.toml` does not exist\n"),
        "{absent}"
    );
    assert!(absent.contains("hint: built in are: ") && absent.contains("demo"), "{absent}");
    sandbox.edit("[window]", "[windows]");
    let broken = said(&["new", "kestrel", "--like", "demo"]);
    assert!(broken.contains("unknown key `windows`"), "{broken}");
    assert!(!sandbox.path().join("pipelines/kestrel.toml").exists());
    assert!(said(&["new"]).contains("<NAME>"));
}
