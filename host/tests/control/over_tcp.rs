//! Commands over TCP say and do what they do over the socket, for who has the token and can tell whom he
//! talks to.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::fixture::control::TOKEN;
use super::fixture::tls::pem;
use super::fixture::{Host, Output, Plan, guest, service, skep};

fn shop() -> Plan {
    Host::with(service("cart").component("probe").everywhere())
        .and(service("catalog").component("callee"))
        .controlled()
}

fn token(host: &Host) -> String {
    host.directory().join("token").to_str().unwrap().to_owned()
}

/// Runs `skep ARGUMENTS` against the host at its address.
async fn remotely(host: &Host, arguments: &[&str]) -> Output {
    let (url, token) = (host.control_url().await, token(host));
    Output::of(
        skep()
            .args(arguments)
            .args(["--host", &url, "--token-file", &token]),
    )
}

#[tokio::test]
async fn whatever_is_asked_over_tcp_is_answered_as_over_the_socket() {
    let host = shop().start().await;
    let manifest = host.manifest();
    let probe = guest("probe");
    let probe = probe.to_str().unwrap();
    let rows: [(&[&str], bool, i32); 13] = [
        (&["history", "--json"], true, 0),
        (&["events", "--json"], true, 0),
        (&["crashes", "--json"], false, 0),
        (&["crashes", "nobody"], false, 1),
        (&["call", "catalog"], false, 0),
        (&["call", "catalog", "nothing", "at-all"], false, 2),
        (&["stop", "cart", "--json"], true, 0),
        (&["start", "cart"], true, 0),
        (&["restart", "nobody"], true, 1),
        (&["shadow", "nobody"], true, 1),
        (&["abort"], true, 1),
        (&["rollback", "cart", "--json"], true, 1),
        (
            &["deploy", "catalog", probe, "--if-generation", "7"],
            true,
            6,
        ),
    ];
    for (arguments, positional, code) in rows {
        let mut local = skep();
        local.args(arguments);
        if !positional {
            local.arg("--manifest");
        }
        let local = Output::of(local.arg(&manifest)).expect(code);
        let remote = remotely(&host, arguments).await.expect(code);
        assert_eq!(remote.stdout, local.stdout, "{arguments:?}");
        assert_eq!(remote.stderr, local.stderr, "{arguments:?}");
    }
    remotely(&host, &["ps"])
        .await
        .expect(0)
        .prints(&["cart", "catalog", "ready"]);
    host.assert_no_panic();
}

#[tokio::test]
async fn a_service_is_changed_over_tcp() {
    let host = shop().start().await;
    let other = guest("hello");
    let other = other.to_str().unwrap();
    let said = remotely(&host, &["deploy", "cart", other]).await.expect(0);
    said.prints(&["cart: revision 1 → 2", "generation 2 serves"]);
    host.get("/").await.expect(200);
    let said = remotely(&host, &["rollback", "cart"]).await.expect(0);
    said.prints(&["cart: revision 2 → 1"]);
    let manifest = host.manifest();
    let text = std::fs::read_to_string(&manifest).unwrap();
    let more = "[service.cart.limits]\ndeadline = \"7s\"\n";
    std::fs::write(&manifest, format!("{text}{more}")).unwrap();
    let manifest = manifest.to_str().unwrap();
    let said = remotely(&host, &["apply", manifest]).await.expect(0);
    said.prints(&["limits.deadline", "generation 4 serves"]);
    // The host has read it: what is wrong with it is shown all the same.
    std::fs::write(manifest, format!("{text}{more}deadlin = \"1s\"\n")).unwrap();
    let said = remotely(&host, &["apply", manifest]).await.expect(3);
    said.says(&[
        "skep.toml",
        "did you mean `deadline`?",
        "refused at the check",
    ]);
}

