//! The declared part of a call's arguments.
//!
//! Policies read only what the configuration declares by name and type, out of the top level of `arguments`. An argument
//! that is there and is not of its declared type would look to a policy as if it were absent, and a `forbid` that asks for
//! it would not apply: such a call is denied.

use std::collections::BTreeMap;

use cedar_policy::RestrictedExpression;
use portcullis_mcp::json::{Kind as JsonKind, Raw};

use crate::caller::decimal;
use crate::schema::Kind;
use crate::thing::record;

/// The declared arguments that are there. `null` is absent.
///
/// # Errors
/// The name of one that is not of its type.
pub(crate) fn read(
    arguments: Option<&Raw>,
    declared: &BTreeMap<String, Kind>,
) -> Result<RestrictedExpression, String> {
    let mut members = Vec::new();
    for member in arguments.iter().flat_map(|arguments| arguments.members()) {
        let name = member.key();
        let Some(kind) = declared.get(&*name) else { continue };
        let value = member.value();
        if value.kind() != JsonKind::Null {
            let read = one(*kind, &value).ok_or_else(|| name.clone().into_owned())?;
            members.push((name.into_owned(), read));
        }
    }
    Ok(record(members))
}

fn one(kind: Kind, value: &Raw) -> Option<RestrictedExpression> {
    let text = |value: &Raw| Some(RestrictedExpression::new_string(value.string()?.into_owned()));
    match kind {
        Kind::Text => text(value),
        Kind::Bool => value.bool().map(RestrictedExpression::new_bool),
        Kind::Integer if value.kind() == JsonKind::Number => {
            value.as_str().parse().ok().map(RestrictedExpression::new_long)
        }
        Kind::Decimal if value.kind() == JsonKind::Number => decimal(value.as_str()),
        Kind::Texts if value.kind() == JsonKind::Array => {
            let texts: Option<Vec<_>> = value.elements().map(|one| text(&one)).collect();
            texts.map(RestrictedExpression::new_set)
        }
        Kind::Integer | Kind::Decimal | Kind::Texts => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_of_its_type_is_no_absence() {
        let declared = [
            ("path", Kind::Text),
            ("amount", Kind::Integer),
            ("price", Kind::Decimal),
            ("force", Kind::Bool),
            ("to", Kind::Texts),
        ];
        let declared: BTreeMap<_, _> = declared.map(|(name, kind)| (name.to_owned(), kind)).into();
        for (arguments, wrong) in [
            ("{}", None),
            (r#"{"path":"/a","amount":5,"price":1.5,"force":true,"to":["a","b"],"more":{}}"#, None),
            (r#"{"path":null,"amount":null}"#, None),
            (r#"{"price":-3}"#, None),
            (r#"{"path":["/a"]}"#, Some("path")),
            (r#"{"amount":"5"}"#, Some("amount")),
            (r#"{"amount":5.0}"#, Some("amount")),
            (r#"{"amount":99999999999999999999}"#, Some("amount")),
            (r#"{"price":1e3}"#, Some("price")),
            (r#"{"price":1.23456}"#, Some("price")),
            (r#"{"force":"true"}"#, Some("force")),
            (r#"{"to":["a",1]}"#, Some("to")),
            (r#"{"p\u0061th":1}"#, Some("path")),
        ] {
            let read = read(Some(&Raw::from_static(arguments)), &declared);
            assert_eq!(read.err().as_deref(), wrong, "{arguments}");
        }
        assert!(read(None, &declared).is_ok());
    }
}
