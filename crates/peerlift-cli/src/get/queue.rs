//! `get --queue`: hands downloads over to the background service.

use std::path::PathBuf;

use peerlift_daemon::machine::MinuteOfDay;
use peerlift_daemon::time::UnixTime;
use serde_json::json;

use crate::args::GetArgs;
use crate::config::Config;
use crate::console::{print, print_json};
use crate::failure::{Exit, Failure};
use crate::paths::Paths;
use crate::user::User;

/// Puts each file into the service's queue and says its number there.
pub(super) fn hand_over(args: &GetArgs, config: &Config, paths: &Paths) -> Result<Exit, Failure> {
    let folder = args.output.clone().unwrap_or_else(|| PathBuf::from("."));
    if !folder.is_dir() {
        let text = format!("{} is no folder that is there", folder.display());
        return Err(Failure::new(Exit::Usage, text)
            .hint("the background service puts files into a folder: name one with -o"));
    }
    let folder = std::path::absolute(&folder)
        .map_err(|error| Failure::caused(Exit::Storage, folder.display(), &error))?;
    let user = User::new(paths, config.clone(), None)?;
    for source in &args.sources {
        let mut content = json!({"urls": source.urls, "folder": folder});
        if args.foreground {
            content["foreground"] = true.into();
        }
        if let Some(minute) = args.at {
            content["not_before"] = next(minute).to_string().into();
        }
        let added = user.demand("POST", "/v1/downloads", Some(content))?;
        let url = &source.urls[0];
        if args.json {
            print_json(&json!({"event": "queued", "url": url, "id": added["id"]}))?;
        } else {
            print(format_args!(
                "{url}: download {} of the background service\n",
                added["id"]
            ))?;
        }
    }
    Ok(Exit::Fine)
}

/// When the clock on the wall shows this minute next.
fn next(minute: MinuteOfDay) -> UnixTime {
    let minutes = MinuteOfDay::now().minutes_until(minute);
    let now = UnixTime::now().as_secs();
    UnixTime::from_secs(now - now % 60 + 60 * u64::from(minutes))
}
