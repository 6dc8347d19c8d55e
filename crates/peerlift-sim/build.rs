//! Makes a list of the scenario files, so that a new file is all that a new scenario needs.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() {
    let folder = Path::new(&variable("CARGO_MANIFEST_DIR")).join("scenarios");
    println!("cargo::rerun-if-changed={}", folder.display());
    let entries = std::fs::read_dir(&folder).expect("the folder of scenarios is part of the crate");
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| {
        file.extension()
            .is_some_and(|extension| extension == "toml")
    });
    files.sort();
    let mut list = String::from("[\n");
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let text = std::fs::read_to_string(&file).expect("scenarios are text");
        // The text and not its path, which would make another program of the same sources elsewhere.
        writeln!(list, "    ({name:?}, {text:?}),").expect("strings grow");
    }
    list.push(']');
    let target = Path::new(&variable("OUT_DIR")).join("scenarios.rs");
    std::fs::write(target, list).expect("cargo lets build scripts write there");
}

fn variable(name: &str) -> String {
    std::env::var(name).expect("cargo sets it")
}
