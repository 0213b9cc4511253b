//! Events for other programs: the records as they are, and what SIEMs read.
//!
//! A format writes one event at a time, so that an export streams. Only JSON Lines are the bytes that were hashed; the others
//! say which event they are (`id`, number), so that the record can be asked for. Persons stay pseudonyms everywhere.

mod cef;
mod csv;
mod ocsf;
mod otlp;

use crate::record::{InvalidRecord, Record};

/// What an export is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The records, one a line.
    Jsonl,
    /// OCSF 1.6, class API Activity (6003), one a line.
    Ocsf,
    /// ArcSight's Common Event Format.
    Cef,
    /// Comma-separated values (RFC 4180) with a header.
    Csv,
    /// OpenTelemetry logs: an `ExportLogsServiceRequest` in OTLP/JSON, one a line.
    Otlp,
}

impl Format {
    /// All of them, by their names.
    pub const ALL: [(&str, Self); 5] = [
        ("jsonl", Self::Jsonl),
        ("ocsf", Self::Ocsf),
        ("cef", Self::Cef),
        ("csv", Self::Csv),
        ("otlp", Self::Otlp),
    ];

    /// What comes before the first event.
    #[must_use]
    pub fn header(self) -> String {
        if self == Self::Csv { csv::header() } else { String::new() }
    }

    /// One event, with its newline.
    ///
    /// # Errors
    /// The record is none.
    pub fn write(self, record: &[u8]) -> Result<Vec<u8>, InvalidRecord> {
        if self == Self::Jsonl {
            return Ok([record, b"\n"].concat());
        }
        let record = Record::parse(record)?;
        let mut line = match self {
            Self::Ocsf => ocsf::write(&record).to_string(),
            Self::Otlp => otlp::write(&record).to_string(),
            Self::Cef => cef::write(&record),
            Self::Csv | Self::Jsonl => csv::write(&record),
        };
        line.push('\n');
        Ok(line.into_bytes())
    }
}

/// How bad an event is: 0 to 10, as CEF counts.
fn severity(record: &Record) -> u8 {
    use crate::event::Kind;
    let blocked = record.event.guard.findings.iter().any(|finding| finding.action == "block");
    match record.event.kind {
        Kind::Incident | Kind::Loss => 9,
        Kind::Denial | Kind::Recovery => 6,
        _ if blocked => 7,
        _ if record.event.result.error.is_some() => 4,
        Kind::Policy | Kind::Key | Kind::Erasure | Kind::Hold | Kind::Truncation | Kind::Approval => 3,
        _ => 1,
    }
}

/// The method and what it was for, in a few words.
fn title(record: &Record) -> String {
    let event = &record.event;
    let method = event.request.method.as_deref().unwrap_or(event.kind.as_str());
    let at =
        [&event.server.id, &event.tool.name].into_iter().flatten().cloned().collect::<Vec<_>>().join("/");
    if at.is_empty() { method.to_owned() } else { format!("{method} {at}") }
}

#[cfg(test)]
mod tests;
