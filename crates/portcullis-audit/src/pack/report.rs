//! The pack as people read it: Markdown. Whatever servers and clients chose is written so that it stays within its cell.

use std::fmt::Write as _;

use super::{Line, Pack, System};

/// Which articles ask for what, and where it is.
const ARTICLES: [(&str, &str, &str); 6] = [
    ("12", "events are recorded over the lifetime of the system", "Systems, Integrity"),
    ("14", "people oversee it: they can intervene and stop it", "Oversight, Stops"),
    ("19, 26(6)", "logs are kept for six months at the least", "Retention"),
    ("26(5)", "its operation is monitored", "Systems, Incidents"),
    ("72", "it is watched after it was put on the market", "Systems, Incidents"),
    ("73", "serious incidents can be reconstructed", "Incidents, and the log itself"),
];

impl Pack {
    /// The report.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text = String::from("# Evidence for AI systems behind this gateway\n\n");
        let _ = writeln!(text, "{}\n", self.purpose);
        let _ = writeln!(
            text,
            "Log `{}`, from {} to {}: {} events.",
            plain(&self.log),
            self.from,
            self.to,
            self.events
        );
        text.push_str(
            "\nPersons are pseudonyms. What is listed is proved by `proof.txt`: `portcullis audit verify proof.txt --trusted-key KEY`. \
             The same as data is in `pack.json`.\n\n| article | what it asks | see |\n|---|---|---|\n",
        );
        for (article, asks, see) in ARTICLES {
            let _ = writeln!(text, "| {article} | {asks} | {see} |");
        }
        self.integrity(&mut text);
        self.systems(&mut text);
        self.oversight(&mut text);
        text.push_str("\n## Stops\n\nWhat was stopped, and when it went on again.\n\n");
        lines(&mut text, &self.halts.listed, self.halts.more);
        text.push_str(
            "\n### Tests of the stop\n\nStopped to see whether that works (`portcullis halt set --test`).\n\n",
        );
        lines(&mut text, &self.halt_tests.listed, self.halt_tests.more);
        text.push_str("\n## Incidents\n\nIncidents, events that were lost, and starts after a crash.\n\n");
        lines(&mut text, &self.incidents.listed, self.incidents.more);
        text.push_str("\n## Definitions held back\n\n");
        lines(&mut text, &self.held_back.listed, self.held_back.more);
        self.retention(&mut text);
        text
    }

    fn integrity(&self, text: &mut String) {
        text.push_str("\n## Integrity\n\n");
        let Some(report) = &self.verification else {
            text.push_str("The log was not verified for this pack.\n");
            return;
        };
        let verdict = if report.is_good() { "whole and unaltered" } else { "NOT whole and unaltered" };
        let _ = writeln!(
            text,
            "The whole log was verified: {verdict}. {} events, {} checkpoints fit, the last over {} events.",
            report.next - report.first,
            report.checkpoints,
            report.covered
        );
        if report.key_from_log {
            text.push_str("\nThe key was taken from the log: that shows nothing against whoever has it.\n");
        }
        if report.witnesses.is_empty() {
            text.push_str("\nNo witness that is trusted signed it.\n");
        } else {
            let _ = writeln!(
                text,
                "\nWitnessed by {} up to {} events.",
                plain(&report.witnesses.join(", ")),
                report.witnessed
            );
        }
        if let Some((size, time)) = report.stamped {
            let by = if report.stamped_by_anybody { ", by whom was not asked" } else { "" };
            let time = crate::time::rfc3339(i64::try_from(time).unwrap_or(0).saturating_mul(1_000_000));
            let _ = writeln!(text, "\nTime-stamped at {time} up to {size} events{by}.");
        }
        for problem in &report.problems {
            let _ = writeln!(text, "\n- WRONG: {}", plain(&problem.text));
        }
    }

    fn systems(&self, text: &mut String) {
        text.push_str("\n## Systems\n");
        if self.systems.is_empty() {
            text.push_str("\nNo event is of a tagged system: `audit.systems` tags them.\n");
        }
        for (name, system) in &self.systems {
            let _ = writeln!(text, "\n### {}\n\n| | |\n|---|---|", plain(name));
            system.table(text);
        }
        if self.untagged > 0 {
            let _ = writeln!(text, "\n{} events are of no tagged system.", self.untagged);
        }
        if !self.changes.is_empty() {
            let changes: Vec<_> =
                self.changes.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
            let _ = writeln!(
                text,
                "\nChanges: {}. The log was read {} times over HTTP.",
                changes.join(", "),
                self.reads
            );
        }
    }

    fn oversight(&self, text: &mut String) {
        let oversight = &self.oversight;
        text.push_str("\n## Oversight\n\n");
        if oversight.decisions.is_empty() {
            text.push_str("Nobody was asked to decide anything.\n");
            return;
        }
        let decisions: Vec<_> = oversight
            .decisions
            .iter()
            .map(|(decision, count)| format!("{} {count}", plain(decision)))
            .collect();
        let _ = writeln!(text, "Decisions: {}; by {} people.", decisions.join(", "), oversight.people);
        if let Some((half, most)) = oversight.waited_ms {
            let _ = writeln!(
                text,
                "\nThey took {half} ms at the median, and nine of ten no more than {most} ms."
            );
        }
        text.push('\n');
        lines(text, &oversight.each.listed, oversight.each.more);
    }

    fn retention(&self, text: &mut String) {
        let retention = &self.retention;
        text.push_str("\n## Retention\n\n");
        let _ = writeln!(
            text,
            "Events of tagged systems are kept for {} days at the least, whatever the settings say.",
            retention.floor_days
        );
        if let Some((seq, time)) = &retention.oldest {
            let _ = writeln!(text, "\nThe oldest event that is there is number {seq}, of {time}.");
        }
        for (what, listed) in [("Removed", &retention.removed), ("Persons erased", &retention.erased)] {
            let _ = writeln!(text, "\n{what}:\n");
            lines(text, listed, 0);
        }
        for (name, hold) in &retention.held {
            let _ = writeln!(text, "\n- legal hold `{}`: {}", plain(name), plain(&hold.reason));
        }
    }
}

