//! `peerlift control`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use peerlift_control::DirectoryUrl;
use peerlift_model::{ObjectId, PublisherId};

/// Run a control node: it knows who has what, and introduces downloaders to each other
///
/// What it knows is told it by clients, again whenever it was lost: a node may be restarted or
/// replaced at any time. `peerlift serve` has one built in.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  peerlift control --listen 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem
  peerlift control --policy policy.toml --as-database GeoLite2-ASN.mmdb
  peerlift control --directory redis+cluster://10.0.0.1,10.0.0.2,10.0.0.3
  peerlift control policy --dry-run policy.toml
  peerlift control block 5f0c…
  peerlift control block --publisher ea4a…
  peerlift control drain --seconds 60

/healthz answers while it runs, /readyz while it takes clients; /metrics is at the operators'
address. docs/operating.md says how large a machine has to be."
)]
pub(crate) struct ControlArgs {
    #[command(subcommand)]
    pub(crate) action: Option<ControlAction>,
    /// Where to listen; may be repeated; port 0 takes a free one [default: 0.0.0.0:8443]
    #[arg(short, long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Vec<SocketAddr>,
    /// Serve TLS with the certificates in FILE (PEM, leaf first)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Where operators ask: metrics and commands [default: 127.0.0.1:7844]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) admin: Option<SocketAddr>,
    /// Decide by the policy in FILE, and read it again when it changes
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
    /// Know autonomous systems from FILE (MMDB)
    #[arg(long, value_name = "FILE")]
    pub(crate) as_database: Option<PathBuf>,
    /// Know countries from FILE (MMDB)
    #[arg(long, value_name = "FILE")]
    pub(crate) country_database: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) shared: DirectoryArgs,
    /// Heed what the manifests in DIR say about access; read at the start
    #[arg(long, value_name = "DIR")]
    pub(crate) manifests: Option<PathBuf>,
    /// Only the keys in FILE (JWKS) sign tokens of PUBLISHER; read again when it changes
    #[arg(long, value_name = "PUBLISHER=FILE", value_parser = keys_of)]
    pub(crate) token_keys: Vec<(PublisherId, PathBuf)>,
    /// Tell as JSON, on standard output, when it is ready
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) json: bool,
}

/// The directory that several nodes share.
#[derive(Debug, Args)]
pub(crate) struct DirectoryArgs {
    /// Share the directory with other nodes, on the Redis or Valkey at URL: redis://HOST,
    /// redis+cluster://HOST,HOST or redis+sentinel://HOST,HOST/NAME; rediss for TLS. A password
    /// belongs in the configuration file, as others see command lines
    #[arg(long, value_name = "URL")]
    pub(crate) directory: Option<DirectoryUrl>,
    /// Believe only the certificates in FILE (PEM) of that server [default: those that the system
    /// believes]
    #[arg(long, value_name = "FILE")]
    pub(crate) directory_ca: Option<PathBuf>,
}

/// What an operator asks of a running node.
#[derive(Debug, Subcommand)]
pub(crate) enum ControlAction {
    /// Put a policy in force until the node ends or its own file changes, or see what it would do
    Policy {
        /// Only show what it would change, on what the node knows
        #[arg(long)]
        dry_run: bool,
        /// The policy
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        node: NodeAddress,
    },
    /// Forbid an object, or all of a publisher's: nobody is introduced for it, edges refuse it, and
    /// every connected client stops fetching and sharing it
    Block(BlockArgs),
    /// Allow it again
    Unblock(BlockArgs),
    /// Show what is forbidden
    Blocked {
        #[command(flatten)]
        node: NodeAddress,
    },
    /// Forget who has what and have the clients tell it again
    Flush {
        #[command(flatten)]
        node: NodeAddress,
    },
    /// Let nobody in and send everybody elsewhere
    Drain {
        /// Within how many seconds
        #[arg(long, default_value_t = 30)]
        seconds: u32,
        #[command(flatten)]
        node: NodeAddress,
    },
}

/// What to forbid.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct BlockArgs {
    /// An object's root: `peerlift inspect` shows it
    #[arg(value_name = "OBJECT", required_unless_present = "publisher")]
    pub(crate) object: Option<ObjectId>,
    /// A publisher's key: everything that it has signed
    #[arg(long, value_name = "KEY", conflicts_with = "object")]
    pub(crate) publisher: Option<PublisherId>,
    #[command(flatten)]
    pub(crate) node: NodeAddress,
}

/// Which node.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct NodeAddress {
    /// The node's address for operators [default: that of the configuration]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) admin: Option<SocketAddr>,
}

fn keys_of(text: &str) -> Result<(PublisherId, PathBuf), String> {
    let (publisher, file) = text
        .split_once('=')
        .ok_or_else(|| "a set of keys is given as PUBLISHER=FILE".to_owned())?;
    let publisher = publisher.parse().map_err(|error| format!("{error}"))?;
    Ok((publisher, file.into()))
}
