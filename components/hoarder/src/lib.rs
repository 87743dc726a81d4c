//! Makes the host hold things for it, for the instance's life: `/fields/N/BYTES` so many header
//! lists with so many bytes each, `/bodies/N` outgoing bodies with all written into them that they
//! take, `/methods/N/BYTES` requests with a method of so many bytes, `/targets/N/BYTES` the same
//! with a path, `/memory/N` so many MiB, `/hold/N/MS` the same and answers after so long. `/say/BYTES` fails with an error of so many bytes;
//! `/trailers/BYTES` ends a body with them; `/wait/MS` answers after so long. Answers what it
//! holds, and how many bytes of it.
use std::cell::RefCell;
use std::hint::black_box;

use answer::{Sending, Target, text};
use wasip2::clocks::monotonic_clock;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, Method, OutgoingBody, OutgoingRequest, ResponseOutparam,
};
use wasip2::io::streams::OutputStream;

/// What is dropped first stands first: a stream before its body, a body before its request.
#[derive(Default)]
struct Hoard {
    streams: Vec<OutputStream>,
    bodies: Vec<OutgoingBody>,
    requests: Vec<OutgoingRequest>,
    fields: Vec<Fields>,
    memory: Vec<Vec<u8>>,
}

thread_local! {
    static HOARD: RefCell<Hoard> = RefCell::default();
}

struct Hoarder;
wasip2::http::proxy::export!(Hoarder);

impl wasip2::exports::http::incoming_handler::Guest for Hoarder {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = Target::of(&request);
        let (n, bytes) = (target.number(1), target.number(2) as usize);
        let held = HOARD.with_borrow_mut(|hoard| match target.segment(0) {
            "fields" => hoard.fields(n, bytes),
            "bodies" => hoard.bodies(n),
            "methods" => hoard.requests(n, |request| {
                let method = Method::Other("M".repeat(bytes));
                request.set_method(&method)
            }),
            "targets" => hoard.requests(n, |request| {
                request.set_path_with_query(Some(&format!("/{}", "p".repeat(bytes))))
            }),
            "memory" | "hold" => hoard.memory(n),
            _ => "hoarder\n".to_string(),
        });
        match target.segment(0) {
            "say" => {
                let words = "w".repeat(n as usize);
                ResponseOutparam::set(out, Err(ErrorCode::InternalError(Some(words))));
            }
            "trailers" => {
                let mut sending = Sending::start(out, 200, &[]);
                sending.write(b"before trailers\n");
                let value = "t".repeat(n as usize);
                let trailers = Fields::from_list(&[("x-trailer".to_string(), value.into_bytes())]);
                let _ = sending.finish(trailers.ok());
            }
            "wait" => {
                pause(n);
                text(out, 200, "waited\n");
            }
            "hold" => {
                pause(bytes as u64);
                text(out, 200, &held);
            }
            _ => text(out, 200, &held),
        }
    }
}

fn pause(milliseconds: u64) {
    monotonic_clock::subscribe_duration(milliseconds * 1_000_000).block();
}

impl Hoard {
    fn fields(&mut self, n: u64, bytes: usize) -> String {
        let value = "f".repeat(bytes).into_bytes();
        for _ in 0..n {
            let fields = Fields::new();
            if let Err(error) = fields.append("x-hoard", &value) {
                return format!("refused after {}: {error:?}\n", self.fields.len());
            }
            self.fields.push(fields);
        }
        format!("{} header lists\n", self.fields.len())
    }

    fn bodies(&mut self, n: u64) -> String {
        let mut written = 0;
        for _ in 0..n {
            let request = OutgoingRequest::new(Fields::new());
            let body = request.body().expect("the body is taken once");
            let stream = body.write().expect("the stream is taken once");
            while let Ok(room @ 1..) = stream.check_write() {
                let piece = vec![b'b'; room as usize];
                if stream.write(&piece).is_err() {
                    break;
                }
                written += room;
            }
            self.streams.push(stream);
            self.bodies.push(body);
            self.requests.push(request);
        }
        format!("{} bodies, {written} bytes\n", self.bodies.len())
    }

    fn requests(&mut self, n: u64, set: impl Fn(&OutgoingRequest) -> Result<(), ()>) -> String {
        for _ in 0..n {
            let request = OutgoingRequest::new(Fields::new());
            if set(&request).is_err() {
                return format!("refused after {}\n", self.requests.len());
            }
            self.requests.push(request);
        }
        format!("{} requests\n", self.requests.len())
    }

    fn memory(&mut self, mebibytes: u64) -> String {
        for _ in 0..mebibytes {
            let mut block = Vec::new();
            if block.try_reserve_exact(1 << 20).is_err() {
                return format!("refused after {} MiB\n", self.memory.len());
            }
            block.resize(1 << 20, 1);
            self.memory.push(black_box(block));
        }
        format!("holding {} MiB\n", self.memory.len())
    }
}
