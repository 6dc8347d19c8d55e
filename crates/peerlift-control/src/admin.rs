//! What an operator asks of a running node, over HTTP on an address of its own.
//!
//! | | |
//! |---|---|
//! | `GET /metrics`, `/healthz`, `/readyz` | for machines |
//! | `PUT /policy`, `POST /policy/preview` | a policy file as the body: put it in force, or see what it would do |
//! | `GET /blocked` | what is forbidden |
//! | `PUT /blocked/OBJECT`, `DELETE …` | forbid an object, allow it again |
//! | `PUT /blocked/publishers/KEY`, `DELETE …` | the same for everything of a publisher's |
//! | `POST /flush` | forget the directory and have the clients tell it again |
//! | `POST /drain?seconds=N` | let nobody in and send everybody elsewhere within that time |
//!
//! There is no password: whoever reaches the address is the operator, so it belongs on loopback or
//! behind a firewall. What changes something wants the header [`HEADER`], which no page in a browser
//! can send to another origin without asking first (Fetch standard §3.2.2), and nobody answers that
//! question here.

use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use peerlift_access::Blocked;
use peerlift_model::{IdError, ObjectId, PublisherId, Timestamp};
use peerlift_rendezvous::{Effect, Event, Policy, Preview, Rendezvous};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use crate::access::unix_now;
use crate::policy_file::parse_policy;
use crate::{ControlNode, server};

/// The header that requests which change something carry.
pub const HEADER: &str = "x-peerlift-operator";

/// The longest policy file.
const POLICY_BYTES_MAX: usize = 1024 * 1024;

/// Questions that a preview puts.
const PREVIEW_QUERIES: usize = 2_000;

/// How long a drain takes when nobody says so.
const DRAIN_DEFAULT: Duration = Duration::from_secs(30);

#[derive(Clone)]
struct Admin {
    node: ControlNode,
}

/// The routes, to be served to operators only.
pub fn admin_routes(node: &ControlNode, registry: Registry) -> Router {
    let page = get(metrics).with_state(Arc::new(registry));
    Router::new()
        .route("/metrics", page)
        .merge(operator_routes(node))
        .layer(from_fn(from_operators))
}

/// The same without the metrics, for a node whose metrics are shown elsewhere.
pub fn operator_routes(node: &ControlNode) -> Router {
    let publishers = put(block_publisher).delete(unblock_publisher);
    Router::new()
        .route("/policy", put(set_policy))
        .route("/policy/preview", post(preview))
        .route("/blocked", get(blocked))
        .route("/blocked/{object}", put(block).delete(unblock))
        .route("/blocked/publishers/{publisher}", publishers)
        .route("/flush", post(flush))
        .route("/drain", post(drain))
        .with_state(Admin { node: node.clone() })
        .merge(server::health(node))
        .layer(from_fn(from_operators))
}

async fn from_operators(request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if reads || request.headers().contains_key(HEADER) {
        next.run(request).await
    } else {
        let text = format!("what changes something needs the header {HEADER}\n");
        (StatusCode::FORBIDDEN, text).into_response()
    }
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    let mut page = String::new();
    if encode(&mut page, &registry).is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, media_type)], page).into_response()
}

async fn policy_of(body: Body) -> Result<Policy, String> {
    let bytes = to_bytes(body, POLICY_BYTES_MAX)
        .await
        .map_err(|_| "the policy is too long".to_owned())?;
    let text = std::str::from_utf8(&bytes).map_err(|error| error.to_string())?;
    parse_policy(text).map_err(|error| error.to_string())
}

fn wrong(text: &str) -> Response {
    (StatusCode::BAD_REQUEST, format!("{text}\n")).into_response()
}

async fn set_policy(State(admin): State<Admin>, body: Body) -> Response {
    let policy = match policy_of(body).await {
        Ok(policy) => policy,
        Err(error) => return wrong(&error),
    };
    let visit = |core: &mut Rendezvous, _: Timestamp| core.set_policy(policy);
    done(admin.node.visit(visit).await)
}

async fn preview(State(admin): State<Admin>, body: Body) -> Response {
    let policy = match policy_of(body).await {
        Ok(policy) => policy,
        Err(error) => return wrong(&error),
    };
    let visit =
        move |core: &mut Rendezvous, _: Timestamp| core.preview(&policy, PREVIEW_QUERIES, 1);
    match admin.node.visit(visit).await {
        Some(preview) => {
            let json = [(header::CONTENT_TYPE, "application/json")];
            (json, preview_json(&preview)).into_response()
        }
        None => done(None),
    }
}

