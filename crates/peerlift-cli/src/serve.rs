//! `peerlift serve`: edge, control node and relay in one process, on one port.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use peerlift_content::{
    Outcome, PublishError, PublishSettings, Published, PublisherKey, RelayEntry, publish_file,
};
use peerlift_control::admin::operator_routes;
use peerlift_control::{ControlConfig, ControlNode, NodeAccess, Relay, RelayOptions};
use peerlift_edge::{AccessLog, Edge, EdgeConfig, PublishFn, TlsFiles};
use peerlift_model::PublisherId;
use prometheus_client::registry::Registry;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::access::Doors;
use crate::args::ServeArgs;
use crate::config::{Config, ControlSection};
use crate::console::{Console, Style, print_json};
use crate::failure::{Exit, Failure, one_line, printable};
use crate::paths::Paths;
use crate::{access, control, publish, signals};

/// The control node of this server, seen from any manifest that it serves.
const CONTROL: &str = "/.peerlift/control";

/// The relay of this server, seen from any manifest that it serves.
const RELAY: &str = "/";

/// Serves until a signal comes.
pub(crate) fn run(
    args: ServeArgs,
    config: Config,
    paths: &Paths,
    console: &Console,
) -> Result<Exit, Failure> {
    let plan = Plan::new(args, &config, console)?;
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::caused(Exit::Other, "cannot start", &error))?;
    runtime.block_on(serve(plan, &config, paths, console))
}

/// Options and settings put together.
struct Plan {
    args: ServeArgs,
    listen: Vec<SocketAddr>,
    tls: Option<TlsFiles>,
    access_log: AccessLog,
    publish: bool,
    control: bool,
    relay: bool,
    quic_port: u16,
}

impl Plan {
    fn new(args: ServeArgs, config: &Config, console: &Console) -> Result<Self, Failure> {
        let config = &config.serve;
        let listen = if args.listen.is_empty() {
            config.listen.clone()
        } else {
            args.listen.clone()
        };
        let tls = args.tls_cert.clone().zip(args.tls_key.clone());
        Ok(Self {
            listen,
            tls: tls.map(|(certificates, key)| TlsFiles { certificates, key }),
            access_log: access_log(args.access_log.as_deref(), &config.access_log, console)?,
            publish: config.publish && !args.no_publish,
            control: config.control && !args.no_control,
            relay: config.relay && !args.no_relay && !args.no_control,
            quic_port: args.relay_quic_port.unwrap_or(config.relay_quic_port),
            args,
        })
    }

    /// The key that signs, when anything is signed.
    fn key(&self, config: &Config, paths: &Paths) -> Result<Option<PublisherKey>, Failure> {
        let named = self.args.key.as_deref();
        let load = || publish::load_key(named, &config.publish, paths);
        self.publish.then(load).transpose()
    }

    /// What is said of what is signed.
    fn settings(&self, config: &Config) -> Result<PublishSettings, Failure> {
        let mut settings = publish::base_settings(self.args.name.as_deref(), &config.publish)?;
        if let Some(access) = self.args.access {
            settings.policy.access = access.into();
        }
        settings.policy.unbound_tokens |= self.args.allow_unbound_tokens;
        Ok(settings)
    }

    /// Where the relay tells clients their address: it needs a certificate that they believe.
    fn quic(&self) -> Result<Option<(SocketAddr, rustls::ServerConfig)>, Failure> {
        let Some(tls) = self.tls.as_ref().filter(|_| self.quic_port != 0) else {
            return Ok(None);
        };
        let config = tls.server_config().map_err(|error| failed(&error))?;
        let ip = self
            .listen
            .first()
            .map_or(IpAddr::from([0, 0, 0, 0]), SocketAddr::ip);
        Ok(Some((SocketAddr::new(ip, self.quic_port), config)))
    }
}

/// What runs beside the edge.
struct Helpers {
    control: Option<ControlNode>,
    access: Option<Arc<NodeAccess>>,
    relay: Option<Relay>,
}

