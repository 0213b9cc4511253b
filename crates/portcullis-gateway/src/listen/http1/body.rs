//! Reading the body of a request from its connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use portcullis_config::Limits;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::poll_read_buf;

use super::{Connection, READ};
use crate::budget::Budget;
use crate::call::Refusal;
use crate::framing::{Framing, Progress};
use crate::listen::body::{broken, read, too_large};

/// "Go on" (RFC 9110 section 15.2.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Reads a body within the limits on size and time. Afterwards `framing` says whether all of it was read.
    pub(super) async fn read_body(
        &mut self,
        framing: &mut Framing,
        expects: bool,
        limits: &Limits,
        budget: &Arc<Budget>,
    ) -> Result<Bytes, Refusal> {
        if let Framing::Length(left) = framing {
            let length = usize::try_from(*left).unwrap_or(usize::MAX);
            if length > limits.body_bytes {
                return Err(too_large(limits));
            }
            // Most bodies come with their head.
            if length <= self.buffer.len() {
                *left = 0;
                return Ok(self.buffer.split_to(length).freeze());
            }
        }
        if expects && self.buffer.is_empty() {
            self.put(CONTINUE).await.map_err(|_| broken())?;
        }
        read(Incoming { stream: &mut self.stream, buffer: &mut self.buffer, framing }, limits, budget).await
    }
}

/// A body on its way.
struct Incoming<'a, S> {
    stream: &'a mut S,
    buffer: &'a mut BytesMut,
    framing: &'a mut Framing,
}

impl<S: AsyncRead + Unpin> http_body::Body for Incoming<'_, S> {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Self { stream, buffer, framing } = &mut *self;
        loop {
            match framing.take(buffer).map_err(std::io::Error::other)? {
                Progress::Data(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Progress::End => return Poll::Ready(None),
                Progress::NeedsMore => {}
            }
            buffer.reserve(READ);
            if ready!(poll_read_buf(Pin::new(&mut **stream), task, &mut **buffer))? == 0 {
                return Poll::Ready(Some(Err(std::io::ErrorKind::UnexpectedEof.into())));
            }
        }
    }
}
