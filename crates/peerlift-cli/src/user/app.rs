//! `peerlift app`: applications come and go; with the last one Peerlift goes, too.

use peerlift_daemon::activity::Happening;
use peerlift_daemon::applications::{Application, ApplicationError, Applications, Left};
use peerlift_daemon::time::UnixTime;
use serde_json::json;

use super::{User, uninstall};
use crate::args::{AppArgs, AppChange};
use crate::console::{print, print_json};
use crate::failure::{Exit, Failure, printable};

/// Registers, releases, lists.
pub(crate) fn run(args: &AppArgs, user: &User) -> Result<Exit, Failure> {
    let applications = Applications::of(&user.home);
    match &args.change {
        AppChange::List => list(&applications, args.json),
        AppChange::Register { id, name, program } => {
            let name = name.clone().unwrap_or_else(|| id.clone());
            let application = Application {
                id: id.clone(),
                name: name.clone(),
                program: program.clone(),
                since: UnixTime::now(),
            };
            let is_new = applications.register(application).map_err(refused)?;
            if is_new {
                let presence = peerlift_daemon::report::presence(UnixTime::now());
                let log = user.log();
                log.note_presence(presence).map_err(|error| {
                    Failure::caused(Exit::Storage, "cannot write the activity log", &error)
                })?;
                user.note(Happening::AppRegistered {
                    app: id.clone(),
                    name,
                })?;
            }
            told(args.json, json!({"app": id, "new": is_new}), || {
                format!("{id} uses Peerlift")
            })
        }
        AppChange::Release { id } => {
            let left = applications.release(id).map_err(refused)?;
            user.note(Happening::AppReleased { app: id.clone() })?;
            if left == Left::Nobody {
                return uninstall::remove(user, &format!("{id}, the last application"), args.json);
            }
            told(args.json, json!({"app": id, "last": false}), || {
                format!("{id} uses Peerlift no more")
            })
        }
    }
}

fn list(applications: &Applications, as_json: bool) -> Result<Exit, Failure> {
    let list = applications.list().map_err(|error| refused(error.into()))?;
    if as_json {
        return print_json(&list).map(|()| Exit::Fine);
    }
    if list.is_empty() {
        print("No application uses Peerlift.\n")?;
    }
    for application in list {
        let name = printable(&application.name);
        print(format_args!(
            "{}  {name}, since {}\n",
            application.id, application.since
        ))?;
    }
    Ok(Exit::Fine)
}

fn told(
    as_json: bool,
    value: serde_json::Value,
    line: impl Fn() -> String,
) -> Result<Exit, Failure> {
    if as_json {
        print_json(&value)
    } else {
        print(format_args!("{}\n", line()))
    }
    .map(|()| Exit::Fine)
}

fn refused(error: ApplicationError) -> Failure {
    let (exit, hint) = match &error {
        ApplicationError::Removed => (
            Exit::Other,
            "its user can lift that with `peerlift daemon --allow-again`",
        ),
        ApplicationError::Unknown(_) => (Exit::Other, "`peerlift app list` shows those there are"),
        ApplicationError::State(_) => {
            (Exit::Storage, "check the folder's permissions and its disk")
        }
        ApplicationError::Text(_) | ApplicationError::TooMany | _ => (
            Exit::Usage,
            "`peerlift app register --help` shows how it is meant",
        ),
    };
    Failure::caused(exit, "app", &error).hint(hint)
}
