//! A listener whose connections can be broken from inside a handler, as a network breaks them.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};

/// A handle to one connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Link(Arc<AtomicBool>);

impl Link {
    /// From now on nothing more is sent; when the connection is dropped, the peer sees a reset.
    pub(super) fn reset(&self) {
        self.0.store(true, Ordering::Release);
    }

    fn is_reset(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Connected<IncomingStream<'_, Wire>> for Link {
    fn connect_info(stream: IncomingStream<'_, Wire>) -> Self {
        stream.remote_addr().clone()
    }
}

/// The listener.
#[derive(Debug)]
pub(super) struct Wire(TcpListener);

impl Wire {
    pub(super) async fn bind(address: SocketAddr) -> io::Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind(address).await?;
        let bound = listener.local_addr()?;
        Ok((Self(listener), bound))
    }
}

impl Listener for Wire {
    type Io = Connection;
    type Addr = Link;

    async fn accept(&mut self) -> (Connection, Link) {
        // The trait of a bound `TcpListener` retries failed accepts; only the stream is wrapped here.
        let (stream, _) = Listener::accept(&mut self.0).await;
        // Answers are written in one go, so waiting to fill a packet only adds delay.
        let _ = stream.set_nodelay(true);
        let link = Link::default();
        (Connection { stream, link: link.clone() }, link)
    }

    fn local_addr(&self) -> io::Result<Link> {
        Ok(Link::default())
    }
}

/// A connection that fails every write once its link was reset.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    link: Link,
}

impl Connection {
    fn check(&self) -> io::Result<()> {
        if self.link.is_reset() { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.link.is_reset() {
            // Without lingering, closing sends RST instead of FIN.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
