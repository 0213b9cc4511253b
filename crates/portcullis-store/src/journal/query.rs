//! What is looked for, as conditions of SQL: the same for both databases, but for how they write values.
//!
//! An index over what is rare is used only where a condition says in so many words that it is about the rare.

use std::fmt::Write as _;

use portcullis_model::{Search, Unavailable, bounded};

use super::{BETWEEN, number};

/// What most events are, and are not worth an index.
const USUAL_KIND: &str = "exchange";
const USUAL_DECISION: &str = "allow";

/// How a database writes values.
#[derive(Clone, Copy)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

/// A value to ask with.
pub(super) enum Value {
    Number(i64),
    Bytes(Vec<u8>),
}

/// What comes after `WHERE`, and the values in it.
pub(super) struct Query {
    pub(super) dialect: Dialect,
    pub(super) text: String,
    pub(super) values: Vec<Value>,
}

impl Query {
    /// The place of a value.
    pub(super) fn place(&mut self, value: Value) -> String {
        self.values.push(value);
        let sign = match self.dialect {
            Dialect::Sqlite => '?',
            Dialect::Postgres => '$',
        };
        format!("{sign}{}", self.values.len())
    }

    fn and(&mut self, condition: &str) {
        let _ = write!(self.text, " AND {condition}");
    }

    fn is(&mut self, column: &str, wanted: Option<&String>, usual: Option<&str>) {
        let Some(wanted) = wanted else { return };
        let place = self.place(Value::Bytes(bounded(wanted).as_bytes().to_vec()));
        self.and(&format!("{column} = {place}"));
        if let Some(usual) = usual.filter(|usual| usual != wanted) {
            let usual = self.literal(usual);
            self.and(&format!("{column} <> {usual}"));
        }
    }

    fn literal(&self, text: &str) -> String {
        let digits: String = text.bytes().fold(String::new(), |mut digits, byte| {
            let _ = write!(digits, "{byte:02x}");
            digits
        });
        match self.dialect {
            Dialect::Sqlite => format!("x'{digits}'"),
            Dialect::Postgres => format!("'\\x{digits}'::bytea"),
        }
    }

    /// Adds what is looked for.
    pub(super) fn looks_for(&mut self, search: &Search) -> Result<(), Unavailable> {
        self.is("person", search.person.as_ref(), None);
        self.is("server", search.server.as_ref(), None);
        self.is("tool", search.tool.as_ref(), None);
        self.is("kind", search.kind.as_ref(), Some(USUAL_KIND));
        self.is("verdict", search.decision.as_ref(), Some(USUAL_DECISION));
        if let Some(rule) = &search.finding {
            let rule = [&[BETWEEN], bounded(rule).as_bytes(), &[BETWEEN]].concat();
            let place = self.place(Value::Bytes(rule));
            self.and("findings IS NOT NULL");
            self.and(&match self.dialect {
                Dialect::Sqlite => format!("instr(findings, {place}) > 0"),
                Dialect::Postgres => format!("position({place} in findings) > 0"),
            });
        }
        for (condition, time) in [("ended >=", search.since), ("ended <", search.until)] {
            if let Some(time) = time {
                let place = self.place(Value::Number(time));
                self.and(&format!("{condition} {place}"));
            }
        }
        if let Some(from) = search.from {
            let place = self.place(Value::Number(number(from)?));
            self.and(&format!("seq {} {place}", if search.newest_first { "<" } else { ">=" }));
        }
        let order = if search.newest_first { "DESC" } else { "ASC" };
        let _ = write!(self.text, " ORDER BY seq {order}");
        Ok(())
    }

    /// So many at most.
    pub(super) fn at_most(&mut self, most: usize) {
        let place = self.place(Value::Number(i64::try_from(most).unwrap_or(i64::MAX)));
        let _ = write!(self.text, " LIMIT {place}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_callers_chose_is_never_part_of_the_text() {
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            let hostile = Some("'; DROP TABLE portcullis_events; --".to_owned());
            let search = Search {
                kind: hostile.clone(),
                person: hostile.clone(),
                server: hostile.clone(),
                tool: hostile.clone(),
                decision: hostile.clone(),
                finding: hostile,
                since: Some(-7),
                until: Some(9),
                from: Some(3),
                newest_first: true,
            };
            let mut query = Query { dialect, text: "seq >= 0".to_owned(), values: Vec::new() };
            query.looks_for(&search).unwrap();
            query.at_most(usize::MAX);
            assert!(!query.text.contains("DROP"), "{}", query.text);
            assert_eq!(query.values.len(), 10);
            assert!(query.text.ends_with("10"), "{}", query.text);
        }
        let mut query = Query { dialect: Dialect::Sqlite, text: String::new(), values: Vec::new() };
        assert!(query.looks_for(&Search { from: Some(u64::MAX), ..Search::default() }).is_err());
    }

    #[test]
    fn what_is_rare_is_said_to_be() {
        let asked = |kind: &str| {
            let mut query = Query { dialect: Dialect::Postgres, text: String::new(), values: Vec::new() };
            query.looks_for(&Search { kind: Some(kind.to_owned()), ..Search::default() }).unwrap();
            query.text
        };
        assert_eq!(
            asked("denial"),
            " AND kind = $1 AND kind <> '\\x65786368616e6765'::bytea ORDER BY seq ASC"
        );
        assert_eq!(asked("exchange"), " AND kind = $1 ORDER BY seq ASC");
    }
}
