//! The pages that a person sees: consent, and what went wrong.
//!
//! No script, no image, no frame; the one style is allowed by its hash. Whatever somebody else wrote is shown as text: what
//! HTML would read is escaped, and what would turn the text around, hide it or make it long is taken out (`presentable`).
//! There is no `form-action` in the policy: browsers hold the redirects that follow a form against it, and those lead to
//! the identity provider and to the client.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::client::{Client, Kind, host, is_of_a_device};
use super::refusal::Refusal;
use crate::inbound::sha256;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:8vh auto;padding:0 1rem;color:#1b1f24}\
h1{font-size:1.3rem}dt{color:#57606a;margin-top:.6rem}dd{margin:0;word-break:break-all}\
.warn{background:#fff8c5;border:1px solid #d4a72c;border-radius:6px;padding:.6rem .8rem}\
button{font:inherit;padding:.5rem 1.2rem;border-radius:6px;border:1px solid #57606a;background:#fff;margin:1rem .6rem 0 0}\
button.yes{background:#1f6feb;border-color:#1f6feb;color:#fff}";

/// Longest name that is shown, in characters.
const LONGEST_NAME: usize = 80;

/// The content security policy of all pages.
pub(super) fn policy() -> String {
    let hash = STANDARD.encode(sha256(STYLE.as_bytes()));
    format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; frame-ancestors 'none'")
}

/// What a person is asked.
pub(super) struct Question<'a> {
    pub(super) client: &'a Client,
    pub(super) redirect_uri: &'a str,
    pub(super) resource: &'a str,
    pub(super) scopes: &'a [String],
    /// The host where they will log in.
    pub(super) idp: &'a str,
    /// Where the form goes.
    pub(super) action: &'a str,
    /// What the form brings back.
    pub(super) sealed: &'a str,
}

/// The consent page.
pub(super) fn consent(question: &Question<'_>) -> String {
    let Question { client, redirect_uri, resource, scopes, idp, action, sealed } = question;
    let name = if client.name.is_empty() { "An application without a name" } else { &client.name };
    let whose = match client.kind {
        Kind::Configured => "registered by the operator of this gateway".to_owned(),
        Kind::Document => format!("published by {}", client.host().unwrap_or("its own host")),
        Kind::Registered => "registered itself; nobody has checked its name".to_owned(),
    };
    let back = host(redirect_uri).unwrap_or(redirect_uri);
    let warning = if is_of_a_device(redirect_uri) {
        "<p class=\"warn\">It runs on this computer, so nobody can tell which program it really is. Go on only if you have \
         just started it yourself.</p>"
    } else {
        ""
    };
    let scopes = if scopes.is_empty() { "what you may use".to_owned() } else { scopes.join(", ") };
    let body = format!(
        "<h1>{name} wants to act for you</h1>{warning}<dl><dt>Application</dt><dd>{name}, {whose}</dd>\
         <dt>Its id</dt><dd>{id}</dd><dt>It gets access to</dt><dd>{resource}</dd><dt>For</dt><dd>{scopes}</dd>\
         <dt>You will be sent back to</dt><dd>{back}</dd><dt>You will log in at</dt><dd>{idp}</dd></dl>\
         <form method=\"post\" action=\"{action}\"><input type=\"hidden\" name=\"request\" value=\"{sealed}\">\
         <button class=\"yes\" name=\"answer\" value=\"allow\">Allow</button>\
         <button name=\"answer\" value=\"deny\">Deny</button></form>",
        name = escape(name),
        whose = escape(&whose),
        id = escape(&client.id),
        resource = escape(resource),
        scopes = escape(&scopes),
        back = escape(back),
        idp = escape(idp),
        action = escape(action),
        sealed = escape(sealed),
    );
    whole("Allow access", &body)
}

/// What went wrong, for a person.
pub(super) fn error(refusal: &Refusal) -> String {
    let hint = match refusal.status {
        429 | 503 => "Try again in a minute.",
        _ => "Go back to the application and start again. If that does not help, tell who runs this gateway.",
    };
    whole(
        "That did not work",
        &format!("<h1>That did not work</h1><p>{}.</p><p>{hint}</p>", escape(refusal.reason)),
    )
}

fn whole(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>{body}</body></html>"
    )
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// A name as it can be shown: one line, not too long, with nothing in it that cannot be seen or turns text around.
pub(super) fn presentable(name: &str) -> String {
    let shown =
        |char: char| if char.is_whitespace() { Some(' ') } else { (!is_hidden(char)).then_some(char) };
    let text: String = name.chars().filter_map(shown).take(LONGEST_NAME).collect();
    text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_text_and_one_line_whatever_it_holds() {
        for (name, shown) in [
            ("Editor", "Editor"),
            ("  a \r\n b\t", "a b"),
            ("abc\u{202e}cba", "abccba"),
            ("a\u{200b}b\u{feff}\u{0}\u{7f}", "ab"),
        ] {
            assert_eq!(presentable(name), shown);
        }
        assert_eq!(presentable(&"x".repeat(500)).len(), LONGEST_NAME);
        assert_eq!(escape("<b a='\"'>&"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;");
    }

    #[test]
    fn the_policy_allows_our_style_and_nothing_else() {
        let policy = policy();
        for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "'sha256-"] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"));
    }
}