#[tokio::test]
async fn without_the_token_or_a_host_it_says_so() {
    let host = shop().start().await;
    let url = host.control_url().await;
    let ps = |url: &str, token: &Path| {
        let token = token.to_str().unwrap();
        Output::of(skep().args(["ps", "--host", url, "--token-file", token]))
    };
    let right = host.directory().join("token");
    ps(&url, &right).expect(0);
    let wrong = host.directory().join("wrong");
    std::fs::write(&wrong, TOKEN.replace('0', "1")).unwrap();
    std::fs::set_permissions(&wrong, std::fs::Permissions::from_mode(0o600)).unwrap();
    ps(&url, &wrong)
        .expect(1)
        .says(&["does not answer", "send the token"]);
    std::fs::set_permissions(&wrong, std::fs::Permissions::from_mode(0o644)).unwrap();
    ps(&url, &wrong)
        .expect(1)
        .says(&["others may read", "chmod 600"]);
    let nobody = "http://127.0.0.1:1";
    ps(nobody, &right)
        .expect(1)
        .says(&["no host answers at http://127.0.0.1:1"]);
    // TLS to where there is none.
    let secure = url.replace("http://", "https://");
    ps(&secure, &right)
        .expect(1)
        .says(&["no trust in whoever answers"]);

    let without = Output::of(skep().args(["ps", "--host", &url]));
    without.expect(2).says(&["--token-file"]);
    let named = Output::of(
        skep()
            .args(["ps", "--host", &url])
            .env("SKEP_TOKEN_FILE", right),
    );
    named.expect(0);
    ps("ftp://127.0.0.1:1", &wrong)
        .expect(2)
        .says(&["https://ADDRESS:PORT"]);
}

#[tokio::test]
async fn over_tls_the_host_has_to_show_a_certificate_that_is_trusted() {
    let certificate = pem("CERTIFICATE", include_bytes!("tls/host.der"));
    let authority = pem("CERTIFICATE", include_bytes!("tls/authority.der"));
    let another = pem(
        "CERTIFICATE",
        include_bytes!("../outgoing/tls/authority.der"),
    );
    let host = shop()
        .tables("tls = { cert = \"host.pem\", key = \"host-key.pem\" }")
        .file("host.pem", &certificate)
        .file("ca.pem", &authority)
        .file("another.pem", &another)
        .secret(
            "host-key.pem",
            &pem("PRIVATE KEY", include_bytes!("tls/host-key.der")),
        )
        .start()
        .await;
    let url = host.control_url().await;
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    let ps = |url: &str, more: &[&str]| {
        let mut command = skep();
        command.args(["ps", "--host", url, "--token-file", &token(&host)]);
        command.args(more);
        command
    };
    let file = |name: &str| host.directory().join(name).to_str().unwrap().to_owned();
    let by = |url: &str, name: &str| Output::of(&mut ps(url, &["--ca-file", &file(name)]));
    by(&url, "ca.pem").expect(0).prints(&["cart"]);
    let named = url.replace("127.0.0.1", "localhost");
    by(&named, "ca.pem").expect(0).prints(&["cart"]);
    // The system's authorities, or what is said to be these.
    let system = file("ca.pem");
    Output::of(ps(&url, &[]).env("SSL_CERT_FILE", system)).expect(0);
    let untrusted = [
        "no trust in whoever answers at https://127.0.0.1:",
        "--ca-file",
    ];
    Output::of(ps(&url, &[]).env("SSL_CERT_FILE", file("another.pem")))
        .expect(1)
        .says(&untrusted);
    by(&url, "another.pem").expect(1).says(&untrusted);
    for (name, why) in [("token", "no certificate"), ("nothing", "No such file")] {
        by(&url, name)
            .expect(1)
            .says(&["cannot use the certificates in", why]);
    }
    // And without TLS there is no answer that could be read.
    let plain = url.replace("https://", "http://");
    by(&plain, "ca.pem")
        .expect(1)
        .says(&["answered something unexpected"]);
    host.assert_no_panic();
}
