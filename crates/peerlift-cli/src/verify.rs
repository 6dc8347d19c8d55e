//! `peerlift verify`: compares files with what their publisher signed.

use std::path::Path;

use indicatif::ProgressStyle;
use peerlift_content::{OutboardState, Sidecars, Verification, VerifiedManifest, verify_file};
use peerlift_model::ByteRange;
use serde::Serialize;

use crate::args::VerifyArgs;
use crate::console::{Console, Style, print, print_json};
use crate::described::{read_manifest, signer};
use crate::failure::{Exit, Failure, printable};
use crate::units::Bytes;

/// Damaged ranges that a message names; a file that is wrong all over has thousands.
const RANGES_SHOWN: usize = 3;

/// Verifies every file that was named; the first failure decides the exit code.
pub(crate) fn run(args: &VerifyArgs, console: &Console) -> Result<Exit, Failure> {
    if args.manifest.is_some() && args.files.len() > 1 {
        return Err(Failure::new(
            Exit::Usage,
            "--manifest describes one file, not several",
        ));
    }
    let mut exit = Exit::Fine;
    for file in &args.files {
        if let Err(failure) = verify(file, args, console) {
            console.complain(&failure);
            if exit == Exit::Fine {
                exit = failure.exit;
            }
        }
    }
    Ok(exit)
}

fn verify(file: &Path, args: &VerifyArgs, console: &Console) -> Result<(), Failure> {
    let mut sidecars = Sidecars::beside(file);
    if let Some(manifest) = &args.manifest {
        sidecars.manifest.clone_from(manifest);
    }
    let signed = read_manifest(&sidecars, "cannot verify")?;
    if let Some(wanted) = args.publisher.filter(|wanted| *wanted != signed.publisher) {
        let message = format!(
            "{}: signed by {}, not by {wanted}",
            file.display(),
            signed.publisher
        );
        return Err(Failure::new(Exit::Verification, printable(&message))
            .hint("check the key with the publisher"));
    }
    let bar = console.add_bar();
    bar.set_length(signed.manifest.size());
    bar.set_style(bar_style());
    let checked = verify_file(file, &signed.manifest, &sidecars.outboard, None, &|bytes| {
        bar.inc(bytes);
    });
    bar.finish_and_clear();
    let checked =
        checked.map_err(|error| Failure::caused(Exit::Storage, "cannot verify", &error))?;
    tell(file, &signed, &checked, console)
}

/// A verified file, for programs.
#[derive(Serialize)]
struct VerifiedEvent<'a> {
    event: &'static str,
    path: &'a Path,
    good: bool,
    size: u64,
    object: String,
    publisher: String,
    publisher_name: &'a str,
    /// First byte and one past the last of what is wrong.
    bad: Vec<[u64; 2]>,
    outboard: &'static str,
}

fn tell(
    file: &Path,
    signed: &VerifiedManifest,
    checked: &Verification,
    console: &Console,
) -> Result<(), Failure> {
    let about = &signed.manifest;
    if console.style() == Style::Json {
        print_json(&VerifiedEvent {
            event: "verified",
            path: file,
            good: checked.good,
            size: checked.size,
            object: about.root.to_string(),
            publisher: signed.publisher.to_string(),
            publisher_name: &about.publisher_name,
            bad: checked
                .bad
                .iter()
                .map(|bytes| [bytes.start(), bytes.end()])
                .collect(),
            outboard: match checked.outboard {
                OutboardState::Good => "good",
                OutboardState::Missing => "missing",
                OutboardState::Damaged(_) => "damaged",
            },
        })?;
    }
    let name = printable(&file.display().to_string());
    if !checked.good {
        return Err(Failure::new(
            Exit::Verification,
            format!("{name}: {}", damage(about.size(), checked)),
        )
        .hint("get it again, or publish it anew if it is yours"));
    }
    if let OutboardState::Damaged(_) = checked.outboard {
        console.say(format_args!(
            "{name}: the hash tree beside it is damaged; publish it anew"
        ));
    }
    match console.style() {
        Style::Quiet | Style::Json => Ok(()),
        Style::Lines | Style::Bars => print(format_args!(
            "{name}: good · {} · signed by {}\n",
            Bytes(checked.size),
            signer(signed)
        )),
    }
}

fn damage(size: u64, checked: &Verification) -> String {
    let mut parts = Vec::new();
    if checked.size != size {
        parts.push(format!("it has {} bytes, not {size}", checked.size));
    }
    let bad: u64 = checked.bad.iter().map(|bytes| bytes.len()).sum();
    if bad > 0 {
        parts.push(format!("{} differ: {}", Bytes(bad), ranges(&checked.bad)));
    }
    if parts.is_empty() {
        parts.push("it is not what was signed".to_owned());
    }
    format!("damaged: {}", parts.join("; "))
}

fn ranges(bad: &[ByteRange]) -> String {
    let shown = bad.iter().take(RANGES_SHOWN);
    let mut texts: Vec<String> = shown
        .map(|bytes| format!("bytes {}-{}", bytes.start(), bytes.end() - 1))
        .collect();
    if bad.len() > RANGES_SHOWN {
        texts.push(format!("and {} more places", bad.len() - RANGES_SHOWN));
    }
    texts.join(", ")
}

fn bar_style() -> ProgressStyle {
    ProgressStyle::with_template(
        "{wide_bar:.cyan/black.bright} {binary_bytes} of {binary_total_bytes} · \
         {binary_bytes_per_sec} · {eta} left",
    )
    .expect("the template is right")
    .progress_chars("━━╌")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_named_and_long_lists_are_cut() {
        let bad: Vec<ByteRange> = (0..5)
            .map(|at| ByteRange::new(at * 32_768, at * 32_768 + 16_384))
            .collect();
        let checked = Verification {
            good: false,
            size: 200_000,
            bad,
            outboard: OutboardState::Good,
        };
        assert_eq!(
            damage(200_001, &checked),
            "damaged: it has 200000 bytes, not 200001; 81.9 kB differ: bytes 0-16383, bytes \
             32768-49151, bytes 65536-81919, and 2 more places"
        );
    }

    #[test]
    fn damage_without_a_hash_tree_has_no_place() {
        let checked = Verification {
            good: false,
            size: 5,
            bad: Vec::new(),
            outboard: OutboardState::Missing,
        };
        assert_eq!(damage(5, &checked), "damaged: it is not what was signed");
    }

    #[test]
    fn bars_have_a_style() {
        bar_style();
    }
}
