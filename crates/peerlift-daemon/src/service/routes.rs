//! The table of the local API's routes, which the committed OpenAPI document is checked against.

use axum::http::{Method, StatusCode};

use super::http::Refusal;

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Status,
    Stop,
    Downloads,
    Add,
    Download,
    Remove,
    Pause,
    Resume,
    SetPriority,
    SetForeground,
    PauseAll,
    ResumeAll,
    Sharing,
    PauseSharing,
    ResumeSharing,
    Consents,
    Agree,
    Questions,
    Applications,
    Register,
    Release,
    Activity,
    Why,
    OpenPort,
    Settings,
    ChangeSettings,
    RemoveAll,
}

/// One route of the API.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The method.
    pub method: &'static str,
    /// The path; `{…}` stands for one part of it.
    pub path: &'static str,
    action: Action,
}

const fn route(method: &'static str, path: &'static str, action: Action) -> Route {
    Route {
        method,
        path,
        action,
    }
}

/// All routes.
pub const ROUTES: &[Route] = &[
    route("GET", "/v1/status", Action::Status),
    route("POST", "/v1/stop", Action::Stop),
    route("GET", "/v1/downloads", Action::Downloads),
    route("POST", "/v1/downloads", Action::Add),
    route("GET", "/v1/downloads/{id}", Action::Download),
    route("DELETE", "/v1/downloads/{id}", Action::Remove),
    route("POST", "/v1/downloads/{id}/pause", Action::Pause),
    route("POST", "/v1/downloads/{id}/resume", Action::Resume),
    route("PUT", "/v1/downloads/{id}/priority", Action::SetPriority),
    route(
        "PUT",
        "/v1/downloads/{id}/foreground",
        Action::SetForeground,
    ),
    route("POST", "/v1/pause", Action::PauseAll),
    route("POST", "/v1/resume", Action::ResumeAll),
    route("GET", "/v1/sharing", Action::Sharing),
    route("POST", "/v1/sharing/pause", Action::PauseSharing),
    route("POST", "/v1/sharing/resume", Action::ResumeSharing),
    route("GET", "/v1/consents", Action::Consents),
    route("PUT", "/v1/consents/{publisher}", Action::Agree),
    route("GET", "/v1/questions", Action::Questions),
    route("GET", "/v1/applications", Action::Applications),
    route("POST", "/v1/applications", Action::Register),
    route("DELETE", "/v1/applications/{id}", Action::Release),
    route("GET", "/v1/activity", Action::Activity),
    route("GET", "/v1/why", Action::Why),
    route("GET", "/v1/settings", Action::Settings),
    route("PUT", "/v1/settings", Action::ChangeSettings),
    route("POST", "/v1/remove", Action::RemoveAll),
    route("POST", "/v1/port", Action::OpenPort),
];

/// The action of a method and a path, and the part of the path that varies.
pub(super) fn find(method: &Method, path: &str) -> Result<(Action, String), Refusal> {
    let mut known = false;
    for route in ROUTES {
        let Some(part) = matched(route.path, path) else {
            continue;
        };
        known = true;
        if route.method == method.as_str() {
            return Ok((route.action, part));
        }
    }
    Err(if known {
        Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "this method is not for this path",
        )
    } else {
        Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this path")
    })
}

fn matched(pattern: &str, path: &str) -> Option<String> {
    let (pattern, path) = (pattern.split('/'), path.split('/'));
    let parts: Vec<_> = pattern.clone().zip(path.clone()).collect();
    if pattern.count() != path.count() {
        return None;
    }
    let mut varies = String::new();
    for (wanted, found) in parts {
        if wanted.starts_with('{') && !found.is_empty() {
            varies = found.to_owned();
        } else if wanted != found {
            return None;
        }
    }
    Some(varies)
}
