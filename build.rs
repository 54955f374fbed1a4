//! Builds the pipeline files of `pipelines/` into the program: whoever installs it has them without this folder.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the package's folder"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names a folder for what is built"));
    let folder = root.join("pipelines");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={}", folder.display());
    fs::write(out.join("built_in.rs"), list(&folder)).expect("the list of pipeline files can be written");
}

/// A Rust expression: name and text of every pipeline file, by name.
fn list(folder: &Path) -> String {
    let entries = fs::read_dir(folder).expect("the folder `pipelines` is part of the package");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry of `pipelines`").path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "toml"));
    files.sort();
    let mut list = String::from("&[\n");
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        writeln!(list, "    ({name:?}, include_str!({:?})),", file.display().to_string()).expect("memory");
    }
    list + "]\n"
}
