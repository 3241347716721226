//! A service that asks another for its answer: over the bus, or over HTTP, with connections that are kept and as little of HTTP as that needs.

use bytes::{Buf, Bytes, BytesMut};
use hera_client::{App, BoxError, Options, Request, Response};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// `/0/front/none`, `/0/front/bus` and `/0/front/http`.
pub(crate) fn app(through: SocketAddr, token: &str) -> App {
    let mut app = App::with(Options::new());
    app.get("/0/front/none", async |_: Request| "none");
    app.get("/0/front/bus", async |req: Request| -> Result<_, BoxError> {
        Ok(Response::bytes(req.call("GET /0/small").await?.body().await?))
    });
    let pool = Arc::new(Pool::new(through, token));
    app.get("/0/front/http", move |_: Request| {
        let pool = Arc::clone(&pool);
        async move { Ok::<_, BoxError>(Response::bytes(pool.get().await?)) }
    });
    app
}

/// Connections that wait for their next request.
struct Pool {
    address: SocketAddr,
    request: Bytes,
    idle: Mutex<Vec<TcpStream>>,
}

impl Pool {
    fn new(address: SocketAddr, token: &str) -> Pool {
        let request = format!("GET /0/small HTTP/1.1\r\nHost: bench\r\nHera-Token: {token}\r\n\r\n").into();
        Pool { address, request, idle: Mutex::default() }
    }

    async fn get(&self) -> io::Result<Bytes> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut stream = match idle {
            Some(stream) => stream,
            None => TcpStream::connect(self.address).await?,
        };
        stream.set_nodelay(true)?;
        stream.write_all(&self.request).await?;
        let mut read = BytesMut::with_capacity(4 * 1024);
        loop {
            if stream.read_buf(&mut read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some((head, body)) = lengths(&read)? {
                while read.len() < head + body {
                    stream.read_buf(&mut read).await?;
                }
                read.advance(head);
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(stream);
                return Ok(read.split_to(body).freeze());
            }
        }
    }
}

/// Bytes of the head and of the body, once the head is whole.
fn lengths(read: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(read).map_err(io::Error::other)? else {
        return Ok(None);
    };
    if response.code != Some(200) {
        return Err(io::Error::other(format!("status {:?}", response.code)));
    }
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
    length.map(|body| Some((head, body))).ok_or_else(|| io::Error::other("no content-length"))
}
