//! The scripts that are run on the directory's server, and what they are told.
//!
//! Each object is three keys with the object's hash tag, so that a cluster keeps them together:
//!
//! * `z`: a sorted set of members (see `record`), in the order of their places;
//! * `h`: a hash of peer to place and node, by which a peer's member is found again;
//! * `n`: how many spread numbers have been given out.

use std::time::Duration;

use peerlift_model::{ObjectId, PeerId};
use peerlift_rendezvous::shared::{Ask, NodeId};
use redis::{
    Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, Script, ServerErrorKind, cmd,
};

use super::link::{Link, PREFIX};

/// All scripts, with their names on the server.
pub(super) struct Scripts {
    ask: Named,
    tell: Named,
    forget: Named,
}

/// What was drawn of the holders of one object.
pub(super) struct Drawn {
    /// The next spread number, if it was asked for.
    pub(super) spread: Option<u32>,
    /// The server's clock.
    pub(super) unix_s: u32,
    /// One after another.
    pub(super) members: Vec<u8>,
}

/// What is said about one object at once.
pub(super) struct Told<'a> {
    pub(super) node: NodeId,
    pub(super) lease: Duration,
    pub(super) draw: u32,
    /// A record of each peer, or an empty one to take it back.
    pub(super) records: &'a [(PeerId, Vec<u8>)],
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            ask: Named::new(include_str!("ask.lua"), &["z", "n"]),
            tell: Named::new(include_str!("tell.lua"), &["z", "h", "n"]),
            forget: Named::new(include_str!("forget.lua"), &["z", "h"]),
        }
    }

    /// Draws holders for each question, in one round trip.
    pub(super) async fn ask_all(
        &self,
        link: &mut Link,
        asks: &[Ask],
    ) -> RedisResult<Vec<RedisResult<Drawn>>> {
        let commands = asks
            .iter()
            .map(|ask| self.ask.by_name(ask.object, &arguments(ask)));
        let answers = link.query_all(commands.collect()).await?;
        let mut drawn = Vec::with_capacity(asks.len());
        for (ask, answer) in asks.iter().zip(answers) {
            let answer = match answer {
                Err(error) if is_unknown(&error) => {
                    let command = self.ask.in_full(ask.object, &arguments(ask));
                    link.query(&command).await
                }
                answer => answer,
            };
            drawn.push(
                answer.map(|(spread, unix_s, members): (i64, u32, Vec<u8>)| Drawn {
                    spread: u32::try_from(spread).ok(),
                    unix_s,
                    members,
                }),
            );
        }
        Ok(drawn)
    }

    /// Notes what holders of one object say.
    pub(super) async fn tell(
        &self,
        link: &mut Link,
        object: ObjectId,
        told: &Told<'_>,
    ) -> RedisResult<()> {
        let mut arguments = vec![
            told.lease.as_secs().to_string().into_bytes(),
            told.node.0.to_be_bytes().to_vec(),
            told.draw.to_string().into_bytes(),
        ];
        for (peer, record) in told.records {
            arguments.push(peer.as_bytes().to_vec());
            arguments.push(record.clone());
        }
        self.tell.run::<u64>(link, object, &arguments).await?;
        Ok(())
    }

    /// Removes members whose leases are over, unless they were renewed since.
    pub(super) async fn forget(
        &self,
        link: &mut Link,
        object: ObjectId,
        members: &[Vec<u8>],
    ) -> RedisResult<()> {
        self.forget.run::<u64>(link, object, members).await?;
        Ok(())
    }
}

fn arguments(ask: &Ask) -> Vec<Vec<u8>> {
    let decimal = |number: usize| number.to_string().into_bytes();
    let mut arguments = vec![
        decimal(ask.wanted),
        decimal(ask.reserve),
        ask.draw.to_string().into_bytes(),
        if ask.wants_spread { b"1" } else { b"0" }.to_vec(),
    ];
    // The script knows what the world is.
    let inner = ask.rings.len().saturating_sub(1);
    for ring in &ask.rings[..inner] {
        arguments.push(ring.start().as_u128().to_be_bytes().to_vec());
        let mut last = ring.end().as_u128().to_be_bytes().to_vec();
        last.extend([0xff; 32]);
        arguments.push(last);
    }
    arguments
}

/// A script, its name on the server, and the keys that it is given.
struct Named {
    text: &'static str,
    hash: String,
    keys: &'static [&'static str],
}

impl Named {
    fn new(text: &'static str, keys: &'static [&'static str]) -> Self {
        let hash = Script::new(text).get_hash().to_owned();
        Self { text, hash, keys }
    }

    /// Runs the script, by its name where the server knows it.
    async fn run<T: FromRedisValue>(
        &self,
        link: &mut Link,
        object: ObjectId,
        arguments: &[Vec<u8>],
    ) -> RedisResult<T> {
        match link.query(&self.by_name(object, arguments)).await {
            Err(error) if is_unknown(&error) => link.query(&self.in_full(object, arguments)).await,
            result => result,
        }
    }

    fn by_name(&self, object: ObjectId, arguments: &[Vec<u8>]) -> Cmd {
        self.command("EVALSHA", &self.hash, object, arguments)
    }

    fn in_full(&self, object: ObjectId, arguments: &[Vec<u8>]) -> Cmd {
        self.command("EVAL", self.text, object, arguments)
    }

    fn command(&self, name: &str, script: &str, object: ObjectId, arguments: &[Vec<u8>]) -> Cmd {
        let mut command = cmd(name);
        command.arg(script).arg(self.keys.len());
        for key in self.keys {
            command.arg(format!("{PREFIX}:{{{object}}}:{key}"));
        }
        command.arg(arguments);
        command
    }
}

/// The server has not been told the script yet, or has forgotten it.
fn is_unknown(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}
