//! The policy file: read at the start, and again whenever it changes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use peerlift_control::{ControlNode, Rendezvous, parse_policy};
use tokio::time::sleep;

use crate::console::Console;
use crate::failure::{Exit, Failure};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The longest policy file that is read.
const BYTES_MAX: u64 = 1024 * 1024;

pub(super) fn read(path: &Path) -> Result<String, Failure> {
    let cannot = |error: std::io::Error| Failure::caused(Exit::Usage, path.display(), &error);
    if std::fs::metadata(path).map_err(cannot)?.len() > BYTES_MAX {
        let text = format!("{}: too large for a policy", path.display());
        return Err(Failure::new(Exit::Usage, text));
    }
    std::fs::read_to_string(path).map_err(cannot)
}

/// Puts a policy in force; a wrong one changes nothing, and the error names the line.
pub(super) async fn put_in_force(
    node: &ControlNode,
    path: &Path,
    text: &str,
) -> Result<(), Failure> {
    let policy = parse_policy(text).map_err(|error| {
        Failure::new(Exit::Usage, format!("{}: {error}", path.display()))
            .hint("docs/control-policy.toml shows every setting")
    })?;
    let visit = |core: &mut Rendezvous, _| core.set_policy(policy);
    // The node has ended: nothing is decided any longer.
    let _ = node.visit(visit).await;
    Ok(())
}

/// Reads the file again whenever it changes. Runs until it is dropped.
pub(super) async fn watch(node: ControlNode, path: PathBuf, mut last: String, console: Console) {
    loop {
        sleep(LOOK_EVERY).await;
        let Ok(text) = read(&path) else {
            // Being replaced, or gone: the policy stays.
            continue;
        };
        if text == last {
            continue;
        }
        match put_in_force(&node, &path, &text).await {
            Ok(()) => console.say(format_args!("{}: in force", path.display())),
            Err(failure) => {
                tracing::error!(error = %failure, "the policy in force stays");
                console.complain(format_args!("{failure}; the policy in force stays"));
            }
        }
        last = text;
    }
}