fn preview_json(preview: &Preview) -> String {
    let effect = |effect: &Effect| {
        let [site, prefix, asn, country, world] = effect.named;
        format!(
            "{{\"queries\":{},\"empty\":{},\"named\":{{\"site\":{site},\"prefix\":{prefix},\
             \"as\":{asn},\"country\":{country},\"world\":{world}}}}}",
            effect.queries, effect.empty
        )
    };
    format!(
        "{{\"before\":{},\"after\":{}}}\n",
        effect(&preview.before),
        effect(&preview.after)
    )
}

async fn blocked(State(admin): State<Admin>) -> Response {
    let list = admin.node.access().blocked();
    let list = list.borrow();
    let hex = |ids: &mut dyn Iterator<Item = String>| {
        let ids: Vec<String> = ids.map(|id| format!("\"{id}\"")).collect();
        ids.join(",")
    };
    let objects = hex(&mut list.objects.iter().map(ToString::to_string));
    let publishers = hex(&mut list.publishers.iter().map(ToString::to_string));
    let json = format!("{{\"objects\":[{objects}],\"publishers\":[{publishers}]}}\n");
    ([(header::CONTENT_TYPE, "application/json")], json).into_response()
}

async fn block(State(admin): State<Admin>, Path(object): Path<String>) -> Response {
    change(&admin, &object, |blocked, object: ObjectId| {
        blocked.objects.insert(object);
    })
}

async fn unblock(State(admin): State<Admin>, Path(object): Path<String>) -> Response {
    change(&admin, &object, |blocked, object: ObjectId| {
        blocked.objects.remove(&object);
    })
}

async fn block_publisher(State(admin): State<Admin>, Path(key): Path<String>) -> Response {
    change(&admin, &key, |blocked, publisher: PublisherId| {
        blocked.publishers.insert(publisher);
    })
}

async fn unblock_publisher(State(admin): State<Admin>, Path(key): Path<String>) -> Response {
    change(&admin, &key, |blocked, publisher: PublisherId| {
        blocked.publishers.remove(&publisher);
    })
}

fn change<T: FromStr<Err = IdError>>(
    admin: &Admin,
    id: &str,
    change: impl FnOnce(&mut Blocked, T),
) -> Response {
    let id: T = match id.parse() {
        Ok(id) => id,
        Err(error) => return wrong(&error.to_string()),
    };
    let access = admin.node.access();
    match access.change_blocked(|blocked| change(blocked, id), unix_now()) {
        Ok(blocked) => {
            let (objects, publishers) = (blocked.objects.len(), blocked.publishers.len());
            tracing::warn!(objects, publishers, "what is blocked has changed");
            done(Some(()))
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn flush(State(admin): State<Admin>) -> Response {
    tell(&admin, Event::Flush).await
}

async fn drain(State(admin): State<Admin>, request: Request) -> Response {
    let seconds = request
        .uri()
        .query()
        .and_then(|query| query.strip_prefix("seconds="));
    let within = match seconds.map(str::parse) {
        None => DRAIN_DEFAULT,
        Some(Ok(seconds)) => Duration::from_secs(seconds),
        Some(Err(_)) => return wrong("seconds=NUMBER"),
    };
    admin.node.close_door();
    tell(&admin, Event::Drain { within }).await
}

async fn tell(admin: &Admin, event: Event) -> Response {
    let visit = |core: &mut Rendezvous, now: Timestamp| core.handle(event, now);
    done(admin.node.visit(visit).await)
}

fn done(answer: Option<()>) -> Response {
    match answer {
        Some(()) => "done\n".into_response(),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the node has ended\n").into_response(),
    }
}

/// Puts a question to the operators' address of a node. Gives the status and the body.
///
/// # Errors
///
/// When the node cannot be reached.
pub async fn ask(
    address: SocketAddr,
    method: Method,
    path: &str,
    body: String,
) -> Result<(StatusCode, String), Box<dyn std::error::Error + Send + Sync>> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, address.to_string())
        .header(HEADER, "1")
        .body(Body::from(body))?;
    // Ends with the sender.
    let driver = tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let bytes = to_bytes(Body::new(answer.into_body()), POLICY_BYTES_MAX).await?;
    drop(sender);
    driver.abort();
    Ok((status, String::from_utf8_lossy(&bytes).into_owned()))
}
