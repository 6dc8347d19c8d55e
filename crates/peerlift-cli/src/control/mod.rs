//! `peerlift control`: a control node alone, and what its operator asks of it.

mod operate;
mod policy_watch;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use peerlift_content::PublisherKey;
use peerlift_control::admin::admin_routes;
use peerlift_control::{
    Atlas, ControlConfig, ControlNode, ControlServer, DirectoryUrl, ServerOptions,
};
use peerlift_edge::TlsFiles;
use prometheus_client::registry::Registry;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::access::{self, Doors};
use crate::args::{ControlArgs, DirectoryArgs};
use crate::config::{Config, ControlSection};
use crate::console::{Console, Style, print_json};
use crate::failure::{Exit, Failure, one_line};
use crate::paths::Paths;
use crate::signals;

/// Runs a node until a signal comes, or asks something of one that runs.
pub(crate) fn run(
    args: ControlArgs,
    config: &Config,
    paths: &Paths,
    console: &Console,
) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::caused(Exit::Other, "cannot start", &error))?;
    let config = &config.control;
    match args.action {
        Some(action) => runtime.block_on(operate::run(action, config.admin, console)),
        None => runtime.block_on(node(args, config, paths, console)),
    }
}

async fn node(
    args: ControlArgs,
    config: &ControlSection,
    paths: &Paths,
    console: &Console,
) -> Result<Exit, Failure> {
    let stop = signals::stop_on_signal()?;
    raise_descriptor_limit();
    let mut registry = Registry::default();
    let node = ControlNode::start(node_config(&args, config, paths)?, &mut registry);
    let policy = args.policy.clone().or_else(|| named(&config.policy));
    if let Some(policy) = &policy {
        let text = policy_watch::read(policy)?;
        policy_watch::put_in_force(&node, policy, &text).await?;
        let watch = policy_watch::watch(node.clone(), policy.clone(), text, console.clone());
        // Ends with the process; it changes nothing but the node's policy.
        tokio::spawn(watch);
    }
    let mut tasks = JoinSet::new();
    let doors = Doors::of_node(Arc::clone(node.access()));
    if let Some(folder) = &args.manifests {
        doors.know_folder(folder)?;
    }
    for (publisher, file) in &args.token_keys {
        doors.follow_keys(*publisher, file.clone(), &mut tasks)?;
    }
    let server = ControlServer::bind(node.clone(), server_options(&args, config)?)
        .map_err(|error| failed(&error).hint("--listen names another address"))?;
    let (admin, serving) = serve_operators(
        admin_routes(&node, registry),
        args.admin.unwrap_or(config.admin),
    )
    .await?;
    let ready = Ready {
        event: "ready",
        listen: server.addresses(),
        admin,
        key: data_encoding::HEXLOWER.encode(&node.key()),
    };
    ready.tell(console)?;
    let end_serving = CancellationToken::new();
    let served = tokio::spawn(server.serve(end_serving.clone()));
    stop.cancelled().await;
    drain(&node, config.drain, console).await;
    end_serving.cancel();
    // Its task does not panic, and is over once it was told to end.
    let _ = served.await;
    node.shutdown().await;
    serving.abort();
    tasks.shutdown().await;
    Ok(Exit::Fine)
}

fn node_config(
    args: &ControlArgs,
    config: &ControlSection,
    paths: &Paths,
) -> Result<ControlConfig, Failure> {
    let key = PublisherKey::load_or_create(&paths.control_key())
        .map_err(|error| Failure::caused(Exit::Storage, "no key for the control node", &error))?;
    let mut node = ControlConfig::new(key.seed());
    node.access = access::node_access(&key.seed(), paths)?;
    node.sessions_max = config.sessions;
    node.logins_per_s = config.logins_per_s;
    node.keep_alive = config.keep_alive;
    node.core.recall_entries_per_s = config.recall_entries_per_s;
    node.directory = directory(&args.shared, config)?;
    let mut atlas = Atlas::default();
    let wrong = |error: &dyn std::error::Error| {
        Failure::new(Exit::Storage, one_line(error))
            .hint("without a database, sites and prefixes still count")
    };
    if let Some(path) = args
        .as_database
        .clone()
        .or_else(|| named(&config.as_database))
    {
        atlas.read_asn(&path).map_err(|error| wrong(&error))?;
    }
    if let Some(path) = { &args.country_database }
        .clone()
        .or_else(|| named(&config.country_database))
    {
        atlas.read_country(&path).map_err(|error| wrong(&error))?;
    }
    node.atlas = atlas;
    Ok(node)
}

