//! What stands in the place of a value.
//!
//! ASCII letters, digits and a few signs: never a quote or a backslash, so that it is the same at every depth of escapes.
//! What is written here is recognised as ours (`recognise::secret::is_ours`) and left alone when it comes back.

use aws_lc_rs::hmac;

use crate::{Action, Entity, Plan, Pseudonyms};

/// The text that `action` puts in the place of `value`; `None` when the value stays.
pub(crate) fn text(
    action: Action,
    entity: Option<Entity>,
    value: &str,
    plan: &Plan,
    names: &mut dyn Pseudonyms,
) -> Option<String> {
    let name = entity.map_or("REDACTED", Entity::name);
    let redacted = || format!("[{name}]");
    Some(match action {
        Action::Allow => return None,
        Action::Mask => {
            value.chars().map(|c| if c.is_alphanumeric() || !is_plain(c) { '*' } else { c }).collect()
        }
        Action::Partial => partial(entity, value).unwrap_or_else(redacted),
        Action::Hash => hash(name, value, &plan.key),
        Action::Pseudonym => {
            let entity = entity.unwrap_or(Entity::Secret);
            match names.seal(entity, value) {
                Some(sealed) if is_name(&sealed) => format!("~{}.{sealed}~", entity.name()),
                _ => redacted(),
            }
        }
        Action::Redact | Action::Drop | Action::Hold | Action::Block => redacted(),
    })
}

/// What a pseudonym may be made of.
pub(crate) fn is_name(sealed: &str) -> bool {
    (8..=512).contains(&sealed.len())
        && sealed.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn is_plain(c: char) -> bool {
    matches!(c, ' ' | '.' | ',' | ':' | '-' | '@' | '/' | '(' | ')' | '+' | '*')
}

fn hash(name: &str, value: &str, key: &hmac::Key) -> String {
    let mut context = hmac::Context::with_key(key);
    context.update(name.as_bytes());
    context.update(b"\0");
    context.update(value.as_bytes());
    let tag = context.sign();
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    let hex: String =
        tag.as_ref()[..10].iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect();
    format!("h:{name}:{hex}")
}

/// What is left of a value that is shown in part; `None` for values of which no part may show.
fn partial(entity: Option<Entity>, value: &str) -> Option<String> {
    match entity? {
        Entity::Email => {
            let (local, domain) = value.split_once('@')?;
            let dot = domain.rfind('.')?;
            Some(format!("{}***@{}***{}", shown(local), shown(domain), ascii(&domain[dot..])))
        }
        Entity::CreditCard | Entity::Iban | Entity::Phone | Entity::NationalId | Entity::Passport => {
            Some(last_four(value))
        }
        Entity::Person => {
            let words: Vec<String> = value.split(' ').map(|word| format!("{}***", shown(word))).collect();
            Some(words.join(" "))
        }
        Entity::IpAddress => {
            let end = value.rfind(['.', ':'])?;
            Some(format!("{}***", ascii(&value[..=end])))
        }
        _ => None,
    }
}

/// The first character, if it is ASCII.
fn shown(text: &str) -> String {
    text.chars().next().filter(char::is_ascii_alphanumeric).map(String::from).unwrap_or_default()
}

fn ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || is_plain(c) { c } else { '*' }).collect()
}

/// The last four letters and digits, of those that have eight more.
fn last_four(value: &str) -> String {
    let count = value.chars().filter(char::is_ascii_alphanumeric).count();
    let keep = if count >= 9 { 4 } else { 2 };
    let mut seen = 0;
    value
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                seen += 1;
                if seen + keep > count { c } else { '*' }
            } else if is_plain(c) {
                c
            } else {
                '*'
            }
        })
        .collect()
}
