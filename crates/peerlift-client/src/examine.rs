//! Looks at what a download would meet: the server, the control nodes, the NAT. It downloads nothing,
//! lets nobody in, and asks only whom a download of the same URL would ask.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use http::HeaderMap;
use peerlift_model::NatClass;
use peerlift_net::control::{ControlEvent, ControlSession, Identity};
use peerlift_net::peer::{PeerNode, PeerNodeConfig, is_own};
use serde::Serialize;
use tokio::time::timeout;
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
        /// Whether everybody sees the same port, so that others know where to send to, as two relays
        /// tell; `None`: there were no two that could.
        same_port: Option<bool>,
    },
    /// It is behind a NAT, and two relays that answer by TCP do not by UDP.
    Blocked,
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
    let answer = timeout(PATIENCE, first).await;
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
    let told = if relays.is_empty() {
        Told::default()
    } else {
        ask(relays, observed).await.unwrap_or_default()
    };
    judge(told, observed, is_own)
}

/// What relays tell of this machine's UDP.
#[derive(Clone, Copy, Default)]
struct Told {
    /// The address that one sees, and whether its port is the socket's.
    mapped: Option<(IpAddr, bool)>,
    /// What two of them see together.
    class: NatClass,
}

async fn ask(
    relays: Vec<peerlift_net::peer::RelayConfig>,
    observed: Option<IpAddr>,
) -> Option<Told> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).ok()?;
    let config = PeerNodeConfig {
        secret,
        relays,
        accept: false,
        uplink: Uploads::unlimited().uplink().clone(),
    };
    let node = PeerNode::bind(config).await.ok()?;
    let foreign = async {
        loop {
            let direct = node.address().direct;
            if let Some(foreign) = direct.iter().find(|address| !is_own(address.ip())) {
                return *foreign;
            }
            node.address_changed().await;
        }
    };
    let class = async {
        while node.can_tell_nat() && node.nat(observed) == NatClass::Unknown {
            node.looked_at().await;
        }
    };
    // Whoever has not told by then leaves it unknown.
    let (foreign, _) = tokio::join!(timeout(PATIENCE, foreign), timeout(PATIENCE, class));
    let own_ports: Vec<u16> = node.sockets().iter().map(SocketAddr::port).collect();
    let told = Told {
        mapped: { foreign.ok() }.map(|seen| (seen.ip(), own_ports.contains(&seen.port()))),
        class: node.nat(observed),
    };
    node.close().await;
    Some(told)
}

fn judge(told: Told, observed: Option<IpAddr>, is_own: impl Fn(IpAddr) -> bool) -> Outside {
    let same_port = match told.class {
        NatClass::Easy => Some(true),
        NatClass::Hard => Some(false),
        NatClass::Open | NatClass::Blocked | NatClass::Unknown => None,
    };
    match (told.mapped, observed) {
        (Some((_, keeps_port)), _) => Outside::Behind {
            keeps_port,
            same_port,
        },
        (None, Some(observed)) if is_own(observed) => Outside::Open,
        (None, _) if told.class == NatClass::Blocked => Outside::Blocked,
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
        let judge =
            |mapped, class, seen| judge(Told { mapped, class }, seen, |address| address == OWN);
        let behind = |keeps_port, same_port| Outside::Behind {
            keeps_port,
            same_port,
        };
        let (kept, other) = (Some((PUBLIC, true)), Some((PUBLIC, false)));
        let one_relay = judge(kept, NatClass::Unknown, Some(PUBLIC));
        assert_eq!(one_relay, behind(true, None));
        for (class, same) in [(NatClass::Easy, true), (NatClass::Hard, false)] {
            assert_eq!(judge(other, class, Some(PUBLIC)), behind(false, Some(same)));
        }
        assert_eq!(judge(None, NatClass::Open, Some(OWN)), Outside::Open);
        assert_eq!(
            judge(None, NatClass::Blocked, Some(PUBLIC)),
            Outside::Blocked
        );
        assert_eq!(
            judge(None, NatClass::Unknown, Some(PUBLIC)),
            Outside::Untold
        );
        assert_eq!(judge(None, NatClass::Unknown, None), Outside::Unknown);
    }
}
