//! `peerlift pause` and `peerlift resume`.

use super::User;
use crate::args::PauseArgs;
use crate::failure::{Exit, Failure};

/// Stops or lets go on.
pub(crate) fn run(args: &PauseArgs, word: &str, user: &User) -> Result<Exit, Failure> {
    let path = match args.download {
        Some(id) => format!("/v1/downloads/{id}/{word}"),
        None if args.sharing => format!("/v1/sharing/{word}"),
        None => format!("/v1/{word}"),
    };
    user.demand("POST", &path, None).map(|_| Exit::Fine)
}
