//! One asker and one answerer over loopback, without a plan.

use bytes::Bytes;
use peerlift_content::{HashOptions, hash_file};
use peerlift_model::Layout;
use peerlift_net::http::{HttpClient, HttpOptions};
use peerlift_net::peer::{Asked, PeerNode, PeerNodeConfig};
use peerlift_net::polite::Uplink;
use peerlift_store::CompleteObject;
use peerlift_swarm::ServeId;
use peerlift_wire::PeerAddress;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;
use crate::limiter::Limiter;
use crate::serve;
use crate::storage::Storage;
use crate::uploads::Uploads;

/// Twelve groups and five bytes: twelve parents.
const SIZE: u64 = 12 * 16_384 + 5;

/// How requests are answered.
#[derive(Clone, Copy)]
enum Way {
    /// As a client does.
    Served,
    /// As by somebody who does not know that proofs can be cut.
    Whole,
    /// With what was asked for, but for the last bit.
    Lie,
}

/// An object that one side has and the other wants.
struct Scene {
    folder: TempDir,
    object: ObjectId,
    layout: Layout,
    link: PeerLink,
    asker: Arc<Context>,
    _inputs: mpsc::Receiver<Input>,
    answerer: Arc<Context>,
    served: mpsc::Receiver<Input>,
    _answering: JoinHandle<()>,
    _node: PeerNode,
}

impl Scene {
    async fn new(way: Way) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (path, outboard) = (folder.path().join("whole"), folder.path().join("outboard"));
        let bytes: Vec<u8> = (0..SIZE)
            .map(|at| (at / 7 + at / 16_384).to_le_bytes()[0])
            .collect();
        std::fs::write(&path, bytes).unwrap();
        let file = std::fs::File::create(&outboard).unwrap();
        let hashed = hash_file(&path, Some(&file), HashOptions::default(), &|_| ()).unwrap();
        let (object, layout) = (hashed.root, hashed.layout);
        let whole = CompleteObject::open(&path, &outboard, object, layout).unwrap();
        let part = Storage::verified(&folder.path().join("part"), object, layout, false);
        let (asker, inputs) = context(layout, part.unwrap());
        let (answerer, served) = context(layout, Storage::Complete(whole));
        let (nodes, [link, there]) = linked().await;
        let [node, other] = nodes;
        let context = Arc::clone(&answerer);
        let answering = tokio::spawn(async move {
            let _node = other;
            let _control = there.control().await;
            while let Ok(asked) = there.asked().await {
                answer(&context, object, way, asked).await;
            }
        });
        Self {
            folder,
            object,
            layout,
            link,
            asker,
            _inputs: inputs,
            answerer,
            served,
            _answering: answering,
            _node: node,
        }
    }

    /// Fetches a range; gives what of the answer was no content.
    async fn fetch(&mut self, groups: GroupRange) -> Result<u64, PeerFault> {
        let (context, link) = (Arc::clone(&self.asker), self.link.clone());
        fetch(context, link, self.object, RequestId(1), groups).await?;
        // Whoever answers ends with a word of its own, so that all of its bytes are counted by then.
        let mut sent = 0;
        loop {
            match self.served.recv().await {
                Some(Input::Served { bytes, .. }) => sent += bytes,
                Some(Input::ServeEnded { .. }) => break,
                other => panic!("{other:?}"),
            }
        }
        Ok(sent - self.layout.bytes_of(groups).len())
    }

    fn assert_complete(&self) {
        self.asker.storage.commit().unwrap();
        let read = |name: &str| std::fs::read(self.folder.path().join(name)).unwrap();
        assert!(read("part") == read("whole"));
    }
}

fn context(layout: Layout, storage: Storage) -> (Arc<Context>, mpsc::Receiver<Input>) {
    let unlimited = || Arc::new(Limiter::new(None));
    Context::new(
        HttpClient::new(HttpOptions::default()).unwrap(),
        layout,
        storage,
        unlimited(),
        peerlift_net::polite::Downlink::plain(),
        unlimited(),
        Uploads::unlimited(),
    )
}