impl System {
    fn table(&self, text: &mut String) {
        let known = |value: &Option<String>| value.as_deref().map_or_else(|| "not said".to_owned(), plain);
        let all = |values: &std::collections::BTreeSet<String>| {
            if values.is_empty() {
                "not said".to_owned()
            } else {
                plain(&values.iter().cloned().collect::<Vec<_>>().join(", "))
            }
        };
        let counted = |counts: &std::collections::BTreeMap<String, u64>| {
            let counts: Vec<_> =
                counts.iter().map(|(name, count)| format!("{} {count}", plain(name))).collect();
            if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
        };
        for (name, value) in [
            ("purpose", known(&self.purpose)),
            ("class of risk", known(&self.risk)),
            ("model", known(&self.model)),
            ("deployer", known(&self.deployer)),
            ("categories of data", all(&self.data)),
            ("legal basis", all(&self.legal_bases)),
            ("first and last event", format!("{} to {}", self.first, self.last)),
            (
                "events",
                format!(
                    "{}: {} exchanges, {} denied or refused, {} failed, {} persons",
                    self.events, self.exchanges, self.denied, self.failed, self.persons
                ),
            ),
            ("servers", counted(&self.servers)),
            ("tools", counted(&self.tools)),
            ("found by the guard", counted(&self.findings)),
        ] {
            let _ = writeln!(text, "| {name} | {value} |");
        }
    }
}

fn lines(text: &mut String, listed: &[Line], more: u64) {
    if listed.is_empty() {
        text.push_str("None.\n");
        return;
    }
    text.push_str(
        "| event | time | kind | about | by | decision | after | |\n|---|---|---|---|---|---|---|---|\n",
    );
    for line in listed {
        let detail: Vec<_> = line.detail.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let waited = line.waited_ms.map(|waited| format!("{waited} ms")).unwrap_or_default();
        let cells = [
            line.time.clone(),
            line.kind.to_owned(),
            plain(&line.about),
            plain(line.by.as_deref().unwrap_or_default()),
            plain(line.decision.as_deref().unwrap_or_default()),
            waited,
            plain(&detail.join("; ")),
        ];
        let _ = writeln!(text, "| {} | {} |", line.seq, cells.join(" | "));
    }
    if more > 0 {
        let _ = writeln!(text, "\nAnd {more} more, which are not listed.");
    }
}

/// What others chose, as text and nothing else: no markup, no other cell, no other line.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => plain.push_str("&amp;"),
            '<' => plain.push_str("&lt;"),
            '|' | '`' | '*' | '_' | '[' | ']' | '!' | '#' | '\\' | '~' => {
                plain.push('\\');
                plain.push(c);
            }
            c if c.is_control() => plain.push(' '),
            c => plain.push(c),
        }
    }
    plain
}
