//! Peers that know of one another no more than a relay, and addresses that others see.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use iroh_relay::server::{RelayConfig as ServedRelay, Server, ServerConfig};
use peerlift_net::peer::{Path, PeerNode, PeerNodeConfig, RelayConfig};
use peerlift_wire::PeerAddress;
use peerlift_wire::peer::RangeStatus;
use tokio::time::{Instant, sleep};

use crate::{DIALLER, LISTENER, TOO_LONG, ask, config, dial, listen, node, within};

async fn relay() -> (Server, RelayConfig) {
    let mut config = ServerConfig::default();
    config.relay = Some(ServedRelay::new((Ipv4Addr::LOCALHOST, 0)));
    let server = Server::spawn(config).await.unwrap();
    let url = format!("http://{}/", server.http_addr().unwrap());
    let config = RelayConfig {
        url,
        quic_port: None,
    };
    (server, config)
}

async fn relayed(seed: u8, relay: &RelayConfig) -> PeerNode {
    let node = PeerNode::bind(PeerNodeConfig {
        relays: vec![relay.clone()],
        ..config(seed)
    })
    .await
    .unwrap();
    within(async {
        while node.address().relay.is_none() {
            node.address_changed().await;
        }
    })
    .await;
    node
}

#[tokio::test]
async fn peers_that_know_only_a_relay_find_the_direct_way() {
    let (_server, relay) = relay().await;
    let (dialler, listener) = (
        relayed(DIALLER, &relay).await,
        relayed(LISTENER, &relay).await,
    );
    let place = PeerAddress {
        direct: Vec::new(),
        relay: listener.address().relay,
        tcp_port: None,
    };
    assert_eq!(place.relay.as_ref(), Some(&relay.url));
    let (dialling, listening) =
        within(async { tokio::join!(dial(dialler, listener.id(), &place), listen(listener)) })
            .await;
    for link in [&dialling.link, &listening.link] {
        let deadline = Instant::now() + TOO_LONG;
        while link.path() != Path::Direct {
            assert!(
                Instant::now() < deadline,
                "the path stays {:?}",
                link.path()
            );
            sleep(Duration::from_millis(10)).await;
        }
    }
    let (answer, _) = ask(&dialling, &listening, async |reply| {
        reply.refuse(RangeStatus::NotHere).await.unwrap();
        None
    })
    .await;
    assert_eq!(answer.unwrap().status(), RangeStatus::NotHere);
}

#[tokio::test]
async fn addresses_seen_by_others_are_passed_on() {
    let node = node(LISTENER).await;
    let seen: SocketAddr = "192.0.2.7:4433".parse().unwrap();
    node.add_external_address(seen).await;
    within(async {
        while !node.address().direct.contains(&seen) {
            node.address_changed().await;
        }
    })
    .await;
}
