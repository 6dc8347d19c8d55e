use ed25519_dalek::SigningKey;
use peerlift_wire::ticket::{CLOCK_SKEW_S, TICKET_LIFE_S};

use super::*;
use crate::uploads::Uploads;

const CONTROL: &str = "ws://127.0.0.1:9/";
const FROM: PeerId = PeerId::new([1; 32]);
const OBJECT: ObjectId = ObjectId::new([3; 32]);

/// A control node whose clock says so has let the client in.
async fn connect(hub: &Arc<Hub>, node: &SigningKey, time: u64) {
    let url: Url = CONTROL.parse().unwrap();
    let (identity, stop) = (hub.identity.clone(), hub.stop.clone());
    let (session, _nothing) = ControlSession::start(url, identity, &hub.tasks, stop);
    let (said, events) = mpsc::channel(1);
    let connected = ControlEvent::Connected {
        observed: None,
        ticket_keys: vec![node.verifying_key().to_bytes()],
        time,
    };
    said.send(connected).await.unwrap();
    drop(said);
    Arc::clone(hub)
        .listen(CONTROL.to_owned(), session, events)
        .await;
}

#[tokio::test]
async fn tickets_are_judged_by_the_clock_of_the_control_nodes() {
    let uplink = Uploads::unlimited().uplink().clone();
    let hub = Hub::start(true, Vec::new(), uplink).await.unwrap();
    let node = SigningKey::from_bytes(&[7; 32]);
    for ahead in [86_400, -86_400] {
        let theirs = unix_now().saturating_add_signed(ahead);
        let ticket = Ticket {
            from: FROM,
            to: hub.node.id(),
            object: OBJECT,
            issued: theirs,
            expires: theirs + TICKET_LIFE_S,
        };
        let signed = ticket.sign(&node);
        let is_admitted = || hub.admits(signed.clone(), FROM, OBJECT);
        connect(&hub, &node, unix_now()).await;
        assert!(!is_admitted(), "{ahead} s from now by both clocks");
        connect(&hub, &node, theirs).await;
        assert!(is_admitted(), "a clock that is {ahead} s ahead");
        connect(&hub, &node, theirs + TICKET_LIFE_S + 2 * CLOCK_SKEW_S).await;
        assert!(!is_admitted(), "it is over");
    }
    hub.close().await;
}