impl Helpers {
    async fn start(
        plan: &Plan,
        settings: &ControlSection,
        paths: &Paths,
        registry: &mut Registry,
    ) -> Result<Self, Failure> {
        let mut node_access = None;
        let control = match plan.control {
            true => {
                let key = PublisherKey::load_or_create(&paths.control_key()).map_err(|error| {
                    Failure::caused(Exit::Storage, "no key for the control node", &error)
                })?;
                let node = access::node_access(&key.seed(), paths)?;
                let mut config = ControlConfig::new(key.seed());
                config.access = Arc::clone(&node);
                config.directory = control::directory(&plan.args.shared, settings)?;
                node_access = Some(node);
                Some(ControlNode::start(config, registry))
            }
            false => None,
        };
        let relay = match plan.relay {
            true => {
                let options = RelayOptions {
                    quic: plan.quic()?,
                    ..RelayOptions::default()
                };
                let relay = Relay::start(options).await.map_err(|error| {
                    failed(&error).hint("--relay-quic-port names another UDP port, 0 none")
                })?;
                Some(relay)
            }
            false => None,
        };
        Ok(Self {
            control,
            access: node_access,
            relay,
        })
    }

    fn routes(&self) -> axum::Router {
        let control = self.control.iter().map(ControlNode::router);
        let relay = self.relay.iter().map(Relay::router);
        control
            .chain(relay)
            .fold(axum::Router::new(), axum::Router::merge)
    }

    /// Adds what runs here to what is signed.
    fn introduce(&self, settings: &mut PublishSettings) {
        if self.control.is_some() {
            settings.control.insert(0, CONTROL.to_owned());
        }
        if let Some(relay) = &self.relay {
            let entry = RelayEntry {
                url: RELAY.to_owned(),
                quic_port: relay.quic_port(),
            };
            settings.relays.insert(0, entry);
        }
    }

    fn node_key(&self) -> Option<String> {
        let node = self.control.as_ref()?;
        Some(HEXLOWER.encode(&node.key()))
    }

    async fn shutdown(self) {
        if let Some(control) = self.control {
            control.shutdown().await;
        }
        if let Some(relay) = self.relay {
            relay.shutdown().await;
        }
    }
}

async fn serve(
    mut plan: Plan,
    config: &Config,
    paths: &Paths,
    console: &Console,
) -> Result<Exit, Failure> {
    let stop = signals::stop_on_signal()?;
    let mut registry = Registry::default();
    let helpers = Helpers::start(&plan, &config.control, paths, &mut registry).await?;
    let key = plan.key(config, paths)?;
    let publisher = key.as_ref().map(PublisherKey::id);
    let mut settings = plan.settings(config)?;
    let doors = Doors::new(settings.policy.access, publisher, helpers.access.clone());
    let mut tasks = JoinSet::new();
    watch_access(&plan, &doors, publisher, &mut tasks)?;
    let operators = match (plan.args.admin, &helpers.control) {
        (Some(address), Some(node)) => {
            Some(control::serve_operators(operator_routes(node), address).await?)
        }
        (Some(_), None) | (None, _) => None,
    };
    let mut edge = EdgeConfig::new(plan.args.dir.clone(), plan.listen.clone());
    edge.tls = plan.tls.take();
    let scheme = if edge.tls.is_some() { "https" } else { "http" };
    edge.access_log = std::mem::take(&mut plan.access_log);
    edge.routes = helpers.routes();
    edge.access = Arc::clone(&doors.edge);
    if let Some(key) = key {
        helpers.introduce(&mut settings);
        edge.publish = Some(publisher_of(key, settings, doors, console.clone()));
    } else {
        doors.know_folder(&plan.args.dir)?;
    }
    let edge = Edge::bind(edge, registry)
        .await
        .map_err(|error| failed(&error))?;
    let ready = Ready {
        event: "ready",
        urls: urls(plan.args.public_url.as_ref(), scheme, &edge.addresses()),
        folder: std::path::absolute(&plan.args.dir).unwrap_or(plan.args.dir),
        publisher: publisher.map(|publisher| publisher.to_string()),
        node: helpers.node_key(),
        admin: operators.as_ref().map(|(address, _)| *address),
    };
    let served = run_edge(edge, stop, &ready, console).await;
    helpers.shutdown().await;
    tasks.shutdown().await;
    if let Some((_, serving)) = &operators {
        serving.abort();
    }
    served.map(|()| Exit::Fine)
}

/// Keeps edge and node up to date with keys and blocks that lie elsewhere.
fn watch_access(
    plan: &Plan,
    doors: &Doors,
    publisher: Option<PublisherId>,
    tasks: &mut JoinSet<()>,
) -> Result<(), Failure> {
    if let (Some(file), Some(publisher)) = (&plan.args.token_keys, publisher) {
        doors.follow_keys(publisher, file.clone(), tasks)?;
    }
    let key = plan.args.block_list_key.map(|key| *key.as_bytes());
    doors.follow_blocks(plan.args.block_list.clone().zip(key), tasks)
}

