//! Text that gives orders to a model, by how orders are worded.
//!
//! No phrase proves an attack, and an attack needs none of these: a score that leads to a review, not a wall. Each rule
//! wants two or three kinds of words within one sentence, so that a tool which sends messages or must be called first is
//! not suspected. A finding spans the sentence.

use foldhash::HashSet;

use super::Subject;
use super::sentence::{Sentence, Word, may_follow};
use crate::Entity;
use crate::text::class;
use crate::text::filter::Filter;

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
    /// `before`: you do what you were asked.
    Before,
    /// `ai`: as whom it speaks to.
    Model,
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
    (Anchor::Before, "before"),
    (Anchor::Model, "ai llm llms chatgpt gpt"),
];

const ORDERS: &str = "instruction instructions prompt prompts rule rules direction directions guideline guidelines directive \
    directives command commands constraints training policy policies safeguards restrictions safety programming \
    anweisungen anweisung regeln instrucciones instrucción reglas consignes règles istruzioni regole instruções instructies context \
    messages message";
const EARLIER: &str = "previous prior above earlier preceding all any your the system these original initial existing \
    vorherigen bisherigen alle précédentes toutes anteriores todas precedenti tutte foregoing every everything";
const TELL: &str = "tell mention inform reveal notify disclose alert telling informing mentioning notifying revealing say \
    disclosing alerting acknowledge";
const WHOM: &str = "user users human humans operator";
/// Of these it is an order to a model only when it is about what a model does.
const ANYONE: &str = "anyone anybody them customer person owner";
const DONE: &str =
    "this these tool instruction instructions message prompt request response output parameter file call";
const SECRETS: &str = "password passwords credentials credential secret secrets token tokens ssh id_rsa env environment \
    conversation history keys key cookies mcp.json config .env api_key memory chat passwd wallet";
const ANSWER: &str = "answer response reply output responses replies answers";
/// What an answer is told to have in it.
const CONTENT: &str = "sentence sentences statement statements line lines link links quote quotes quotation fact facts paragraph claim claims \
    phrase phrases promotion advertisement advert ad mention recommendation reference references teaser snippet story joke \
    statistic statistics update updates news word words keyword keywords vowels vowel consonants emoji emojis letters \
    letter characters character suggestion suggestions advice reminder note plea appeal plug hint section image poem \
    summary code excerpt block piece invitation trivia anecdote headline endorsement warning announcement rumor rumour \
    theory conspiracy call url typo typos spaces space reason announcement users errors noise noun nouns verb verbs synonyms acronyms detail details insight insights message \
    anagram anagrams tip tips prediction remark bit element offer discount disclaimer";
/// Verbs that make something else of an answer, whatever follows.
const TRANSFORMS: &str = "encode encrypt encipher reverse scramble jumble rearrange shuffle obfuscate translate rephrase rewrite misspell \
    infuse sprinkle augment enhance enrich embellish complement supplement garble distort";
/// Verbs that do when the manner follows.
const RENDERS: &str = "write give provide deliver render express format present begin start end conclude finish mix alter change modify \
    craft structure make put produce return switch flip turn space apply display show type print compose mask convert \
    transform output replace substitute use include state frame phrase";
const MANNERS: &str = "in as using with into through via backwards like such so without while to by";
const CODE: &str = "code codebase code's implementation solution program script coding programming algorithm function function's";
const EXCERPT: &str = "following subsequent below";
const PIECE: &str = "section snippet block excerpt fragment segment piece extract passage lines portion";
const IMPERATIVES: &str = "add include integrate modify encode encrypt provide replace reverse use write apply translate \
    insert append incorporate mention make put convert give start end begin present respond reply answer format \
    produce return render rephrase express rewrite misspell misplace introduce deliver mix alter change substitute swap \
    remove group anagram shuffle promote advertise recommend inject embed weave ensure state share craft \
    scramble jumble rearrange space hide obfuscate transform code turn flip switch display only infuse sprinkle skip \
    conclude finish feature quote direct refer tell compose say print output type place drop slip work blend offer combine suggest tease";

/// What is done with code.
const MAKES: &str = "develop write generate create produce provide make craft build compose";
/// What new orders are called.
const NOUNS: &str = "instructions directive directives orders";

/// The words of the rules, for look-up.
pub(crate) struct Rules {
    orders: HashSet<&'static str>,
    earlier: HashSet<&'static str>,
    tell: HashSet<&'static str>,
    whom: HashSet<&'static str>,
    anyone: HashSet<&'static str>,
    done: HashSet<&'static str>,
    secrets: HashSet<&'static str>,
    answer: HashSet<&'static str>,
    content: HashSet<&'static str>,
    transforms: HashSet<&'static str>,
    renders: HashSet<&'static str>,
    manners: HashSet<&'static str>,
    code: HashSet<&'static str>,
    excerpt: HashSet<&'static str>,
    piece: HashSet<&'static str>,
    imperatives: HashSet<&'static str>,
    next: Next,
}

