//! From a server's answer to its client's: the other era's words, the aggregate's URIs, what the operator takes away.
//!
//! Every result that a client reads goes through here, whether it comes as the answer to a call or later, in a task.

use std::sync::Arc;

use portcullis_mcp::caps::ClientCaps;
use portcullis_mcp::json::{Change, Object, Raw};
use portcullis_mcp::message::{RpcError, code};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::{Era, Revision};
use portcullis_mcp::translate::{Payload, error_for, result_for, upstream_error};
use portcullis_mcp::uris::{self, rewrite};
use portcullis_model::{ErrorKind, ServerId};

use crate::call::{Caller, Endpoint, Outcome, Question, Refusal};
use crate::gateway::Gateway;
use crate::upstream::Server;

/// The way from one server to one client.
#[derive(Clone)]
pub(crate) struct Crossing {
    /// What was asked.
    pub(crate) method: Method,
    /// The URI that the client asked for, as it wrote it.
    pub(crate) uri: Option<String>,
    /// Who asked.
    caller: Arc<Caller>,
    /// What the client speaks.
    pub(crate) to: Revision,
    gateway: Arc<Gateway>,
    /// Who answers.
    server: Arc<Server>,
    /// Its names and URIs have to be mapped.
    aggregate: bool,
}

impl Crossing {
    /// From `server` to a client of `endpoint`.
    pub(crate) fn new(
        gateway: &Arc<Gateway>,
        server: &Arc<Server>,
        endpoint: &Endpoint,
        caller: &Arc<Caller>,
        method: Method,
        uri: Option<String>,
    ) -> Self {
        Self {
            method,
            uri,
            caller: caller.clone(),
            to: caller.revision,
            gateway: gateway.clone(),
            server: server.clone(),
            aggregate: endpoint.is_merged(),
        }
    }

    /// Who answers, where the server itself could not say: an `Implementation`.
    pub(crate) fn server_info(&self) -> Raw {
        self.gateway.info_of(self.mapped().is_none().then_some(&self.server))
    }

    /// The server's slug when its names and URIs have to be mapped.
    fn mapped(&self) -> Option<&ServerId> {
        self.aggregate.then(|| self.server.id())
    }

    /// An outcome as the client reads it.
    pub(crate) fn outcome(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Complete(payload) => Outcome::Complete(self.payload(&payload)),
            Outcome::InputRequired(result) => Outcome::InputRequired(self.input_required(result)),
            // What the server misses is missing in what the gateway sent: what the client can, and no more.
            Outcome::Failed { error, era: Era::Modern }
                if error.code() == code::MISSING_CLIENT_CAPABILITY =>
            {
                missing_capability(&self.caller, &error)
            }
            Outcome::Failed { error, era } => {
                let error = error_for(self.to.era(), era, &self.method, self.uri.as_deref(), &error);
                Outcome::Failed { error: self.expose_error(error), era: self.to.era() }
            }
            other => other,
        }
    }

    /// A complete result as the client reads it.
    pub(crate) fn payload(&self, payload: &Payload) -> Payload {
        let result = result_for(self.to, &self.method, payload, || self.server_info());
        Payload { result: self.expose(result), era: self.to.era() }
    }

    /// A question as the aggregate asks it: the client can only show that the gateway asks, so the text says which server
    /// does.
    pub(crate) fn question(&self, mut question: Question) -> Question {
        question.params = self.asked(&question.method, question.params.as_ref());
        question
    }

    /// The params of a question as [`Crossing::question`].
    pub(crate) fn asked(&self, method: &Method, params: Option<&Raw>) -> Option<Raw> {
        let params = params?;
        let changed = self.mapped().and_then(|server| expose_asked(server, method, params));
        Some(changed.unwrap_or_else(|| params.clone()))
    }

    /// What a server asks in a result, as [`Crossing::question`].
    pub(crate) fn input_required(&self, result: Raw) -> Raw {
        let (Some(server), Some(requests)) = (self.mapped(), result.find("inputRequests")) else {
            return result;
        };
        let exposed = requests.members().filter_map(|member| {
            let request = member.value();
            let method = Method::parse(&request.find("method")?.string()?);
            let params = expose_asked(server, &method, &request.find("params")?)?;
            let request = request.with(&[("params", Change::Set(params.as_bytes()))]);
            Some((member.key().into_owned(), request))
        });
        let exposed: Vec<_> = exposed.take(MOST_EXPOSED).collect();
        let changes: Vec<_> =
            exposed.iter().map(|(key, request)| (key.as_str(), Change::Set(request.as_bytes()))).collect();
        let requests = requests.with(&changes);
        result.with(&[("inputRequests", Change::Set(requests.as_bytes()))])
    }

    /// A result as the operator lets views ask for things.
    fn tighten(&self, result: Object) -> Object {
        let Some(apps) = self.server.apps() else { return result };
        let tightened = match self.method {
            Method::ToolsCall => apps.tighten_tool_result(&result),
            Method::PromptsGet => apps.tighten_prompt_result(&result),
            Method::ResourcesRead => apps.tighten_read_result(&result),
            _ => None,
        };
        tightened.map_or(result, Object::from)
    }

    /// The URIs of a result as the aggregate names them.
    pub(crate) fn expose(&self, result: Object) -> Object {
        let result = self.tighten(result);
        let Some(server) = self.mapped() else { return result };
        let map = |uri: &str| Some(uris::map_out(server, uri)).filter(|mapped| mapped != uri);
        let mapped = match self.method {
            Method::ToolsCall => rewrite::tool_result(&result, &map),
            Method::PromptsGet => rewrite::prompt_result(&result, &map),
            Method::ResourcesRead => rewrite::read_result(&result, &map),
            _ => None,
        };
        mapped.map_or(result, Object::from)
    }

    /// The URI in an error, as the aggregate names it, and the ids of pages.
    pub(crate) fn expose_error(&self, error: RpcError) -> RpcError {
        let (Some(server), Some(data)) = (self.mapped(), error.data()) else { return error };
        if error.code() == code::URL_ELICITATION_REQUIRED
            && let Some(pages) = data.find("elicitations")
        {
            let pages = pages.map_elements(|page| Some(expose_page(server, &page).unwrap_or(page)));
            let data = data.with(&[("elicitations", Change::Set(pages.as_bytes()))]);
            return RpcError::new(error.code(), &error.message(), Some(&data));
        }
        let Some(named) = data.find_string("uri") else { return error };
        let uri = self.uri.clone().unwrap_or_else(|| uris::map_out(server, &named));
        let data = data.with(&[("uri", Change::Set(Raw::from_text(&uri).as_bytes()))]);
        RpcError::new(error.code(), &error.message(), Some(&data))
    }
}

