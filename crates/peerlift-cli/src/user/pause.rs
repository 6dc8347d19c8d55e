//! `peerlift pause` and `peerlift resume`.

use serde_json::{Value, json};

use super::User;
use crate::args::PauseArgs;
use crate::console::{print, print_json};
use crate::failure::{Exit, Failure};

/// Stops or lets go on.
pub(crate) fn run(args: &PauseArgs, word: &str, user: &User) -> Result<Exit, Failure> {
    let path = match args.download {
        Some(id) => format!("/v1/downloads/{id}/{word}"),
        None if args.sharing => format!("/v1/sharing/{word}"),
        None => format!("/v1/{word}"),
    };
    if user.ask("POST", &path, None)?.is_none() {
        let text = format!("nothing runs in the background, so there is nothing to {word}");
        return Err(Failure::new(Exit::Other, text)
            .hint("what `peerlift get` does in a terminal ends with Ctrl-C there"));
    }
    if args.json {
        print_json(&now(args, user)?)
    } else {
        print(format_args!("{}\n", told(args, word)))
    }
    .map(|()| Exit::Fine)
}

/// The download as it is now, or what rests.
fn now(args: &PauseArgs, user: &User) -> Result<Value, Failure> {
    if let Some(id) = args.download {
        return user.demand("GET", &format!("/v1/downloads/{id}"), None);
    }
    let status = user.demand("GET", "/v1/status", None)?;
    Ok(json!({
        "downloads_paused": status["downloads_paused"],
        "sharing_paused": status["sharing_paused"],
    }))
}

/// What holds from now on.
fn told(args: &PauseArgs, word: &str) -> String {
    let rests = word == "pause";
    match (args.download, args.sharing) {
        (Some(id), _) if rests => format!("Download {id} rests until `peerlift resume {id}`."),
        (Some(id), _) => format!("Download {id} may go on."),
        (None, true) if rests => {
            "All uploads rest until `peerlift resume`, also after a restart.".to_owned()
        }
        (None, true) => "Uploads may go on.".to_owned(),
        (None, false) if rests => {
            "All downloads and uploads rest until `peerlift resume`, also after a restart."
                .to_owned()
        }
        (None, false) => "Downloads and uploads may go on.".to_owned(),
    }
}
