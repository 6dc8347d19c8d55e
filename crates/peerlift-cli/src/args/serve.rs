//! `peerlift serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use peerlift_model::PeerId;
use url::Url;

use super::control::DirectoryArgs;
use super::values::AccessWord;

/// Serve a folder: HTTP edge, control node and relay in one process
///
/// Files in DIR are signed as `peerlift publish` does, also those added or changed while it runs.
/// Any HTTP client can download them; `peerlift get` also finds other downloaders through it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  peerlift serve ~/public
  peerlift serve ~/public --listen 127.0.0.1:9000
  peerlift serve ~/public --listen 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem

Hidden files are not served, nor what a symbolic link leads to outside of DIR.
/healthz answers when it runs, /metrics has numbers for Prometheus.")]
pub(crate) struct ServeArgs {
    /// The folder
    #[arg(default_value = ".", value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Where to listen; may be repeated; port 0 takes a free one [default: 0.0.0.0:8080]
    #[arg(short, long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: Vec<SocketAddr>,
    /// Serve TLS with the certificates in FILE (PEM, leaf first)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// How others reach this server, for what is printed [default: taken from --listen]
    #[arg(long, value_name = "URL")]
    pub(crate) public_url: Option<Url>,
    /// Write the access log to FILE; `-` is standard output; `off` for none [default: -]
    #[arg(long, value_name = "FILE|-|off")]
    pub(crate) access_log: Option<PathBuf>,
    /// Tell as JSON, on standard output, when it is ready
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) json: bool,
    /// The publisher's name, shown to people
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Sign with the key in FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,
    /// Serve what is already signed, and sign nothing
    #[arg(long)]
    pub(crate) no_publish: bool,
    /// Who may fetch: public, or token: whoever shows a token of yours (`peerlift token`)
    /// [default: public]
    #[arg(long, value_name = "WHO", conflicts_with = "no_publish")]
    pub(crate) access: Option<AccessWord>,
    /// Take tokens that are bound to no key, so that any HTTP client can show them
    #[arg(long, conflicts_with = "no_publish")]
    pub(crate) allow_unbound_tokens: bool,
    /// The set of keys (JWKS) that may sign tokens, read again when it changes [default: the key
    /// that signs the files]
    #[arg(long, value_name = "FILE", conflicts_with = "no_publish")]
    pub(crate) token_keys: Option<PathBuf>,
    /// Heed the blocks of the control node at URL
    #[arg(long, value_name = "URL", requires = "block_list_key")]
    pub(crate) block_list: Option<Url>,
    /// The key of that node, as its `serve --json` tells it
    #[arg(long, value_name = "KEY", requires = "block_list")]
    pub(crate) block_list_key: Option<PeerId>,
    /// Where operators ask (`peerlift control block …`), such as 127.0.0.1:7844: whoever reaches it is
    /// one [default: nowhere]
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "no_control")]
    pub(crate) admin: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) shared: DirectoryArgs,
    /// Do not introduce downloaders to each other; the relay, which only they need, is off, too
    #[arg(long, conflicts_with_all = ["directory", "directory_ca"])]
    pub(crate) no_control: bool,
    /// Run no relay
    #[arg(long)]
    pub(crate) no_relay: bool,
    /// The UDP port where the relay tells clients their address, with TLS; 0 for none
    /// [default: 7842]
    #[arg(long, value_name = "PORT")]
    pub(crate) relay_quic_port: Option<u16>,
}
