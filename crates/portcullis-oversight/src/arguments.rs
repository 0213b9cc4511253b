//! The arguments of calls that wait, for whoever decides.
//!
//! They are kept beside the approval, so that whoever only looks how things stand does not read them. They may hold what no
//! store should: they are sealed with the vault's key, and where there is none, only their names and sizes are kept.

use std::time::SystemTime;

use portcullis_mcp::json::{Kind, Raw};
use portcullis_model::{Expected, Records, Unavailable};

use crate::{canonical, sealing};

/// The kind of the records.
const ARGUMENTS: &str = "approval-arguments";
/// Longest arguments that are shown to whoever decides, in bytes.
const SHOWN: usize = 16 << 10;
const PURPOSE: &str = "portcullis-approval-arguments";

/// What the first byte of a record says of the rest.
const SEALED: u8 = b's';
const SHAPE: u8 = b'n';

/// Keeps arguments at a place until their approval is over.
///
/// # Errors
/// The store does not answer.
pub(crate) async fn keep(
    records: &dyn Records,
    place: &str,
    arguments: Option<&Raw>,
    key: Option<&[u8; 32]>,
    expires: Option<SystemTime>,
) -> Result<(), Unavailable> {
    let text = arguments.map(canonical).filter(|text| text.len() <= SHOWN);
    let sealed = key.zip(text).and_then(|(key, text)| sealing::seal(key, PURPOSE, place, text.as_bytes()));
    let value = match (sealed, arguments) {
        (Some(sealed), _) => [&[SEALED], &sealed[..]].concat(),
        (None, Some(arguments)) => [&[SHAPE], shape(arguments).as_bytes()].concat(),
        (None, None) => [&[SHAPE], "none".as_bytes()].concat(),
    };
    records.put(ARGUMENTS, place, value, expires, Expected::Any).await.map(drop)
}

/// What is kept at a place, whole where it can be opened, else names and sizes.
///
/// # Errors
/// The store does not answer.
pub(crate) async fn read(
    records: &dyn Records,
    place: &str,
    key: Option<&[u8; 32]>,
) -> Result<String, Unavailable> {
    let record = records.get(ARGUMENTS, place).await?;
    let Some((first, rest)) = record.as_ref().and_then(|record| record.value.split_first()) else {
        return Ok("not kept any more".to_owned());
    };
    let opened = match *first {
        SEALED => key.and_then(|key| sealing::open(key, PURPOSE, place, rest)),
        _ => Some(rest.to_vec()),
    };
    let text = opened.and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(text.unwrap_or_else(|| "sealed with another key than `vault.key`".to_owned()))
}

/// Forgets what is kept at a place, which would end by itself.
pub(crate) async fn forget(records: &dyn Records, place: &str) {
    let _ = records.take(ARGUMENTS, place).await;
}

/// The names of arguments, and how large they are.
fn shape(arguments: &Raw) -> String {
    let one = |value: &Raw| match value.kind() {
        Kind::String => format!("{} characters", value.string().unwrap_or_default().chars().count()),
        _ => format!("{} bytes", value.as_bytes().len()),
    };
    let all =
        arguments.members().take(64).map(|member| format!("{:.128}: {}", member.key(), one(&member.value())));
    all.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use portcullis_store::Memory;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn arguments_are_for_whoever_has_the_key() {
        let records = Memory::default();
        let this = Raw::from_value(&json!({"to": "a@b.c", "count": 12}));
        keep(&records, "one", Some(&this), Some(&[7; 32]), None).await.unwrap();
        let kept = records.get(ARGUMENTS, "one").await.unwrap().unwrap();
        assert!(!kept.value.windows(5).any(|part| part == b"a@b.c"), "they are sealed");
        assert_eq!(read(&records, "one", Some(&[7; 32])).await.unwrap(), r#"{"count":12,"to":"a@b.c"}"#);
        for key in [None, Some(&[8; 32])] {
            assert!(read(&records, "one", key).await.unwrap().starts_with("sealed"));
        }
        keep(&records, "two", Some(&this), None, None).await.unwrap();
        assert_eq!(read(&records, "two", None).await.unwrap(), "to: 5 characters, count: 2 bytes");
        keep(&records, "three", None, None, None).await.unwrap();
        assert_eq!(read(&records, "three", None).await.unwrap(), "none");
        forget(&records, "three").await;
        assert_eq!(read(&records, "three", None).await.unwrap(), "not kept any more");
    }
}
