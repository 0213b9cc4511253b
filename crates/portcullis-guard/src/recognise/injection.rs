//! Text that gives orders to a model, by how orders are worded.
//!
//! No phrase proves an attack, and an attack needs none of these: a score that leads to a review, not a wall. Each rule
//! wants two or three kinds of words within one sentence, so that a tool which sends messages or must be called first is
//! not suspected. A finding spans the sentence.

use foldhash::HashSet;

use super::Subject;
use crate::Entity;
use crate::text::class;

/// Words at which a rule begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// `ignore`: of instructions that came before.
    Ignore,
    /// `not`, `never`: of telling the user.
    Conceal,
    /// `your`: answer, code.
    Your,
    /// `system`, `important`, `inst`: as markup.
    Markup,
    /// `you`: are now.
    You,
    /// `send`, `read`: of secrets.
    Leak,
    /// `new`, `real`: instructions.
    New,
}

/// The anchors with their words.
pub(crate) const ANCHORS: &[(Anchor, &str)] = &[
    (
        Anchor::Ignore,
        "ignore ignoring disregard forget override bypass neglect ignoriere ignorieren vergiss ignorez ignorer oubliez oublie \
         ignora ignorad olvida olvide ignori dimentica ignorar esqueça negeer",
    ),
    (Anchor::Conceal, "not never without don't dont avoid"),
    (Anchor::Your, "your"),
    (Anchor::Markup, "system important inst sys im_start instruction instructions assistant admin critical"),
    (Anchor::You, "you act pretend from jailbreak jailbroken dan"),
    (
        Anchor::Leak,
        "send forward post upload email exfiltrate leak read copy transmit append pass include reveal print output show repeat \
         cat fetch retrieve collect share expose dump",
    ),
    (Anchor::New, "new real actual updated urgent"),
];

const ORDERS: &str = "instruction instructions prompt prompts rule rules direction directions guideline guidelines directive \
    directives command commands constraints training policy policies safeguards restrictions safety programming \
    anweisungen anweisung regeln instrucciones instrucción reglas consignes règles istruzioni regole instruções instructies context \
    messages message";
const EARLIER: &str = "previous prior above earlier preceding all any your the system these original initial existing \
    vorherigen bisherigen alle précédentes toutes anteriores todas precedenti tutte foregoing every everything";
const TELL: &str = "tell mention inform reveal notify disclose alert telling informing mentioning notifying revealing say \
    disclosing alerting acknowledge";
const WHOM: &str = "user users human humans anyone anybody them customer operator person owner";
const SECRETS: &str = "password passwords credentials credential secret secrets token tokens ssh id_rsa env environment \
    conversation history keys key cookies mcp.json config .env api_key memory chat passwd wallet";
const ANSWER: &str = "answer response reply output responses replies answers";
const CODE: &str = "code codebase implementation solution program script project work development application software \
    coding task programming";
const EXCERPT: &str = "following subsequent below";
const PIECE: &str = "section snippet block excerpt fragment segment code piece extract passage lines portion";
const IMPERATIVES: &str = "add include integrate modify encode encrypt provide replace reverse use write apply translate \
    insert append incorporate mention make put convert give start end begin present respond reply answer format \
    produce return render rephrase express rewrite misspell misplace introduce deliver mix alter change substitute swap \
    write omit remove group anagram shuffle promote advertise recommend inject embed weave in ensure state share craft \
    scramble jumble rearrange space hide obfuscate transform code turn flip switch display only infuse sprinkle skip \
    conclude finish feature quote direct refer tell compose say print output type";

/// The words of the rules, for look-up.
pub(crate) struct Rules {
    orders: HashSet<&'static str>,
    earlier: HashSet<&'static str>,
    tell: HashSet<&'static str>,
    whom: HashSet<&'static str>,
    secrets: HashSet<&'static str>,
    answer: HashSet<&'static str>,
    code: HashSet<&'static str>,
    excerpt: HashSet<&'static str>,
    piece: HashSet<&'static str>,
    imperatives: HashSet<&'static str>,
}

