//! A child's stderr: logged, kept, and never in the way.

use std::{
    io,
    sync::{Arc, Mutex},
};

use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

use crate::{Lines, sh, spawn, supervisor, within};

/// The log of one test, as text.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Catches what this thread logs; a test's runtime has no other.
    fn catch(&self) -> DefaultGuard {
        let subscriber =
            tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(self.clone()).finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("no writer panicked").clone()).expect("a log is text")
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no writer panicked").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn lines_are_logged_with_the_server_and_kept() {
    let log = Log::default();
    let _caught = log.catch();
    let supervisor = supervisor();
    let child = spawn(&supervisor, &sh(r"printf 'listening\nred \033[31malert\n' >&2; exit 3")).await;
    let exit = within(child.handle.exited()).await;
    assert_eq!(exit.stderr, ["listening", r"red \u{1b}[31malert"]);
    let (text, pid) = (log.text(), child.handle.pid());
    assert!(text.contains(&format!(r#"stderr server.id=files pid={pid} line="listening""#)), "{text}");
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[tokio::test]
async fn a_flood_of_lines_neither_blocks_nor_fills_the_log() {
    let log = Log::default();
    let _caught = log.catch();
    let supervisor = supervisor();
    let child = spawn(&supervisor, &sh("yes noise | head -c 18000000 >&2; echo through; cat")).await;
    assert_eq!(Lines::of(child.stdout).next().await.as_deref(), Some("through"));
    drop(child.stdin);
    let exit = within(child.handle.exited()).await;
    assert_eq!(exit.stderr, ["noise"; 40]);
    let text = log.text();
    // A burst of 200, and 20 per second after it: of three million, a few hundred.
    let logged = text.matches(r#"line="noise""#).count();
    assert!((200..1_000).contains(&logged), "{logged} lines logged");
    assert!(text.contains("stderr was too fast for the log"));
}

#[tokio::test]
async fn a_line_without_end_neither_blocks_nor_grows() {
    let supervisor = supervisor();
    let child =
        spawn(&supervisor, &sh("head -c 20000000 /dev/zero | tr '\\0' x >&2; echo through; cat")).await;
    assert_eq!(Lines::of(child.stdout).next().await.as_deref(), Some("through"));
    drop(child.stdin);
    let exit = within(child.handle.exited()).await;
    assert_eq!(exit.stderr.len(), 1);
    assert!(exit.stderr[0].len() < 9_000 && exit.stderr[0].ends_with("x … (19991808 bytes more)"));
}

#[tokio::test]
async fn an_exit_does_not_wait_for_a_grandchild_that_holds_stderr() {
    let supervisor = supervisor();
    supervisor.quote_stderr(true);
    let child = spawn(&supervisor, &sh("setsid sleep 1000 & echo last words >&2; exit 4")).await;
    let exit = within(child.handle.exited()).await;
    assert_eq!(exit.to_string(), "exit code 4; last line on stderr: last words");
}

#[tokio::test]
async fn an_exit_quotes_nothing_unless_it_may_and_the_log_has_it() {
    let log = Log::default();
    let _caught = log.catch();
    let supervisor = supervisor();
    let script = sh("head -c 2000 /dev/zero | tr '\\0' '\\n' >&2; echo /home/ann/key >&2; exit 4");
    for (may, text) in [
        (false, "exit code 4; what it wrote to stderr is in the log"),
        (true, "exit code 4; last line on stderr: /home/ann/key"),
        (false, "exit code 4; what it wrote to stderr is in the log"),
    ] {
        supervisor.quote_stderr(may);
        let child = spawn(&supervisor, &script).await;
        assert_eq!(within(child.handle.exited()).await.to_string(), text);
    }
    let text = log.text();
    assert!(text.contains(r#"exited server.id=files ended=exit code 4 last="/home/ann/key""#), "{text}");
}
