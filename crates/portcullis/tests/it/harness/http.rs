//! A small HTTP/1.1 client that writes exactly the bytes it is told to, valid or not, and reads what comes back.

use std::fmt::Write as _;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::within;

/// A connection to the gateway.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    address: SocketAddr,
}

/// How a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    Close,
}

/// Status and headers of an answer; names in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.header("content-type") == Some("text/event-stream")
    }

    fn framing(&self) -> Framing {
        if self.status == 204 || self.status == 304 {
            Framing::Length(0)
        } else if self.header("transfer-encoding") == Some("chunked") {
            Framing::Chunked
        } else {
            match self.header("content-length") {
                Some(length) => Framing::Length(length.parse().unwrap()),
                None => Framing::Close,
            }
        }
    }
}

/// An answer with its whole body.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// The body as JSON; of a stream, the last message.
    pub(crate) fn json(&self) -> Value {
        if self.head.is_stream() {
            return self.messages().pop().expect("a stream with a message");
        }
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The messages of a stream, in order.
    pub(crate) fn messages(&self) -> Vec<Value> {
        let text = self.text();
        let data =
            text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| !data.is_empty());
        data.map(|data| serde_json::from_str(data).unwrap()).collect()
    }

    /// The code of a JSON-RPC error.
    pub(crate) fn error_code(&self) -> i64 {
        let json = self.json();
        json["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {json}"))
    }
}

/// An event of a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) data: Option<String>,
    pub(crate) retry: Option<u64>,
    pub(crate) comment: Option<String>,
}

impl Event {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.data.as_deref().expect("an event with data")).unwrap()
    }
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = within("a connection", TcpStream::connect(address)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new(), address }
    }

    /// Writes bytes as they are. An error is no failure: the gateway may have closed already, and said why.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        within("room to write", self.stream.write_all(bytes)).await
    }

    /// Says that nothing more comes. What comes back can still be read.
    pub(crate) async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Writes a request's head; `Host` is filled in when it is missing.
    pub(crate) async fn write_head(&mut self, method: &str, path: &str, headers: &[(&str, &str)]) {
        let head = self.head_of(method, path, headers);
        let _ = self.write(head.as_bytes()).await;
    }

    fn head_of(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            let _ = write!(head, "host: {}\r\n", self.address);
        }
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head.push_str("\r\n");
        head
    }

    /// Writes a whole request at once: a gateway that refuses it by its head need not close the connection then.
    pub(crate) async fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
        let length = body.len().to_string();
        let mut all = headers.to_vec();
        if !body.is_empty() || method == "POST" {
            all.push(("content-length", &length));
        }
        let mut request = self.head_of(method, path, &all).into_bytes();
        request.extend_from_slice(body);
        let _ = self.write(&request).await;
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Response {
        self.request(method, path, headers, body).await;
        self.response().await
    }

    /// Reads a whole answer.
    pub(crate) async fn response(&mut self) -> Response {
        let head = self.head().await.expect("an answer before the connection closes");
        let body = self.body(&head).await;
        Response { head, body }
    }

    /// Reads the body that goes with a head.
    pub(crate) async fn body(&mut self, head: &Head) -> Vec<u8> {
        let mut body = Vec::new();
        let mut framing = head.framing();
        while let Some(part) = self.part(&mut framing).await {
            body.extend_from_slice(&part);
        }
        body
    }

    /// Reads an answer's head; `None` when the connection closes without one.
    pub(crate) async fn head(&mut self) -> Option<Head> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at;
            }
            if !self.fill().await {
                return None;
            }
        };
        let text = String::from_utf8(self.buffer.drain(..end + 4).collect()).unwrap();
        let mut lines = text.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers =
            headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        Some(Head { status, headers })
    }

    /// The answer's body as an event stream.
    pub(crate) fn into_events(self, head: &Head) -> Events {
        assert!(head.is_stream(), "{head:?}");
        self.into_lines(head)
    }

    /// The answer's body as a stream of something else, which [`Events::bytes`] reads.
    pub(crate) fn into_lines(self, head: &Head) -> Events {
        Events { framing: head.framing(), connection: self, text: Vec::new() }
    }

    /// Whether the peer closes without another byte.
    pub(crate) async fn closes(&mut self) -> bool {
        self.buffer.is_empty() && !self.fill().await
    }

    /// The next piece of a body.
    async fn part(&mut self, framing: &mut Framing) -> Option<Vec<u8>> {
        match framing {
            Framing::Length(0) => None,
            Framing::Length(left) => {
                if self.buffer.is_empty() && !self.fill().await {
                    return None;
                }
                let taken = self.buffer.len().min(*left);
                *left -= taken;
                Some(self.buffer.drain(..taken).collect())
            }
            Framing::Close => {
                if self.buffer.is_empty() && !self.fill().await {
                    return None;
                }
                Some(std::mem::take(&mut self.buffer))
            }
            Framing::Chunked => {
                let end = self.line().await?;
                let size = String::from_utf8(self.buffer.drain(..end + 2).collect()).ok()?;
                let size = usize::from_str_radix(size.trim(), 16).ok()?;
                while self.buffer.len() < size + 2 {
                    if !self.fill().await {
                        return None;
                    }
                }
                let part: Vec<u8> = self.buffer.drain(..size + 2).take(size).collect();
                if part.is_empty() {
                    *framing = Framing::Length(0);
                    return None;
                }
                Some(part)
            }
        }
    }

    async fn line(&mut self) -> Option<usize> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                return Some(end);
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    async fn fill(&mut self) -> bool {
        self.buffer.reserve(16 * 1024);
        !matches!(within("more of the answer", self.stream.read_buf(&mut self.buffer)).await, Ok(0) | Err(_))
    }
}

/// An event stream as it comes.
pub(crate) struct Events {
    connection: Connection,
    framing: Framing,
    text: Vec<u8>,
}

impl Events {
    /// The next event or comment; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = find(&self.text, b"\n\n") {
                let block = String::from_utf8(self.text.drain(..end + 2).collect()).unwrap();
                return Some(parse(&block));
            }
            let part = self.connection.part(&mut self.framing).await?;
            self.text.extend_from_slice(&part);
        }
    }

    /// The next bytes as they came, for streams that have no events; `None` at the end.
    pub(crate) async fn bytes(&mut self) -> Option<Vec<u8>> {
        self.connection.part(&mut self.framing).await
    }

    /// Says no more on the connection, but reads on.
    pub(crate) async fn close_half(&mut self) {
        self.connection.stream.shutdown().await.unwrap();
    }

    /// Whether it ended as its framing says, not with the connection.
    pub(crate) fn is_complete(&self) -> bool {
        self.framing == Framing::Length(0)
    }

    /// The next message: comments and events without data are passed over.
    pub(crate) async fn message(&mut self) -> Option<Value> {
        loop {
            let event = self.next().await?;
            if event.data.as_deref().is_some_and(|data| !data.is_empty()) {
                return Some(event.json());
            }
        }
    }
}

fn parse(block: &str) -> Event {
    let mut event = Event::default();
    for line in block.lines() {
        match line.split_once(':') {
            Some(("", comment)) => event.comment = Some(comment.trim().to_owned()),
            Some(("event", name)) => event.name = Some(name.trim().to_owned()),
            Some(("id", id)) => event.id = Some(id.trim().to_owned()),
            Some(("retry", retry)) => event.retry = retry.trim().parse().ok(),
            Some(("data", data)) => event.data = Some(data.strip_prefix(' ').unwrap_or(data).to_owned()),
            _ => {}
        }
    }
    event
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
