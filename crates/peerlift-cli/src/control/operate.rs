//! What an operator asks of a node that runs.

use std::net::SocketAddr;

use http::{Method, StatusCode};
use peerlift_control::admin::ask;
use serde::Deserialize;

use super::policy_watch;
use crate::args::{BlockArgs, ControlAction, NodeAddress};
use crate::console::{Console, print};
use crate::failure::{Exit, Failure, printable};

pub(super) async fn run(
    action: ControlAction,
    usual: SocketAddr,
    console: &Console,
) -> Result<Exit, Failure> {
    let at = |node: NodeAddress| node.admin.unwrap_or(usual);
    match action {
        ControlAction::Policy {
            dry_run,
            file,
            node,
        } => {
            let text = policy_watch::read(&file)?;
            if dry_run {
                let answer = put(at(node), Method::POST, "/policy/preview", text).await?;
                print(table(&answer)?)?;
            } else {
                put(at(node), Method::PUT, "/policy", text).await?;
                console.say(format_args!("{}: in force", file.display()));
            }
        }
        ControlAction::Block(what) => {
            put(at(what.node), Method::PUT, &blocked(&what), String::new()).await?;
        }
        ControlAction::Unblock(what) => {
            put(
                at(what.node),
                Method::DELETE,
                &blocked(&what),
                String::new(),
            )
            .await?;
        }
        ControlAction::Blocked { node } => {
            let answer = put(at(node), Method::GET, "/blocked", String::new()).await?;
            print(block_list(&answer)?)?;
        }
        ControlAction::Flush { node } => {
            put(at(node), Method::POST, "/flush", String::new()).await?;
        }
        ControlAction::Drain { seconds, node } => {
            let path = format!("/drain?seconds={seconds}");
            put(at(node), Method::POST, &path, String::new()).await?;
        }
    }
    Ok(Exit::Fine)
}

/// The path of what is to be blocked, or no longer.
fn blocked(what: &BlockArgs) -> String {
    match (what.object, what.publisher) {
        (Some(object), _) => format!("/blocked/{object}"),
        (None, Some(publisher)) => format!("/blocked/publishers/{publisher}"),
        (None, None) => "/blocked".to_owned(),
    }
}

#[derive(Deserialize)]
struct BlockList {
    objects: Vec<String>,
    publishers: Vec<String>,
}

fn block_list(json: &str) -> Result<String, Failure> {
    let list: BlockList = serde_json::from_str(json)
        .map_err(|error| Failure::caused(Exit::Other, "the node makes no sense", &error))?;
    let line = |kind: &str, id: &String| format!("{kind:9}  {}\n", printable(id));
    let objects = list.objects.iter().map(|id| line("object", id));
    let publishers = list.publishers.iter().map(|id| line("publisher", id));
    let text: String = objects.chain(publishers).collect();
    Ok(match text.is_empty() {
        true => "nothing is blocked\n".to_owned(),
        false => text,
    })
}

async fn put(
    address: SocketAddr,
    method: Method,
    path: &str,
    body: String,
) -> Result<String, Failure> {
    let (status, text) = ask(address, method, path, body).await.map_err(|error| {
        Failure::new(
            Exit::Other,
            format!("no control node at {address}: {error}"),
        )
        .hint("--admin names the node's address for operators")
    })?;
    match status {
        StatusCode::OK => Ok(text),
        StatusCode::BAD_REQUEST => Err(Failure::new(Exit::Usage, printable(text.trim()))
            .hint("docs/control-policy.toml shows every setting of a policy")),
        _ => Err(Failure::new(Exit::Other, printable(text.trim()))),
    }
}

#[derive(Deserialize)]
struct Preview {
    before: Effect,
    after: Effect,
}

#[derive(Deserialize)]
struct Effect {
    queries: u64,
    empty: u64,
    named: Named,
}

#[derive(Deserialize)]
struct Named {
    site: u64,
    prefix: u64,
    #[serde(rename = "as")]
    asn: u64,
    country: u64,
    world: u64,
}

impl Named {
    fn levels(&self) -> [(&'static str, u64); 5] {
        [
            ("same site", self.site),
            ("same prefix", self.prefix),
            ("same AS", self.asn),
            ("same country", self.country),
            ("elsewhere", self.world),
        ]
    }

    fn sum(&self) -> u64 {
        self.levels().iter().map(|(_, count)| count).sum()
    }
}

/// Both policies side by side, for people.
fn table(json: &str) -> Result<String, Failure> {
    let preview: Preview = serde_json::from_str(json)
        .map_err(|error| Failure::caused(Exit::Other, "the node makes no sense", &error))?;
    let (before, after) = (&preview.before, &preview.after);
    if before.queries == 0 {
        return Ok("the node knows nobody who serves anything: nothing to compare\n".to_owned());
    }
    let mut text = format!(
        "{:24}{:>12}{:>12}\n",
        format!("of {} queries", before.queries),
        "in force",
        "in the file"
    );
    let mut row = |name: &str, before: f64, after: f64, unit: &str| {
        text.push_str(&format!(
            "{name:24}{before:>10.1}{unit:2}{after:>10.1}{unit:2}\n"
        ));
    };
    row("peers an answer", mean(before), mean(after), "");
    row("empty answers", empty(before), empty(after), " %");
    for ((level, one), (_, other)) in before.named.levels().into_iter().zip(after.named.levels()) {
        let (one, other) = (
            percent(one, before.named.sum()),
            percent(other, after.named.sum()),
        );
        row(level, one, other, " %");
    }
    Ok(text)
}

fn mean(effect: &Effect) -> f64 {
    percent(effect.named.sum(), effect.queries) / 100.0
}

fn empty(effect: &Effect) -> f64 {
    percent(effect.empty, effect.queries)
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn percent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_is_shown_side_by_side() {
        let effect = |world: u64, empty: u64| {
            format!(
                "{{\"queries\":100,\"empty\":{empty},\"named\":{{\"site\":0,\"prefix\":0,\
                 \"as\":1000,\"country\":0,\"world\":{world}}}}}"
            )
        };
        let json = format!(
            "{{\"before\":{},\"after\":{}}}",
            effect(3000, 0),
            effect(1000, 25)
        );
        let text = table(&json).unwrap();
        let line = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line("peers an answer").contains("40.0"), "{text}");
        assert!(line("same AS").ends_with("25.0 %      50.0 %"), "{text}");
        assert!(line("empty answers").contains("25.0 %"), "{text}");
    }
}
