//! `peerlift change`: a download in the background is to go otherwise from now on.

use serde_json::{Value, json};

use super::User;
use crate::args::ChangeArgs;
use crate::console::{print, print_json};
use crate::failure::{Exit, Failure};

/// Changes it.
pub(crate) fn run(args: &ChangeArgs, user: &User) -> Result<Exit, Failure> {
    let path = format!("/v1/downloads/{}", args.download);
    if requests(args).is_empty() {
        return Err(
            Failure::new(Exit::Usage, "it was not said what is to change")
                .hint("say --foreground, --background, --priority or --remove"),
        );
    }
    for (method, part, content) in requests(args) {
        user.demand(method, &format!("{path}{part}"), content)?;
    }
    let id = args.download;
    match (args.json, args.remove) {
        (true, true) => print_json(&json!({"removed": id})),
        (true, false) => print_json(&user.demand("GET", &path, None)?),
        (false, true) => print(format_args!("Download {id} is off the list.\n")),
        (false, false) => print(format_args!("Download {id} is changed.\n")),
    }
    .map(|()| Exit::Fine)
}

fn requests(args: &ChangeArgs) -> Vec<(&'static str, &'static str, Option<Value>)> {
    if args.remove {
        return vec![("DELETE", "", None)];
    }
    let mut requests = Vec::new();
    if let Some(priority) = args.priority {
        let content = json!({"priority": priority.word()});
        requests.push(("PUT", "/priority", Some(content)));
    }
    if args.foreground || args.background {
        let content = json!({"foreground": args.foreground});
        requests.push(("PUT", "/foreground", Some(content)));
    }
    requests
}
