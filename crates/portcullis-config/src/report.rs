//! The list that every step adds its problems to.

use std::collections::BTreeMap;

use crate::node::{Mark, Path, Segment};
use crate::{Problem, Problems, Severity};

/// The problems found so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    file: String,
    problems: Vec<Problem>,
    failed: Vec<Path>,
    origins: BTreeMap<String, (String, String)>,
}

impl Report {
    /// An empty list for the file that problems call `file`.
    pub(crate) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), ..Self::default() }
    }

    /// Adds an error at a place of the file.
    pub(crate) fn error(
        &mut self,
        at: Mark,
        path: &Path,
        message: impl Into<String>,
        nearest: Option<String>,
    ) {
        self.failed.push(path.clone());
        self.push(Severity::Error, at, path, message.into(), nearest);
    }

    /// Adds a warning at a place of the file.
    pub(crate) fn warn(&mut self, at: Mark, path: &Path, message: impl Into<String>) {
        self.push(Severity::Warning, at, path, message.into(), None);
    }

    /// Adds an error about a value that stands in a flag or variable called `file`.
    pub(crate) fn error_outside(
        &mut self,
        file: &str,
        path: &Path,
        message: impl Into<String>,
        nearest: Option<String>,
    ) {
        self.error(Mark::default(), path, message, nearest);
        if let Some(problem) = self.problems.last_mut() {
            file.clone_into(&mut problem.file);
        }
    }

    /// Adds what was found in another file.
    pub(crate) fn include(&mut self, other: Self) {
        self.problems.extend(other.problems);
    }

    /// Whether something at or below `path` has failed already, so that what follows from it is not news.
    pub(crate) fn failed_under(&self, path: &Path) -> bool {
        self.failed.iter().any(|failed| failed.0.starts_with(&path.0))
    }

    /// Remembers that `servers.<id>` stands in the file as `<section>.<name>`.
    pub(crate) fn renamed(&mut self, id: &str, section: &str, name: &str) {
        self.origins.insert(id.to_owned(), (section.to_owned(), name.to_owned()));
    }

    /// Whether the server `id` was brought in from a client's form.
    pub(crate) fn is_from_client(&self, id: &str) -> bool {
        self.origins.contains_key(id)
    }

    /// The warnings in file order, or all problems when an error is among them.
    pub(crate) fn finish(mut self) -> Result<Vec<Problem>, Problems> {
        // The configuration itself first, then the files it names.
        let own = self.file.clone();
        let place = |it: &Problem| (it.line > 0 && it.file != own, it.file.clone(), it.line, it.column);
        self.problems.sort_by_key(|problem| {
            let (other, file, line, column) = place(problem);
            (other, if other { file } else { String::new() }, line, column)
        });
        self.problems.dedup();
        if self.problems.iter().any(|problem| problem.severity == Severity::Error) {
            return Err(Problems(self.problems));
        }
        Ok(self.problems)
    }

    /// All problems, for a report that holds an error for sure.
    pub(crate) fn refused<T>(self) -> Result<T, Problems> {
        match self.finish() {
            Ok(warnings) => Err(Problems(warnings)),
            Err(problems) => Err(problems),
        }
    }

    fn push(&mut self, severity: Severity, at: Mark, path: &Path, message: String, nearest: Option<String>) {
        let path = self.as_written(path).to_string();
        let Mark { line, column } = at;
        self.problems.push(Problem {
            file: self.file.clone(),
            line,
            column,
            path,
            message,
            nearest,
            severity,
        });
    }

    fn as_written(&self, path: &Path) -> Path {
        if let [Segment::Key(top), Segment::Key(id), rest @ ..] = path.0.as_slice()
            && top == "servers"
            && let Some((section, name)) = self.origins.get(id)
        {
            let mut written = Path::top(section).key(name);
            written.0.extend_from_slice(rest);
            return written;
        }
        path.clone()
    }
}

/// The known name closest to `given`, if it is close enough to be a slip.
pub(crate) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', '_'], "");
    let wanted = plain(given);
    known
        .into_iter()
        .map(|name| (strsim::normalized_damerau_levenshtein(&wanted, &plain(name)), name))
        .filter(|(similarity, _)| *similarity >= 0.6)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, name)| name.to_owned())
}
