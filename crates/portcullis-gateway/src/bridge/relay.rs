//! Posting a message, and handing its answer to the host.

use std::sync::PoisonError;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use portcullis_mcp::header;
use portcullis_mcp::json::{Change, Raw};
use portcullis_mcp::message::{Id, Message, Request, code, write_notification};
use portcullis_mcp::method::Method;
use portcullis_mcp::mirror::Mirror;
use portcullis_mcp::translate::key;

use super::rest::Rest;
use super::{Bridge, DEPTH, MESSAGE};
use crate::call::Worker;
use crate::upstream::{Answer, EventStream, Head, HttpReply, Media, StreamEnd, read_body};

/// The bridge has one thread's worth of connections.
pub(super) const HERE: Worker = Worker(0);

/// How an answer stream ended.
pub(super) enum Ended {
    /// With the answer.
    Answered,
    /// Without.
    Broken(Rest),
}

impl Bridge {
    /// A request of 2026-07-28. When the endpoint misses mirrored headers, the tools are listed and it is sent again.
    pub(super) async fn modern_request(&self, request: &Request, raw: &Raw) -> Result<(), String> {
        for attempt in 0..2 {
            let headers = self.modern_headers(request);
            let name =
                request.method.name_member().and_then(|member| request.params.as_ref()?.find_string(member));
            let head = Head {
                method: Some(&request.method),
                name: name.as_deref(),
                extra: Some(&headers),
                ..Head::default()
            };
            let reply =
                self.link.post(HERE, head, raw.bytes().clone()).await.map_err(|error| error.to_string())?;
            if reply.media() == Media::EventStream {
                return match self.stream(reply.into_body(), request, Rest::default()).await {
                    Ended::Answered => {
                        if request.method == Method::Listen {
                            self.end_stream(&request.id).await;
                        }
                        Ok(())
                    }
                    Ended::Broken(_) => Err("the connection broke before the answer".to_owned()),
                };
            }
            let status = reply.status();
            let answer = read_answer(reply).await?;
            let mismatch = answer.as_ref().and_then(|answer| answer.find_path(&["error", "code"]));
            let is_mismatch = mismatch.is_some_and(|raw| raw.as_str() == code::HEADER_MISMATCH.to_string());
            if is_mismatch
                && attempt == 0
                && request.method == Method::ToolsCall
                && self.list_tools(request).await
            {
                continue;
            }
            return self.hand_over(request, status, answer).await;
        }
        Ok(())
    }

    /// Over stdio a stream ends with a notification besides its result (2026-07-28, cancellation).
    async fn end_stream(&self, id: &Id) {
        let params = Raw::from_static("{}").with(&[("requestId", Change::Set(id.raw().as_bytes()))]);
        let mut message = Vec::new();
        write_notification(&mut message, &Method::Cancelled, Some(&params));
        self.tell(Raw::trusted(message)).await;
    }

