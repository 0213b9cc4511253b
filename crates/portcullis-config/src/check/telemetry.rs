//! Logs, metrics and traces.

use super::Check;
use super::http::absolute_url;
use super::server::headers;
use crate::node::Path;
use crate::report::nearest;
use crate::{Log, LogFormat, Otlp, OtlpProtocol, Overrides, Readers, Telemetry, raw};

const FORMATS: [(&str, LogFormat); 3] =
    [("auto", LogFormat::Auto), ("json", LogFormat::Json), ("pretty", LogFormat::Pretty)];

pub(super) fn telemetry(check: &mut Check<'_>, raw: &raw::Telemetry, overrides: &Overrides) -> Telemetry {
    Telemetry {
        log: log(check, &raw.log, overrides),
        otlp: raw.otlp.as_ref().and_then(|raw| otlp(check, raw)),
        metrics: raw.metrics.unwrap_or(true),
        allow: raw.allow.as_ref().map(|raw| readers(check, &Path::top("telemetry").key("allow"), raw)),
    }
}

pub(super) fn readers(check: &mut Check<'_>, path: &Path, raw: &raw::Readers) -> Readers {
    let path = path.key("principals");
    for (index, id) in raw.principals.iter().enumerate() {
        if !super::policy::is_principal(id) {
            let message = format!("`{id}` is no principal; {}", super::policy::PRINCIPALS);
            check.error(&path.index(index), message);
        }
    }
    Readers { groups: raw.groups.clone(), principals: raw.principals.clone() }
}

fn log(check: &mut Check<'_>, raw: &raw::Log, overrides: &Overrides) -> Log {
    let from_env = |name: &str| check.source.env.var(name).filter(|text| !text.is_empty());
    let filter =
        overrides.log_filter.clone().or_else(|| from_env("PORTCULLIS_LOG")).or_else(|| raw.filter.clone());
    let outside = match &overrides.log_format {
        Some(format) => Some(("--log-format", format.clone())),
        None => from_env("PORTCULLIS_LOG_FORMAT").map(|format| ("PORTCULLIS_LOG_FORMAT", format)),
    };
    let format = match outside {
        Some((origin, text)) => format_outside(check, origin, &text),
        None => match raw.format {
            None | Some(raw::LogFormat::Auto) => LogFormat::Auto,
            Some(raw::LogFormat::Json) => LogFormat::Json,
            Some(raw::LogFormat::Pretty) => LogFormat::Pretty,
        },
    };
    Log { format, filter: filter.unwrap_or_else(|| "info".to_owned()) }
}

fn format_outside(check: &mut Check<'_>, origin: &str, text: &str) -> LogFormat {
    if let Some((_, format)) = FORMATS.iter().find(|(name, _)| *name == text) {
        return *format;
    }
    let path = Path::top("telemetry").key("log").key("format");
    check.report.error_outside(
        origin,
        &path,
        "expected `auto`, `json` or `pretty`",
        nearest(text, FORMATS.map(|(name, _)| name)),
    );
    LogFormat::Auto
}

fn otlp(check: &mut Check<'_>, raw: &raw::Otlp) -> Option<Otlp> {
    let path = Path::top("telemetry").key("otlp");
    let headers = headers(check, &path.key("headers"), &raw.headers);
    if let Err(message) = absolute_url(&raw.endpoint) {
        check.error(&path.key("endpoint"), message);
        return None;
    }
    Some(Otlp {
        endpoint: raw.endpoint.clone(),
        protocol: match raw.protocol {
            None | Some(raw::OtlpProtocol::Grpc) => OtlpProtocol::Grpc,
            Some(raw::OtlpProtocol::Http) => OtlpProtocol::Http,
        },
        headers,
        sample_ratio: raw.sample_ratio.unwrap_or(1.0),
        service_name: raw.service_name.clone().unwrap_or_else(|| "portcullis".to_owned()),
    })
}
