//! The local API, `/v1`: what each of the [`super::routes`] does.
//!
//! The same routes answer on the Unix socket, where the file system says who may come, and on the
//! loopback port, where [`super::guard`] does.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{Response, StatusCode};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::http::{BODY_BYTES_MAX, Outcome, Refusal, body, response, value};
use super::listen::Listening;
use super::owner::{Handle, Service, Uncertain};
use super::port::Port;
use super::questions::questions;
use super::queue::{DownloadId, Priority, QueueError, Wanted};
use super::routes::{Action, find};
use super::run::Options;
use super::settings::{self, Settings};
use crate::activity::{ActivityLog, Happening};
use crate::applications::{Application, ApplicationError, Applications, Left};
use crate::consent::{Agreed, Consents, Subject, account};
use crate::report;
use crate::time::UnixTime;

/// Connections at once; a panel and a few commands take a handful.
const CONNECTIONS_MAX: usize = 64;

/// How long a connection may take to end.
const PARTING_MAX: Duration = Duration::from_secs(1);

/// The API. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Api {
    handle: Handle,
    options: Arc<Options>,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// The loopback port, while somebody uses it.
    port: Arc<Mutex<Option<Arc<Port>>>>,
    /// Who asked to remove everything at the end, if anybody did.
    remove: Arc<OnceLock<String>>,
}

/// How a request came.
#[derive(Clone, Debug)]
pub(super) enum Door {
    /// The Unix socket.
    Socket,
    /// The loopback port.
    Port(Arc<Port>),
}

/// The API while it is served.
#[derive(Debug)]
pub(super) struct Serving {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Serving {
    /// Answers what was asked, and ends.
    pub(super) async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPriority {
    priority: Priority,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewForeground {
    foreground: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Removal {
    confirm: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAnswer {
    agreed: Agreed,
    asked_by: String,
    /// The text that was shown.
    text: String,
    #[serde(default)]
    publisher_name: String,
    #[serde(default)]
    origin: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewApplication {
    id: String,
    name: String,
    #[serde(default)]
    program: Option<std::path::PathBuf>,
}

impl Api {
    pub(super) fn new(handle: Handle, options: Options, stop: CancellationToken) -> Self {
        Self {
            handle,
            options: Arc::new(options),
            stop,
            tasks: TaskTracker::new(),
            port: Arc::default(),
            remove: Arc::default(),
        }
    }

    /// Answers on the Unix socket.
    pub(super) fn serve(&self, listening: Listening) -> Serving {
        let (tasks, stop) = (self.tasks.clone(), CancellationToken::new());
        let (api, until) = (self.clone(), stop.clone());
        tasks.spawn(async move {
            let _ = until
                .run_until_cancelled(api.accept(&listening.listener, &until))
                .await;
            // The socket's file goes with it.
            drop(listening);
        });
        Serving { tasks, stop }
    }

    async fn accept(&self, listener: &UnixListener, until: &CancellationToken) {
        let places = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, _)) => self.converse(TokioIo::new(stream), Door::Socket, until, place),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept");
                    // Out of descriptors: they come back when a connection ends.
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    fn converse<S>(
        &self,
        stream: S,
        door: Door,
        until: &CancellationToken,
        place: tokio::sync::OwnedSemaphorePermit,
    ) where
        S: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let (api, until) = (self.clone(), until.clone());
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let (api, door) = (api.clone(), door.clone());
            async move { Ok::<_, Infallible>(api.answer(request.map(Body::new), door).await) }
        });
        self.tasks.spawn(async move {
            let builder = Builder::new(TokioExecutor::new()).http1_only();
            let connection = builder.serve_connection(stream, service);
            tokio::pin!(connection);
            tokio::select! {
                // A caller that hangs up is nobody's problem.
                _ = connection.as_mut() => {}
                () = until.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    // Who has not asked anything by then never will.
                    let _ = tokio::time::timeout(PARTING_MAX, connection).await;
                }
            }
            drop(place);
        });
    }

