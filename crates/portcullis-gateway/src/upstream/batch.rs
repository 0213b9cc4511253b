//! What a server says at once: JSON-RPC batches. 2025-03-26 alone has them, and whoever speaks it has to take them (basic protocol,
//! "Batching"). The gateway sends none.

use std::{iter, option, vec};

use bytes::Bytes;
use portcullis_mcp::json::{Kind, Limits as JsonLimits, Raw};
use portcullis_mcp::revision::Revision;

/// Most messages of a batch. More are no batch: each is held by itself, and a server could make much of a few bytes.
const MOST: usize = 1024;

/// Messages that were said at once.
pub(super) type Messages = iter::Chain<option::IntoIter<Bytes>, vec::IntoIter<Bytes>>;

/// No more of them.
pub(super) fn none() -> Messages {
    None.into_iter().chain(Vec::new())
}

/// The messages of `data`, each by itself: those of a batch where `revision` has batches, and `data` as it is otherwise. What a batch
/// answers comes after what it asks and tells, for an answer ends its call.
pub(super) fn messages(revision: Revision, data: Bytes, depth: usize) -> Messages {
    let may_be = revision == Revision::V2025_03_26 && data.trim_ascii_start().starts_with(b"[");
    // One level more than a message of its own.
    let limits = JsonLimits { depth: depth + 1 };
    match may_be.then(|| Raw::parse(data.clone(), limits)) {
        Some(Ok(batch)) if batch.kind() == Kind::Array => {
            let mut messages: Vec<Raw> = batch.elements().take(MOST + 1).collect();
            if messages.len() > MOST {
                return Some(data).into_iter().chain(Vec::new());
            }
            messages.sort_by_key(|message| message.find("method").is_none());
            let messages: Vec<Bytes> = messages.into_iter().map(|message| message.bytes().clone()).collect();
            None.into_iter().chain(messages)
        }
        _ => Some(data).into_iter().chain(Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(revision: Revision, data: &'static str) -> Vec<String> {
        let messages = messages(revision, Bytes::from_static(data.as_bytes()), 8);
        messages.map(|message| String::from_utf8(message.to_vec()).unwrap()).collect()
    }

    #[test]
    fn a_batch_is_its_messages_and_its_answers_come_last() {
        let batch = r#" [{"id":1,"result":{}}, {"method":"a"},{"method":"b","id":2}]"#;
        let parts = [r#"{"method":"a"}"#, r#"{"method":"b","id":2}"#, r#"{"id":1,"result":{}}"#];
        assert_eq!(texts(Revision::V2025_03_26, batch), parts);
        assert!(texts(Revision::V2025_03_26, "[]").is_empty());
    }

    #[test]
    fn a_batch_is_of_so_many_messages_at_most() {
        for (count, taken) in [(MOST, MOST), (MOST + 1, 1)] {
            let batch = format!("[{}]", vec!["{}"; count].join(","));
            assert_eq!(messages(Revision::V2025_03_26, batch.into(), 8).count(), taken);
        }
    }

    #[test]
    fn what_is_none_stays_as_it_is() {
        for data in [r#"{"method":"a"}"#, "[", r#"[{"method":"a"}]x"#, ""] {
            assert_eq!(texts(Revision::V2025_03_26, data), [data]);
        }
        for revision in [Revision::V2024_11_05, Revision::V2025_06_18, Revision::V2025_11_25] {
            assert_eq!(texts(revision, "[{}]"), ["[{}]"]);
        }
    }
}
