//! `peerlift daemon`: runs the background service, installs its units, ends it, or lets it come back.

use std::fs;
use std::io;
use std::path::Path;

use peerlift_daemon::SystemLog;
use peerlift_daemon::machine::{Conditions, POLICY_PATH};
use peerlift_daemon::removal;
use peerlift_daemon::service::{ListenError, Options, ServiceError};
use serde_json::json;

use super::{User, uninstall};
use crate::args::DaemonArgs;
use crate::console::{Console, print, print_json};
use crate::failure::{Exit, Failure};
use crate::manners;
use crate::signals;

/// Starts the service when somebody asks for it.
const SERVICE_UNIT: &str = include_str!("../../units/peerlift.service");

/// Listens for whoever asks.
const SOCKET_UNIT: &str = include_str!("../../units/peerlift.socket");

/// Does what was asked for.
pub(crate) fn run(args: &DaemonArgs, user: &User, console: &Console) -> Result<Exit, Failure> {
    if args.allow_again {
        return allow_again(user);
    }
    if args.stop {
        let ran = uninstall::stop_service(user)?;
        console.say(if ran {
            "ended"
        } else {
            "nothing ran in the background"
        });
        return Ok(Exit::Fine);
    }
    if args.install {
        return install(user);
    }
    serve(args, user, console)
}

fn serve(args: &DaemonArgs, user: &User, console: &Console) -> Result<Exit, Failure> {
    let options = Options {
        home: user.home.clone(),
        rules: user.config.share.rules(),
        jobs: usize::from(user.config.get.jobs),
        download_hours: user.config.get.background_hours,
        idle: args.idle,
        settings: user.settings.clone(),
        policy_file: POLICY_PATH.into(),
        conditions: Conditions::of_machine(),
        system: SystemLog::of_machine(),
        started_by: started_by(),
    };
    let ready = || {
        let socket = user.home.socket();
        if args.json {
            // A closed standard output keeps nobody from being served.
            let _ = print_json(
                &json!({"event": "ready", "socket": socket, "process": std::process::id()}),
            );
        }
        console.say(format_args!("ready; `peerlift status` shows what runs"));
    };
    // Before there are threads, which inherit it.
    manners::step_back();
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::caused(Exit::Other, "cannot start", &error))?;
    let why = runtime.block_on(async {
        let stop = signals::stop_on_signal()?;
        peerlift_daemon::service::run(options, stop, ready)
            .await
            .map_err(refused)
    })?;
    if args.json {
        let _ = print_json(&json!({"event": "ended", "why": why}));
    }
    console.say(format_args!("ended: {why}"));
    Ok(signals::exit_code().map_or(Exit::Fine, Exit::Code))
}

fn refused(error: ServiceError) -> Failure {
    let (exit, hint) = match &error {
        ServiceError::Listen(ListenError::Running { .. }) => (
            Exit::Other,
            "`peerlift status` shows what it does, `peerlift daemon --stop` ends it",
        ),
        ServiceError::Removed => (
            Exit::Other,
            "its user can lift that with `peerlift daemon --allow-again`",
        ),
        ServiceError::Forbidden { .. } | ServiceError::Policy(_) => {
            (Exit::Other, "ask the administrator of this machine")
        }
        ServiceError::State(peerlift_daemon::state::StateError::Newer { .. }) => (
            Exit::NotUnderstood,
            "use the newer peerlift, or move the file away",
        ),
        ServiceError::Listen(_) | ServiceError::State(_) | _ => (
            Exit::Storage,
            "check the folder's permissions and the room on its disk",
        ),
    };
    Failure::caused(exit, "cannot run in the background", &error).hint(hint)
}

fn allow_again(user: &User) -> Result<Exit, Failure> {
    let lifted = removal::allow_again(&user.home, &user.log()).map_err(|error| {
        Failure::caused(Exit::Storage, user.home.marker.display(), &error)
            .hint("check the folder's permissions")
    })?;
    print(if lifted {
        "Peerlift may come back.\n"
    } else {
        "It had not been removed.\n"
    })
    .map(|()| Exit::Fine)
}

fn install(user: &User) -> Result<Exit, Failure> {
    if removal::is_removed(&user.home) {
        return Err(refused(ServiceError::Removed));
    }
    let program = std::env::current_exe().unwrap_or_default();
    let [service, socket] = user.home.unit_files();
    let text = SERVICE_UNIT.replace("@PROGRAM@", &program.display().to_string());
    write_unit(&service, &text)?;
    write_unit(&socket, SOCKET_UNIT)?;
    print(format_args!(
        "wrote {}\nwrote {}\nTo switch it on: systemctl --user daemon-reload && systemctl --user \
         enable --now peerlift.socket\nTo share again from each login on: systemctl --user enable \
         peerlift.service\n",
        service.display(),
        socket.display()
    ))
    .map(|()| Exit::Fine)
}

fn write_unit(path: &Path, text: &str) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let written: io::Result<()> = fs::create_dir_all(folder).and_then(|()| fs::write(path, text));
    written.map_err(|error| {
        Failure::caused(Exit::Storage, path.display(), &error)
            .hint("check the folder's permissions")
    })
}

/// What started this process: systemd, or the program above it.
fn started_by() -> String {
    if std::env::var_os("INVOCATION_ID").is_some() {
        return "systemd (unit peerlift.service of this user)".to_owned();
    }
    let parent = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    let name = fs::read_to_string(format!("/proc/{parent}/comm")).unwrap_or_default();
    format!(
        "{} (process {parent})",
        if name.is_empty() {
            "an unknown program"
        } else {
            name.trim()
        }
    )
}
