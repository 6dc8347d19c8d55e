//! Manual pages and completion scripts, both made from the definitions in [`crate::args`].

use std::fs;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::console::print;
use crate::failure::{Exit, Failure};

/// Prints a completion script.
pub(crate) fn completions(shell: Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "peerlift", &mut script);
    print(String::from_utf8_lossy(&script)).map(|()| Exit::Fine)
}

/// Writes a page for every command into a folder, or prints the main page.
pub(crate) fn pages(folder: Option<&Path>) -> Result<Exit, Failure> {
    let Some(folder) = folder else {
        let mut page = Vec::new();
        clap_mangen::Man::new(Cli::command())
            .render(&mut page)
            .map_err(|error| Failure::caused(Exit::Storage, "cannot make the page", &error))?;
        return print(String::from_utf8_lossy(&page)).map(|()| Exit::Fine);
    };
    let written =
        fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    written.map_err(|error| Failure::caused(Exit::Storage, folder.display(), &error))?;
    Ok(Exit::Fine)
}
