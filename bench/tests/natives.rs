//! The native subjects answer what the benchmark's component answers; otherwise a comparison
//! would compare different work.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

struct Native {
    child: Child,
    address: String,
}

impl Native {
    fn start(kind: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_skep-bench"))
            .args(["native", kind, "--listen", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("the bench starts");
        let mut line = String::new();
        let stderr = child.stderr.take().expect("a pipe");
        BufReader::new(stderr)
            .read_line(&mut line)
            .expect("its first line");
        let address = line.trim().trim_start_matches("http://").to_owned();
        Self { child, address }
    }

    fn ask(&self, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        write!(
            stream,
            "{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .expect("the request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the answer");
        answer
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn native_servers_answer_like_the_component() {
    for kind in ["hyper", "axum"] {
        let native = Native::start(kind);
        let hello = native.ask("GET /", "");
        assert!(
            hello.starts_with("HTTP/1.1 200 ") && hello.ends_with("\r\n\r\nhello from skep\n"),
            "{kind}: {hello}"
        );
        let blob = native.ask("GET /blob", "");
        assert!(blob.contains("content-length: 65536\r\n"), "{kind}");
        assert_eq!(
            blob.len() - blob.find("\r\n\r\n").expect("a head") - 4,
            64 * 1024,
            "{kind}"
        );
        let echo = native.ask("POST /echo", "there and back");
        assert!(
            echo.starts_with("HTTP/1.1 200 ") && echo.contains("there and back"),
            "{kind}: {echo}"
        );
        assert!(
            native.ask("GET /nowhere", "").starts_with("HTTP/1.1 404 "),
            "{kind}"
        );
    }
}
