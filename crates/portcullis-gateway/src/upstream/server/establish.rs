//! Opening a conversation with one server: over HTTP in the era that it was found to speak, or with a child of its own.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use portcullis_config::{self as config, EraPin, HttpTransport, SandboxNetwork, SecretSource, Transport};
use portcullis_hub::packages::{Mirrors, Sealed};
use portcullis_hub::{Child, Command, Limits, LockedPackages, Network, Sandbox, SpawnError};
use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Era;
use portcullis_model::ErrorKind;

use super::Server;
use crate::call::Refusal;
use crate::upstream::channel::Told;
use crate::upstream::connection::{Connection, Link, Peer};
use crate::upstream::http::SharedLink;
use crate::upstream::openapi::unread_peer;
use crate::upstream::opening::{
    Greeting, Handshake, Opened, Verdict, greet, initialize_http, initialize_sse, probe_http,
};
use crate::upstream::pages::Pages;
use crate::upstream::questions::Questions;
use crate::upstream::stdio;

/// When whoever comes before its packages are installed may come again.
const AGAIN: Duration = Duration::from_secs(5);

impl Server {
    pub(super) async fn establish(
        self: &Arc<Self>,
        era: Era,
        caps: ClientCaps,
    ) -> Result<Connection, Refusal> {
        match &self.settings.transport {
            Transport::Stdio(_) => self.establish_stdio(caps).await,
            Transport::Http(_) if self.api.is_some() => {
                let limit = self.settings.call_timeout;
                let established = tokio::time::timeout(limit, self.establish_openapi(caps)).await;
                established.unwrap_or_else(|_| Err(self.silent(limit)))
            }
            Transport::Http(http) if http.image.is_some() => {
                Box::pin(self.establish_deployed(era, caps)).await
            }
            // A server that takes the connection and then says nothing must not hold up everybody for ever.
            Transport::Http(_) => {
                let limit = self.settings.call_timeout;
                let link = self.http.clone().expect("a server behind a URL has a link");
                let established = tokio::time::timeout(limit, self.establish_http(link, era, caps)).await;
                established.unwrap_or_else(|_| Err(self.silent(limit)))
            }
        }
    }

    pub(super) async fn establish_http(
        self: &Arc<Self>,
        link: SharedLink,
        era: Era,
        caps: ClientCaps,
    ) -> Result<Connection, Refusal> {
        let verdict = self.verdict(&link).await?;
        let told = self.told(caps);
        let questions = told.questions.clone();
        let connection = |peer| {
            let link = Link::Http { link: link.clone(), session: None };
            self.connect(peer, link, questions.clone())
        };
        let transport = self.transport();
        match (verdict.modern.clone(), verdict.legacy) {
            (Some(peer), Handshake::No) => Ok(connection(peer)),
            (Some(peer), _) if era == Era::Modern => Ok(connection(peer)),
            (Some(peer), Handshake::Untried) => {
                // Who is modern has no older transport than Streamable HTTP.
                let transport = HttpTransport::Streamable;
                let greeted = initialize_http(&self.id, &link, transport, &self.env, told).await;
                let legacy = match &greeted {
                    Ok(opened) if opened.keeps_no_session() => Handshake::No,
                    Ok(_) => Handshake::Yes,
                    Err(refusal) if refusal.kind == ErrorKind::UpstreamProtocol => Handshake::No,
                    // It could not be asked; the next legacy client finds out.
                    Err(_) => Handshake::Untried,
                };
                tracing::info!(server.id = %self.id, both_eras = greeted.is_ok(), "tried the handshake of a modern server");
                self.verdict.store(Some(Arc::new(Verdict { legacy, ..Verdict::clone(&verdict) })));
                Ok(match greeted {
                    Ok(opened) if !opened.keeps_no_session() => self.opened(opened, &link, questions),
                    _ => connection(peer),
                })
            }
            (_, Handshake::Sse) => {
                let greeted = initialize_sse(&self.id, &link, &self.env, told).await;
                let (peer, channel) = greeted.inspect_err(|_| self.verdict.store(None))?;
                Ok(self.opened(Opened::Sse(peer, channel), &link, questions))
            }
            (None, _) | (Some(_), Handshake::Yes) => {
                let greeted = initialize_http(&self.id, &link, transport, &self.env, told).await;
                // What was found out is not so, or no longer: ask again the next time.
                let opened = greeted.inspect_err(|_| self.verdict.store(None))?;
                if let (Some(peer), true) = (verdict.modern.clone(), opened.keeps_no_session()) {
                    let legacy = Handshake::No;
                    self.verdict.store(Some(Arc::new(Verdict { legacy, ..Verdict::clone(&verdict) })));
                    return Ok(connection(peer));
                }
                if let Opened::Sse(..) = &opened {
                    let legacy = Handshake::Sse;
                    self.verdict.store(Some(Arc::new(Verdict { legacy, ..Verdict::clone(&verdict) })));
                }
                Ok(self.opened(opened, &link, questions))
            }
        }
    }

