//! One JSON object per event.
//!
//! Written here because the subscriber's own JSON puts fields of one name twice into an object, and because
//! `ts` and the flattened fields are part of what operators build on. Fields of spans come first, outermost
//! first; a field of the same name further in replaces it.

use std::{
    fmt::{self, Write as _},
    io::Write as _,
};

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    Layer,
    fmt::{
        MakeWriter,
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    layer::Context,
    registry::{LookupSpan, Scope},
};

/// What a line always has; a field may not pass for one of these.
const RESERVED: [&str; 4] = ["ts", "level", "target", "message"];

pub(super) struct JsonLayer<W> {
    writer: W,
}

impl<W> JsonLayer<W> {
    pub(super) fn new(writer: W) -> Self {
        Self { writer }
    }
}

/// What a span has recorded so far.
struct SpanFields(Map<String, Value>);

impl<S, W> Layer<S> for JsonLayer<W>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + 'static,
{
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(SpanFields(fields.of_span()));
    }

    fn on_record(&self, id: &span::Id, record: &span::Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        record.record(&mut fields);
        if let Some(recorded) = span.extensions_mut().get_mut::<SpanFields>() {
            recorded.0.extend(fields.of_span());
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut of_event = Fields::default();
        event.record(&mut of_event);
        let metadata = event.metadata();
        let target = of_event.take_log_target().unwrap_or_else(|| metadata.target().to_owned());
        let mut line = Map::new();
        line.insert("ts".to_owned(), now().into());
        line.insert("level".to_owned(), metadata.level().as_str().into());
        line.insert("target".to_owned(), target.into());
        line.insert("message".to_owned(), of_event.message.unwrap_or_default().into());
        for span in context.event_scope(event).into_iter().flat_map(Scope::from_root) {
            if let Some(SpanFields(fields)) = span.extensions().get() {
                line.extend(fields.clone());
            }
        }
        line.extend(of_event.fields);
        let mut line = Value::Object(line).to_string();
        line.push('\n');
        // Where standard error is gone there is nobody left to tell.
        drop(self.writer.make_writer_for(metadata).write_all(line.as_bytes()));
    }
}

/// RFC 3339 in UTC with microseconds.
fn now() -> String {
    let mut text = String::new();
    SystemTime.format_time(&mut Writer::new(&mut text)).expect("writing to a String does not fail");
    text
}

/// The fields of one event or span, as JSON.
#[derive(Default)]
struct Fields {
    message: Option<String>,
    fields: Map<String, Value>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        let name = field.name();
        if RESERVED.contains(&name) {
            self.fields.insert(format!("field.{name}"), value);
        } else {
            self.fields.insert(name.to_owned(), value);
        }
    }

    fn add_text(&mut self, field: &Field, text: String) {
        if field.name() == "message" {
            self.message = Some(text);
        } else {
            self.add(field, text.into());
        }
    }

    /// An event that came through the `log` facade has its real target in a field, beside its place in the
    /// source, which other events do not tell either.
    fn take_log_target(&mut self) -> Option<String> {
        let target = self.fields.shift_remove("log.target")?;
        for place in ["log.module_path", "log.file", "log.line"] {
            self.fields.shift_remove(place);
        }
        target.as_str().map(str::to_owned)
    }

    /// A span has no message of its own: one that is called so is a field.
    fn of_span(mut self) -> Map<String, Value> {
        if let Some(message) = self.message {
            self.fields.insert("field.message".to_owned(), message.into());
        }
        self.fields
    }
}

impl Visit for Fields {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    /// JSON has no number for infinity; the text says it.
    fn record_f64(&mut self, field: &Field, value: f64) {
        let value =
            serde_json::Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number);
        self.add(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add_text(field, value.to_owned());
    }

    /// The whole chain of causes, because the log is where it goes.
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            write!(text, ": {error}").expect("writing to a String does not fail");
            cause = error.source();
        }
        self.add_text(field, text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add_text(field, format!("{value:?}"));
    }
}