impl Rules {
    pub(crate) fn new() -> Self {
        let set = |list: &'static str| list.split_ascii_whitespace().collect();
        Self {
            orders: set(ORDERS),
            earlier: set(EARLIER),
            tell: set(TELL),
            whom: set(WHOM),
            secrets: set(SECRETS),
            answer: set(ANSWER),
            code: set(CODE),
            excerpt: set(EXCERPT),
            piece: set(PIECE),
            imperatives: set(IMPERATIVES),
        }
    }

    /// Looks at the sentence around an anchor; says where it ends when it gives orders.
    pub(crate) fn look(
        &self,
        subject: &mut Subject<'_>,
        anchor: Anchor,
        start: usize,
        end: usize,
    ) -> Option<usize> {
        let sentence = Sentence::around(subject.text, start, end);
        let (detail, score) = match anchor {
            Anchor::Ignore => self.ignores(&sentence),
            Anchor::Conceal => self.conceals(&sentence),
            Anchor::Your => self.steers(&sentence),
            Anchor::Markup => markup(subject.bytes, start, end),
            Anchor::You => changes_role(&sentence),
            Anchor::Leak => self.leaks(&sentence),
            Anchor::New => renews(&sentence),
        }?;
        subject.hit(Entity::Injection, detail, sentence.start, sentence.end, score);
        Some(sentence.end)
    }

    fn ignores(&self, sentence: &Sentence) -> Option<(&'static str, f32)> {
        let earlier = sentence.within(1, 5, |word| self.earlier.contains(word))?;
        let orders = sentence.within(1, 9, |word| self.orders.contains(word))?;
        (orders > 0 && earlier > 0).then_some(("override", 0.9))
    }

    fn conceals(&self, sentence: &Sentence) -> Option<(&'static str, f32)> {
        let tell = sentence.within(1, 2, |word| self.tell.contains(word))?;
        sentence.within(tell + 1, 5, |word| self.whom.contains(word))?;
        Some(("conceal", 0.75))
    }

    /// Orders about the answer or the code that the model is to give.
    fn steers(&self, sentence: &Sentence) -> Option<(&'static str, f32)> {
        let is_answer =
            sentence.within(1, 2, |word| self.answer.contains(word.trim_end_matches("'s"))).is_some();
        let begins = sentence.before.first().is_some_and(|word| self.imperatives.contains(word.as_str()));
        let ordered = begins
            || sentence.before.iter().rev().take(12).any(|word| self.imperatives.contains(word.as_str()));
        if is_answer && (begins || ordered && sentence.before.len() < 12) {
            return Some(("steer", 0.6));
        }
        let is_code = sentence.within(1, 3, |word| self.code.contains(word)).is_some();
        let excerpt =
            sentence.before.iter().chain(&sentence.words).any(|word| self.excerpt.contains(word.as_str()));
        let piece =
            sentence.before.iter().chain(&sentence.words).any(|word| self.piece.contains(word.as_str()));
        (is_code && excerpt && piece).then_some(("steer", 0.55))
    }

    /// A verb of moving, something secret, and a place for it.
    fn leaks(&self, sentence: &Sentence) -> Option<(&'static str, f32)> {
        let prompt = sentence.within(1, 4, |word| word == "prompt").is_some()
            && sentence.within(1, 3, |word| word == "system").is_some();
        if prompt {
            return Some(("leak", 0.7));
        }
        let secret = sentence.within(1, 8, |word| self.secrets.contains(word))?;
        let to = sentence.within(secret + 1, 6, |word| matches!(word, "to" | "as" | "into"))?;
        sentence.within(to + 1, 8, |word| {
            word.contains("http")
                || word.contains('@')
                || word == "parameter"
                || word == "sidenote"
                || word == "attacker"
        })?;
        let path = sentence.within(1, 12, |word| {
            word.contains(".ssh") || word.contains("id_rsa") || word.contains("mcp.json")
        });
        Some(("leak", if path.is_some() { 0.85 } else { 0.6 }))
    }
}

fn renews(sentence: &Sentence) -> Option<(&'static str, f32)> {
    let noun = sentence
        .within(1, 2, |word| matches!(word, "instructions" | "directive" | "directives" | "orders"))?;
    let is_head = sentence.ends.get(noun).is_some_and(|end| *end == b':');
    let begins = sentence.before.is_empty();
    (is_head && begins).then_some(("override", 0.6))
}