    fn modern_headers(&self, request: &Request) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let params = request.params.as_ref();
        let version = params.and_then(|params| {
            params.find_path(&["_meta", key::PROTOCOL_VERSION])?.string().map(String::from)
        });
        if let Some(value) = version.and_then(|version| HeaderValue::try_from(version).ok()) {
            headers.insert(header::PROTOCOL_VERSION, value);
        }
        if request.method == Method::ToolsCall
            && let Some(name) = params.and_then(|params| params.find_string("name"))
        {
            let arguments = params.and_then(|params| params.find("arguments"));
            let mirrors = self.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
            let mirrored: Vec<(HeaderName, HeaderValue)> =
                mirrors.get(&name).map(|mirror| mirror.headers(arguments.as_ref())).unwrap_or_default();
            headers.extend(mirrored);
        }
        headers
    }

    /// Lists all tools with the metadata of `request`, to learn what they mirror. Says whether anything was learnt.
    async fn list_tools(&self, request: &Request) -> bool {
        let meta = request.params.as_ref().and_then(|params| params.find("_meta"));
        let Some(meta) = meta.map(|meta| meta.with(&[(key::PROGRESS_TOKEN, Change::Remove)])) else {
            return false;
        };
        let mut cursor: Option<Raw> = None;
        for _ in 0..1000 {
            let mut params = Raw::from_static("{}").with(&[("_meta", Change::Set(meta.as_bytes()))]);
            if let Some(cursor) = &cursor {
                params = params.with(&[("cursor", Change::Set(cursor.as_bytes()))]);
            }
            let ask = Request { id: Id::number(0), method: Method::ToolsList, params: Some(params.into()) };
            let mut message = Vec::new();
            portcullis_mcp::message::write_request(&mut message, &ask.id, &ask.method, ask.params.as_deref());
            let headers = self.modern_headers(&ask);
            let head = Head { method: Some(&ask.method), extra: Some(&headers), ..Head::default() };
            let Ok(reply) = self.link.post(HERE, head, message.into()).await else { return false };
            let answer = match reply.media() {
                Media::EventStream => return false,
                _ => read_answer(reply).await.ok().flatten(),
            };
            let Some(result) = answer.and_then(|answer| answer.find("result")) else { return false };
            self.learn_tools(&result);
            cursor = result.find("nextCursor");
            if cursor.is_none() {
                return true;
            }
        }
        false
    }

    /// Notes which arguments the listed tools mirror.
    fn learn_tools(&self, result: &Raw) {
        let Some(tools) = result.find("tools") else { return };
        let mut mirrors = self.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
        for tool in tools.elements() {
            let Some(name) = tool.find_string("name") else { continue };
            match tool.find("inputSchema").and_then(|schema| Mirror::from_schema(&schema).ok()) {
                Some(mirror) if !mirror.is_empty() => mirrors.insert(name, mirror),
                _ => mirrors.remove(&name),
            };
        }
    }

    /// Gives the host the answer that came as JSON, or says what came instead.
    pub(super) async fn hand_over(
        &self,
        request: &Request,
        status: StatusCode,
        answer: Option<Raw>,
    ) -> Result<(), String> {
        match answer {
            Some(answer) if answers(&answer, &request.id) => {
                self.note(request, &answer);
                self.tell(answer).await;
                Ok(())
            }
            // A refusal at the edge may not have read the id.
            Some(answer) if answer.find("error").is_some() => {
                let said = answer.find_path(&["error", "message"]);
                let said = said.as_ref().and_then(Raw::string).unwrap_or_default();
                Err(format!("the endpoint answered {status}: {said}"))
            }
            _ => Err(format!("the endpoint answered {status}; is the URL an MCP endpoint?")),
        }
    }

    /// What the bridge itself learns from an answer.
    fn note(&self, request: &Request, answer: &Raw) {
        let Some(result) = answer.find("result") else { return };
        match request.method {
            Method::ToolsList => self.learn_tools(&result),
            Method::Initialize => self.session.agreed(&result),
            Method::ResourcesSubscribe | Method::ResourcesUnsubscribe => self.session.subscribed(request),
            _ => {}
        }
    }

    /// Hands over a stream, message by message, up to the answer.
    pub(super) async fn stream(&self, body: Answer, request: &Request, before: Rest) -> Ended {
        let mut events = EventStream::new(body, MESSAGE);
        let mut brought = false;
        let end = loop {
            let event = match events.next().await {
                Ok(event) => event,
                Err(end) => break end,
            };
            let Some(message) = parse(event.data) else { continue };
            brought = true;
            let answered = answers(&message, &request.id);
            if answered {
                self.note(request, &message);
            }
            self.tell(message).await;
            if answered {
                return Ended::Answered;
            }
        };
        let in_order = matches!(end, StreamEnd::Closed);
        let retry = events.retry().or(before.retry);
        Ended::Broken(Rest {
            last: events.last_event_id().map(str::to_owned).or(before.last),
            retry,
            polls: in_order && retry.is_some(),
            alive: brought || in_order && events.is_told_when(),
        })
    }
}

/// The body as JSON, if it is that.
pub(super) async fn read_answer(reply: HttpReply<Answer>) -> Result<Option<Raw>, String> {
    let body = read_body(reply.into_body(), MESSAGE).await.map_err(|error| error.to_string())?;
    Ok(parse(body))
}

fn parse(body: Bytes) -> Option<Raw> {
    if body.is_empty() {
        return None;
    }
    Raw::parse(body, DEPTH).ok()
}

/// Whether a message is the response to the request with this id.
fn answers(message: &Raw, id: &Id) -> bool {
    matches!(Message::from_raw(message), Ok(Message::Response(response)) if response.id.as_ref() == Some(id))
}