/// The directory that this node shares with others: as the options say, else as the settings say.
pub(crate) fn directory(
    args: &DirectoryArgs,
    config: &ControlSection,
) -> Result<Option<DirectoryUrl>, Failure> {
    let wrong = |error| Failure::caused(Exit::Usage, "control.directory", &error);
    let url = match &args.directory {
        None if config.directory.is_empty() => return Ok(None),
        None => config.directory.parse().map_err(wrong)?,
        Some(url) => url.clone(),
    };
    let ca = { &args.directory_ca }.clone();
    let Some(file) = ca.or_else(|| named(&config.directory_ca)) else {
        return Ok(Some(url));
    };
    let pem = std::fs::read(&file).map_err(|error| {
        Failure::caused(Exit::Storage, file.display(), &error)
            .hint("--directory-ca names a file of certificates in PEM")
    })?;
    let url = url.with_ca(pem);
    url.map(Some)
        .map_err(|error| Failure::caused(Exit::Usage, file.display(), &error))
}

fn named(path: &Path) -> Option<std::path::PathBuf> {
    (!path.as_os_str().is_empty()).then(|| path.to_owned())
}

fn server_options(args: &ControlArgs, config: &ControlSection) -> Result<ServerOptions, Failure> {
    let files = args.tls_cert.clone().zip(args.tls_key.clone());
    let configured = named(&config.tls_cert).zip(named(&config.tls_key));
    let files = files.or(configured);
    let tls = files.map(|(certificates, key)| TlsFiles { certificates, key }.server_config());
    Ok(ServerOptions {
        listen: match args.listen.is_empty() {
            true => config.listen.clone(),
            false => args.listen.clone(),
        },
        tls: tls.transpose().map_err(|error| failed(&error))?,
        routes: axum::Router::new(),
    })
}

/// Answers operators at an address of their own, until aborted.
pub(crate) async fn serve_operators(
    routes: axum::Router,
    address: SocketAddr,
) -> Result<(SocketAddr, tokio::task::JoinHandle<()>), Failure> {
    let cannot = |error: std::io::Error| {
        Failure::caused(Exit::Other, format!("cannot listen at {address}"), &error)
            .hint("--admin names another address for operators")
    };
    let listener = TcpListener::bind(address).await.map_err(cannot)?;
    let at = listener.local_addr().map_err(cannot)?;
    let serving = tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "operators are not answered any longer");
        }
    });
    Ok((at, serving))
}

/// Sends everybody elsewhere, and waits until they went or the time is over.
async fn drain(node: &ControlNode, within: Duration, console: &Console) {
    node.close_door();
    let here = move |core: &mut peerlift_control::Rendezvous, now| {
        core.handle(peerlift_control::Event::Drain { within }, now);
        core.sessions()
    };
    let mut sessions = node.visit(here).await.unwrap_or(0);
    if sessions > 0 {
        console.say(format_args!("sending {sessions} clients elsewhere"));
    }
    let deadline = Instant::now() + within;
    while sessions > 0 && Instant::now() < deadline {
        sleep(DRAIN_LOOK_EVERY).await;
        let count = |core: &mut peerlift_control::Rendezvous, _| core.sessions();
        sessions = node.visit(count).await.unwrap_or(0);
    }
}

const DRAIN_LOOK_EVERY: Duration = Duration::from_millis(100);

/// A node needs a descriptor for each session; what the system allows at most is taken.
pub(crate) fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "few descriptors: some clients will be turned away");
    }
}

/// What is told once clients can come.
#[derive(Serialize)]
struct Ready {
    event: &'static str,
    listen: Vec<SocketAddr>,
    admin: SocketAddr,
    key: String,
}

impl Ready {
    fn tell(&self, console: &Console) -> Result<(), Failure> {
        if console.style() == Style::Json {
            return print_json(self);
        }
        let listen: Vec<String> = self.listen.iter().map(ToString::to_string).collect();
        console.say(format_args!("control node at {}", listen.join(" ")));
        console.say(format_args!("operators at {}", self.admin));
        Ok(())
    }
}

fn failed(error: &dyn std::error::Error) -> Failure {
    Failure::new(Exit::Other, one_line(error))
}
