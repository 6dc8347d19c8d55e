//! Requests and their answers.

use bytes::Bytes;
use peerlift_model::Height;
use peerlift_net::peer::PeerLinkError;
use peerlift_wire::peer::{RangeRequest, RangeStatus};

use crate::{BOTH, ask, ask_for, met, misbehaved, request, within};

#[tokio::test]
async fn ranges_flow_both_ways_however_long() {
    for over in BOTH {
        let (dialling, listening) = met(over).await;
        // More than all windows together hold.
        let bytes = Bytes::from((0..=250).cycle().take(9_000_000).collect::<Vec<u8>>());
        for (asker, asked) in [(&dialling, &listening), (&listening, &dialling)] {
            let (answer, reply) = ask(asker, asked, async |mut reply| {
                reply.accept(request()).await.unwrap();
                Some(reply)
            })
            .await;
            let (mut answer, mut reply) = (answer.unwrap(), reply.unwrap());
            assert_eq!(answer.status(), RangeStatus::Ok);
            let mut got = vec![0; bytes.len()];
            let sending = async {
                for piece in bytes.chunks(1_000_000) {
                    reply.send(bytes.slice_ref(piece)).await.unwrap();
                }
                reply.finish().await.unwrap();
            };
            let (read, ()) =
                within(async { tokio::join!(answer.read_exact(&mut got), sending) }).await;
            assert_eq!(read, Ok(()));
            assert!(got == bytes);
        }
    }
}

#[tokio::test]
async fn a_proof_begins_at_the_height_that_was_asked_for() {
    for over in BOTH {
        let (dialling, listening) = met(over).await;
        let from_height = RangeRequest {
            from_height: Height::GROUP,
            ..request()
        };
        // Who answers one request as if it were another: first those who know the height, then a peer
        // that does not, and then one that was not asked to leave anything out.
        for (asked, answered, status) in [
            (request(), request(), Some(RangeStatus::Ok)),
            (from_height, from_height, Some(RangeStatus::OkFromHeight)),
            (from_height, request(), Some(RangeStatus::Ok)),
            (request(), from_height, None),
        ] {
            let (answer, _) = ask_for(asked, &dialling, &listening, async |mut reply| {
                reply.accept(answered).await.unwrap();
                Some(reply)
            })
            .await;
            match status {
                Some(status) => assert_eq!(answer.unwrap().status(), status),
                None => misbehaved(answer),
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_says_why_and_nothing_more() {
    for over in BOTH {
        let (dialling, listening) = met(over).await;
        for status in [
            RangeStatus::NotHere,
            RangeStatus::Refused,
            RangeStatus::Busy,
        ] {
            let (answer, _) = ask(&dialling, &listening, async |reply| {
                reply.refuse(status).await.unwrap();
                None
            })
            .await;
            let mut answer = answer.unwrap();
            assert_eq!(answer.status(), status);
            misbehaved(within(answer.read_exact(&mut [0; 1])).await);
        }
    }
}

#[tokio::test]
async fn an_answer_given_up_is_never_taken_for_a_short_one() {
    for over in BOTH {
        let (dialling, listening) = met(over).await;
        let (answer, _) = ask(&dialling, &listening, async |_| None).await;
        assert_eq!(answer.unwrap_err(), PeerLinkError::Closed);

        let (answer, reply) = ask(&dialling, &listening, async |mut reply| {
            reply.accept(request()).await.unwrap();
            Some(reply)
        })
        .await;
        let (mut answer, mut reply) = (answer.unwrap(), reply.unwrap());
        reply.send(Bytes::from_static(&[7; 1000])).await.unwrap();
        let mut got = [0; 10];
        assert_eq!(within(answer.read_exact(&mut got)).await, Ok(()));
        assert_eq!(got, [7; 10]);
        drop(reply);
        assert_eq!(
            within(answer.read_exact(&mut [0; 2000])).await,
            Err(PeerLinkError::Closed)
        );
    }
}

#[tokio::test]
async fn an_answer_that_ends_too_early_is_the_peers_fault() {
    for over in BOTH {
        let (dialling, listening) = met(over).await;
        let (answer, _) = ask(&dialling, &listening, async |reply| {
            reply.finish().await.unwrap();
            None
        })
        .await;
        misbehaved(answer);

        let (answer, _) = ask(&dialling, &listening, async |mut reply| {
            reply.accept(request()).await.unwrap();
            reply.send(Bytes::from_static(&[7; 10])).await.unwrap();
            reply.finish().await.unwrap();
            None
        })
        .await;
        misbehaved(within(answer.unwrap().read_exact(&mut [0; 11])).await);
    }
}

#[tokio::test]
async fn who_no_longer_wants_an_answer_gets_no_more_of_it() {
    for over in BOTH {
        let (dialling, listening) = met(over).await;
        let (answer, reply) = ask(&dialling, &listening, async |mut reply| {
            reply.accept(request()).await.unwrap();
            Some(reply)
        })
        .await;
        drop(answer);
        let mut reply = reply.unwrap();
        let sending = async {
            loop {
                if let Err(error) = reply.send(Bytes::from_static(&[7; 100_000])).await {
                    return error;
                }
            }
        };
        assert_eq!(within(sending).await, PeerLinkError::Closed);
        // The link is none the worse for it.
        let (answer, _) = ask(&dialling, &listening, async |reply| {
            reply.refuse(RangeStatus::Busy).await.unwrap();
            None
        })
        .await;
        assert_eq!(answer.unwrap().status(), RangeStatus::Busy);
    }
}
