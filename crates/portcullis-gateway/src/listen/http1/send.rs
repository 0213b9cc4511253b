//! Sending answers, and the end of a connection.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::response::Parts;
use http::{HeaderValue, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::Instant;

use super::Connection;
use super::alarm::Alarm;
use super::write::{Follows, Manner, SMALL};
use crate::listen::body::{Body, Broken};
use crate::listen::response::JSON;

/// How long, and how many bytes, a client may go on sending what nobody reads any more, so that it gets to read the answer.
const LINGER: (Duration, usize) = (Duration::from_secs(1), 8 << 20);

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Sends an answer.
    pub(super) async fn send(&mut self, response: Response<Body>, manner: Manner) -> std::io::Result<()> {
        let (parts, body) = response.into_parts();
        match body {
            Body::Whole(body) => self.send_whole(&parts, None, body.unwrap_or_default(), manner).await,
            Body::Json(body) => self.send_whole(&parts, Some(&JSON), body, manner).await,
            Body::Stream(stream) => self.send_stream(&parts, stream.map(Ok), manner).await,
            Body::Complete(stream) => self.send_stream(&parts, stream, manner).await,
        }
    }

    async fn send_whole(
        &mut self,
        parts: &Parts,
        media: Option<&HeaderValue>,
        body: Bytes,
        manner: Manner,
    ) -> std::io::Result<()> {
        let follows = match parts.status {
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => Follows::Nothing,
            _ => Follows::Length(body.len()),
        };
        self.writer.head(parts, media, follows, manner);
        let body = if manner.silent { Bytes::new() } else { body };
        if body.len() <= SMALL {
            self.writer.out.extend_from_slice(&body);
            return self.flush().await;
        }
        self.flush().await?;
        self.put(&body).await
    }

    async fn send_stream(
        &mut self,
        parts: &Parts,
        mut stream: impl Stream<Item = Result<Bytes, Broken>> + Unpin,
        manner: Manner,
    ) -> std::io::Result<()> {
        let old = manner.old;
        let follows = if old { Follows::Rest } else { Follows::Chunks };
        self.writer.head(parts, None, follows, manner);
        self.flush().await?;
        if manner.silent {
            return Ok(());
        }
        loop {
            let next = self.attend(pin!(poll_fn(|task| stream.poll_next_unpin(task)))).await;
            // Without its last chunk the client knows that it is not all (RFC 9112 section 8).
            let next = next.ok_or(ErrorKind::ConnectionReset)?.transpose().map_err(std::io::Error::other)?;
            match next {
                // An empty chunk would be the last.
                Some(data) if data.is_empty() => {}
                Some(data) if old => self.put(&data).await?,
                Some(data) => {
                    self.writer.chunk(&data);
                    drop(data);
                    self.flush().await?;
                }
                None if old => return Ok(()),
                None => {
                    self.writer.chunk(b"");
                    return self.flush().await;
                }
            }
        }
    }

    /// Sends what was written.
    async fn flush(&mut self) -> std::io::Result<()> {
        put(&mut self.stream, &mut self.alarm, self.patience, &self.writer.out).await?;
        self.writer.sent();
        Ok(())
    }

    /// Sends bytes as they are.
    pub(super) async fn put(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        put(&mut self.stream, &mut self.alarm, self.patience, bytes).await
    }

    /// Closes the connection. With bytes unread that would take the answer away from the client (RFC 9112 section 9.6),
    /// so what it still sends is read for a moment.
    pub(super) async fn close(&mut self, unread: bool) {
        let closing = async {
            let shut = self.stream.shutdown().await;
            if shut.is_err() || !unread && self.buffer.is_empty() {
                return;
            }
            let mut read = 0;
            while read < LINGER.1 {
                self.buffer.clear();
                match poll_fn(|task| self.poll_fill(task)).await {
                    Ok(0) | Err(_) => return,
                    Ok(more) => read += more,
                }
            }
        };
        let _ = tokio::time::timeout(LINGER.0, closing).await;
    }
}

/// Writes all of `bytes`, for as long as the client takes some of them from time to time. Who waits for a client that
/// takes nothing would hold the answer and its place for ever.
async fn put<S: AsyncWrite + Unpin>(
    stream: &mut S,
    alarm: &mut Alarm,
    patience: Duration,
    bytes: &[u8],
) -> std::io::Result<()> {
    let (mut left, mut waits) = (bytes, false);
    poll_fn(|task| {
        loop {
            let stream = Pin::new(&mut *stream);
            let step = match left {
                [] => stream.poll_flush(task).map_ok(|()| 0),
                left => stream.poll_write(task, left),
            };
            match step {
                Poll::Ready(Ok(_)) if left.is_empty() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(taken)) => (left, waits) = (&left[taken..], false),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    if !waits {
                        waits = true;
                        alarm.set(Instant::now() + patience);
                    }
                    return alarm.poll(task).map(|()| Err(ErrorKind::TimedOut.into()));
                }
            }
        }
    })
    .await
}
