//! A row of the zoo, and what has to hold for each.

use std::path::Path;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::bystander::Clients;
use crate::fixture::{Connection, Host, Plan, Reply, Service, full, get, request, service};
use crate::toll::{Excess, Toll};

/// A guest, how it is provoked, and what its caller gets.
pub(crate) struct Member {
    guest: Guest,
    path: String,
    /// Bytes of the request's body; with any it is a POST.
    body: usize,
    /// The misbehaving service, as far as it differs from [`Member::service`].
    service: Service,
    plan: Plan,
    outcomes: Vec<Outcome>,
    /// What the host may hold more than before when all is over.
    left_behind: Excess,
    /// Requests at the same time.
    at_once: usize,
    /// It also answers `/well`, afterwards as before.
    recovers: bool,
    extra: Option<Extra>,
}

/// What only one member has to show, asked when all is over.
type Extra = Box<dyn Fn(&Host, &[Reply])>;

enum Guest {
    /// A component of `components/`.
    Built(&'static str),
    /// Bytes of a component for WASI 0.2 or 0.3, made from text.
    Made(Vec<u8>, Wasi),
}

/// Which engine a guest runs on; its bystander runs on the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wasi {
    V02,
    V03,
}

/// What a caller may get.
#[derive(Debug)]
enum Outcome {
    /// A problem document, and a line of the log with this label and these words.
    Problem {
        status: u16,
        label: &'static str,
        said: &'static str,
    },
    /// An answer of this status, whole, whose body has these words.
    Answer { status: u16, text: &'static str },
    /// The beginning of an answer, broken off in a way that the client sees.
    Cut { label: &'static str },
}

/// Requests at the same time, unless a row has its reasons.
const AT_ONCE: usize = 3;

/// How often that many are sent: what one round leaves behind shows in the next.
const ROUNDS: usize = 2;

/// Requests of the bystander before, and at least so many beside the misdeed.
const SAMPLES: u32 = 60;

/// Memory of one instance.
const MEMORY: u64 = 32 << 20;

/// What the host itself may need at its peak, beside the guests' own memories: machine code that is
/// mapped in, stacks, buffers on their way to the log and to clients.
const OWN_PEAK: u64 = 48 << 20;

const LEFT_BEHIND: Excess = Excess {
    resident: 24 << 20,
    descriptors: 4,
    threads: 2,
    within: Duration::from_secs(20),
};

/// No statement on speed: only that the bystander was not stopped. The figures are printed, and
/// measured in earnest by the benchmark.
const BYSTANDER_WORST_PERCENT: Duration = Duration::from_secs(5);

/// A path of the guest of WASI 0.2.
pub(crate) fn hostile(path: &str) -> Member {
    Member::of(Guest::Built("hostile"), path)
}

/// A path of the guest of WASI 0.3.
pub(crate) fn hostile_p3(path: &str) -> Member {
    Member::of(Guest::Built("hostile-p3"), path)
}

/// A component that goes wrong before it is asked anything, as `BAD_START` says.
pub(crate) fn bad_start(how: &str) -> Member {
    let environment = format!("environment = {{ BAD_START = {how:?} }}");
    Member::of(Guest::Built("bad-start"), "/").grants(&environment)
}

/// A component of `components/hostile/wat`.
pub(crate) fn wat(name: &str) -> Member {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../components/hostile/wat")
        .join(name)
        .with_extension("wat");
    let text = std::fs::read_to_string(file).unwrap();
    let bytes = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"));
    made(bytes, Wasi::V02)
}

/// A component of these bytes, which takes any path.
pub(crate) fn made(component: Vec<u8>, wasi: Wasi) -> Member {
    Member::of(Guest::Made(component, wasi), "/")
}

impl Member {
    fn of(guest: Guest, path: &str) -> Member {
        let component = match &guest {
            Guest::Built(name) => (*name).to_owned(),
            Guest::Made(..) => "./hostile.wasm".to_owned(),
        };
        let recovers = matches!(guest, Guest::Built("hostile" | "hostile-p3"));
        Member {
            guest,
            path: path.to_owned(),
            body: 0,
            service: service("hostile")
                .component(&component)
                .everywhere()
                .restart("max = 1000, within = \"1s\""),
            plan: Plan::default(),
            outcomes: Vec::new(),
            left_behind: LEFT_BEHIND,
            at_once: AT_ONCE,
            recovers,
            extra: None,
        }
        .limits("cpu = \"100ms\", deadline = \"20s\", memory = \"32MiB\"")
        .grants("")
    }

    /// What stands between the braces of `limits = { … }`, instead of the zoo's own.
    pub(crate) fn limits(mut self, inner: &str) -> Member {
        self.service = self.service.set("limits", &format!("{{ {inner} }}"));
        self
    }

    /// With little time for an answer: for guests that wait.
    pub(crate) fn impatient(self) -> Member {
        self.limits("cpu = \"100ms\", deadline = \"300ms\", memory = \"32MiB\"")
    }

    /// What it is granted beside an origin, without which `hostile` would be refused.
    pub(crate) fn grants(mut self, inner: &str) -> Member {
        let origin = match self.guest {
            Guest::Built("hostile") if !inner.contains("http = ") => {
                "http = [\"http://granted.example\"]"
            }
            _ => "",
        };
        let both: Vec<&str> = [origin, inner]
            .into_iter()
            .filter(|grant| !grant.is_empty())
            .collect();
        let grants = format!("{{ {} }}", both.join(", "));
        self.service = self.service.set("grants", &grants);
        self
    }

    /// Whatever else the host is to be started with.
    pub(crate) fn plan(mut self, change: impl FnOnce(Plan) -> Plan) -> Member {
        self.plan = change(self.plan);
        self
    }

    /// Its caller may get a problem document of this status, label and words in the log.
    pub(crate) fn fails(mut self, status: u16, label: &'static str, said: &'static str) -> Member {
        self.outcomes.push(Outcome::Problem {
            status,
            label,
            said,
        });
        self
    }

    /// Its caller may get a 502 and the log a trap with these words.
    pub(crate) fn traps(self, said: &'static str) -> Member {
        self.fails(502, "trap", said)
    }

    /// Its caller may get a 502 because it has computed for too long.
    pub(crate) fn computes_too_long(self) -> Member {
        self.fails(502, "cpu-limit", "limits.cpu")
    }

    /// Its caller may get a 504.
    pub(crate) fn misses_its_deadline(self) -> Member {
        self.fails(504, "deadline", "")
    }

    /// Its service never opens.
    pub(crate) fn never_starts(mut self) -> Member {
        self.recovers = false;
        self.fails(503, "unavailable", "")
    }

    /// Its caller may get a whole answer with these words in its body.
    pub(crate) fn answers(self, text: &'static str) -> Member {
        self.answers_with(200, text)
    }

    pub(crate) fn answers_with(mut self, status: u16, text: &'static str) -> Member {
        self.outcomes.push(Outcome::Answer { status, text });
        self
    }

    /// Its caller may see the answer break off.
    pub(crate) fn breaks_off(mut self, label: &'static str) -> Member {
        self.outcomes.push(Outcome::Cut { label });
        self
    }

    /// Its callers send a body of so many bytes.
    pub(crate) fn sent(mut self, bytes: usize) -> Member {
        self.body = bytes;
        self
    }

    /// So many bytes may stay with the host, for a reason that the row gives.
    pub(crate) fn leaving(mut self, bytes: u64) -> Member {
        self.left_behind.resident = bytes;
        self
    }

    /// So many requests at the same time.
    pub(crate) fn at_once(mut self, requests: usize) -> Member {
        self.at_once = requests;
        self
    }

    /// What else has to hold, when all is over.
    pub(crate) fn and(mut self, extra: impl Fn(&Host, &[Reply]) + 'static) -> Member {
        self.extra = Some(Box::new(extra));
        self
    }

    /// Provokes it beside a bystander, and checks all that has to hold.
    pub(crate) async fn shown_harmless(self, name: &str) {
        let host = self.start().await;
        let clients = Clients::of(host.address());
        clients.have_made(SAMPLES).await;
        let before = Toll::of(&host);
        // From now on the peak is that of what follows.
        std::fs::write(format!("/proc/{}/clear_refs", host.id()), "5").unwrap();

        clients.disturb();
        let mut replies = Vec::new();
        for _ in 0..ROUNDS {
            replies.append(&mut self.provoke(&host).await);
        }
        clients.have_made(SAMPLES).await;
        let peak = host.peak_resident().saturating_sub(before.resident);
        if self.recovers {
            let well = host.get("/well").await.expect(200);
            assert_eq!(well.text(), "well\n");
        }
        let times = clients.stop();

        for reply in &replies {
            self.check(reply);
        }
        self.check_log(&host, &replies).await;
        host.at_rest("hostile").await;
        if let Some(extra) = &self.extra {
            extra(&host, &replies);
        }
        let after = before.is_reached_again(&host, self.left_behind).await;
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        println!(
            "zoo | {name} | {} | {:.0} | {:.0} | {:.0} |",
            times.show(),
            mib(before.resident),
            mib(before.resident + peak),
            mib(after.resident),
        );
        let most = OWN_PEAK + self.at_once as u64 * MEMORY;
        assert!(peak <= most, "a peak of {:.0} MiB more", mib(peak));
        self.check_bystander(&host, &times);
        host.assert_no_panic();
    }

    async fn start(&self) -> Host {
        let bystander = match &self.guest {
            Guest::Built("hostile-p3") | Guest::Made(_, Wasi::V03) => "hello-p3",
            _ => "hello",
        };
        let bystander = service("bystander")
            .component(bystander)
            .routes(&["/bystander"]);
        let mut plan = self.plan.clone().and(self.service.clone()).and(bystander);
        if let Guest::Made(bytes, _) = &self.guest {
            plan = plan.bytes("hostile.wasm", bytes.clone());
        }
        let host = plan.start().await;
        host.phase("bystander", "ready").await;
        host
    }

    async fn provoke(&self, host: &Host) -> Vec<Reply> {
        let mut asked = JoinSet::new();
        for _ in 0..self.at_once {
            let mut connection = Connection::http1(host).await;
            let asking = match self.body {
                0 => get(&self.path),
                bytes => request("POST", &self.path, full(vec![b'r'; bytes])),
            };
            asked.spawn(async move {
                let answer = connection.send(asking).await;
                match answer {
                    Ok(response) => Some(Reply::of(response).await),
                    // Broken off before the head had left.
                    Err(_) => None,
                }
            });
        }
        let replies = asked.join_all().await;
        let count = replies.len();
        let replies: Vec<Reply> = replies.into_iter().flatten().collect();
        let may_break = self
            .outcomes
            .iter()
            .any(|outcome| matches!(outcome, Outcome::Cut { .. }));
        assert!(may_break || replies.len() == count, "no answer at all");
        replies
    }

    fn check(&self, reply: &Reply) {
        let fits = |outcome: &Outcome| match outcome {
            Outcome::Problem { status, .. } => reply.status == *status,
            Outcome::Answer { status, text } => {
                reply.status == *status
                    && reply.whole
                    && String::from_utf8_lossy(&reply.body).contains(text)
            }
            Outcome::Cut { .. } => reply.status == 200 && !reply.whole,
        };
        let expected = &self.outcomes;
        assert!(
            expected.iter().any(fits),
            "{expected:?}, but got {} {}, whole: {}, {:?}",
            reply.status,
            self.path,
            reply.whole,
            String::from_utf8_lossy(&reply.body[..reply.body.len().min(300)])
        );
        let answered = |expected: &Outcome| !matches!(expected, Outcome::Problem { .. });
        if !expected
            .iter()
            .any(|outcome| answered(outcome) && fits(outcome))
        {
            reply.assert_problem();
        }
    }

    /// Each request has its line, which names the service and one of the expected labels.
    async fn check_log(&self, host: &Host, replies: &[Reply]) {
        for reply in replies {
            let id = reply.header("x-request-id");
            let line = host
                .logged("the request's line", |line| {
                    line["kind"] == "request" && line["id"] == id
                })
                .await;
            assert_eq!(line["service"], "hostile", "{line}");
            let outcome = line["outcome"].as_str().unwrap();
            let error = line["error"].as_str().unwrap_or_default();
            let fits = |expected: &Outcome| match expected {
                Outcome::Problem { label, said, .. } => outcome == *label && error.contains(said),
                Outcome::Answer { .. } => outcome == "ok",
                Outcome::Cut { label } => outcome == *label,
            };
            assert!(self.outcomes.iter().any(fits), "{line}");
        }
    }

    fn check_bystander(&self, host: &Host, times: &crate::bystander::Times) {
        let failures = &times.failures;
        assert!(failures.is_empty(), "the bystander failed: {failures:?}");
        let row = host.row("bystander");
        for counted in ["crashes", "shed"] {
            assert_eq!(row[counted], 0, "{row}");
        }
        assert_eq!(row["phase"]["name"], "ready", "{row}");
        for line in host.log() {
            let troubled = line["service"] == "bystander"
                && (line["level"] == "error" || line["level"] == "warn");
            assert!(!troubled, "{line}");
        }
        let worst = times.worst_percent();
        assert!(worst < BYSTANDER_WORST_PERCENT, "p99 of {worst:?}");
    }
}
