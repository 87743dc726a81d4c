//! Who takes part. A guest that has found a new way to misbehave gets a line in [`MEMBERS`].

use crate::fixture::{Host, Plan, service};

/// A service, the fixture that it is made of, and the paths that clients ask it for; `grants` are
/// what stands in its table of that name.
pub(crate) struct Member {
    pub(crate) service: &'static str,
    component: &'static str,
    grants: &'static str,
    pub(crate) paths: &'static [&'static str],
}

/// Small, so that they are met, and so that one guest cannot take a second of the machine.
const LIMITS: &str = "memory = \"16MiB\", cpu = \"40ms\", deadline = \"500ms\", \
                      log-rate = \"16KiB\", response-body = \"8MiB\", concurrency = 32, queue = 32";

/// Nothing that a service does keeps it away for long: the traffic is to meet it.
const RESTART: &str = "max = 1000, within = \"1s\", backoff = \"10ms..50ms\"";

/// At rest none is left.
const INSTANCES: &str = "idle = \"500ms\", max = 16";

/// What both `failing` guests do, by path.
const MISDEEDS: &[&str] = &[
    "/request/trap",
    "/request/memory",
    "/request/host-panic",
    "/body/trap",
    "/body/cpu",
    "/body/deadline",
    "/body/host-panic",
    "/after/trap",
    "/after/cpu",
    "/after/deadline",
    "/after/memory",
    "/after/host-panic",
];

pub(crate) const MEMBERS: &[Member] = &[
    // In good order.
    Member {
        service: "good",
        component: "probe",
        grants: "",
        paths: &[
            "/",
            "/headers",
            "/body/100000",
            "/trickle/3/10",
            "/sleep/20",
            "/grow/3",
            "/log/2",
        ],
    },
    Member {
        service: "good-p3",
        component: "probe-p3",
        grants: "",
        paths: &[
            "/",
            "/headers",
            "/body/100000",
            "/trickle/3/10",
            "/sleep/20",
            "/linger/30",
            "/log/2",
        ],
    },
    // Hostile.
    Member {
        service: "hostile",
        component: "probe",
        grants: "",
        paths: &[
            "/trap",
            "/trap-after-head",
            "/panic",
            "/spin",
            "/spin-after-head",
            "/grow-forever",
            "/grow/100",
            "/recurse",
            "/fields/100000",
            "/handles/100000",
            "/pollables/100000",
            "/set-twice",
            "/exit/1",
            "/hang",
            "/never",
            "/error",
            "/unfinished",
            "/log/2000",
            "/log-long/1000000",
            "/big-header/100000",
            "/many-headers/1000",
            "/body/50000000",
            "/content-length-lie/10/20",
            "/content-length-lie/20/10",
            "/bad-trailers",
        ],
    },
    Member {
        service: "hostile-p3",
        component: "probe-p3",
        grants: "",
        paths: &[
            "/trap",
            "/panic",
            "/spin",
            "/grow-forever",
            "/hang",
            "/error",
            "/unfinished",
            "/body-error",
            "/endless",
            "/log/2000",
            "/linger/300",
        ],
    },
    Member {
        service: "failing",
        component: "failing",
        grants: "",
        paths: MISDEEDS,
    },
    Member {
        service: "failing-p3",
        component: "failing-p3",
        grants: "",
        paths: MISDEEDS,
    },
    Member {
        service: "bad-start",
        component: "bad-start",
        grants: "environment = { BAD_START = \"trap\" }",
        paths: &["/"],
    },
    Member {
        service: "canary",
        component: "canary",
        grants: "",
        paths: &["/leave/6", "/look/6"],
    },
    // Workers are asked for nothing.
    Member {
        service: "worker",
        component: "worker",
        grants: "args = [\"trap\", \"3\", \"5\"]",
        paths: &[],
    },
    Member {
        service: "spinner",
        component: "worker",
        grants: "args = [\"ok\", \"1\", \"200\"]",
        paths: &[],
    },
];

/// All that the traffic meets, and the bystander. Lines of the log for each request would be
/// millions.
pub(crate) fn plan() -> Plan {
    let limits = "limits = { header-timeout = \"2s\", idle-timeout = \"10s\", write-timeout = \"1s\", \
                  body-timeout = \"1s\" }";
    let bystander = service("bystander")
        .component("hello")
        .routes(&["/bystander"]);
    let plan = Host::with(bystander)
        .http("access-log = false")
        .http(limits);
    MEMBERS.iter().fold(plan, |plan, member| {
        let table = service(member.service)
            .component(member.component)
            .limits(LIMITS)
            .restart(RESTART)
            .grants(member.grants);
        let table = if member.paths.is_empty() {
            table
        } else {
            table.instances(INSTANCES)
        };
        let plan = plan.and(table);
        if member.paths.is_empty() {
            return plan;
        }
        let name = member.service;
        plan.tables(&format!(
            "[[route]]\nhost = \"{name}\"\npath = \"/{{*rest}}\"\nservice = \"{name}\""
        ))
    })
}

pub(crate) fn services() -> impl Iterator<Item = String> {
    let members = MEMBERS.iter().map(|member| member.service.to_owned());
    std::iter::once("bystander".to_owned()).chain(members)
}
