//! A connection to the directory's server or servers, and the two scripts that are run there.

use std::sync::Arc;
use std::time::Duration;

use peerlift_model::ObjectId;
use peerlift_rendezvous::shared::{Ask, NodeId};
use redis::aio::{MultiplexedConnection, PubSub};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, IntoConnectionInfo, RedisError,
    RedisResult, Script, ServerErrorKind, TlsCertificates, TlsMode, cmd,
};

use super::url::{DirectoryUrl, Kind};

/// How long a connection may take to come up.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// How long a server may take to answer anything. Questions that clients wait for are given up
/// much sooner.
const RESPONSE_MAX: Duration = Duration::from_secs(3);

/// What all keys and channels begin with. The number is that of the format.
const PREFIX: &str = "peerlift:1";

/// The channel on which nodes say that they are there.
pub(super) const HELLO_CHANNEL: &str = "peerlift:1:nodes";

/// The channel of one node.
pub(super) fn channel(node: NodeId) -> String {
    format!("{PREFIX}:node:{:016x}", node.0)
}

/// A connection that many tasks use at once.
#[derive(Clone)]
pub(super) enum Link {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Link {
    /// Connects to whoever is the master at present.
    pub(super) async fn connect(url: &DirectoryUrl) -> RedisResult<Self> {
        if url.kind == Kind::Cluster {
            let mut client = ClusterClient::builder(url.hosts.clone())
                .connection_timeout(CONNECT_MAX)
                .response_timeout(RESPONSE_MAX);
            if let Some(certificates) = certificates(url) {
                client = client.certs(certificates);
            }
            let client = client.build()?;
            return client.get_async_connection().await.map(Self::Cluster);
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_MAX))
            .set_response_timeout(Some(RESPONSE_MAX));
        let client = master(url, 0).await?;
        let link = client.get_multiplexed_async_connection_with_config(&config);
        link.await.map(Self::One)
    }

    pub(super) async fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        match self {
            Self::One(link) => command.query_async(link).await,
            Self::Cluster(link) => command.query_async(link).await,
        }
    }
}

/// A connection that hears what is published on the node's channels; `attempt` picks another node
/// of a cluster each time.
pub(super) async fn listen(
    url: &DirectoryUrl,
    attempt: usize,
    node: NodeId,
) -> RedisResult<PubSub> {
    let client = master(url, attempt).await?;
    let connecting = tokio::time::timeout(CONNECT_MAX, client.get_async_pubsub());
    let mut pubsub = connecting.await.map_err(|_| too_slow())??;
    pubsub.subscribe(HELLO_CHANNEL).await?;
    pubsub.subscribe(channel(node)).await?;
    Ok(pubsub)
}

async fn master(url: &DirectoryUrl, attempt: usize) -> RedisResult<Client> {
    let Kind::Sentinel(name) = &url.kind else {
        let host = { &url.hosts }.get(attempt % url.hosts.len().max(1));
        let host = host.map_or("", String::as_str);
        return match certificates(url) {
            Some(certificates) => Client::build_with_tls(host, certificates),
            None => Client::open(host),
        };
    };
    let mut client = sentinels(url, name)?;
    let finding = tokio::time::timeout(CONNECT_MAX, client.async_get_client());
    finding.await.map_err(|_| too_slow())?
}

fn sentinels(url: &DirectoryUrl, name: &str) -> RedisResult<SentinelClient> {
    let address = |host: &String| Ok(host.as_str().into_connection_info()?.addr().clone());
    let addresses: RedisResult<Vec<_>> = url.hosts.iter().map(address).collect();
    let master = SentinelServerType::Master;
    let mut client = SentinelClientBuilder::new(addresses?, name, master)?;
    let base = if url.tls { "rediss" } else { "redis" };
    let login = format!("{base}://{}sentinel/", url.login).into_connection_info()?;
    if let Some(user) = login.redis_settings().username() {
        client = client.set_client_to_redis_username(user);
    }
    if let Some(password) = login.redis_settings().password() {
        client = client.set_client_to_redis_password(password);
    }
    if url.tls {
        client = client.set_client_to_redis_tls_mode(TlsMode::Secure);
    }
    if let Some(certificates) = certificates(url) {
        client = client
            .set_client_to_redis_certificates(certificates.clone())
            .set_client_to_sentinel_certificates(certificates);
    }
    client.build()
}

