//! Bodies: bounded on the way in, whole or streamed on the way out.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{FutureExt as _, Stream as FutureStream};
use http_body::{Frame, SizeHint};
use portcullis_config::Limits;
use portcullis_model::ErrorKind;

use crate::bounded::{self, Unread};
use crate::budget::{Budget, Share};
use crate::call::Refusal;

/// What comes bit by bit.
pub(crate) type Stream = Pin<Box<dyn FutureStream<Item = Bytes> + Send>>;

/// What comes bit by bit and has to be whole: where it cannot be, it is broken off, so that its reader is not left to believe
/// that this was all.
pub(crate) type Complete = Pin<Box<dyn FutureStream<Item = Result<Bytes, Broken>> + Send>>;

/// An answer that has begun and cannot be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer cannot be completed")]
pub(crate) struct Broken;

/// The body of an answer.
pub(crate) enum Body {
    /// All of it; `None` once it was sent.
    Whole(Option<Bytes>),
    /// All of it, and it is JSON: who writes the answer says so, for a map with this one field would cost each call more
    /// than the field.
    Json(Bytes),
    /// As it comes; ends when the stream does.
    Stream(Stream),
    /// As it comes; ends when the stream does, or is broken off.
    Complete(Complete),
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self::Whole(None)
    }

    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()).filter(|bytes| !bytes.is_empty()))
    }

    pub(crate) fn stream(stream: impl FutureStream<Item = Bytes> + Send + 'static) -> Self {
        Self::Stream(Box::pin(stream))
    }

    pub(crate) fn complete(stream: impl FutureStream<Item = Result<Bytes, Broken>> + Send + 'static) -> Self {
        Self::Complete(Box::pin(stream))
    }

    /// Whether how long it is shows at its end alone.
    pub(super) fn is_streamed(&self) -> bool {
        matches!(self, Self::Stream(_) | Self::Complete(_))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Json(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Whole(None);
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Stream(stream) => {
                stream.as_mut().poll_next(context).map(|next| next.map(|bytes| Ok(Frame::data(bytes))))
            }
            Self::Complete(stream) => {
                stream.as_mut().poll_next(context).map(|next| next.map(|bytes| bytes.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Json(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_) | Self::Complete(_) => SizeHint::default(),
        }
    }
}

/// Reads a request's body, within the limits on size and time. What has to be waited for counts in `budget` until nobody
/// holds on to any of it.
pub(super) async fn read<B>(body: B, limits: &Limits, budget: &Arc<Budget>) -> Result<Bytes, Refusal>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    if body.size_hint().lower() > limits.body_bytes as u64 {
        return Err(too_large(limits));
    }
    let mut share = Share::of(budget);
    let waited = Waited { body, seen: 0, share: &mut share, limit: limits.bodies_bytes, counts: false };
    let read = read_in_time(waited, limits).await?;
    Ok(share.hold(read))
}

async fn read_in_time<B>(body: Waited<'_, B>, limits: &Limits) -> Result<Bytes, Refusal>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let mut reading = pin!(bounded::collect(body, limits.body_bytes));
    // Many bodies come with their head: a timer is only set for those that do not.
    let read = match reading.as_mut().now_or_never() {
        Some(read) => Ok(read),
        None => tokio::time::timeout(limits.body_read, reading).await,
    };
    match read {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(Unread::TooLarge)) => Err(too_large(limits)),
        Ok(Err(Unread::Broken(Failed::Full))) => {
            let message =
                "this gateway holds as many request bodies as it may (limits.bodies_bytes); try again";
            Err(Refusal::new(ErrorKind::Overloaded, message))
        }
        Ok(Err(Unread::Broken(Failed::Broken))) => Err(broken()),
        Err(_) => {
            let message = format!("the body did not arrive within {} s", limits.body_read.as_secs());
            Err(Refusal::new(ErrorKind::BodyTimeout, message))
        }
    }
}

/// A body up to this size counts only once it has to be waited for.
const QUICK: usize = 64 * 1024;

/// A body that counts once it has to be waited for: what comes in one go is gone again in one go, unless it is large.
struct Waited<'a, B> {
    body: B,
    seen: usize,
    share: &'a mut Share,
    limit: usize,
    counts: bool,
}

/// Why a body does not go on.
enum Failed {
    Broken,
    /// The budget is used up.
    Full,
}

impl<B> http_body::Body for Waited<'_, B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = Failed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failed>>> {
        let polled = Pin::new(&mut self.body).poll_frame(task);
        let more = match &polled {
            Poll::Pending if self.counts => return Poll::Pending,
            Poll::Pending => {
                self.counts = true;
                self.seen
            }
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                self.seen += length;
                if self.counts {
                    length
                } else if self.seen > QUICK {
                    self.counts = true;
                    self.seen
                } else {
                    0
                }
            }
            Poll::Ready(_) => 0,
        };
        let limit = self.limit;
        if more > 0 && !self.share.grow(more, limit) {
            return Poll::Ready(Some(Err(Failed::Full)));
        }
        polled.map(|frame| frame.map(|frame| frame.map_err(|_| Failed::Broken)))
    }
}

pub(super) fn broken() -> Refusal {
    Refusal::new(ErrorKind::Unparsable, "the body broke off")
}

pub(super) fn too_large(limits: &Limits) -> Refusal {
    let message = format!("the body is larger than {} bytes (limits.body_bytes)", limits.body_bytes);
    Refusal::new(ErrorKind::BodyTooLarge, message)
}

#[cfg(test)]
mod tests;
