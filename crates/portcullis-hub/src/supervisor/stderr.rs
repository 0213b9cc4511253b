//! Reads a child's stderr: into the log, and into a short memory for error messages.
//!
//! It reads as fast as the child writes, whatever the log does with it, for a child whose stderr is full hangs.
//! What it keeps is bounded on every side: bytes per line, lines in memory, lines per second in the log.
//! Characters with which a line could pass itself off as several, or rewrite a terminal, are escaped, and secrets that the child
//! was given are blotted out.
//!
//! By the protocol stderr is free text and proves nothing, so no line is judged by its words: all are `INFO`.

use std::{
    collections::VecDeque,
    fmt::Write,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use portcullis_model::ServerId;
use tokio::io::{AsyncRead, AsyncReadExt};
use tracing::{info, warn};

/// Bytes of a line that are kept and logged, before and again after escaping. Of a secret that begins there, all is read.
const LINE: usize = 8 * 1024;
/// Lines of a child that are kept, and bytes of them.
const KEPT: usize = 200;
const KEPT_BYTES: usize = 32 * 1024;
/// Of these, so many are for error messages.
const LAST: usize = 40;
/// A secret that is shorter would blot out words.
const LEAST: usize = 8;
/// Lines that may be logged at once, and how long it takes to earn the next one.
const BURST: u32 = 200;
const PER_LINE: Duration = Duration::from_millis(50);

/// The last lines that a child wrote.
#[derive(Clone, Debug, Default)]
pub(super) struct Tail(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<(SystemTime, String)>,
    bytes: usize,
}

impl Tail {
    /// Those for error messages, oldest first.
    pub(super) fn lines(&self) -> Vec<String> {
        let kept = self.lock();
        let first = kept.lines.len().saturating_sub(LAST);
        kept.lines.iter().skip(first).map(|(_, line)| line.clone()).collect()
    }

    /// All of them, oldest first, each with the time when it came.
    pub(super) fn timed(&self) -> Vec<(SystemTime, String)> {
        self.lock().lines.iter().cloned().collect()
    }

    fn push(&self, line: String) {
        let mut kept = self.lock();
        kept.bytes += line.len();
        kept.lines.push_back((SystemTime::now(), line));
        while kept.lines.len() > KEPT || (kept.bytes > KEPT_BYTES && kept.lines.len() > 1) {
            let (_, oldest) = kept.lines.pop_front().unwrap_or((SystemTime::UNIX_EPOCH, String::new()));
            kept.bytes -= oldest.len();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The secrets that a child was given, which its lines are not to say: each line of them, for what is written comes line by line.
#[derive(Debug, Default)]
pub(super) struct Secrets(Vec<String>);

impl Secrets {
    pub(super) fn of(values: &[String]) -> Self {
        let lines = values.iter().flat_map(|value| value.lines()).map(str::trim);
        let mut long: Vec<_> = lines.filter(|line| line.len() >= LEAST).map(str::to_owned).collect();
        // One can be the beginning of another.
        long.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Self(long)
    }

    /// The longest, in bytes.
    fn longest(&self) -> usize {
        self.0.first().map_or(0, String::len)
    }

    /// The first [`LINE`] bytes of a line without the secrets that begin in them, and how many bytes are behind these.
    fn blot(&self, line: &[u8]) -> (Vec<u8>, usize) {
        let (mut text, mut blotted) = (Vec::with_capacity(line.len().min(LINE)), 0);
        for (at, &byte) in line.iter().enumerate().take(LINE) {
            if let Some(secret) = self.0.iter().find(|secret| line[at..].starts_with(secret.as_bytes())) {
                if at >= blotted {
                    text.extend(b"***");
                }
                blotted = blotted.max(at + secret.len());
            }
            if at >= blotted {
                text.push(byte);
            }
        }
        (text, line.len().saturating_sub(blotted.max(LINE)))
    }
}

/// Reads until the end of `stderr`.
pub(super) async fn read(
    mut stderr: impl AsyncRead + Unpin,
    server: ServerId,
    pid: u32,
    tail: Tail,
    secrets: Secrets,
) {
    let mut lines = Lines { secrets, ..Lines::default() };
    let mut allowance = Allowance::full(Instant::now());
    let mut take = |line: String| {
        match allowance.take(Instant::now()) {
            Some(0) => info!(server.id = %server, pid, line, "stderr"),
            Some(left_out) => {
                warn!(server.id = %server, pid, left_out, "stderr was too fast for the log");
                info!(server.id = %server, pid, line, "stderr");
            }
            None => {}
        }
        tail.push(line);
    };
    let mut chunk = vec![0; LINE];
    // An error is as good as the end: there is nothing more to read.
    while let Ok(length @ 1..) = stderr.read(&mut chunk).await {
        lines.add(&chunk[..length], &mut take);
    }
    lines.end(&mut take);
    if allowance.left_out > 0 {
        warn!(server.id = %server, pid, left_out = allowance.left_out, "stderr was too fast for the log");
    }
}

/// Cuts chunks into lines of bounded length, without secrets.
#[derive(Debug, Default)]
struct Lines {
    secrets: Secrets,
    begun: Vec<u8>,
    cut: usize,
}

impl Lines {
    fn add(&mut self, chunk: &[u8], take: &mut impl FnMut(String)) {
        for piece in chunk.split_inclusive(|&byte| byte == b'\n') {
            let (text, ends) = match piece.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (piece, false),
            };
            let fits = text.len().min(LINE + self.secrets.longest() - self.begun.len());
            self.begun.extend_from_slice(&text[..fits]);
            self.cut += text.len() - fits;
            if ends {
                self.end(take);
            }
        }
    }

    /// The line is over. Empty ones are skipped.
    fn end(&mut self, take: &mut impl FnMut(String)) {
        let text = self.begun.strip_suffix(b"\r").unwrap_or(&self.begun);
        if !text.is_empty() {
            let (text, behind) = self.secrets.blot(text);
            take(escape(&text, behind + mem::take(&mut self.cut)));
        }
        self.begun.clear();
    }
}

/// The lines of a text that came in one piece, as those that come one by one are kept.
#[cfg(feature = "kubernetes")]
pub(crate) fn cleaned(text: &[u8], secrets: &[String]) -> Vec<String> {
    let mut lines = Lines { secrets: Secrets::of(secrets), ..Lines::default() };
    let mut all = Vec::new();
    lines.add(text, &mut |line| all.push(line));
    lines.end(&mut |line| all.push(line));
    all
}

/// Makes text out of a line, in which nothing acts on whoever looks at it. `cut` bytes of it are lost already.
fn escape(line: &[u8], mut cut: usize) -> String {
    let line = String::from_utf8_lossy(line);
    let mut text = String::with_capacity(line.len());
    for (at, character) in line.char_indices() {
        if text.len() >= LINE {
            cut += line.len() - at;
            break;
        }
        match character {
            '\t' => text.push(character),
            // Line and paragraph separators, and what turns the direction of writing around.
            '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => text.extend(character.escape_unicode()),
            _ if character.is_control() => text.extend(character.escape_default()),
            _ => text.push(character),
        }
    }
    if cut > 0 {
        write!(text, " … ({cut} bytes more)").expect("writing to a string cannot fail");
    }
    text
}

/// How many lines may still be logged: a bucket that fills with time.
#[derive(Debug)]
struct Allowance {
    lines: u32,
    since: Instant,
    left_out: u64,
}

impl Allowance {
    fn full(now: Instant) -> Self {
        Self { lines: BURST, since: now, left_out: 0 }
    }

    /// `Some` when one more may be logged, with how many were left out before it.
    fn take(&mut self, now: Instant) -> Option<u64> {
        let earned = now.saturating_duration_since(self.since).as_nanos() / PER_LINE.as_nanos();
        let earned = u32::try_from(earned).unwrap_or(BURST);
        if self.lines.saturating_add(earned) >= BURST {
            (self.lines, self.since) = (BURST, now);
        } else {
            self.lines += earned;
            self.since += PER_LINE * earned;
        }
        if self.lines == 0 {
            self.left_out += 1;
            return None;
        }
        self.lines -= 1;
        Some(mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests;