    /// Who asked to remove everything, if anybody did.
    pub(super) fn removal(&self) -> Option<&str> {
        self.remove.get().map(String::as_str)
    }

    fn remove_for(&self, asked_by: String) {
        // Who asked first is noted.
        let _ = self.remove.set(asked_by);
        self.stop.cancel();
    }

    async fn answer(self, request: Request, door: Door) -> Response<Body> {
        if let Door::Port(port) = &door
            && let Some(page) = port.page(request.method(), request.uri(), request.headers())
        {
            return page;
        }
        response(self.outcome(request, door).await)
    }

    async fn outcome(&self, request: Request, door: Door) -> Outcome {
        let (head, content) = request.into_parts();
        if let Door::Port(port) = &door {
            port.check(&head.headers)?;
        }
        let (action, part) = find(&head.method, head.uri.path())?;
        let bytes = axum::body::to_bytes(content, BODY_BYTES_MAX)
            .await
            .map_err(|_| Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "the request is too long"))?;
        self.act(action, &part, &bytes).await
    }

    async fn act(&self, action: Action, part: &str, bytes: &Bytes) -> Outcome {
        match action {
            Action::Status => value(self.ask(|service| service.status()).await?),
            Action::Stop => {
                self.stop.cancel();
                done()
            }
            Action::Downloads => value(self.ask(|service| service.downloads()).await?),
            Action::Add => self.add(bytes).await,
            Action::Download => {
                let id = number(part)?;
                let found = self.ask(move |service| service.download(id)).await?;
                value(found.ok_or_else(|| refused(QueueError::Unknown(id)))?)
            }
            Action::Remove | Action::Pause | Action::Resume | Action::SetPriority => {
                self.change(action, number(part)?, bytes).await
            }
            Action::SetForeground => self.set_foreground(number(part)?, bytes).await,
            Action::PauseAll | Action::ResumeAll => self.change_all(action).await,
            Action::PauseSharing | Action::ResumeSharing => {
                let paused = action == Action::PauseSharing;
                self.ask(move |service| service.set_uploads_paused(paused))
                    .await?;
                done()
            }
            Action::Sharing => {
                let live = self.ask(|service| service.live()).await?;
                let rules = self.ask(|service| service.steward.rules()).await?;
                let Options {
                    home, policy_file, ..
                } = &*self.options;
                value(report::sharing(home, &rules, policy_file, Some(live)))
            }
            Action::Consents => value(self.consents().standing().map_err(Refusal::broken)?),
            Action::Questions => self.questions().await,
            Action::Agree => self.agree(part, bytes).await,
            Action::Applications => value(self.applications().list().map_err(Refusal::broken)?),
            Action::Register => self.register(bytes).await,
            Action::Release => self.release(part).await,
            Action::Activity => value(report::activity(&self.log()).map_err(Refusal::broken)?),
            Action::Why => {
                let live = self.ask(|service| service.live()).await?;
                value(report::why(&self.options.home, &self.log(), Some(live)))
            }
            Action::Settings => {
                let now = self.ask(|service| service.settings()).await?;
                self.shown(&now)
            }
            Action::ChangeSettings => self.change_settings(bytes).await,
            Action::RemoveAll => self.remove_all(bytes),
            Action::OpenPort => self.open_port().await,
        }
    }

    async fn add(&self, bytes: &Bytes) -> Outcome {
        let wanted: Wanted = body(bytes)?;
        let is_web = |text: &String| {
            text.parse::<url::Url>()
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
        };
        if wanted.urls.is_empty() || !wanted.urls.iter().all(is_web) {
            return Err(Refusal::bad(
                "urls: one or more http or https URLs are needed",
            ));
        }
        if !wanted.folder.is_absolute() {
            return Err(Refusal::bad("folder: an absolute path is needed"));
        }
        let added = self.ask(|service| service.add(wanted)).await?;
        value(json!({"id": added.map_err(refused)?}))
    }

