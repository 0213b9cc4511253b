//! A channel to a child: one JSON message for each line of its stdin and stdout.
//!
//! A writer task owns the child's stdin, a reader task its stdout. What is said on them is the channel's business
//! (`channel.rs`); here bytes become messages. A child that floods, breaks the framing or dies ends its channel.

use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use portcullis_hub::{Child, ChildHandle};
use portcullis_mcp::json::Raw;
use portcullis_mcp::line;
use portcullis_model::ServerId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::channel::{Carrier, Channel, GRACE, Inbox, Told};

/// Messages that wait for the child to read its stdin; a call that finds the queue full waits within its time limit.
const QUEUE: usize = 256;

/// Takes over a child. Must run on the runtime that is to do its I/O.
pub(super) fn start(server: ServerId, child: Child, limit: usize, depth: usize, told: Told) -> Arc<Channel> {
    let (queue, messages) = mpsc::channel(QUEUE);
    let carrier = Carrier::Child {
        queue: Mutex::new(Some(queue)),
        handle: child.handle.clone(),
        runtime: Handle::current(),
    };
    let (channel, inbox) = Channel::new(server, carrier, depth, told);
    tokio::spawn(write(child.stdin, messages));
    let reader = Reader { inbox, handle: child.handle, limit };
    tokio::spawn(reader.run(child.stdout));
    channel
}

async fn write(mut stdin: ChildStdin, mut messages: mpsc::Receiver<Raw>) {
    let mut text = Vec::new();
    while let Some(message) = messages.recv().await {
        text.clear();
        line::encode(&mut text, &message);
        if stdin.write_all(&text).await.is_err() || stdin.flush().await.is_err() {
            // The reader sees the exit and says why.
            return;
        }
        // One large message is not to be remembered for ever.
        text.shrink_to(64 * 1024);
    }
}

struct Reader {
    inbox: Inbox,
    handle: ChildHandle,
    limit: usize,
}

impl Reader {
    async fn run(self, mut stdout: ChildStdout) {
        let why = self.read(&mut stdout).await;
        drop(stdout);
        self.inbox.end(&why);
        // Whatever is left of it: a child that closed its stdout is of no use.
        self.handle.stop(GRACE).await;
    }

    /// Reads until the channel is over; says why it is.
    async fn read(&self, stdout: &mut ChildStdout) -> String {
        let mut decoder = line::Decoder::new(self.limit);
        let mut buffer = BytesMut::with_capacity(16 * 1024);
        loop {
            buffer.clear();
            match stdout.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return self.last_words().await,
                Ok(_) => decoder.push(&buffer),
            }
            while let Some(line) = decoder.next() {
                match line {
                    Ok(line) => self.inbox.take(line),
                    Err(error) => return format!("the server broke the protocol: {error}"),
                }
            }
        }
    }

    async fn last_words(&self) -> String {
        match tokio::time::timeout(GRACE, self.handle.exited()).await {
            Ok(exit) => format!("the server exited: {exit}"),
            Err(_) => "the server closed its output".to_owned(),
        }
    }
}
