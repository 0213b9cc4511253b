//! Text that gives orders to a model, by how orders are worded.
//!
//! No phrase proves an attack, and an attack needs none of these: a score that leads to a review, not a wall. Each rule
//! wants two or three kinds of words within one sentence, so that a tool which sends messages or must be called first is
//! not suspected. A finding spans the sentence.

use std::borrow::Cow;

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
        let sentence = Sentence::around(subject.text, (start, end));
        let (detail, score) = match anchor {
            Anchor::Ignore => self.ignores(&sentence),
            Anchor::Conceal => self.conceals(&sentence),
            Anchor::Your => self.steers(&sentence),
            Anchor::Markup => markup(subject.bytes, start, end),
            Anchor::You => changes_role(&sentence),
            Anchor::Leak => self.leaks(&sentence),
            Anchor::New => renews(&sentence),
        }?;
        subject.hit(Entity::Injection, detail, sentence.start(), sentence.end, score);
        Some(sentence.end)
    }

    fn ignores(&self, sentence: &Sentence<'_>) -> Option<(&'static str, f32)> {
        sentence.within(1, 5, |word| self.earlier.contains(word))?;
        sentence.within(1, 9, |word| self.orders.contains(word))?;
        Some(("override", 0.9))
    }

    fn conceals(&self, sentence: &Sentence<'_>) -> Option<(&'static str, f32)> {
        let tell = sentence.within(1, 2, |word| self.tell.contains(word))?;
        sentence.within(tell + 1, 5, |word| self.whom.contains(word))?;
        Some(("conceal", 0.75))
    }

    /// Orders about the answer or the code that the model is to give.
    fn steers(&self, sentence: &Sentence<'_>) -> Option<(&'static str, f32)> {
        let is_answer =
            sentence.within(1, 2, |word| self.answer.contains(word.trim_end_matches("'s"))).is_some();
        if is_answer {
            let is_order = |word: &Word<'_>| self.imperatives.contains(word.lower.as_ref());
            let length = sentence.before().count();
            let begins = sentence.before().next().is_some_and(|word| is_order(&word));
            if begins || length < 12 && sentence.before().any(|word| is_order(&word)) {
                return Some(("steer", 0.6));
            }
        }
        sentence.within(1, 3, |word| self.code.contains(word))?;
        let has = |set: &HashSet<&'static str>| {
            sentence.before().chain(sentence.words()).any(|word| set.contains(word.lower.as_ref()))
        };
        (has(&self.excerpt) && has(&self.piece)).then_some(("steer", 0.55))
    }

    /// A verb of moving, something secret, and a place for it.
    fn leaks(&self, sentence: &Sentence<'_>) -> Option<(&'static str, f32)> {
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

fn renews(sentence: &Sentence<'_>) -> Option<(&'static str, f32)> {
    let is_noun = |word: &str| matches!(word, "instructions" | "directive" | "directives" | "orders");
    let noun = sentence.words().skip(1).take(2).find(|word| is_noun(&word.lower))?;
    let begins = sentence.before().next().is_none();
    (noun.after == b':' && begins).then_some(("override", 0.6))
}

fn changes_role(sentence: &Sentence<'_>) -> Option<(&'static str, f32)> {
    let mut words = sentence.words();
    let mut next = || words.next().map(|word| word.lower).unwrap_or_default();
    let (first, second) = (next(), next());
    // Most of what follows `you` and `from` ends it here.
    let may_be = matches!(
        (first.as_ref(), second.as_ref()),
        ("you", "are")
            | ("act", "as")
            | ("pretend", "you" | "to")
            | ("dan" | "jailbreak", "mode")
            | ("from", "now")
    );
    if !may_be {
        return None;
    }
    let (third, fourth) = (next(), next());
    let found = matches!(
        (first.as_ref(), second.as_ref(), third.as_ref()),
        ("you", "are", "now")
            | ("act", "as", "dan")
            | ("pretend", "you", "are")
            | ("pretend", "to", "be")
            | ("dan" | "jailbreak", "mode", _)
    ) || matches!(
        (first.as_ref(), second.as_ref(), third.as_ref(), fourth.as_ref()),
        ("from", "now", "on", "you")
    );
    let is_about = |word: &str| {
        matches!(
            word,
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
    };
    (found && sentence.words().any(|word| is_about(&word.lower))).then_some(("role", 0.75))
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

/// The sentence around an anchor, read word by word as far as a rule asks: most anchors are ordinary words, and the next
/// two or three tell.
struct Sentence<'a> {
    text: &'a str,
    /// The word at which a rule begins.
    anchor: (usize, usize),
    end: usize,
}

/// A word of a sentence.
struct Word<'a> {
    lower: Cow<'a, str>,
    /// The byte after it, a space at the end of the sentence.
    after: u8,
}

impl<'a> Sentence<'a> {
    const REACH: usize = 240;

    fn around(text: &'a str, anchor: (usize, usize)) -> Self {
        let bytes = text.as_bytes();
        let to = crate::context::floor(text, anchor.1 + Self::REACH).max(anchor.1);
        let rest = &bytes[anchor.1..to];
        let rest = &rest[..memchr::memchr3(b'\n', b'!', b'?', rest).unwrap_or(rest.len())];
        let stop = memchr::memchr_iter(b'.', rest).find(|at| is_full_stop(bytes, anchor.1 + at));
        Self { text, anchor, end: anchor.1 + stop.unwrap_or(rest.len()) }
    }

    fn start(&self) -> usize {
        let bytes = self.text.as_bytes();
        let anchor = self.anchor.0;
        let from = crate::context::ceil(self.text, anchor.saturating_sub(Self::REACH)).min(anchor);
        let from = memchr::memrchr3(b'\n', b'!', b'?', &bytes[from..anchor]).map_or(from, |at| from + at + 1);
        let stop = memchr::memrchr_iter(b'.', &bytes[from..anchor]).find(|at| is_full_stop(bytes, from + at));
        let start = stop.map_or(from, |at| from + at + 1);
        anchor - self.text[start..anchor].trim_start().len()
    }

    /// The words before the anchor.
    fn before(&self) -> impl Iterator<Item = Word<'a>> {
        words(&self.text[self.start()..self.anchor.0])
    }

    /// The anchor and what follows.
    fn words(&self) -> impl Iterator<Item = Word<'a>> {
        words(&self.text[self.anchor.0..self.end])
    }

    /// The place of the first of `count` words from `from` on that is meant.
    fn within(&self, from: usize, count: usize, is_meant: impl Fn(&str) -> bool) -> Option<usize> {
        self.words().skip(from).take(count).position(|word| is_meant(&word.lower)).map(|at| from + at)
    }
}

/// Whether the full stop at `at` ends a sentence: one inside a name or number goes on.
fn is_full_stop(bytes: &[u8], at: usize) -> bool {
    !class::is_word(class::at(bytes, at + 1))
}

fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '\'' | '_' | '/' | '.' | '~' | '@' | '-');
    let mut rest = text;
    std::iter::from_fn(move || {
        let tail = &rest[rest.find(is_word)?..];
        let length = tail.find(|c| !is_word(c)).unwrap_or(tail.len());
        rest = &tail[length..];
        let word = tail[..length].trim_matches(['\'', '.', '-']);
        let is_lower = word.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
        let lower = if is_lower { Cow::Borrowed(word) } else { Cow::Owned(word.to_lowercase()) };
        Some(Word { lower, after: class::at(tail.as_bytes(), length) })
    })
}
