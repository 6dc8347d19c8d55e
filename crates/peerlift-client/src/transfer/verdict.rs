//! What a failed fetch says of its edge, and what the user is told.

use peerlift_net::http::HttpError;
use peerlift_swarm::Fault;

use crate::error::DownloadError;
use crate::fetch_edge::FetchFault;

/// What a failed fetch means for its edge.
pub(crate) enum Verdict {
    /// The core decides.
    Fault(Fault),
    /// Asking again is pointless.
    Gone,
}

/// What a fault means for its edge, and how it is told.
pub(crate) fn judge(fault: FetchFault) -> (Verdict, DownloadError) {
    match fault {
        FetchFault::Corrupt(url) => (
            Verdict::Fault(Fault::Corrupt),
            DownloadError::Corrupt { url },
        ),
        FetchFault::CorruptOutboard(url) => (
            Verdict::Fault(Fault::Corrupt),
            DownloadError::CorruptOutboard { url },
        ),
        FetchFault::Storage(error) => (Verdict::Gone, error.into()),
        FetchFault::Http(error) => (judge_http(&error), error.into()),
    }
}

fn judge_http(error: &HttpError) -> Verdict {
    match error {
        HttpError::Status { .. } if error.is_transient() => Verdict::Fault(Fault::Busy),
        HttpError::Silent { .. } => Verdict::Fault(Fault::Timeout),
        error if error.is_transient() => Verdict::Fault(Fault::Closed),
        HttpError::Setup(_)
        | HttpError::Token { .. }
        | HttpError::Status { .. }
        | HttpError::Resolve { .. }
        | HttpError::Connect { .. }
        | HttpError::Tls { .. }
        | HttpError::Redirects { .. }
        | HttpError::Broken { .. }
        | HttpError::Cut { .. }
        | HttpError::Changed { .. }
        | HttpError::NoRanges { .. }
        | HttpError::Nonsense { .. }
        | HttpError::TooLarge { .. }
        | _ => Verdict::Gone,
    }
}
