//! The jobs over HTTP/1.1, for the middles that speak it backwards: as little of HTTP as they need, so that it is never what is measured.
//!
//! nginx would do for the first job alone: Debian's build has no way to echo a body with its length, and none to wait.

use crate::answers;
use bytes::{Buf, Bytes, BytesMut};
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Answers made in advance, head and body in one piece.
struct Answers {
    small: Bytes,
    large: Bytes,
}

/// Serves until the process is ended.
pub(crate) async fn serve(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let small = whole("application/json", &answers::small());
    let large = whole("application/octet-stream", &answers::large());
    loop {
        let (stream, _) = listener.accept().await?;
        let answers = Answers { small: small.clone(), large: large.clone() };
        tokio::spawn(async move { connection(stream, &answers).await });
    }
}

/// Request after request, until the other side leaves or says what this is not made for.
async fn connection(mut stream: TcpStream, answers: &Answers) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut read = BytesMut::with_capacity(8 * 1024);
    loop {
        let head = loop {
            if let Some(head) = head(&read)? {
                break head;
            }
            if stream.read_buf(&mut read).await? == 0 {
                return Ok(());
            }
        };
        let answer = match head.job {
            Job::Small => answers.small.clone(),
            Job::Large => answers.large.clone(),
            Job::Slow => {
                tokio::time::sleep(answers::SLOW).await;
                answers.small.clone()
            }
            Job::Echo => {
                while read.len() < head.bytes + head.body_bytes {
                    if stream.read_buf(&mut read).await? == 0 {
                        return Ok(());
                    }
                }
                whole("application/octet-stream", &read[head.bytes..head.bytes + head.body_bytes])
            }
        };
        read.advance(head.bytes + if matches!(head.job, Job::Echo) { head.body_bytes } else { 0 });
        stream.write_all(&answer).await?;
    }
}

enum Job {
    Small,
    Large,
    Slow,
    Echo,
}

struct Head {
    job: Job,
    bytes: usize,
    body_bytes: usize,
}

/// `None` while it is not all there.
fn head(read: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(bytes) = request.parse(read).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let job = match request.path {
        Some("/0/small") => Job::Small,
        Some("/0/large") => Job::Large,
        Some("/0/slow") => Job::Slow,
        Some("/0/echo") => Job::Echo,
        other => return Err(io::Error::other(format!("no such job: {other:?}"))),
    };
    let length = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
    Ok(Some(Head { job, bytes, body_bytes: length.unwrap_or(0) }))
}

fn whole(content_type: &str, body: &[u8]) -> Bytes {
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat().into()
}
