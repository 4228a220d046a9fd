//! A server of HTTP/2 that sends single frames (RFC 9113), so that it can violate the protocol.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// `:status: 200` and `:status: 103` in HPACK (RFC 7541).
pub(crate) const STATUS_200: &[u8] = &[0x88];
pub(crate) const STATUS_103: &[u8] = &[0x08, 3, b'1', b'0', b'3'];

/// Returns the bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [.., a, b, c] = payload.len().to_be_bytes();
    let mut frame = vec![a, b, c, kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Returns a GOAWAY frame: no stream after `last` was processed.
pub(crate) fn goaway(last: u32, code: u32, debug_data: &[u8]) -> Vec<u8> {
    let payload = [&last.to_be_bytes(), &code.to_be_bytes(), debug_data].concat();
    frame(GOAWAY, 0, 0, &payload)
}

/// A connection with a client.
pub(crate) struct Http2<S>(pub(crate) S);

impl<S: AsyncRead + AsyncWrite + Unpin> Http2<S> {
    /// Reads the client's preface, and sends the server's.
    pub(crate) async fn accept(mut stream: S) -> io::Result<Self> {
        let mut preface = [0; 24];
        stream.read_exact(&mut preface).await?;
        let mut http2 = Self(stream);
        http2.send(&frame(SETTINGS, 0, 0, &[])).await?;
        Ok(http2)
    }

    pub(crate) async fn send(&mut self, frames: &[u8]) -> io::Result<()> {
        self.0.write_all(frames).await
    }

    /// Sends `frames` and then endless repetitions of `again`. It reads and drops the frames of the client, or both sides
    /// would block.
    pub(crate) async fn send_and_drain(self, frames: &[u8], again: &[u8]) -> io::Result<()> {
        let (mut stream, mut sink) = tokio::io::split(self.0);
        let drained = async { tokio::io::copy(&mut stream, &mut tokio::io::sink()).await };
        let sent = async {
            sink.write_all(frames).await?;
            while !again.is_empty() {
                sink.write_all(again).await?;
            }
            io::Result::Ok(())
        };
        tokio::try_join!(drained, sent).map(drop)
    }

    /// Waits for the next request and returns its stream. Settings and pings are confirmed.
    pub(crate) async fn request(&mut self) -> io::Result<u32> {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await?;
            let [a, b, c, kind, flags, stream @ ..] = head;
            let length = u32::from_be_bytes([0, a, b, c]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.0.read_exact(&mut payload).await?;
            match kind {
                HEADERS => return Ok(u32::from_be_bytes(stream)),
                SETTINGS | PING if flags & ACK == 0 => {
                    let confirmed: &[u8] = if kind == PING { &payload } else { &[] };
                    self.send(&frame(kind, ACK, 0, confirmed)).await?;
                }
                _ => {}
            }
        }
    }

    /// Sends a response with status 200 and this body.
    pub(crate) async fn respond(&mut self, stream: u32, body: &[u8]) -> io::Result<()> {
        let head = frame(HEADERS, END_HEADERS, stream, STATUS_200);
        self.send(&head).await?;
        self.send(&frame(DATA, END_STREAM, stream, body)).await
    }
}
