//! Looks at what a download would meet: the server, the control nodes, the NAT. It downloads nothing,
//! lets nobody in, and asks only whom a download of the same URL would ask.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use http::HeaderMap;
use peerlift_net::control::{ControlEvent, ControlSession, Identity};
use peerlift_net::peer::{PeerNode, PeerNodeConfig, is_own};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::client::Client;
use crate::error::DownloadError;
use crate::hub::unix_now;
use crate::peers::{CONTROLS_MAX, relays};
use crate::uploads::Uploads;

/// How long a control node or a relay is waited for: a slow line takes a second or two.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a download of a URL would meet.
#[derive(Clone, Debug, Serialize)]
pub struct Examination {
    /// Milliseconds until the server had answered and its manifest was checked.
    pub edge_ms: u64,
    /// The publisher's name for itself; `None`: nobody signed the file.
    pub publisher: Option<String>,
    /// The control nodes that the manifest names.
    pub controls: Vec<ControlSight>,
    /// This machine as others see it; `None`: the publisher lets nobody share.
    pub outside: Option<Outside>,
}

/// One control node.
#[derive(Clone, Debug, Serialize)]
pub struct ControlSight {
    /// Where it is.
    pub url: String,
    /// Why it cannot be used; `None`: it can.
    pub fault: Option<String>,
    /// Seconds that its clock is ahead of this machine's.
    pub clock_ahead_s: Option<i64>,
}

/// This machine as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "nat")]
#[non_exhaustive]
pub enum Outside {
    /// Its address is its own: no NAT.
    Open,
    /// It is behind a NAT, through which UDP goes.
    Behind {
        /// Whether the NAT keeps port numbers, which makes meeting easier.
        keeps_port: bool,
    },
    /// It is behind a NAT, and nobody could tell whether UDP gets out: no relay answered by UDP.
    Untold,
    /// There is neither a control node nor a relay to say.
    Unknown,
}

impl Client {
    /// Looks at what a download of `url` would meet, within some ten seconds.
    ///
    /// # Errors
    ///
    /// A [`DownloadError`] when the server does not answer, or the manifest cannot be used.
    pub async fn examine(&self, url: &Url) -> Result<Examination, DownloadError> {
        let began = Instant::now();
        let urls = [url.clone()];
        let found = self.find_manifest(&urls, &HeaderMap::new(), None).await?;
        let edge_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let Some(found) = found else {
            return Ok(Examination {
                edge_ms,
                publisher: None,
                controls: Vec::new(),
                outside: None,
            });
        };
        let about = &found.signed.manifest;
        let mut examination = Examination {
            edge_ms,
            publisher: Some(about.publisher_name.clone()),
            controls: Vec::new(),
            outside: None,
        };
        if !about.policy.peers {
            return Ok(examination);
        }
        let mut observed = None;
        let nodes = about.control.iter();
        let nodes = nodes.filter_map(|reference| found.url.join(reference).ok());
        for node in nodes.take(CONTROLS_MAX) {
            let (sight, address) = control(node).await;
            observed = observed.or(address);
            examination.controls.push(sight);
        }
        examination.outside = Some(outside(relays(about, &found.url), observed).await);
        Ok(examination)
    }
}

/// Logs in under a key of its own, and leaves.
async fn control(url: Url) -> (ControlSight, Option<IpAddr>) {
    let mut sight = ControlSight {
        url: url.to_string(),
        fault: None,
        clock_ahead_s: None,
    };
    let mut key_seed = [0; 32];
    if let Err(error) = getrandom::fill(&mut key_seed) {
        sight.fault = Some(error.to_string());
        return (sight, None);
    }
    let identity = Identity {
        key_seed,
        agent: concat!("peerlift/", env!("CARGO_PKG_VERSION")).to_owned(),
        share: false,
    };
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let (session, mut events) = ControlSession::start(url, identity, &tasks, stop.clone());
    let first = async {
        loop {
            match events.recv().await {
                Some(ControlEvent::Connected { observed, time, .. }) => {
                    return Ok((observed, time));
                }
                Some(ControlEvent::Lost { error, .. }) => return Err(error.to_string()),
                Some(_) => {}
                None => return Err("the session ended".to_owned()),
            }
        }
    };
    let answer = tokio::time::timeout(PATIENCE, first).await;
    drop(session);
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    match answer.unwrap_or_else(|_| Err("it does not answer".to_owned())) {
        Ok((observed, time)) => {
            let ahead = i128::from(time) - i128::from(unix_now());
            sight.clock_ahead_s = i64::try_from(ahead).ok();
            (sight, observed)
        }
        Err(fault) => {
            sight.fault = Some(fault);
            (sight, None)
        }
    }
}

/// Asks the relays what this machine looks like, from a socket that lets nobody in.
async fn outside(
    relays: Vec<peerlift_net::peer::RelayConfig>,
    observed: Option<IpAddr>,
) -> Outside {
    let told_by_udp = if relays.is_empty() {
        None
    } else {
        mapped(relays).await
    };
    judge(told_by_udp, observed, is_own)
}

/// The address that a relay sees UDP come from, and whether its port is the socket's.
async fn mapped(relays: Vec<peerlift_net::peer::RelayConfig>) -> Option<(IpAddr, bool)> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).ok()?;
    let config = PeerNodeConfig {
        secret,
        relays,
        accept: false,
        uplink: Uploads::unlimited().uplink().clone(),
    };
    let node = PeerNode::bind(config).await.ok()?;
    let found = async {
        loop {
            let direct = node.address().direct;
            if let Some(foreign) = direct.iter().find(|address| !is_own(address.ip())) {
                return *foreign;
            }
            node.address_changed().await;
        }
    };
    let found: Option<SocketAddr> = tokio::time::timeout(PATIENCE, found).await.ok();
    let own_ports: Vec<u16> = node.sockets().iter().map(SocketAddr::port).collect();
    node.close().await;
    found.map(|address| (address.ip(), own_ports.contains(&address.port())))
}

fn judge(
    told_by_udp: Option<(IpAddr, bool)>,
    observed: Option<IpAddr>,
    is_own: impl Fn(IpAddr) -> bool,
) -> Outside {
    match (told_by_udp, observed) {
        (Some((_, keeps_port)), _) => Outside::Behind { keeps_port },
        (None, Some(observed)) if is_own(observed) => Outside::Open,
        (None, Some(_)) => Outside::Untold,
        (None, None) => Outside::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
    const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

    #[test]
    fn what_others_see_tells_the_nat() {
        let judge = |udp, seen| judge(udp, seen, |address| address == OWN);
        assert_eq!(
            judge(Some((PUBLIC, true)), Some(PUBLIC)),
            Outside::Behind { keeps_port: true }
        );
        assert_eq!(judge(None, Some(OWN)), Outside::Open);
        assert_eq!(judge(None, Some(PUBLIC)), Outside::Untold);
        assert_eq!(judge(None, None), Outside::Unknown);
    }
}
