//! As much of HTTP/1.1 as processes on one machine need to talk to each other: kept-alive connections and bodies
//! with a stated length.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The first line and the headers of a message.
#[derive(Clone, Copy)]
pub(crate) struct Head {
    /// How many bytes they take.
    pub(crate) size: usize,
    /// How many bytes of body follow.
    pub(crate) body: usize,
}

impl Head {
    /// The head at the start of these bytes, if it is complete.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let size = bytes.windows(4).position(|it| it == b"\r\n\r\n")? + 4;
        let mut lines = bytes[..size].split(|&it| it == b'\n');
        let body = lines.find_map(content_length).unwrap_or(0);
        Some(Self { size, body })
    }

    pub(crate) fn whole(self) -> usize {
        self.size + self.body
    }
}

fn content_length(line: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let value = line.get(NAME.len()..)?;
    if !line[..NAME.len()].eq_ignore_ascii_case(NAME) {
        return None;
    }
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

/// The three digits of a response's first line.
pub(crate) fn status(response: &[u8]) -> u16 {
    let digits = response.get(9..12).and_then(|it| std::str::from_utf8(it).ok());
    digits.and_then(|it| it.parse().ok()).unwrap_or(0)
}

/// Reads one message to the front of the buffer; none when the peer has left.
pub(crate) fn receive(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Head>> {
    const STEP: usize = 64 * 1024;
    let mut filled = 0;
    buffer.clear();
    loop {
        if let Some(head) = Head::read(&buffer[..filled])
            && filled >= head.whole()
        {
            buffer.truncate(filled);
            return Ok(Some(head));
        }
        if buffer.len() < filled + STEP {
            buffer.resize(filled + STEP, 0);
        }
        match stream.read(&mut buffer[filled..])? {
            0 if filled == 0 => return Ok(None),
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
}

/// A POST of JSON, ready to send.
pub(crate) fn post(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A GET, ready to send.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").into_bytes()
}

/// One connection that waits for each answer.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
        })
    }

    /// Sends a request; gives the status and the body of its answer.
    pub(crate) fn ask(&mut self, request: &[u8]) -> io::Result<(u16, &[u8])> {
        self.stream.write_all(request)?;
        let head = receive(&mut self.stream, &mut self.buffer)?.ok_or(ErrorKind::UnexpectedEof)?;
        Ok((status(&self.buffer), &self.buffer[head.size..head.whole()]))
    }
}
