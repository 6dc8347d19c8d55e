//! `peerlift support-bundle`: what helps to find a fault, without secrets.

use std::path::Path;

use peerlift_daemon::consent::account;
use peerlift_daemon::report;
use serde_json::{Value, json};

use super::{User, doctor};
use crate::args::SupportArgs;
use crate::console::{Console, print, print_json};
use crate::failure::{Exit, Failure};

/// Entries of the log that go into a bundle.
const ENTRIES_MAX: usize = 200;

/// Gathers it.
pub(crate) fn run(args: &SupportArgs, user: &User, console: &Console) -> Result<Exit, Failure> {
    let bundle = Redaction::of_user(user).value(gather(user)?);
    let text = format!("{bundle:#}\n");
    if args.output == Path::new("-") {
        return print(text).map(|()| Exit::Fine);
    }
    std::fs::write(&args.output, text).map_err(|error| {
        Failure::caused(Exit::Storage, args.output.display(), &error)
            .hint("name another file with -o")
    })?;
    if args.json {
        return print_json(&json!({"written": args.output})).map(|()| Exit::Fine);
    }
    console.say(format_args!(
        "wrote {}: names, addresses and URLs are left out; look through it before you send it",
        args.output.display()
    ));
    Ok(Exit::Fine)
}

fn gather(user: &User) -> Result<Value, Failure> {
    let findings = doctor::diagnose(user);
    let mut activity = report::activity(&user.log()).ok();
    if let Some(activity) = &mut activity {
        let skipped = activity.entries.len().saturating_sub(ENTRIES_MAX);
        activity.entries.drain(..skipped);
    }
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "system": format!("{} {}", std::env::consts::OS, kernel.trim()),
        "machine": std::env::consts::ARCH,
        "doctor": findings,
        "status": user.ask("GET", "/v1/status", None).ok().flatten(),
        "downloads": user.ask("GET", "/v1/downloads", None).ok().flatten(),
        "activity": activity,
    }))
}

/// Takes out what names people, places and files.
struct Redaction {
    /// Texts and what stands for them, the longest first.
    words: Vec<(String, &'static str)>,
}

/// Members whose text is left out, wherever they stand.
const SECRET_MEMBERS: [&str; 13] = [
    "name",
    "publisher_name",
    "url",
    "urls",
    "origin",
    "folder",
    "path",
    "answered_by",
    "listening",
    "sockets",
    "asked_by",
    "by_user",
    "contact",
];

impl Redaction {
    fn of_user(user: &User) -> Self {
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        let home = &user.home;
        let folders = [&home.config, &home.data, &home.cache, &home.runtime]
            .into_iter()
            .filter_map(|folder| Some(folder.parent()?.display().to_string()));
        let mut words: Vec<(String, &'static str)> = folders.map(|folder| (folder, "~")).collect();
        words.push((variable("HOME"), "~"));
        words.push((variable("USER"), "USER"));
        words.push((account(), "USER"));
        // Shorter ones would tear words apart that have nothing to do with the user.
        words.retain(|(word, _)| word.len() > 3);
        words.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
        Self { words }
    }

    fn value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(values) => values.into_iter().map(|value| self.value(value)).collect(),
            Value::Object(members) => {
                let redacted = members.into_iter().map(|(name, value)| {
                    let value = match SECRET_MEMBERS.contains(&name.as_str()) && !value.is_null() {
                        true => Value::String("(left out)".to_owned()),
                        false => self.value(value),
                    };
                    (name, value)
                });
                Value::Object(redacted.collect())
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value,
        }
    }

    fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (word, instead) in &self.words {
            text = text.replace(word, instead);
        }
        let hidden = |word: &str| {
            let bare = word.trim_matches([',', ';', '.', '(', ')', '"']);
            let inner = bare.trim_matches(['[', ']']);
            word.contains("://")
                || bare.parse::<std::net::SocketAddr>().is_ok()
                || inner.parse::<std::net::IpAddr>().is_ok()
        };
        let words = text
            .split(' ')
            .map(|word| if hidden(word) { "(left out)" } else { word });
        words.collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_places_are_left_out() {
        let words = vec![
            ("/home/kim".to_owned(), "~"),
            ("kimberly".to_owned(), "USER"),
        ];
        let redaction = Redaction { words };
        let value = redaction.value(json!({
            "text": "cannot reach https://h/x?token=1 at 192.0.2.1:443, as kimberly in /home/kim/x",
            "name": "diary.iso",
            "urls": ["http://h/a"],
            "size": 5,
            "deep": [{"why": "no route to [2001:db8::1]:5"}],
            "path": null,
        }));
        let text = value.to_string();
        for secret in ["token", "192.0.2.1", "kim", "diary", "http", "2001:db8"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        assert_eq!(value["size"], 5);
        assert!(
            value["text"]
                .as_str()
                .unwrap()
                .starts_with("cannot reach (left out) at")
        );
    }
}
