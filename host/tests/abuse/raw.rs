//! HTTP/1 answers as they stand on the wire, told apart.

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Its body came to its end.
    pub(crate) whole: bool,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Refused as Skep refuses: a problem with a request id, and the connection closes.
    #[track_caller]
    pub(crate) fn expect_refusal(&self, what: &str) -> &Answer {
        assert!((400..500).contains(&self.status), "{what}: {self:?}");
        assert!(self.whole, "{what}: {self:?}");
        assert_eq!(
            self.field("content-type"),
            Some("application/problem+json"),
            "{what}: {self:?}"
        );
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], self.status, "{what}");
        assert_eq!(
            problem["request_id"].as_str(),
            self.field("x-request-id"),
            "{what}"
        );
        self
    }

    /// The same, and nothing follows on its connection.
    #[track_caller]
    pub(crate) fn expect_closing_refusal(&self, what: &str) -> &Answer {
        self.expect_refusal(what);
        assert_eq!(self.field("connection"), Some("close"), "{what}: {self:?}");
        self
    }
}

/// All answers in these bytes, none of them to a HEAD request.
pub(crate) fn answers(mut bytes: &[u8]) -> Vec<Answer> {
    let mut all = Vec::new();
    while let Some(end) = find(bytes, b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        bytes = &bytes[end + 4..];
        let status = head.get(9..12).and_then(|text| text.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {head:?}"));
        let mut answer = Answer {
            status,
            head,
            body: Vec::new(),
            whole: true,
        };
        if status >= 200 && status != 204 && status != 304 {
            let length = answer.field("content-length").map(|text| text.parse());
            let chunked = answer.field("transfer-encoding") == Some("chunked");
            (answer.body, answer.whole, bytes) = match length {
                _ if chunked => unchunked(bytes),
                Some(length) => {
                    let length: usize = length.unwrap();
                    let here = length.min(bytes.len());
                    (bytes[..here].to_vec(), here == length, &bytes[here..])
                }
                // Until the close.
                None => (bytes.to_vec(), true, &bytes[bytes.len()..]),
            };
        }
        all.push(answer);
    }
    assert!(
        bytes.is_empty(),
        "after {} answers: {:?}",
        all.len(),
        String::from_utf8_lossy(bytes)
    );
    all
}

fn unchunked(mut bytes: &[u8]) -> (Vec<u8>, bool, &[u8]) {
    let mut body = Vec::new();
    while let Some(end) = find(bytes, b"\r\n") {
        let size = std::str::from_utf8(&bytes[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let data = &bytes[end + 2..];
        if size == 0 {
            // No trailers are asked for.
            return match data.strip_prefix(b"\r\n") {
                Some(rest) => (body, true, rest),
                None => (body, false, &[]),
            };
        }
        if data.len() < size + 2 {
            body.extend_from_slice(&data[..data.len().min(size)]);
            return (body, false, &[]);
        }
        body.extend_from_slice(&data[..size]);
        bytes = &data[size + 2..];
    }
    (body, false, &[])
}

pub(crate) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