    async fn change(&self, action: Action, id: DownloadId, bytes: &Bytes) -> Outcome {
        let wants_priority = action == Action::SetPriority;
        let priority = wants_priority
            .then(|| body::<NewPriority>(bytes))
            .transpose()?;
        let priority = priority.map(|new| new.priority);
        let changed = self.ask(move |service| {
            let order = service.change(|queue| match (action, priority) {
                (_, Some(priority)) => queue.set_priority(id, priority).map(|()| None),
                (Action::Pause, None) => queue.pause(id),
                (Action::Resume, None) => queue.resume(id).map(|()| None),
                (_, None) => queue.remove(id),
            })?;
            service.obey(order);
            Ok(())
        });
        changed.await?.map_err(refused)?;
        done()
    }

    async fn set_foreground(&self, id: DownloadId, bytes: &Bytes) -> Outcome {
        let NewForeground { foreground } = body(bytes)?;
        let changed = self.ask(move |service| service.set_foreground(id, foreground));
        changed.await?.map_err(refused)?;
        done()
    }

    async fn change_all(&self, action: Action) -> Outcome {
        let paused = action == Action::PauseAll;
        self.ask(move |service| {
            service.set_uploads_paused(paused);
            if paused {
                let orders = service.change(|queue| queue.pause_all());
                orders
                    .into_iter()
                    .for_each(|order| service.obey(Some(order)));
            } else {
                service.change(|queue| queue.resume_all());
            }
        })
        .await?;
        done()
    }

    async fn questions(&self) -> Outcome {
        let met = self.ask(|service| service.met.all()).await?;
        let consents = self.consents();
        let standing = consents.standing().map_err(Refusal::broken)?;
        value(questions(&met, &standing, consents.path()))
    }

    async fn agree(&self, publisher: &str, bytes: &Bytes) -> Outcome {
        let new: NewAnswer = body(bytes)?;
        let publisher = publisher
            .parse()
            .map_err(|_| Refusal::bad("that is no publisher's key"))?;
        let subject = Subject {
            publisher,
            publisher_name: new.publisher_name,
            origin: new.origin,
        };
        let kept = self
            .consents()
            .keep(&subject, &new.asked_by, &new.text, new.agreed);
        let answer = kept.map_err(Refusal::broken)?;
        let noted = Happening::Consent {
            publisher: answer.publisher.clone(),
            publisher_name: answer.publisher_name.clone(),
            agreed: answer.share.word().to_owned(),
            asked_by: answer.asked_by.clone(),
            answered_by: answer.answered_by.clone(),
        };
        self.ask(|service| {
            service.note(noted);
            service.review_consents();
        })
        .await?;
        value(answer)
    }

    async fn register(&self, bytes: &Bytes) -> Outcome {
        let NewApplication { id, name, program } = body(bytes)?;
        let since = UnixTime::now();
        let application = Application {
            id: id.clone(),
            name: name.clone(),
            program,
            since,
        };
        let is_new = self
            .applications()
            .register(application)
            .map_err(refused_application)?;
        if is_new {
            self.ask(|service| service.note(Happening::AppRegistered { app: id, name }))
                .await?;
        }
        value(json!({"new": is_new}))
    }

    async fn release(&self, id: &str) -> Outcome {
        let left = self
            .applications()
            .release(id)
            .map_err(refused_application)?;
        let app = id.to_owned();
        self.ask(|service| service.note(Happening::AppReleased { app }))
            .await?;
        let last = left == Left::Nobody;
        if last {
            self.remove_for(format!("{id}, the last application"));
        }
        value(json!({"last": last}))
    }

    /// Changes how the user wants to share: in the file, and from now on.
    async fn change_settings(&self, bytes: &Bytes) -> Outcome {
        let new: Settings = body(bytes)?;
        settings::check(&new.share).map_err(Refusal::bad)?;
        // Written where it takes effect: of two who change it at once the later one holds in both.
        let written = self.ask(move |service| {
            settings::write(&service.options.settings, &new)?;
            service.steward.set_rules(new.share);
            service.options.download_hours = new.download_hours;
            service.note(Happening::SettingsChanged {
                what: settings::words(&new),
            });
            io::Result::Ok(())
        });
        written.await?.map_err(Refusal::broken)?;
        self.shown(&new)
    }