/// Serves, and says so once everything in the folder is published.
async fn run_edge(
    edge: Edge,
    stop: CancellationToken,
    ready: &Ready,
    console: &Console,
) -> Result<(), Failure> {
    let published = edge.ready();
    let told = async {
        published.cancelled().await;
        ready.tell(console)?;
        std::future::pending().await
    };
    tokio::select! {
        ended = edge.serve(stop.clone()) => ended.map_err(|error| failed(&error)),
        told = told => told,
    }
}

/// What is told once everything is there.
#[derive(Serialize)]
struct Ready {
    event: &'static str,
    urls: Vec<String>,
    folder: PathBuf,
    publisher: Option<String>,
    node: Option<String>,
    admin: Option<SocketAddr>,
}

impl Ready {
    fn tell(&self, console: &Console) -> Result<(), Failure> {
        if console.style() == Style::Json {
            return print_json(self);
        }
        let folder = printable(&self.folder.display().to_string());
        console.say(format_args!("serving {folder} at {}", self.urls.join(" ")));
        if let Some(publisher) = &self.publisher {
            console.say(format_args!("publisher key {publisher}"));
        }
        if let Some(url) = self.urls.first() {
            console.say(format_args!("download with: peerlift get {url}NAME"));
        }
        Ok(())
    }
}

fn urls(public: Option<&Url>, scheme: &str, addresses: &[SocketAddr]) -> Vec<String> {
    if let Some(url) = public {
        return vec![format!("{}/", url.as_str().trim_end_matches('/'))];
    }
    let host = |address: &SocketAddr| match address.ip() {
        ip if ip.is_unspecified() => format!("localhost:{}", address.port()),
        _ => address.to_string(),
    };
    addresses
        .iter()
        .map(|address| format!("{scheme}://{}/", host(address)))
        .collect()
}

/// Signs one file and says so, when there was something to sign.
fn publisher_of(
    key: PublisherKey,
    settings: PublishSettings,
    doors: Doors,
    console: Console,
) -> PublishFn {
    Arc::new(move |path: &Path| {
        let settings = access::keeping_access(&settings, path, key.id());
        let published = publish_file(path, &key, &settings, &|_| ());
        if let Ok(published) = &published {
            doors.know(published.publisher, &published.manifest);
        }
        tell(path, &published, &console);
        published
    })
}

fn tell(path: &Path, published: &Result<Published, PublishError>, console: &Console) {
    let name = printable(&path.display().to_string());
    match published {
        Ok(published) if published.outcome == Outcome::Unchanged => {}
        Ok(published) => {
            let word = publish::word(published.outcome);
            console.say(format_args!("{word:9}  {name}"));
        }
        Err(error) => console.complain(format_args!("{name}: not published: {}", one_line(error))),
    }
}

/// Where requests are written down: as the option says, else as the setting says. With `--json`
/// standard output is for the event alone, unless an option says otherwise.
fn access_log(
    named: Option<&Path>,
    configured: &Path,
    console: &Console,
) -> Result<AccessLog, Failure> {
    let quiet = matches!(console.style(), Style::Json | Style::Quiet);
    let path = match named {
        None if quiet && configured == Path::new("-") => return Ok(AccessLog::Off),
        None => configured,
        Some(path) => path,
    };
    match path.to_str() {
        Some("off") => Ok(AccessLog::Off),
        Some("-") => Ok(AccessLog::Stdout),
        _ => AccessLog::file(path)
            .map_err(|error| Failure::caused(Exit::Storage, path.display(), &error)),
    }
}

fn failed(error: &dyn std::error::Error) -> Failure {
    Failure::new(Exit::Other, one_line(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_such_that_one_can_open_them() {
        let addresses = ["0.0.0.0:8080".parse().unwrap(), "[::1]:9".parse().unwrap()];
        assert_eq!(
            urls(None, "http", &addresses),
            ["http://localhost:8080/", "http://[::1]:9/"]
        );
        let public = Url::parse("https://cdn.example/files").unwrap();
        assert_eq!(
            urls(Some(&public), "http", &addresses),
            ["https://cdn.example/files/"]
        );
    }
}
