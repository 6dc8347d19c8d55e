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
        match look(&node, &path, &mut last).await {
            None => {}
            Some(Ok(())) => console.say(format_args!("{}: in force", path.display())),
            Some(Err(failure)) => {
                tracing::error!(error = %failure, "the policy in force stays");
                console.complain(format_args!("{failure}; the policy in force stays"));
            }
        }
    }
}

/// Puts the file in force when it is not what it was; `None`: it is.
async fn look(node: &ControlNode, path: &Path, last: &mut String) -> Option<Result<(), Failure>> {
    // Being replaced, or gone: the policy stays.
    let text = read(path).ok().filter(|text| text != last)?;
    let put = put_in_force(node, path, &text).await;
    *last = text;
    Some(put)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use peerlift_control::ControlConfig;
    use peerlift_model::ObjectId;
    use prometheus_client::registry::Registry;

    use super::*;

    fn blocking(byte: u8) -> String {
        let object = data_encoding::HEXLOWER.encode(&[byte; 32]);
        format!("[blocked]\nobjects = [\"{object}\"]\n")
    }

    /// Which of the objects 1 and 2 the policy in force blocks.
    async fn blocked(node: &ControlNode) -> [bool; 2] {
        let visit =
            |core: &mut Rendezvous, _| [1, 2].map(|it| core.is_blocked(ObjectId::new([it; 32])));
        node.visit(visit).await.unwrap()
    }

    #[tokio::test]
    async fn a_changed_file_is_in_force_and_a_wrong_or_vanished_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy.toml");
        let node = ControlNode::start(ControlConfig::new([9; 32]), &mut Registry::default());
        fs::write(&path, blocking(1)).unwrap();
        let mut last = String::new();
        assert_eq!(look(&node, &path, &mut last).await, Some(Ok(())));
        assert_eq!(blocked(&node).await, [true, false]);
        assert_eq!(look(&node, &path, &mut last).await, None, "nothing changed");

        fs::write(&path, blocking(2)).unwrap();
        assert_eq!(look(&node, &path, &mut last).await, Some(Ok(())));
        assert_eq!(blocked(&node).await, [false, true]);

        fs::write(&path, blocking(1) + "[limits]\nobjekts = 7\n").unwrap();
        let told = look(&node, &path, &mut last).await.unwrap();
        let failure = told.unwrap_err().to_string();
        assert!(failure.contains("policy.toml: line 4"), "{failure}");
        assert_eq!(blocked(&node).await, [false, true], "the old one stays");
        let again = look(&node, &path, &mut last).await;
        assert_eq!(again, None, "it is complained of once");

        fs::remove_file(&path).unwrap();
        assert_eq!(look(&node, &path, &mut last).await, None);
        assert_eq!(blocked(&node).await, [false, true]);
    }
}
