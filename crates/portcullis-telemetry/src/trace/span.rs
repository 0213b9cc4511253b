//! One span: the time between its start and its drop, and what was learnt meanwhile.
//!
//! A span that is not recorded is its parent's context and nothing else; setting an attribute on it does not
//! even convert the value. Attribute text is cut at 1024 bytes, because some of it is the caller's.
//!
//! Events are left out: what happens within a call is told by its child spans and by the log.

use std::borrow::Cow;

use opentelemetry::{
    Key, KeyValue,
    trace::{Span as _, SpanContext, Status, TraceFlags, TraceState},
};

use super::{
    attribute,
    context::{SpanId, TraceContext, TraceId},
};

/// The longest text of an attribute, in bytes. The rest is cut off at a character boundary.
pub(super) const MAX_TEXT: usize = 1024;

/// Which side of a call a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// Somebody called the gateway.
    Server,
    /// The gateway calls an upstream.
    Client,
}

/// What a span is called: `{method} {target}`, or the method alone.
#[derive(Clone, Copy, Debug)]
pub struct SpanName<'a> {
    pub(super) method: &'a str,
    pub(super) target: Option<&'a str>,
}

impl<'a> SpanName<'a> {
    /// `target` is the tool or the prompt by its catalogue name, and nothing else: resource URIs and names
    /// that the catalogue does not know make too many spans of one sort each. Both are cut at 1024 bytes.
    pub fn new(method: &'a str, target: Option<&'a str>) -> Self {
        Self { method: cut(method), target: target.map(cut) }
    }

    pub(super) fn text(self) -> String {
        match self.target {
            Some(target) => format!("{} {target}", self.method),
            None => self.method.to_owned(),
        }
    }
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text; cut at 1024 bytes.
    Text(Cow<'a, str>),
}

macro_rules! value_from {
    ($($from:ty => |$value:ident| $to:expr;)*) => {$(
        impl<'a> From<$from> for Value<'a> {
            fn from($value: $from) -> Self {
                $to
            }
        }
    )*};
}

value_from! {
    bool => |value| Self::Bool(value);
    i64 => |value| Self::Int(value);
    u32 => |value| Self::Int(value.into());
    u16 => |value| Self::Int(value.into());
    f64 => |value| Self::Float(value);
    &'a str => |value| Self::Text(Cow::Borrowed(value));
    String => |value| Self::Text(Cow::Owned(value));
    Cow<'a, str> => |value| Self::Text(value);
}

impl Value<'_> {
    pub(super) fn into_otel(self) -> opentelemetry::Value {
        match self {
            Self::Bool(value) => value.into(),
            Self::Int(value) => value.into(),
            Self::Float(value) => value.into(),
            Self::Text(text) => cut(&text).to_owned().into(),
        }
    }
}

/// A span under way. Dropping it ends it.
#[derive(Debug)]
pub struct Span {
    state: State,
}

#[derive(Debug)]
enum State {
    Recording { span: Box<opentelemetry_sdk::trace::Span>, context: TraceContext, failed: bool },
    Passing(Option<TraceContext>),
}

impl Span {
    /// A span that records nothing and passes the parent on.
    pub(super) fn passing(context: Option<TraceContext>) -> Self {
        Self { state: State::Passing(context) }
    }

    /// What the SDK made of it. `parent` is `None` for the root of a trace.
    pub(super) fn from_sdk(span: opentelemetry_sdk::trace::Span, parent: Option<&TraceContext>) -> Self {
        let own = to_context(span.span_context(), parent);
        match own {
            Some(context) if span.is_recording() => {
                Self { state: State::Recording { span: Box::new(span), context, failed: false } }
            }
            own => Self::passing(parent.cloned().or(own)),
        }
    }

    /// Whether anything set here is kept.
    pub fn is_recording(&self) -> bool {
        matches!(self.state, State::Recording { .. })
    }

    /// What to pass on to whoever is called within this span: the span's own place when it is recorded, else
    /// the parent's unchanged. The root of a trace that was not sampled says so, lest those below it decide
    /// again. `None` when there is no tracer and the caller sent nothing.
    pub fn context(&self) -> Option<TraceContext> {
        self.place().cloned()
    }

    /// The trace that this span is in, for log lines and audit events.
    pub fn trace_id(&self) -> Option<TraceId> {
        self.place().map(TraceContext::trace_id)
    }

    fn place(&self) -> Option<&TraceContext> {
        match &self.state {
            State::Recording { context, .. } => Some(context),
            State::Passing(context) => context.as_ref(),
        }
    }

    /// Sets an attribute; names are in [`attribute`]. A second value for the same key is sent beside the first,
    /// so set each once.
    pub fn set<'a>(&mut self, key: &'static str, value: impl Into<Value<'a>>) {
        if let State::Recording { span, .. } = &mut self.state {
            let value = value.into().into_otel();
            span.set_attribute(KeyValue::new(Key::from_static_str(key), value));
        }
    }

    /// Points at a span that is related but not the parent: the HTTP request's context, when the message named
    /// another in its `_meta`.
    pub fn link(&mut self, context: &TraceContext) {
        if let State::Recording { span, .. } = &mut self.state {
            span.add_link(to_otel(context), Vec::new());
        }
    }

    /// Marks the span as failed. `kind` becomes `error.type`: the JSON-RPC error code as text,
    /// [`attribute::TOOL_ERROR`], `timeout`, or another word from a small set. The first failure stays. There
    /// is no message, because messages quote payloads.
    pub fn fail(&mut self, kind: &str) {
        if let State::Recording { span, failed: failed @ false, .. } = &mut self.state {
            *failed = true;
            span.set_status(Status::error(""));
            self.set(attribute::ERROR_TYPE, kind);
        }
    }
}

/// `None` for the empty context that the SDK makes where it was told to suppress telemetry.
fn to_context(context: &SpanContext, parent: Option<&TraceContext>) -> Option<TraceContext> {
    let trace_id = TraceId::new(context.trace_id().to_bytes())?;
    let span_id = SpanId::new(context.span_id().to_bytes())?;
    Some(TraceContext::own(trace_id, span_id, context.trace_flags().to_u8(), parent))
}

pub(super) fn to_otel(context: &TraceContext) -> SpanContext {
    let tracestate = context.tracestate().and_then(|state| state.parse::<TraceState>().ok());
    SpanContext::new(
        opentelemetry::TraceId::from_bytes(context.trace_id().to_bytes()),
        opentelemetry::SpanId::from_bytes(context.span_id().to_bytes()),
        TraceFlags::new(context.flags()),
        true,
        tracestate.unwrap_or_default(),
    )
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}
