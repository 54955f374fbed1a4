//! A server that answers from a script, one connection per request.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What the server does with one request.
pub(crate) enum Reply {
    /// Writes these bytes and closes.
    Bytes(Vec<u8>),
    /// Writes these bytes and says nothing more.
    Stall(Vec<u8>),
    /// Writes these bytes after a while and closes.
    Late(Duration, Vec<u8>),
}

impl Reply {
    pub(crate) fn new(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut bytes = format!("HTTP/1.1 {status} Status\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            bytes.push_str(&format!("{name}: {value}\r\n"));
        }
        bytes.push_str("\r\n");
        Reply::Bytes([bytes.as_bytes(), body].concat())
    }

    pub(crate) fn ok(body: &str) -> Reply {
        Reply::new(200, &[("content-type", "application/json")], body.as_bytes())
    }

    pub(crate) fn status(status: u16) -> Reply {
        Reply::new(status, &[], b"")
    }

    /// Closes without a word.
    pub(crate) fn reset() -> Reply {
        Reply::Bytes(Vec::new())
    }

    /// Leaves the last bytes of an answer away and closes.
    pub(crate) fn cut(self, bytes: usize) -> Reply {
        match self {
            Reply::Bytes(mut whole) | Reply::Stall(mut whole) | Reply::Late(_, mut whole) => {
                whole.truncate(whole.len() - bytes);
                Reply::Bytes(whole)
            }
        }
    }

    /// Leaves the last bytes of an answer away and keeps the connection.
    pub(crate) fn stalled(self, bytes: usize) -> Reply {
        match self.cut(bytes) {
            Reply::Bytes(part) | Reply::Stall(part) | Reply::Late(_, part) => Reply::Stall(part),
        }
    }

    /// The same after a while.
    pub(crate) fn late(self, by: Duration) -> Reply {
        match self {
            Reply::Bytes(bytes) | Reply::Stall(bytes) | Reply::Late(_, bytes) => Reply::Late(by, bytes),
        }
    }
}

/// The server and what it was asked.
pub(crate) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) async fn start(script: Vec<Reply>) -> Server {
        let mut script = script.into_iter();
        // Beyond the script: an answer that no retry follows, so that the test sees one request too many.
        Server::answering(move |_| script.next().unwrap_or_else(|| Reply::status(418))).await
    }

    /// A server that answers each request, head and body as they were sent, as `answer` says.
    pub(crate) async fn answering(mut answer: impl FnMut(&str) -> Reply + Send + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(request) = read_request(&mut stream).await else { continue };
                seen.lock().expect("requests").push(request.clone());
                let reply = answer(&request);
                tokio::spawn(write_reply(stream, reply));
            }
        });
        Server { address, requests }
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests as they were sent.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("requests").clone()
    }

    /// The values of the header `name` (in lower case), of the requests that carry it.
    pub(crate) fn headers(&self, name: &str) -> Vec<String> {
        let start = format!("{name}: ");
        let value = |request: &String| request.lines().find_map(|line| line.strip_prefix(&start).map(str::to_owned));
        self.requests().iter().filter_map(value).collect()
    }

    /// Their paths and queries.
    pub(crate) fn targets(&self) -> Vec<String> {
        let target = |request: &String| request.split(' ').nth(1).expect("a target").to_owned();
        self.requests().iter().map(target).collect()
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.ok()?;
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().expect("a length")) {
                return Some(text);
            }
        }
        if read == 0 {
            return None;
        }
    }
}

async fn write_reply(mut stream: TcpStream, reply: Reply) {
    let (bytes, wait) = match reply {
        Reply::Bytes(bytes) => (bytes, false),
        Reply::Stall(bytes) => (bytes, true),
        Reply::Late(by, bytes) => {
            tokio::time::sleep(by).await;
            (bytes, false)
        }
    };
    // The client may hang up first; that is what some tests are about.
    let _ = stream.write_all(&bytes).await;
    let _ = stream.flush().await;
    if wait {
        std::future::pending::<()>().await;
    }
    let _ = stream.shutdown().await;
}
