//! A call of an API: a tool is an HTTP request, and everything else that a server is asked is answered here.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use portcullis_mcp::json::{Object, Raw};
use portcullis_mcp::message::{RpcError, code};
use portcullis_mcp::method::Method;
use portcullis_mcp::revision::Era;
use portcullis_mcp::translate::Payload;
use portcullis_model::ErrorKind;
use portcullis_openapi::{Answer, Operation, Request, failure, result};

use super::connection::{Connection, Sent};
use super::http::{HttpError, HttpLink, read_body};
use super::openapi::{Api, Known};
use super::outgoing::Outgoing;
use crate::call::{Exchange, Outcome, Refusal};

impl Connection {
    pub(super) async fn exchange_openapi(&self, api: &Api, link: &HttpLink, out: &Outgoing) -> Sent {
        let outcome = match &out.method {
            Method::ToolsCall => return Sent::Answered(self.call_operation(api, link, out).await),
            Method::ToolsList => match api.read(self.env.workers + 1).await {
                Ok(known) => complete(known.tools()),
                Err(refusal) => refusal.into(),
            },
            Method::Discover => match api.known() {
                Some(known) => complete(known.hello()),
                None => failed(code::INTERNAL, "the document has not been read"),
            },
            method => failed(code::METHOD_NOT_FOUND, &format!("an API has no `{}`", method.as_str())),
        };
        Sent::Answered(Exchange::done(outcome))
    }

    async fn call_operation(&self, api: &Api, link: &HttpLink, out: &Outgoing) -> Exchange {
        let params = out.content.params();
        let name = params.and_then(|params| params.find_string("name"));
        let arguments = params.and_then(|params| params.find("arguments"));
        let known: Option<Arc<Known>> = api.known();
        let found = known.as_ref().and_then(|known| Some((known, known.operation(name.as_deref()?)?)));
        let found = found.filter(|(_, (_, pin))| out.defined == Some(*pin));
        let Some((known, (operation, _))) = found else {
            return Exchange::done(self.changed(name.as_deref().unwrap_or_default()));
        };
        let request = match operation.request(&known.base, arguments.as_ref(), api.query()) {
            Ok(request) => request,
            // Whoever called can do better, which an error of the protocol would not say (2025-11-25, tools).
            Err(unsendable) => {
                return Exchange::done(complete(failure(&unsendable.to_string()))).with_unsent(true);
            }
        };
        let link = known.link.as_deref().unwrap_or(link);
        Exchange::done(match self.ask(link, operation, request, out).await {
            Ok(result) => complete(result),
            Err(error @ HttpError::TooLarge(_)) => complete(failure(&format!("{error}; ask for less"))),
            Err(error) => self.unreachable(&error),
        })
    }

    /// What was permitted is not what the document describes by now, which others had read again. Nobody goes on with the old
    /// lists.
    fn changed(&self, name: &str) -> Refusal {
        self.env.notice(&self.server, None, &Method::ToolsListChanged, None);
        let message = format!(
            "the operation `{name:.128}` of server `{}` is not what it was when it was listed: its OpenAPI document has \
             changed; list the tools again",
            self.server
        );
        Refusal::new(ErrorKind::Quarantined, message)
    }

    async fn ask(
        &self,
        link: &HttpLink,
        operation: &Operation,
        mut request: Request,
        out: &Outgoing,
    ) -> Result<Raw, HttpError> {
        if let Some(trace) = &out.trace {
            let state = trace.tracestate().map(str::to_owned);
            let fields = [("traceparent", Some(trace.to_string())), ("tracestate", state)];
            for (name, value) in fields {
                if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                    request.headers.push((HeaderName::from_static(name), value));
                }
            }
        }
        let reply = link.request(out.worker, request).await?;
        let status = reply.status();
        out.record.upstream_answered(status.as_u16());
        let media = reply.content_type().map(str::to_owned);
        let (most, depth) = {
            let limits = self.env.limits();
            (limits.response_bytes, limits.json_depth)
        };
        let body = read_body(reply.into_body(), most).await?;
        Ok(result(operation, &Answer { status, media: media.as_deref(), body, depth }))
    }
}

fn complete(result: Raw) -> Outcome {
    Outcome::Complete(Payload { result: Object::from(result), era: Era::Modern })
}

fn failed(code: i64, message: &str) -> Outcome {
    Outcome::Failed { error: RpcError::new(code, message, None), era: Era::Modern }
}