/// So many entries of `inputRequests` name their server; nobody shows more at once.
const MOST_EXPOSED: usize = 32;

/// -32021 of a modern server: which capabilities it misses is told to a modern client that did not declare them. One that
/// did gets no answer to that, nor does a legacy client, which has no such code.
fn missing_capability(caller: &Caller, error: &RpcError) -> Outcome {
    let required = error.data().and_then(|data| data.find("requiredCapabilities"));
    let required = required.unwrap_or_else(|| Raw::from_static("{}"));
    let told = ClientCaps::read(&required);
    match caller.revision.era() {
        Era::Modern if told != ClientCaps::NONE && caller.caps.has(told) => {
            Outcome::Failed { error: upstream_error(error), era: Era::Modern }
        }
        Era::Modern => Outcome::Failed { error: error.clone(), era: Era::Modern },
        Era::Legacy => {
            let required: String = required.as_str().chars().take(200).collect();
            let message = format!("the server needs a client with other capabilities: {required}");
            Refusal::new(ErrorKind::InputRefused, message).into()
        }
    }
}

/// A page's id as a client of `endpoint` knows it. Ids are chosen by servers, and on the aggregate one must not speak of
/// another's.
pub(crate) fn page_id(endpoint: &Endpoint, server: &ServerId, id: &str) -> String {
    if endpoint.is_merged() { format!("{server}/{id}") } else { id.to_owned() }
}

/// An elicitation of `server` with the id that the aggregate gives it; `None` when it has none.
fn expose_page(server: &ServerId, page: &Raw) -> Option<Raw> {
    let id = page_id(&Endpoint::Aggregate, server, &page.find_string("elicitationId")?);
    Some(page.with(&[("elicitationId", Change::Set(Raw::from_text(&id).as_bytes()))]))
}

/// The params of a question of `server` on the aggregate; `None` when they stay as they are.
fn expose_asked(server: &ServerId, method: &Method, params: &Raw) -> Option<Raw> {
    match method {
        Method::CreateElicitation => {
            let message = format!("[{server}] {}", params.find_string("message")?);
            let params = expose_page(server, params).unwrap_or_else(|| params.clone());
            Some(params.with(&[("message", Change::Set(Raw::from_text(&message).as_bytes()))]))
        }
        Method::CreateMessage => {
            let map = |uri: &str| Some(uris::map_out(server, uri)).filter(|mapped| mapped != uri);
            rewrite::prompt_result(params, &map)
        }
        _ => None,
    }
}
