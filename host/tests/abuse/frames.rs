//! HTTP/2 frame by frame, for what no decent client would send (RFC 9113, section 4).

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::fixture::{Host, soon};

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const ACK: u8 = 1;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const COMPRESSION_ERROR: u32 = 9;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame as it came.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The error code of a RST_STREAM or GOAWAY.
    pub(crate) fn code(&self) -> Option<u32> {
        let at = match self.kind {
            RST_STREAM => 0,
            GOAWAY => 4,
            _ => return None,
        };
        let bytes = self.payload.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().unwrap()))
    }
}

/// A frame to be sent.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A block of header fields: method GET or POST, scheme http, this path (RFC 7541, section 6).
pub(crate) fn block(method: &str, path: &str) -> Vec<u8> {
    let method = if method == "GET" { 0x82 } else { 0x83 };
    let mut block = vec![method, 0x86];
    literal(&mut block, 0x04, path.as_bytes());
    literal(&mut block, 0x01, b"victim");
    block
}

/// A value for an indexed name, not to be remembered; short ones only.
fn literal(block: &mut Vec<u8>, name: u8, value: &[u8]) {
    block.extend([name, u8::try_from(value.len()).unwrap()]);
    assert!(value.len() < 127, "longer ones are written otherwise");
    block.extend_from_slice(value);
}

/// A field with a name of its own, not to be remembered.
pub(crate) fn field(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0);
    for text in [name, value] {
        length(block, text.len());
        block.extend_from_slice(text.as_bytes());
    }
}

/// An integer with a prefix of seven bits (RFC 7541, section 5.1).
fn length(block: &mut Vec<u8>, mut length: usize) {
    if length < 127 {
        block.push(u8::try_from(length).unwrap());
        return;
    }
    block.push(127);
    length -= 127;
    while length >= 128 {
        block.push(u8::try_from(length % 128).unwrap() | 128);
        length /= 128;
    }
    block.push(u8::try_from(length).unwrap());
}

pub(crate) fn get(stream: u32, path: &str) -> Vec<u8> {
    let flags = END_HEADERS | END_STREAM;
    frame(HEADERS, flags, stream, &block("GET", path))
}

/// The head of a request whose body is to come.
pub(crate) fn post(stream: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block("POST", path))
}

pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

pub(crate) fn window_update(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

pub(crate) fn settings(pairs: &[(u16, u32)]) -> Vec<u8> {
    let mut payload = Vec::new();
    for (name, value) in pairs {
        payload.extend(name.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    frame(SETTINGS, 0, 0, &payload)
}

pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;

/// A client's connection.
pub(crate) struct Frames {
    pub(crate) reader: Reader,
    pub(crate) writer: OwnedWriteHalf,
}

/// What the host sends on it.
pub(crate) struct Reader {
    half: OwnedReadHalf,
    read: Vec<u8>,
}

impl Frames {
    /// Connects with these settings.
    pub(crate) async fn to(host: &Host, pairs: &[(u16, u32)]) -> Frames {
        let stream = soon("to connect", TcpStream::connect(host.address()))
            .await
            .unwrap();
        stream.set_nodelay(true).unwrap();
        let (half, writer) = stream.into_split();
        let reader = Reader {
            half,
            read: Vec::new(),
        };
        let mut frames = Frames { reader, writer };
        frames.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        frames.send(&settings(pairs)).await;
        frames.send(&frame(SETTINGS, ACK, 0, b"")).await;
        frames
    }

    /// Sends as long as the host takes it; false if it does not any more.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        soon("to send frames", self.writer.write_all(bytes))
            .await
            .is_ok()
    }

    /// Sends while what comes is read and thrown away, until the host closes or has taken it all.
    pub(crate) async fn flood(self, bytes: &[u8]) -> Flooded {
        let (mut writer, mut reader) = (self.writer, self.reader);
        let sending = async {
            // An error means that the host has closed, which the reader sees.
            let _ = writer.write_all(bytes).await;
            tokio::time::sleep(SETTLE).await;
        };
        soon("a flood's end", async {
            tokio::select! {
                code = reader.end() => Flooded::Closed(code),
                () = sending => Flooded::Taken,
            }
        })
        .await
    }
}

/// The host may still be busy with what it has been sent.
const SETTLE: Duration = Duration::from_secs(2);

/// How a flood ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flooded {
    /// The host closed, with this code.
    Closed(Option<u32>),
    /// The host took it all, and the connection is still open.
    Taken,
}

impl Reader {
    /// The next frame, or nothing after the host has closed.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        loop {
            if self.read.len() >= 9 {
                let length = u32::from_be_bytes([0, self.read[0], self.read[1], self.read[2]]);
                let whole = 9 + length as usize;
                if self.read.len() >= whole {
                    let rest = self.read.split_off(whole);
                    let bytes = std::mem::replace(&mut self.read, rest);
                    return Some(Frame {
                        kind: bytes[3],
                        flags: bytes[4],
                        stream: u32::from_be_bytes(bytes[5..9].try_into().unwrap()) & 0x7fff_ffff,
                        payload: bytes[9..].to_vec(),
                    });
                }
            }
            let read = self.half.read_buf(&mut self.read).await.unwrap_or(0);
            if read == 0 {
                return None;
            }
        }
    }

    /// Waits for a frame that satisfies; what comes before it is lost.
    pub(crate) async fn until(&mut self, what: &str, wanted: impl Fn(&Frame) -> bool) -> Frame {
        soon(what, async {
            let mut before = Vec::new();
            while let Some(frame) = self.next().await {
                if wanted(&frame) {
                    return frame;
                }
                before.push((frame.kind, frame.stream, frame.code()));
            }
            panic!("closed before {what}, after {before:?}");
        })
        .await
    }

    /// Waits for the close; the code of the last GOAWAY before it.
    pub(crate) async fn end(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.next().await {
            if frame.kind == GOAWAY {
                code = frame.code();
            }
        }
        code
    }
}