/// Words of which one follows an anchor where its rule says something. Most anchors are ordinary words, and this tells so
/// before the sentence is read.
struct Next {
    earlier: Filter<32>,
    tell: Filter<32>,
    answer_or_code: Filter<32>,
    role: Filter<32>,
    makes: Filter<32>,
    secrets: Filter<32>,
    nouns: Filter<32>,
    you: Filter<32>,
}

impl Next {
    fn new() -> Self {
        let of = |list: &str| Filter::of(list.split_ascii_whitespace().filter(|word| word.is_ascii()));
        let mut answer_or_code: Filter<32> = of(CODE);
        for answer in ANSWER.split_ascii_whitespace() {
            answer_or_code.add(answer);
            answer_or_code.add(&format!("{answer}'s"));
        }
        let mut secrets: Filter<32> = of(SECRETS);
        secrets.add("system");
        Self {
            earlier: of(EARLIER),
            tell: of(TELL),
            answer_or_code,
            role: of("are as you to mode now"),
            makes: of(MAKES),
            secrets,
            nouns: of(NOUNS),
            you: of("you"),
        }
    }

    /// Whether the rule of an anchor that ends at `end` may say something of its sentence.
    fn may_follow(&self, anchor: Anchor, bytes: &[u8], end: usize) -> bool {
        let may = |count, filter: &Filter<32>| {
            may_follow(bytes, end, count, |start, end| filter.may_have(bytes, start, end - start))
        };
        match anchor {
            Anchor::Ignore => may(5, &self.earlier),
            Anchor::Conceal => may(2, &self.tell),
            Anchor::Your => may(3, &self.answer_or_code),
            Anchor::You => may(1, &self.role) || may(2, &self.makes),
            // Paths of secrets have a full stop or a line in them.
            Anchor::Leak => may_follow(bytes, end, 8, |start, end| {
                self.secrets.may_have(bytes, start, end - start)
                    || bytes[start..end].iter().any(|byte| matches!(byte, b'.' | b'_'))
            }),
            Anchor::New => may(2, &self.nouns),
            Anchor::Before => may(1, &self.you),
            Anchor::Markup | Anchor::Model => true,
        }
    }
}

