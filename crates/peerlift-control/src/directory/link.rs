//! A connection to the directory's server or servers.

use std::time::Duration;

use peerlift_rendezvous::shared::NodeId;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, IntoConnectionInfo, RedisError,
    RedisResult, ServerErrorKind, TlsCertificates, TlsMode,
};

use super::url::{DirectoryUrl, Kind};

/// How long a connection may take to come up.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// How long a server may take to answer anything. Questions that clients wait for are given up
/// much sooner.
const RESPONSE_MAX: Duration = Duration::from_secs(3);

/// What all keys and channels begin with. The number is that of the format.
pub(super) const PREFIX: &str = "peerlift:2";

/// The channel on which nodes say that they are there.
pub(super) const HELLO_CHANNEL: &str = "peerlift:2:nodes";

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

    /// Puts commands together, and gives what came of each. A cluster takes them one by one, as they
    /// are for different servers.
    pub(super) async fn query_all<T: FromRedisValue>(
        &mut self,
        commands: Vec<Cmd>,
    ) -> RedisResult<Vec<RedisResult<T>>> {
        let link = match self {
            Self::One(link) => link,
            Self::Cluster(link) => {
                let mut answers = Vec::with_capacity(commands.len());
                for command in commands {
                    answers.push(command.query_async(link).await);
                }
                return Ok(answers);
            }
        };
        let mut pipeline = redis::Pipeline::with_capacity(commands.len());
        for command in commands {
            pipeline.add_command(command);
        }
        pipeline.ignore_errors().query_async(link).await
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
