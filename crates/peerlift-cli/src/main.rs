//! The `peerlift` command: parse, set up, run, end.
//!
//! Each command is a module that turns options ([`args`]) and settings ([`config`]) into calls of
//! a library and shows what comes back ([`console`]). Nothing here knows a protocol or a format.

mod access;
mod args;
mod bench;
mod config;
mod consent;
mod console;
mod control;
mod described;
mod failure;
mod get;
mod inspect;
mod log;
mod manners;
mod manual;
mod paths;
mod publish;
mod serve;
mod signals;
mod sim;
mod token;
mod units;
mod user;
mod verify;

use std::process::ExitCode;

use args::{Cli, Command, Common};
use config::Config;
use console::Console;
use failure::{Exit, Failure};
use paths::Paths;

fn main() -> ExitCode {
    let cli = match Cli::read(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody left to tell when this fails.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage.into()
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let console = Console::new(cli.common.quiet, cli.wants_json()).with_log(cli.common.log_format);
    match run(cli, &console) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            console.complain(&failure);
            failure.exit.into()
        }
    }
}

/// Runs a command. A failure that comes back as an error is still to be told.
fn run(cli: Cli, console: &Console) -> Result<Exit, Failure> {
    log::start(cli.common.verbose, cli.common.log_format, console.clone())?;
    let common = cli.common;
    match cli.command {
        Command::Get(args) => {
            let User { paths, config } = User::load(&common)?;
            get::run(&args, &config, &paths, console)
        }
        Command::Publish(args) => {
            let User { paths, config } = User::load(&common)?;
            publish::run(&args, &config.publish, &paths, console)
        }
        Command::Serve(args) => {
            let User { paths, config } = User::load(&common)?;
            serve::run(*args, config, &paths, console)
        }
        Command::Control(args) => {
            let User { paths, config } = User::load(&common)?;
            control::run(*args, &config, &paths, console)
        }
        Command::Bench(args) => match args.what {
            args::Bench::Control(args) => bench::control(&args, console),
            args::Bench::Failover(args) => bench::failover(&args, console),
        },
        Command::Verify(args) => verify::run(&args, console),
        Command::Inspect(args) => inspect::run(&args, &Paths::of_user()?),
        Command::Sim(args) => sim::run(&args, console),
        Command::Token(args) => {
            let User { paths, config } = User::load(&common)?;
            token::run(&args, &config, &paths)
        }
        Command::Daemon(args) => user::daemon::run(&args, &of_machine(&common)?, console),
        Command::Status(args) => user::status::run(&args, &of_machine(&common)?),
        Command::Panel(args) => user::panel::run(&args, &of_machine(&common)?, console),
        Command::Share(args) => user::share::run(&args, &of_machine(&common)?, console),
        Command::Why(args) => user::why::run(&args, &of_machine(&common)?),
        Command::Activity(args) => user::activity::run(&args, &of_machine(&common)?),
        Command::Explain(args) => user::explain::run(&args, &of_machine(&common)?),
        Command::Pause(args) => user::pause::run(&args, "pause", &of_machine(&common)?),
        Command::Resume(args) => user::pause::run(&args, "resume", &of_machine(&common)?),
        Command::Change(args) => user::change::run(&args, &of_machine(&common)?),
        Command::Doctor(args) => user::doctor::doctor(&args, &of_machine(&common)?),
        Command::VerifyInstall(args) => user::doctor::verify_install(&args, &of_machine(&common)?),
        Command::SupportBundle(args) => user::support::run(&args, &of_machine(&common)?, console),
        Command::Uninstall(args) => user::uninstall::run(&args, &of_machine(&common)?, console),
        Command::App(args) => user::app::run(&args, &of_machine(&common)?),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { dir } => manual::pages(dir.as_deref()),
    }
}

/// For the commands about Peerlift on this machine.
fn of_machine(common: &Common) -> Result<user::User, Failure> {
    let User { paths, config } = User::load(common)?;
    user::User::new(&paths, config, common.config.as_deref())
}

/// What belongs to the user who runs it.
struct User {
    paths: Paths,
    config: Config,
}

impl User {
    fn load(common: &Common) -> Result<Self, Failure> {
        let paths = Paths::of_user()?;
        let config = Config::load(common.config.as_deref(), &paths.config_file())?;
        Ok(Self { paths, config })
    }
}