    fn shown(&self, settings: &Settings) -> Outcome {
        let Settings {
            share,
            download_hours,
        } = settings;
        value(json!({
            "share": share, "download-hours": download_hours, "file": self.options.settings,
        }))
    }

    /// Ends the service, which then deletes everything.
    fn remove_all(&self, bytes: &Bytes) -> Outcome {
        let Removal { confirm } = body(bytes)?;
        if !confirm {
            return Err(Refusal::bad("confirm: it has to be true"));
        }
        self.remove_for(account());
        done()
    }

    /// Opens the loopback port, or goes on using it, and draws a link that opens the panel once.
    async fn open_port(&self) -> Outcome {
        if let Some(port) = self.known_port() {
            return value(port.invitation().map_err(Refusal::broken)?);
        }
        let (port, listener) = Port::open(&self.options.home)
            .await
            .map_err(Refusal::broken)?;
        let port = Arc::new(port);
        *self.port.lock().unwrap_or_else(|e| e.into_inner()) = Some(Arc::clone(&port));
        let (api, served) = (self.clone(), Arc::clone(&port));
        self.tasks
            .spawn(async move { api.serve_port(listener, served).await });
        value(port.invitation().map_err(Refusal::broken)?)
    }

    fn known_port(&self) -> Option<Arc<Port>> {
        self.port.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// Answers on the loopback port for as long as it is used.
    async fn serve_port(&self, listener: TcpListener, port: Arc<Port>) {
        let until = self.stop.child_token();
        let places = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS_MAX));
        let accept = async {
            loop {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                    return;
                };
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let door = Door::Port(Arc::clone(&port));
                        self.converse(TokioIo::new(stream), door, &until, place);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept");
                        tokio::task::yield_now().await;
                    }
                }
            }
        };
        tokio::select! {
            _ = self.stop.run_until_cancelled(accept) => {}
            () = port.unused() => {}
        }
        *self.port.lock().unwrap_or_else(|e| e.into_inner()) = None;
        port.forget();
        until.cancel();
    }

    async fn ask<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Service) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        self.handle.call(job).await.map_err(|uncertain| {
            let status = match uncertain {
                Uncertain::Ending => StatusCode::SERVICE_UNAVAILABLE,
                Uncertain::Unsaved(_) => StatusCode::INSUFFICIENT_STORAGE,
            };
            Refusal::new(status, uncertain)
        })
    }

    fn log(&self) -> ActivityLog {
        ActivityLog::at(self.options.home.activity(), self.options.system.clone())
    }

    fn consents(&self) -> Consents {
        Consents::at(self.options.home.consent())
    }

    fn applications(&self) -> Applications {
        Applications::of(&self.options.home)
    }
}

fn number(text: &str) -> Result<DownloadId, Refusal> {
    let number = text
        .parse()
        .map_err(|_| Refusal::bad("downloads have numbers"))?;
    Ok(DownloadId(number))
}

fn done() -> Outcome {
    Ok(Value::Object(serde_json::Map::new()))
}

fn refused(error: QueueError) -> Refusal {
    let status = match error {
        QueueError::Unknown(_) => StatusCode::NOT_FOUND,
        QueueError::Full => StatusCode::TOO_MANY_REQUESTS,
        QueueError::Over(_) => StatusCode::CONFLICT,
    };
    Refusal::new(status, error)
}

fn refused_application(error: ApplicationError) -> Refusal {
    let status = match error {
        ApplicationError::Text(_) => StatusCode::BAD_REQUEST,
        ApplicationError::Unknown(_) => StatusCode::NOT_FOUND,
        ApplicationError::TooMany => StatusCode::TOO_MANY_REQUESTS,
        ApplicationError::Removed => StatusCode::CONFLICT,
        ApplicationError::State(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Refusal::new(status, error)
}
