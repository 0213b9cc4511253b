//! What is wrong with a configuration, in words that a user can act on.
//!
//! A run collects every problem rather than stopping at the first, so that one edit can mend them all.

use std::fmt;

/// Whether a problem stops the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// The configuration is taken up; this should be looked at.
    Warning,
}

/// One thing that is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file, or the flag or variable that carries the value.
    pub file: String,
    /// Line, from 1; 0 where there is no line, as with a flag.
    pub line: usize,
    /// Column in characters, from 1; 0 where there is none.
    pub column: usize,
    /// The dotted path to the value, such as `servers.crm.url`; empty for the file as a whole.
    pub path: String,
    /// What is expected and what to do. Never holds the value of a secret.
    pub message: String,
    /// The known key or value that was probably meant.
    pub nearest: Option<String>,
    /// Whether it stops the start.
    pub severity: Severity,
}

impl fmt::Display for Problem {
    /// One line in the form that editors jump to: `file:line:column: error: path: message`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, ": {severity}: ")?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)?;
        match &self.nearest {
            Some(nearest) => write!(f, " (did you mean `{nearest}`?)"),
            None => Ok(()),
        }
    }
}

/// Why a configuration was refused: at least one error, with the warnings of the same run, in file order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    /// One problem to a line, without a trailing line break.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}
