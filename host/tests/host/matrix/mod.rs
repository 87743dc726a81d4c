//! Each way to fail at each stage of a service's life: what the client is told, whom the log
//! blames, where the service stands afterwards, that a bystander noticed nothing, and that nothing
//! is left behind. One test per cell; `stage.rs` says what holds at a stage, `failure.rs` what is
//! peculiar to a failure.

mod bystander;
mod failure;
mod stage;

use self::failure::Failure;
use self::stage::Wasi;

macro_rules! cells {
    ($($stage:ident),* $(,)?) => {$(
        mod $stage {
            use super::*;

            #[tokio::test]
            async fn trap() {
                stage::$stage(WASI, Failure::Trap).await;
            }

            #[tokio::test]
            async fn cpu_limit() {
                stage::$stage(WASI, Failure::Cpu).await;
            }

            #[tokio::test]
            async fn deadline() {
                stage::$stage(WASI, Failure::Deadline).await;
            }

            #[tokio::test]
            async fn memory() {
                stage::$stage(WASI, Failure::Memory).await;
            }

            #[tokio::test]
            async fn host_function_panic() {
                stage::$stage(WASI, Failure::HostPanic).await;
            }
        }
    )*};
}

mod wasi_0_2 {
    use super::*;

    const WASI: Wasi = Wasi::V02;
    cells!(
        instantiate,
        instantiate_for_a_request,
        start_up_check,
        request,
        streaming_response_body,
        after_the_response,
        worker,
        drain,
    );
}

mod wasi_0_3 {
    use super::*;

    const WASI: Wasi = Wasi::V03;
    cells!(
        instantiate,
        instantiate_for_a_request,
        start_up_check,
        request,
        streaming_response_body,
        after_the_response,
        worker,
        drain,
    );
}