    /// An API is there when its document is.
    async fn establish_openapi(&self, caps: ClientCaps) -> Result<Connection, Refusal> {
        let (api, link) = self.api.clone().zip(self.http.clone()).expect("an API is behind a URL");
        let known = api.read(self.env.workers + 1).await?;
        Ok(self.connect(known.peer(), Link::OpenApi { api, link }, self.told(caps).questions))
    }

    fn opened(&self, opened: Opened, link: &SharedLink, questions: Arc<Questions>) -> Connection {
        match opened {
            Opened::Streamable(peer, session) => {
                self.connect(peer, Link::Http { link: link.clone(), session }, questions)
            }
            Opened::Sse(peer, channel) => self.connect(peer, Link::Channel(channel), questions),
        }
    }

    fn connect(&self, peer: Peer, link: Link, questions: Arc<Questions>) -> Connection {
        let (id, owner, env) = (self.id.clone(), self.owner.clone(), self.env.clone());
        Connection::new(id, owner, peer, link, questions, env)
    }

    fn transport(&self) -> HttpTransport {
        match &self.settings.transport {
            Transport::Http(http) => http.transport,
            Transport::Stdio(_) => HttpTransport::Auto,
        }
    }

    /// What becomes of what the server says by itself in a conversation in which `caps` are declared.
    fn told(&self, caps: ClientCaps) -> Told {
        let (env, server) = (self.env.clone(), self.id.clone());
        let pages = Pages::new(Arc::new(move |owner, id| env.page_done(&server, owner, id)));
        Told { questions: Questions::new(self.id.clone(), caps, self.asks.clone(), pages) }
    }

    /// Nothing has failed: the gateway has not come to start it.
    fn not_installed(&self) -> Refusal {
        let message =
            format!("server `{}`: its packages are being installed, which goes on; try again", self.id);
        Refusal { retry_after: Some(AGAIN), ..Refusal::new(ErrorKind::Overloaded, message) }
    }

    pub(super) fn silent(&self, limit: Duration) -> Refusal {
        let message = format!("server `{}` did not answer the handshake within {limit:?}", self.id);
        Refusal::new(ErrorKind::UpstreamTimeout, message)
    }

    /// What the server speaks, asked once for all who want to know; a failure holds up its server as any other does.
    pub(super) async fn verdict(&self, link: &SharedLink) -> Result<Arc<Verdict>, Refusal> {
        if self.api.is_some() {
            // There is nobody to be asked: it is spoken for here.
            let verdict = Arc::new(Verdict { modern: Some(unread_peer()), legacy: Handshake::No });
            self.verdict.store(Some(verdict.clone()));
            return Ok(verdict);
        }
        let _probing = self.probing.lock().await;
        if let Some(verdict) = self.verdict.load_full() {
            return Ok(verdict);
        }
        self.wait_or_refuse().await?;
        let limit = self.settings.call_timeout;
        let probed = tokio::time::timeout(
            limit,
            probe_http(&self.id, link, self.settings.era, self.transport(), &self.env),
        )
        .await;
        let verdict = match probed.unwrap_or_else(|_| Err(self.silent(limit))) {
            Ok(verdict) => Arc::new(verdict),
            Err(refusal) => {
                self.note_refused(&refusal);
                return Err(refusal);
            }
        };
        tracing::info!(
            server.id = %self.id,
            modern = verdict.modern.as_ref().map(|peer| peer.revision.as_str()),
            legacy = ?verdict.legacy,
            "found out what the server speaks"
        );
        self.verdict.store(Some(verdict.clone()));
        Ok(verdict)
    }

    async fn establish_stdio(self: &Arc<Self>, caps: ClientCaps) -> Result<Connection, Refusal> {
        // Only a child that was found to be legacy is told in the handshake, so no other needs to be asked.
        let mut known = caps != ClientCaps::NONE && self.settings.era == EraPin::Auto;
        let mut pin = if known { EraPin::Legacy } else { self.settings.era };
        let mut patience = false;
        loop {
            let told = self.told(caps);
            let questions = told.questions.clone();
            // One that was started ahead waits for the handshake of whoever needs it.
            let spare =
                if caps != ClientCaps::NONE && pin == EraPin::Legacy { self.spare.take() } else { None };
            let is_spare = spare.is_some();
            let child = match spare {
                Some(child) => child,
                None => self.start_child().await?,
            };
            let limits = self.env.limits();
            let channel =
                stdio::start(self.id.clone(), child, limits.response_bytes, limits.json_depth, told);
            match greet(&self.id, &channel, pin, patience, caps, &self.env).await {
                Ok(Greeting::Peer(peer)) => {
                    return Ok(self.connect(peer, Link::Channel(channel), questions));
                }
                Ok(Greeting::LeftDuringProbe) => {
                    channel.close().await;
                    pin = EraPin::Legacy;
                }
                Ok(Greeting::SlowToStart) => {
                    channel.close().await;
                    patience = true;
                }
                // Or it was, and is another one now.
                Err(refusal) if refusal.kind == ErrorKind::UpstreamProtocol && std::mem::take(&mut known) => {
                    channel.close().await;
                    pin = self.settings.era;
                }
                Err(refusal) => {
                    channel.close().await;
                    if is_spare {
                        tracing::debug!(server.id = %self.id, why = refusal.message, "the spare child is of no use");
                        continue;
                    }
                    return Err(refusal);
                }
            }
        }
    }

