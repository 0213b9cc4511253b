//! How fast documents are looked at: 1, 4, 64 KB and 4 MB, clean and dense, in letters that occur where people have names and in
//! ASCII alone, all recognisers on, one core.
//!
//! Prints MB/s, median and fastest. `--write DIR` leaves the documents there, so that others can be measured on the same;
//! `--floor CLEAN DENSE` fails when a fastest run is below. `--repeat FILE COUNT` does with a document so many times what the
//! gateway's baseline does with a result, for whoever counts instructions: what `COUNT` and twice as many cost differ by one
//! document times `COUNT`.

#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "small numbers")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use portcullis_guard::{Action, Engine, Entity, EntitySet, Path, Plan, Settings};
use portcullis_mcp::json::{Limits, Raw};

const SIZES: [(&str, usize); 4] = [("1K", 1 << 10), ("4K", 4 << 10), ("64K", 64 << 10), ("4M", 4 << 20)];

const WORDS: [&str; 24] = [
    "the",
    "quarterly",
    "review",
    "of",
    "our",
    "delivery",
    "process",
    "shows",
    "that",
    "most",
    "teams",
    "finish",
    "their",
    "work",
    "early",
    "when",
    "plans",
    "are",
    "shared",
    "with",
    "everyone",
    "before",
    "it",
    "begins",
];

/// What stands in every fourth record, unless all is to be ASCII.
const PLACES: [&str; 6] = ["Zürich", "São Paulo", "Łódź", "Århus – Nord", "Besançon", "København"];

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn prose(&mut self, words: u64) -> String {
        (0..words).map(|_| WORDS[self.roll(WORDS.len() as u64) as usize]).collect::<Vec<_>>().join(" ")
    }
}

/// Records as tools give them; in a dense document each has an entity in about 180 bytes.
fn document(size: usize, dense: bool, ascii: bool) -> String {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut out = String::from("{\"records\":[");
    for record in 0.. {
        if out.len() + 2 >= size {
            break;
        }
        if !out.ends_with('[') {
            out.push(',');
        }
        let (id, amount, words) = (dice.roll(90_000), dice.roll(10_000), 14 + dice.roll(10));
        let text = dice.prose(words);
        let _ = write!(out, "{{\"id\":{id},\"status\":\"open\",\"amount\":{amount}.5,\"summary\":\"{text}\"");
        if !ascii && record % 4 == 0 {
            let _ = write!(out, ",\"site\":\"{}\"", PLACES[dice.roll(PLACES.len() as u64) as usize]);
        }
        if dense {
            let n = dice.roll(900) + 100;
            let _ = match dice.roll(5) {
                0 => write!(out, ",\"email\":\"jane.doe{n}@example.org\""),
                1 => write!(out, ",\"phone\":\"+49 30 901820{}\"", n % 100),
                2 => write!(out, ",\"iban\":\"DE89 3704 0044 0532 0130 00\""),
                3 => write!(out, ",\"card\":\"4111 1111 1111 1111\""),
                _ => write!(out, ",\"ip\":\"203.0.113.{}\"", n % 250),
            };
        }
        out.push('}');
    }
    out.push_str("]}");
    out
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let after = |flag: &str, by: usize| {
        let at = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(at + by)
    };
    let folder = after("--write", 1);
    let floor = |by| after("--floor", by).and_then(|floor| floor.parse::<f64>().ok()).unwrap_or(0.0);
    if let (Some(file), Some(count)) = (after("--repeat", 1), after("--repeat", 2)) {
        return repeat(file, count.parse().expect("COUNT is a number"));
    }
    let engine = Engine::new(&Settings::default()).expect("the defaults are good");
    let mut slow = false;
    println!("{:<12}{:<6}{:>10}{:>10}{:>10}", "document", "size", "findings", "median", "fastest");
    let (clean, dense) = ((false, floor(1)), (true, floor(2)));
    let kinds = [
        ("clean", clean, false),
        ("dense", dense, false),
        ("clean-ascii", clean, true),
        ("dense-ascii", dense, true),
    ];
    for (kind, (dense, floor), ascii) in kinds {
        for (name, size) in SIZES {
            let document = document(size, dense, ascii);
            if let Some(folder) = folder {
                std::fs::write(format!("{folder}/{kind}-{name}.json"), &document)
                    .expect("the folder can be written to");
            }
            let (found, median, fastest) = measure(&engine, &document);
            println!("{kind:<12}{name:<6}{found:>10}{median:>10.0}{fastest:>10.0}");
            slow |= fastest < floor;
        }
    }
    std::process::exit(i32::from(slow));
}

/// What the baseline does with a result, so many times.
fn repeat(file: &str, count: usize) {
    let baseline = EntitySet::CREDENTIALS.with(Entity::HiddenText);
    let settings = Settings { entities: baseline.with(Entity::Injection), ..Settings::default() };
    let engine = Engine::new(&settings).expect("the defaults are good");
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"a key");
    let path = |path| Path::parse(path).expect("it is a path");
    let mut plan = Plan::all(Action::Allow, key).with(baseline, Action::Redact);
    plan.data = vec![path("$.structuredContent"), path("$.result.structuredContent")];
    plan.texts = vec![path("$.content[*].text"), path("$.content[*].resource.text")];
    let document = std::fs::read(file).expect("the document can be read");
    let document = Raw::parse(document.into(), Limits { depth: 64 }).expect("it is JSON");
    for _ in 0..count {
        black_box(engine.transform(black_box(&document), &plan, &mut (), None));
    }
}

/// Findings, and MB/s in the median and at best.
fn measure(engine: &Engine, document: &str) -> (usize, f64, f64) {
    let found = engine.scan_json(document.as_bytes()).findings.len();
    let repeats = ((1 << 20) / document.len()).max(1);
    let mut times: Vec<Duration> = (0..15)
        .map(|_| {
            let started = Instant::now();
            for _ in 0..repeats {
                black_box(engine.scan_json(black_box(document.as_bytes())));
            }
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    let speed = |time: Duration| (document.len() * repeats) as f64 / time.as_secs_f64() / 1e6;
    (found, speed(times[times.len() / 2]), speed(times[0]))
}
