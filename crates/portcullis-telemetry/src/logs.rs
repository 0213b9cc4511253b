//! Logs, on standard error: one JSON object per line for machines, or lines for people.
//!
//! Writing is synchronous, one `write` per line: what was logged before a crash is there after it, and lines of
//! several threads do not mix. Calls are not logged line by line at the default level, so a queue would win
//! nothing and could lose the last words.
//!
//! Nothing is redacted here, because nothing that needs it may be logged: no bodies, no headers, no tokens.
//! Types that hold secrets hide them in their `Debug`.
//!
//! The subscriber is the one process-wide thing of this crate; `tracing` has no other way.

use std::{
    fmt,
    io::{self, IsTerminal},
    str::FromStr,
    sync::Arc,
};

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::ParseError,
    fmt::MakeWriter,
    layer::SubscriberExt,
    registry::LookupSpan,
    reload,
    util::{SubscriberInitExt, TryInitError},
};

mod json;
#[cfg(test)]
mod tests;

use json::JsonLayer;

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// [`Pretty`](Self::Pretty) when standard error is a terminal, [`Json`](Self::Json) otherwise.
    #[default]
    Auto,
    /// One object per line: `ts` (RFC 3339, UTC), `level` (`ERROR` … `TRACE`), `target`, `message`, then the
    /// fields of the enclosing spans and of the event, flattened. A field that is called like one of the four
    /// is written as `field.` and its name.
    Json,
    /// A line for people, in colour on a terminal unless `NO_COLOR` is set.
    Pretty,
}

/// A word that is not `auto`, `json` or `pretty`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown log format {0:?}: expected auto, json or pretty")]
pub struct ParseLogFormatError(String);

impl FromStr for LogFormat {
    type Err = ParseLogFormatError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "json" => Ok(Self::Json),
            "pretty" => Ok(Self::Pretty),
            other => Err(ParseLogFormatError(other.to_owned())),
        }
    }
}

/// Why logging did not start.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The filter is not one.
    #[error(transparent)]
    Filter(#[from] ParseFilterError),
    /// Somebody in this process did so before.
    #[error("logging is set up already")]
    AlreadySet(#[from] TryInitError),
}

/// A filter that does not read as directives, such as `info,portcullis_gateway=debug`.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the log filter {filter:?}: {source}")]
pub struct ParseFilterError {
    filter: String,
    source: ParseError,
}

/// Changes the filter and the look of a log that is running.
#[derive(Clone)]
pub struct LogHandle {
    filter: reload::Handle<EnvFilter, Registry>,
    format: Arc<dyn Fn(LogFormat) + Send + Sync>,
}

impl fmt::Debug for LogHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogHandle").finish_non_exhaustive()
    }
}

impl LogHandle {
    /// Takes up another filter, from the next event on. The old one stays when the new one cannot be read.
    ///
    /// Crates that log through the `log` facade keep the most verbose level of the filter they started with.
    pub fn set_filter(&self, filter: &str) -> Result<(), ParseFilterError> {
        let filter = parse_filter(filter)?;
        // It fails only when the subscriber is gone, and then nobody is left to filter for.
        drop(self.filter.reload(filter));
        Ok(())
    }

    /// Writes lines in another format, from the next event on. Fields of spans that began before are left out.
    pub fn set_format(&self, format: LogFormat) {
        (self.format)(format);
    }
}

/// Starts logging to standard error for the whole process, once.
///
/// `filter` is a list of directives, `target[span{field=value}]=level`, where a bare level is the default for
/// all targets: `info,portcullis_gateway=debug`. The environment is not read.
pub fn init_logs(format: LogFormat, filter: &str) -> Result<LogHandle, InitError> {
    let (subscriber, handle) = subscriber(format, filter, io::stderr, io::stderr().is_terminal())?;
    subscriber.try_init()?;
    Ok(handle)
}

fn subscriber<W>(
    format: LogFormat,
    filter: &str,
    writer: W,
    terminal: bool,
) -> Result<(impl Subscriber + Send + Sync + 'static, LogHandle), ParseFilterError>
where
    W: for<'w> MakeWriter<'w> + Clone + Send + Sync + 'static,
{
    let (filter, filter_handle) = reload::Layer::new(parse_filter(filter)?);
    let lines = move |format| lines(format, writer.clone(), terminal);
    let (layer, lines_handle) = reload::Layer::new(lines(format));
    // As above, it fails only when nobody is left to write lines.
    let format = Arc::new(move |format| drop(lines_handle.reload(lines(format))));
    Ok((Registry::default().with(filter).with(layer), LogHandle { filter: filter_handle, format }))
}

/// What writes a line for each event.
fn lines<S, W>(format: LogFormat, writer: W, terminal: bool) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let pretty = match format {
        LogFormat::Auto => terminal,
        LogFormat::Json => false,
        LogFormat::Pretty => true,
    };
    if pretty {
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        tracing_subscriber::fmt::layer()
            .with_writer(writer)
            .with_ansi(colour)
            .log_internal_errors(false)
            .boxed()
    } else {
        JsonLayer::new(writer).boxed()
    }
}

fn parse_filter(filter: &str) -> Result<EnvFilter, ParseFilterError> {
    EnvFilter::builder()
        .parse(filter)
        .map_err(|source| ParseFilterError { filter: filter.to_owned(), source })
}
