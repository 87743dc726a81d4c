//! What was built and does not fit changes nothing, and holds nobody else up.

use super::fixture::guest;
use super::{application, versions};

#[tokio::test]
async fn what_does_not_fit_is_refused_and_the_others_go_on() {
    let host = application().develop().await;
    let changed = std::fs::read(guest("versioned-leaf-changed")).unwrap();
    host.save("leaf/source", changed);
    host.said("refused at the check", 1).await;
    host.said("What served before serves on.", 1).await;
    assert_eq!(versions(&host).await, "1 1 1 1");

    host.save_version("front", 2);
    host.said("front built in", 2).await;
    host.said("revision 2 serves", 1).await;
    assert_eq!(versions(&host).await, "2 1 1 1");
    assert_eq!(host.said("refused at the check", 1).await.len(), 1);

    host.save_version("leaf", 3);
    host.said("leaf built in", 3).await;
    host.said("revision 2 serves", 2).await;
    assert_eq!(versions(&host).await, "2 1 3 3");
}

#[tokio::test]
async fn what_does_not_start_is_refused() {
    let host = application().develop().await;
    host.save("leaf/source", std::fs::read(guest("bad-start")).unwrap());
    host.said("error: refused at the", 1).await;
    assert_eq!(versions(&host).await, "1 1 1 1");
    host.save("leaf/source", "no component");
    host.said("leaf.wasm", 1).await;
    host.save_version("leaf", 2);
    host.said("serves after", 1).await;
    assert_eq!(versions(&host).await, "1 1 2 2");
}