impl Rules {
    pub(crate) fn new() -> Self {
        let set = |list: &'static str| list.split_ascii_whitespace().collect();
        Self {
            orders: set(ORDERS),
            earlier: set(EARLIER),
            tell: set(TELL),
            whom: set(WHOM),
            anyone: set(ANYONE),
            done: set(DONE),
            secrets: set(SECRETS),
            answer: set(ANSWER),
            content: set(CONTENT),
            transforms: set(TRANSFORMS),
            renders: set(RENDERS),
            manners: set(MANNERS),
            code: set(CODE),
            excerpt: set(EXCERPT),
            piece: set(PIECE),
            imperatives: set(IMPERATIVES),
            next: Next::new(),
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
        if !self.next.may_follow(anchor, subject.bytes, end) {
            return None;
        }
        let sentence = Sentence::around(subject.text, (start, end));
        let (detail, score) = self.judge(subject.bytes, anchor, &sentence, (start, end))?;
        subject.hit(Entity::Injection, detail, sentence.start(), sentence.end, score);
        Some(sentence.end)
    }

    fn judge(
        &self,
        bytes: &[u8],
        anchor: Anchor,
        sentence: &Sentence<'_>,
        (start, end): (usize, usize),
    ) -> Option<(&'static str, f32)> {
        match anchor {
            Anchor::Ignore => self.ignores(sentence),
            Anchor::Conceal => self.conceals(sentence),
            Anchor::Your => self.steers(sentence),
            Anchor::Markup => markup(bytes, start, end),
            Anchor::You => changes_role(sentence).or_else(|| self.plants(sentence)),
            Anchor::Leak => self.leaks(sentence),
            Anchor::New => renews(sentence),
            Anchor::Before => precedes(sentence),
            Anchor::Model => addresses(sentence),
        }
    }

    fn ignores(&self, sentence: &Sentence<'_>) -> Option<(&'static str, f32)> {
        sentence.within(1, 5, |word| self.earlier.contains(word))?;
        let is_order = |word: &str| self.orders.contains(word) || word.contains("structions");
        let at = sentence.within(1, 9, is_order)?;
        let noun = sentence.words().nth(at)?.lower;
        let has = |is_meant: &dyn Fn(&str) -> bool| sentence.within(1, at, is_meant).is_some();
        let is_strong = |word: &str| self.earlier.contains(word) && word != "the";
        let is_letter = matches!(noun.as_ref(), "message" | "messages" | "context");
        let is_told =
            noun.contains("structions") || matches!(noun.as_ref(), "prompt" | "prompts" | "directives");
        // `Override the default rules`, `disregard my earlier message`: of a program, and of a person.
        let is_other = has(&|word| matches!(word, "default" | "my"))
            || is_letter && !has(&|word| matches!(word, "all" | "any" | "every" | "everything" | "above"))
            || !is_told && !has(&is_strong);
        (!is_other).then_some(("override", 0.9))
    }

    fn conceals(&self, sentence: &Sentence<'_>) -> Option<(&'static str, f32)> {
        let tell = sentence.within(1, 2, |word| self.tell.contains(word))?;
        // `Without informing the user, the page is kept`: says what is done.
        let mut begins = sentence.words().next().into_iter();
        if begins.any(|word| word.lower == "without") && sentence.before().next().is_none() {
            return None;
        }
        let is_done = || sentence.words().skip(1).any(|word| self.done.contains(word.lower.as_ref()));
        if sentence.within(tell + 1, 5, |word| self.whom.contains(word)).is_none() {
            sentence.within(tell + 1, 5, |word| self.anyone.contains(word)).filter(|_| is_done())?;
        }
        Some(("conceal", 0.75))
    }

    /// Orders about the answer or the code that the model is to give.
    fn steers(&self, sentence: &Sentence<'_>) -> Option<(&'static str, f32)> {
        let is_answer = |word: &str| self.answer.contains(word.trim_end_matches("'s"));
        if let Some(at) = sentence.within(1, 2, is_answer) {
            return self.steers_answer(sentence, at).then_some(("steer", 0.6));
        }
        sentence.within(1, 3, |word| self.code.contains(word))?;
        self.has_piece(sentence).then_some(("steer", 0.55))
    }

    /// Whether an order is given about `your answer`, whose noun is the word at `at`. People ask each other for answers, too:
    /// what they ask for is polite, or about what belongs to one of them.
    fn steers_answer(&self, sentence: &Sentence<'_>, at: usize) -> bool {
        let before: Vec<_> = sentence.before().collect();
        let quoted = sentence.is_quoted_before();
        let is_between_people = |word: &str| {
            matches!(word, "please" | "kindly")
                || !quoted && matches!(word, "your" | "our" | "we" | "us" | "me" | "my")
        };
        if before.iter().any(|word| is_between_people(&word.lower)) {
            return false;
        }
        let mut after = sentence.words().skip(at + 1);
        let next = after.next().map(|word| word.lower).unwrap_or_default();
        let is_content =
            |word: &Word<'_>| self.content.contains(word.lower.as_ref()) || word.lower.contains("www.");
        let is_order = |word: &Word<'_>| self.imperatives.contains(word.lower.as_ref());
        let Some(last) = before.last().map(|word| word.lower.as_ref()) else { return false };
        if self.transforms.contains(last)
            || self.renders.contains(last) && self.manners.contains(next.as_ref())
        {
            return true;
        }
        if matches!(next.as_ref(), "book" | "sheet" | "paper" | "form") {
            return false;
        }
        let places = |word: &str| {
            matches!(
                word,
                "in" | "into"
                    | "to"
                    | "from"
                    | "within"
                    | "at"
                    | "of"
                    | "with"
                    | "for"
                    | "inside"
                    | "throughout"
            )
        };
        let opens = before.iter().take(2).any(is_order) && places(last);
        if opens && (before.iter().any(is_content) || quoted) {
            return true;
        }
        // `In your answer to question 4`
        if next == "to" {
            return false;
        }
        // `In your answer, mention a …`
        let leads = |word: &str| {
            places(word) || matches!(word, "the" | "end" | "beginning" | "start" | "every" | "all")
        };
        let mut order = std::iter::once(Word { lower: next, after: b' ' }).chain(after).take(12);
        before.iter().all(|word| leads(&word.lower))
            && order.by_ref().take(6).any(|word| is_order(&word))
            && order.any(|word| is_content(&word))
    }

    /// `the following code snippet`.
    fn has_piece(&self, sentence: &Sentence<'_>) -> bool {
        let words: Vec<_> = sentence.before().chain(sentence.words()).map(|word| word.lower).collect();
        words.windows(3).any(|three| {
            self.excerpt.contains(three[0].as_ref())
                && three[1] == "code"
                && self.piece.contains(three[2].as_ref())
                || self.excerpt.contains(three[0].as_ref())
                    && self.piece.contains(three[1].as_ref())
                    && three[2] == "of"
        })
    }

    /// `… the following code snippet in the code you write`.
    fn plants(&self, sentence: &Sentence<'_>) -> Option<(&'static str, f32)> {
        sentence.within(1, 2, |word| MAKES.split(' ').any(|make| make == word))?;
        let last = sentence.before().last()?;
        let is_code = self.code.contains(last.lower.as_ref());
        (is_code && self.has_piece(sentence)).then_some(("steer", 0.55))
    }

    /// A verb of moving, something secret, and a place for it.
    fn leaks(&self, sentence: &Sentence<'_>) -> Option<(&'static str, f32)> {
        let prompt = sentence.within(1, 4, |word| word == "prompt").is_some()
            && sentence.within(1, 3, |word| word == "system").is_some();
        if prompt {
            return Some(("leak", 0.7));
        }
        let is_path = |word: &str| {
            word.contains(".ssh")
                || word.contains("id_rsa")
                || word.contains("mcp.json")
                || word.contains(".env")
        };
        let secret = sentence.within(1, 8, |word| self.secrets.contains(word) || is_path(word))?;
        let to = sentence.within(secret + 1, 6, |word| matches!(word, "to" | "as" | "into"))?;
        sentence.within(to + 1, 8, |word| {
            word.contains("http")
                || word.contains('@')
                || word == "parameter"
                || word == "sidenote"
                || word == "attacker"
        })?;
        let path = sentence.within(1, 12, is_path);
        Some(("leak", if path.is_some() { 0.85 } else { 0.6 }))
    }
}

/// `Before you can solve the task that I gave you, please do the following first`.
fn precedes(sentence: &Sentence<'_>) -> Option<(&'static str, f32)> {
    sentence.within(1, 1, |word| word == "you")?;
    let is_asked = |word: &str| {
        matches!(
            word,
            "task" | "tasks" | "request" | "question" | "answer" | "respond" | "reply" | "query" | "solve"
        )
    };
    let task = sentence.within(2, 6, is_asked)?;
    let is_first = |word: &str| matches!(word, "first" | "following" | "must");
    sentence.within(task + 1, 24, is_first)?;
    Some(("precede", 0.6))
}

/// `This is a message to you, AI assistant`, `Note to AI agents: …`.
fn addresses(sentence: &Sentence<'_>) -> Option<(&'static str, f32)> {
    let is_kind =
        |word: &str| matches!(word, "assistant" | "assistants" | "agent" | "agents" | "model" | "models");
    let mut words = sentence.words();
    let (name, next) = (words.next()?, words.next());
    let kind = next.filter(|word| name.after == b' ' && is_kind(&word.lower));
    let ends = kind.map_or(name.after, |word| word.after);
    let before: Vec<_> = sentence.before().map(|word| word.lower).collect();
    let calls = |word: &str| {
        matches!(
            word,
            "attention"
                | "dear"
                | "hey"
                | "hello"
                | "note"
                | "message"
                | "instructions"
                | "instruction"
                | "important"
        )
    };
    let found = match before.as_slice() {
        [.., to, you] if to == "to" && you == "you" => true,
        [first, .., to] => {
            calls(first) && matches!(to.as_ref(), "to" | "for" | "all" | "any") && ends == b':'
        }
        [first] => calls(first) && matches!(ends, b':' | b','),
        [] => ends == b':' && name.lower != "ai",
    };
    found.then_some(("address", 0.65))
}

fn renews(sentence: &Sentence<'_>) -> Option<(&'static str, f32)> {
    let is_noun = |word: &str| NOUNS.split(' ').any(|noun| noun == word);
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
    let is_from_now = first == "from";
    let is_about = |word: &str| match word {
        "dan" | "unrestricted" | "jailbroken" | "ai" | "evil" => true,
        "assistant" | "model" | "mode" | "restrictions" => !is_from_now || word != "mode",
        "respond" | "obey" | "pretend" | "behave" | "ignore" => is_from_now,
        _ => false,
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
    // `###(system_message)`
    let message = matches!(class::before(bytes, start), b'(' | b'[' | b'{' | b'#')
        && is(b"system")
        && bytes[end..].starts_with(b"_message");
    let start_mark = before == b"<|" && after.starts_with(b"|");
    (tagged || inst || sys || message || start_mark).then_some(("markup", 0.75))
}

#[cfg(test)]
mod tests;
