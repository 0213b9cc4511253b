//! The Prometheus text format 0.0.4: `# HELP`, `# TYPE`, then a line per sample.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>
//!
//! Not OpenMetrics: scrapers that want it still take this, while older ones do not take the reverse.

use std::fmt::{Display, Write};

/// An exposition being written.
#[derive(Default)]
pub(super) struct Text {
    out: String,
}

impl Text {
    /// Starts a family. Every sample up to the next one belongs to it.
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.write(format_args!("# HELP {name} "));
        escape(&mut self.out, help, false);
        self.write(format_args!("\n# TYPE {name} {kind}\n"));
    }

    /// One sample. `labels` are written in the given order.
    pub(super) fn sample<V: AsRef<str>>(&mut self, name: &str, labels: &[(&str, V)], value: impl Display) {
        self.out.push_str(name);
        for (position, (label, text)) in labels.iter().enumerate() {
            self.out.push(if position == 0 { '{' } else { ',' });
            self.write(format_args!("{label}=\""));
            escape(&mut self.out, text.as_ref(), true);
            self.out.push('"');
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        self.write(format_args!(" {value}\n"));
    }

    pub(super) fn into_string(self) -> String {
        self.out
    }

    fn write(&mut self, arguments: std::fmt::Arguments<'_>) {
        self.out.write_fmt(arguments).expect("writing to a String does not fail");
    }
}

/// Escapes what would end a line and, in a label value, what would end the value.
fn escape(out: &mut String, text: &str, label: bool) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if label => out.push_str("\\\""),
            other => out.push(other),
        }
    }
}