fn changes_role(sentence: &Sentence) -> Option<(&'static str, f32)> {
    let word = |at: usize| sentence.words.get(at).map_or("", String::as_str);
    let found = matches!(
        (word(0), word(1), word(2)),
        ("you", "are", "now")
            | ("act", "as", "dan")
            | ("pretend", "you", "are")
            | ("pretend", "to", "be")
            | ("dan", "mode", _)
    ) || matches!((word(0), word(1), word(2), word(3)), ("from", "now", "on", "you"))
        || word(0) == "jailbreak" && word(1) == "mode";
    let about = sentence.words.iter().any(|word| {
        matches!(
            word.as_str(),
            "dan"
                | "unrestricted"
                | "jailbroken"
                | "assistant"
                | "ai"
                | "model"
                | "mode"
                | "restrictions"
                | "must"
                | "will"
                | "different"
                | "evil"
                | "no"
        )
    });
    (found && about).then_some(("role", 0.75))
}

/// Marks by which chat templates tell the parts of a conversation.
fn markup(bytes: &[u8], start: usize, end: usize) -> Option<(&'static str, f32)> {
    let before = &bytes[start.saturating_sub(2)..start];
    let after = &bytes[end..bytes.len().min(end + 2)];
    let word = &bytes[start..end];
    let is = |other: &[u8]| word.eq_ignore_ascii_case(other);
    let tagged = before.ends_with(b"<")
        && after.starts_with(b">")
        && (is(b"important")
            || is(b"system")
            || is(b"critical")
            || is(b"assistant")
            || is(b"admin")
            || is(b"instructions")
            || is(b"instruction"));
    let inst = before.ends_with(b"[")
        && after.starts_with(b"]")
        && (word == b"INST" || word == b"SYSTEM" || is(b"system"));
    let sys = before == b"<<" && after == b">>" && is(b"sys");
    let start_mark = before == b"<|" && after.starts_with(b"|");
    (tagged || inst || sys || start_mark).then_some(("markup", 0.75))
}

/// One sentence, in words.
struct Sentence {
    start: usize,
    end: usize,
    /// Words before the anchor.
    before: Vec<String>,
    /// The anchor and what follows.
    words: Vec<String>,
    /// The byte after each of [`Sentence::words`].
    ends: Vec<u8>,
}

impl Sentence {
    const REACH: usize = 240;

    fn around(text: &str, anchor: usize, anchor_end: usize) -> Self {
        let bytes = text.as_bytes();
        let from = crate::context::ceil(text, anchor.saturating_sub(Self::REACH)).min(anchor);
        let to = crate::context::floor(text, anchor_end + Self::REACH).max(anchor_end);
        let is_end = |at: usize| {
            matches!(bytes[at], b'\n' | b'!' | b'?')
                || (bytes[at] == b'.' && !class::is_word(class::at(bytes, at + 1)))
        };
        let start = (from..anchor).rev().find(|at| is_end(*at)).map_or(from, |at| at + 1);
        let end = (anchor_end..to).find(|at| is_end(*at)).unwrap_or(to);
        let start = start + text[start..anchor].len() - text[start..anchor].trim_start().len();
        let (before, _) = Self::split(&text[start..anchor]);
        let (words, ends) = Self::split(&text[anchor..end]);
        Self { start, end, before, words, ends }
    }

    fn split(text: &str) -> (Vec<String>, Vec<u8>) {
        let is_word = |c: char| c.is_alphanumeric() || matches!(c, '\'' | '_' | '/' | '.' | '~' | '@' | '-');
        let mut words = Vec::new();
        let mut ends = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(is_word) {
            let tail = &rest[at..];
            let length = tail.find(|c| !is_word(c)).unwrap_or(tail.len());
            words.push(tail[..length].trim_matches(['\'', '.', '-']).to_lowercase());
            ends.push(class::at(tail.as_bytes(), length));
            rest = &tail[length..];
        }
        (words, ends)
    }

    /// The place of the first of `count` words from `from` on that is meant.
    fn within(&self, from: usize, count: usize, is_meant: impl Fn(&str) -> bool) -> Option<usize> {
        self.words.iter().skip(from).take(count).position(|word| is_meant(word)).map(|at| from + at)
    }
}