/// Two nodes that are connected.
async fn linked() -> ([PeerNode; 2], [PeerLink; 2]) {
    let node = |seed| {
        PeerNode::bind(PeerNodeConfig {
            secret: [seed; 32],
            relays: Vec::new(),
            accept: true,
            uplink: Uplink::plain(),
        })
    };
    let (one, other) = (node(1).await.unwrap(), node(2).await.unwrap());
    let sockets = other.sockets();
    let port = sockets.iter().find(|it| it.is_ipv4()).unwrap().port();
    let place = PeerAddress {
        direct: vec![(std::net::Ipv4Addr::LOCALHOST, port).into()],
        relay: None,
        tcp_port: other.tcp_port(),
    };
    let (link, there) = tokio::join!(one.connect(other.id(), &place), async {
        other.accept().await.unwrap().link().await
    });
    let link = link.unwrap();
    let (mut control, _) = link.control().await.unwrap();
    control
        .send(&peerlift_wire::peer::PeerMessage::Unchoke)
        .await
        .unwrap();
    ([one, other], [link, there.unwrap()])
}

async fn answer(context: &Arc<Context>, object: ObjectId, way: Way, asked: Asked) {
    let (serve, mut reply) = (ServeId(1), asked.reply);
    match way {
        Way::Served => serve::send(context, object, serve, asked.request, reply).await,
        Way::Whole => {
            let request = RangeRequest::whole(asked.request.groups);
            serve::send(context, object, serve, request, reply).await;
        }
        Way::Lie => {
            let RangeRequest {
                groups,
                from_height,
            } = asked.request;
            let mut bytes = context
                .storage
                .encode(groups, from_height)
                .unwrap()
                .to_vec();
            *bytes.last_mut().unwrap() ^= 1;
            reply.accept(asked.request).await.unwrap();
            // Whoever notices in the middle reads no more.
            let _ = reply.send(Bytes::from(bytes)).await;
            let _ = reply.finish().await;
        }
    }
    context.tell(Input::ServeEnded { serve }).await;
}

#[tokio::test]
async fn no_parent_comes_twice() {
    let mut scene = Scene::new(Way::Served).await;
    let mut proofs = Vec::new();
    for group in [12, 0, 1, 2, 3, 8, 4, 5, 6, 7, 9, 10, 11] {
        proofs.push(
            scene
                .fetch(GroupRange::new(group, group + 1))
                .await
                .unwrap()
                / 64,
        );
    }
    assert_eq!(proofs, [2, 3, 0, 1, 0, 2, 2, 0, 1, 0, 0, 1, 0]);
    scene.assert_complete();
}

#[tokio::test]
async fn a_peer_that_sends_all_of_a_proof_is_understood() {
    let mut scene = Scene::new(Way::Whole).await;
    for group in 0..13 {
        let proof = scene
            .fetch(GroupRange::new(group, group + 1))
            .await
            .unwrap();
        assert_eq!(
            proof,
            64 * [4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 2][group as usize]
        );
    }
    scene.assert_complete();
}

#[tokio::test]
async fn a_lie_beneath_what_is_known_is_found() {
    let mut scene = Scene::new(Way::Lie).await;
    for group in [5, 4] {
        let result = scene.fetch(GroupRange::new(group, group + 1)).await;
        assert!(matches!(result, Err(PeerFault::Corrupt)), "{result:?}");
        assert!(scene.asker.storage.have().is_empty());
    }
    // The second lie was told to somebody who knew all parents by then.
    let footing = scene.asker.storage.footing(GroupRange::new(4, 5));
    assert_eq!(footing.unwrap().unwrap().height(), Height::GROUP);
    assert_eq!(scene.answerer.received_total(), 0);
}