/// Who vouches for the servers, unless the system does.
fn certificates(url: &DirectoryUrl) -> Option<TlsCertificates> {
    Some(TlsCertificates {
        client_tls: None,
        root_cert: Some(url.ca.clone()?),
    })
}

fn too_slow() -> RedisError {
    RedisError::from((ErrorKind::Io, "no answer in time"))
}

/// Both scripts, with their names on the server.
#[derive(Clone)]
pub(super) struct Scripts {
    ask: Arc<Named>,
    tell: Arc<Named>,
}

struct Named {
    text: &'static str,
    hash: String,
}

impl Named {
    fn new(text: &'static str) -> Arc<Self> {
        let hash = Script::new(text).get_hash().to_owned();
        Arc::new(Self { text, hash })
    }

    /// Runs the script, by its name where the server knows it. All keys have the object's hash
    /// tag, so that a cluster keeps them together.
    async fn run<T: FromRedisValue>(
        &self,
        link: &mut Link,
        object: ObjectId,
        arguments: &[Vec<u8>],
    ) -> RedisResult<T> {
        let command = |name: &str, script: &str| {
            let mut command = cmd(name);
            command.arg(script).arg(KEYS);
            for part in ["z", "h", "n"] {
                command.arg(format!("{PREFIX}:{{{object}}}:{part}"));
            }
            command.arg(arguments);
            command
        };
        match link.query(&command("EVALSHA", &self.hash)).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                link.query(&command("EVAL", self.text)).await
            }
            result => result,
        }
    }
}

/// How many keys an object has: holders by place, their records, the next spread number.
const KEYS: usize = 3;

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            ask: Named::new(include_str!("ask.lua")),
            tell: Named::new(include_str!("tell.lua")),
        }
    }

    /// Draws holders; gives the spread number and their records.
    pub(super) async fn ask(
        &self,
        link: &mut Link,
        ask: &Ask,
    ) -> RedisResult<(Option<u32>, Vec<Vec<u8>>)> {
        let decimal = |number: usize| number.to_string().into_bytes();
        let mut arguments = vec![
            decimal(ask.wanted),
            decimal(ask.reserve),
            ask.draw.to_string().into_bytes(),
            if ask.wants_spread { b"1" } else { b"0" }.to_vec(),
        ];
        for ring in &ask.rings {
            arguments.push(ring.start().as_u128().to_be_bytes().to_vec());
            let mut last = ring.end().as_u128().to_be_bytes().to_vec();
            last.extend([0xff; 32]);
            arguments.push(last);
        }
        let found: Vec<redis::Value> = self.ask.run(link, ask.object, &arguments).await?;
        let mut spread = None;
        let mut records = Vec::with_capacity(found.len());
        for value in found {
            if let redis::Value::BulkString(record) = value {
                records.push(record);
            } else if let redis::Value::Int(number) = value {
                spread = u32::try_from(number).ok();
            }
        }
        Ok((spread, records))
    }

    /// Notes what holders of one object say: a record, or an empty one to take it back.
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
}

/// What is said about one object at once.
pub(super) struct Told<'a> {
    pub(super) node: NodeId,
    pub(super) lease: Duration,
    pub(super) draw: u32,
    pub(super) records: &'a [(peerlift_model::PeerId, Vec<u8>)],
}

/// What is wrong with the directory, in one word for metrics and logs.
pub(super) fn trouble(error: &RedisError) -> &'static str {
    let kind = error.kind();
    if kind == ErrorKind::Server(ServerErrorKind::ReadOnly) {
        "read-only"
    } else if error.code() == Some("OOM") {
        "full"
    } else if error.is_timeout() {
        "slow"
    } else if error.is_io_error() || error.is_connection_dropped() {
        "gone"
    } else if matches!(
        kind,
        ErrorKind::Server(_) | ErrorKind::ClusterConnectionNotFound
    ) {
        "refused"
    } else {
        "broken"
    }
}
