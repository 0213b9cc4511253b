//! The body of an answer: one JSON message, or an event stream of a question and, later, the answer.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::oneshot;

/// A body of the upstream's.
pub(crate) enum Body {
    /// All of it is there.
    Whole(Full<Bytes>),
    /// An event stream of two messages.
    Events {
        /// The first one, until it is sent.
        first: Option<Bytes>,
        /// The second one, until it has come.
        then: Option<oneshot::Receiver<String>>,
    },
}

impl Body {
    /// `message` alone, or as an event with what comes `then` behind it.
    pub(crate) fn new(message: String, then: Option<oneshot::Receiver<String>>) -> Self {
        match then {
            None => Self::Whole(Full::new(Bytes::from(message))),
            Some(then) => Self::Events { first: Some(event(&message)), then: Some(then) },
        }
    }
}

fn event(message: &str) -> Bytes {
    Bytes::from(format!("event: message\ndata: {message}\n\n"))
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(whole) => Pin::new(whole).poll_frame(context),
            Self::Events { first, then } => {
                if let Some(first) = first.take() {
                    return Poll::Ready(Some(Ok(Frame::data(first))));
                }
                let Some(waiting) = then else { return Poll::Ready(None) };
                let answer = ready!(Pin::new(waiting).poll(context));
                *then = None;
                // A call that nobody can answer any more ends without an answer.
                Poll::Ready(answer.ok().map(|answer| Ok(Frame::data(event(&answer)))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_end_stream(),
            Self::Events { first, then } => first.is_none() && then.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => whole.size_hint(),
            Self::Events { .. } => SizeHint::default(),
        }
    }
}
