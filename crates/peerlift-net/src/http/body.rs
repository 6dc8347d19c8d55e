//! The bytes of one answer, counted against what the server promised.

use bytes::Bytes;
use hyper_util::client::legacy::connect::HttpInfo;
use reqwest::Response;
use url::Url;

use super::HttpError;
#[cfg(target_os = "linux")]
use super::patience::{Patience, WAIT_MAX};
use crate::polite::{Downlink, Receiving};

/// A shorter answer is not worth looking for its socket: three packets.
#[cfg(target_os = "linux")]
const PATIENCE_FROM: u64 = 4096;

/// The body of one answer, read chunk by chunk. Dropping it abandons the connection.
#[derive(Debug)]
pub struct Body {
    response: Option<Response>,
    left: Option<u64>,
    /// `None`: each packet wakes.
    #[cfg(target_os = "linux")]
    patience: Option<Patience>,
    _receiving: Receiving,
}

impl Body {
    pub(super) fn new(response: Response, promised: Option<u64>, downlink: &Downlink) -> Self {
        let connection = response.extensions().get::<HttpInfo>();
        let ends = connection.map(|it| (it.local_addr(), it.remote_addr()));
        let receiving = ends.map(|(ours, theirs)| downlink.watch(ours, theirs));
        #[cfg(target_os = "linux")]
        let tls = response.url().scheme() == "https";
        Self {
            response: Some(response),
            left: promised,
            #[cfg(target_os = "linux")]
            patience: promised
                .filter(|promised| *promised >= PATIENCE_FROM && downlink.rate().is_none())
                .and(ends)
                .and_then(|(ours, theirs)| Patience::new(ours, theirs, tls)),
            _receiving: receiving.unwrap_or_default(),
        }
    }

    pub(super) fn empty() -> Self {
        Self {
            response: None,
            left: Some(0),
            #[cfg(target_os = "linux")]
            patience: None,
            _receiving: Receiving::default(),
        }
    }

    /// The bytes that are still to come, when the server said so.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        self.left
    }

    /// The next bytes, or `None` at the end. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`HttpError::Cut`] when fewer or more bytes come than were promised,
    /// [`HttpError::Silent`] and [`HttpError::Broken`] when the connection fails.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        let Some(response) = &mut self.response else {
            return Ok(None);
        };
        let url = response.url().clone();
        let next = response.chunk();
        #[cfg(target_os = "linux")]
        let next = patiently(&mut self.patience, next);
        let chunk = next
            .await
            .map_err(|error| HttpError::of_body(error, &url))?;
        match (&chunk, &mut self.left) {
            (Some(chunk), Some(left)) => {
                *left = left
                    .checked_sub(chunk.len() as u64)
                    .ok_or_else(|| cut(url))?;
            }
            (None, Some(left)) if *left > 0 => return Err(cut(url)),
            (Some(_) | None, _) => {}
        }
        #[cfg(target_os = "linux")]
        if let (Some(patience), Some(left)) = (&mut self.patience, self.left) {
            patience.came(left);
        }
        Ok(chunk)
    }
}

/// Waits for what comes next until patience is lost, and then for whatever comes.
#[cfg(target_os = "linux")]
async fn patiently<T>(patience: &mut Option<Patience>, next: impl Future<Output = T>) -> T {
    let mut next = std::pin::pin!(next);
    if let Some(patience) = patience {
        match tokio::time::timeout(WAIT_MAX, &mut next).await {
            Ok(come) => return come,
            Err(_) => patience.lose(),
        }
    }
    next.await
}

fn cut(url: Url) -> HttpError {
    HttpError::Cut { url }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn what_stays_less_than_a_group_comes_through() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap());
        let (ours, theirs) = tokio::join!(ours, listener.accept());
        let (mut ours, mut theirs) = (ours.unwrap(), theirs.unwrap().0);
        let (here, there) = (ours.local_addr().unwrap(), ours.peer_addr().unwrap());
        let mut patience = Patience::new(here, there, false);
        for length in [1, 100, 5000] {
            patience.as_mut().unwrap().came(1 << 20);
            theirs.write_all(&vec![7; length]).await.unwrap();
            let mut bytes = vec![0; length];
            patiently(&mut patience, ours.read_exact(&mut bytes))
                .await
                .unwrap();
        }
    }
}
