//! Two ways to one peer, of which the better one has a head start (RFC 8305, "Happy Eyeballs").

use std::pin::pin;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How long QUIC waits for TCP when the peer may be reached by it (RFC 8305 §5 has the same): its
/// quicker start would cost more in every packet later.
const HEAD_START: Duration = Duration::from_millis(250);

/// How long it waits for the handshake of TLS once something has answered at TCP.
const HEAD_START_REACHED: Duration = Duration::from_secs(1);

/// Takes `better`, or `other` when it fails; or whichever is there first when it takes long. What
/// comes later is dropped. `reached` is cancelled when `better` has got halfway.
///
/// # Errors
///
/// That of `other` when both fail.
pub(super) async fn race<T, E: std::fmt::Display>(
    better: impl Future<Output = Result<T, E>>,
    reached: &CancellationToken,
    other: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let mut better = pin!(better);
    let mut other = pin!(other);
    tokio::select! {
        first = &mut better => match first {
            Ok(winner) => return Ok(winner),
            Err(error) => {
                tracing::debug!(%error, "the better way is closed");
                return other.await;
            }
        },
        () = head_start(reached) => {}
    }
    tokio::select! {
        first = &mut better => match first {
            Ok(winner) => Ok(winner),
            Err(_) => other.await,
        },
        first = &mut other => match first {
            Ok(winner) => Ok(winner),
            Err(error) => better.await.map_err(|_| error),
        },
    }
}

async fn head_start(reached: &CancellationToken) {
    tokio::select! {
        () = sleep(HEAD_START) => {}
        () = reached.cancelled() => sleep(HEAD_START_REACHED).await,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    type Way = Result<&'static str, &'static str>;

    async fn after(millis: u64, way: Way) -> Way {
        sleep(Duration::from_millis(millis)).await;
        way
    }

    fn never() -> impl Future<Output = Way> {
        pending()
    }

    #[tokio::test(start_paused = true)]
    async fn the_better_way_has_a_head_start() {
        let reached = CancellationToken::new();
        let won = race(after(249, Ok("better")), &reached, ready(Ok("other"))).await;
        assert_eq!(won, Ok("better"));
        let won = race(after(251, Ok("better")), &reached, ready(Ok("other"))).await;
        assert_eq!(won, Ok("other"));
    }

    #[tokio::test(start_paused = true)]
    async fn halfway_there_it_gets_more_time() {
        let reached = CancellationToken::new();
        let better = async {
            sleep(Duration::from_millis(200)).await;
            reached.cancel();
            after(900, Ok("better")).await
        };
        assert_eq!(
            race(better, &reached, ready(Ok("other"))).await,
            Ok("better")
        );
        let stuck = async {
            reached.cancel();
            never().await
        };
        assert_eq!(race(stuck, &reached, ready(Ok("other"))).await, Ok("other"));
    }

    #[tokio::test(start_paused = true)]
    async fn whichever_is_left_is_taken() {
        let reached = CancellationToken::new();
        for (better, other, won) in [
            (after(1, Err("better")), after(1, Ok("other")), Ok("other")),
            (
                after(900, Err("better")),
                after(900, Ok("other")),
                Ok("other"),
            ),
            (
                after(900, Ok("better")),
                after(1, Err("other")),
                Ok("better"),
            ),
            (
                after(900, Err("better")),
                after(1, Err("other")),
                Err("other"),
            ),
            (
                after(1, Err("better")),
                after(1, Err("other")),
                Err("other"),
            ),
        ] {
            assert_eq!(race(better, &reached, other).await, won);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_way_without_an_end_holds_up_nobody() {
        let reached = CancellationToken::new();
        assert_eq!(
            race(never(), &reached, after(1, Ok("other"))).await,
            Ok("other")
        );
        assert_eq!(
            race(after(900, Ok("better")), &reached, never()).await,
            Ok("better")
        );
    }
}