    /// Starts a child; nothing is said to it.
    pub(super) async fn start_child(&self) -> Result<Child, Refusal> {
        let Transport::Stdio(stdio) = &self.settings.transport else {
            return Err(Refusal::new(ErrorKind::UpstreamUnavailable, "a server behind a URL has no child"));
        };
        let configured = stdio.env.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
        let inherited = stdio
            .inherit_env
            .iter()
            .filter(|name| !stdio.env.contains_key(*name))
            .filter_map(|name| Some((name.clone(), inherited_variable(name)?)));
        let inherited: Vec<_> = inherited.collect();
        // What stands in the configuration in plain text is no secret to whoever reads the log.
        let secret = stdio.env.values().filter(|value| *value.source() != SecretSource::Literal);
        // Nor is what every child is told.
        let told = stdio.told.iter().filter(|(name, _)| !Command::is_everybodys(name));
        let secret = secret.chain(told.map(|(_, value)| value));
        let secrets = secret.map(|value| value.expose().to_owned());
        let secrets = secrets.chain(inherited.iter().map(|(_, value)| value.clone())).collect();
        let command = Command {
            server: self.id.clone(),
            program: stdio.command.clone(),
            args: stdio.args.clone(),
            env: configured.chain(inherited).collect(),
            secrets,
            cwd: stdio.cwd.clone(),
            sandbox: stdio.sandbox.as_deref().map(|configured| Box::new(sandbox(configured))),
            packages: stdio.locked.as_deref().map(locked).transpose()?,
        };
        let starting = self.env.supervisor.spawn(&command);
        let child = if stdio.locked.is_some() {
            // They are there, unless somebody removes them at this moment.
            let started = tokio::time::timeout(self.settings.call_timeout, starting).await;
            started.map_err(|_| self.not_installed())?
        } else {
            starting.await
        };
        child.map_err(|error| not_started(&error))
    }

    /// Waits for its packages, where it is started from such: they are installed once for all who come, and each waits by
    /// themselves, so this is done before anybody's turn to open a conversation. The installation goes on when `patience` ends.
    pub(crate) async fn install(&self, patience: Duration) -> Result<(), Refusal> {
        let Transport::Stdio(stdio) = &self.settings.transport else { return Ok(()) };
        let Some(packages) = stdio.locked.as_deref() else { return Ok(()) };
        if !self.conversations.open().is_empty() {
            return Ok(());
        }
        let packages = locked(packages)?;
        self.wait_or_refuse().await?;
        self.installing.store(true, Ordering::Relaxed);
        let installing = self.env.supervisor.install(&self.id, &stdio.command, &packages);
        let installed = tokio::time::timeout(patience, installing).await;
        self.installing.store(installed.is_err(), Ordering::Relaxed);
        let installed = installed.map_err(|_| self.not_installed())?;
        installed.map(drop).map_err(|error| {
            let refusal = not_started(&error);
            self.note_refused(&refusal);
            refusal
        })
    }

    /// What whoever waited in vain for an answer to `what` is told.
    pub(crate) fn too_slow(&self, what: &Method) -> Refusal {
        if self.installing.load(Ordering::Relaxed) {
            return self.not_installed();
        }
        let message = format!("server `{}` is slow to answer {what}", self.id);
        Refusal::new(ErrorKind::UpstreamTimeout, message)
    }
}

fn not_started(error: &SpawnError) -> Refusal {
    let retry_after = if let SpawnError::Packages { again, .. } = error { *again } else { None };
    Refusal { retry_after, ..Refusal::new(ErrorKind::UpstreamUnavailable, error.to_string()) }
}

fn locked(locked: &config::LockedPackages) -> Result<LockedPackages, Refusal> {
    let lock = Sealed::parse(&locked.lock, &locked.digest);
    let lock = lock.map_err(|error| Refusal::new(ErrorKind::UpstreamUnavailable, error.to_string()))?;
    let config::RegistryPackages { npm, pypi, folder } = locked.packages.clone();
    Ok(LockedPackages { lock: Arc::new(lock), folder, mirrors: Mirrors { npm, pypi } })
}

fn sandbox(configured: &config::Sandbox) -> Sandbox {
    Sandbox {
        read: configured.read.clone(),
        write: configured.write.clone(),
        network: match &configured.network {
            SandboxNetwork::None => Network::None,
            SandboxNetwork::Ports(ports) => Network::Ports(ports.clone()),
            SandboxNetwork::Any => Network::Any,
        },
        user: configured.user.clone(),
        limits: Limits {
            memory: configured.memory,
            processes: configured.processes,
            open_files: configured.open_files,
            file_size: configured.file_size,
        },
        best_effort: configured.best_effort,
    }
}

#[allow(clippy::disallowed_methods, reason = "the operator listed the variable to be inherited")]
fn inherited_variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
