//! The first contact: with which client, and which of the URLs answers.

use std::sync::Arc;

use http::HeaderMap;
use peerlift_net::http::{HttpClient, HttpOptions};
use peerlift_net::token::Wallet;
use url::Url;

use crate::client::Shared;
use crate::error::DownloadError;
use crate::manifest::{self, Contact};

/// Contacts the URLs in their order until one answers; when none does, the first one's error says
/// why.
pub(crate) async fn contact_any(
    http: &HttpClient,
    urls: &[Url],
    mut warn: impl FnMut(&DownloadError),
) -> Result<(Url, Contact), DownloadError> {
    let mut first_error = None;
    for url in urls {
        match manifest::contact(http, url).await {
            Ok(contact) => return Ok((url.clone(), contact)),
            Err(error) => {
                warn(&error);
                first_error.get_or_insert(error);
            }
        }
    }
    Err(first_error.unwrap_or_else(|| DownloadError::Usage("no URL given".to_owned())))
}

/// The client for mirrors whose origins get the user's headers.
pub(crate) fn http_client(
    shared: &Shared,
    urls: &[Url],
    headers: &HeaderMap,
    wallet: Option<Arc<Wallet>>,
) -> Result<HttpClient, DownloadError> {
    if let Some(url) = urls
        .iter()
        .find(|url| !matches!(url.scheme(), "http" | "https"))
    {
        return Err(DownloadError::Usage(format!(
            "{url}: only http and https can be fetched"
        )));
    }
    Ok(HttpClient::new(HttpOptions {
        user_agent: shared.config.user_agent.clone(),
        headers: headers.clone(),
        header_origins: urls.iter().map(Url::origin).collect(),
        wallet,
        token_origins: Vec::new(),
    })?)
}
