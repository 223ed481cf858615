use std::sync::Arc;
use std::time::Duration;

use crate::proxies::Proxies;
use crate::task::OwnedTask;

/// How often it is looked whether there is anything to give back.
const LOOK: Duration = Duration::from_secs(1);

/// Gives memory back to the system when there was much to send and it is quiet again. When thousands of proxies come at once, the heap
/// grows by what they are sent, and keeps it unless told.
pub(super) async fn give_back(proxies: Arc<Proxies>) {
    let (mut last, mut done) = (0, 0);
    loop {
        tokio::time::sleep(LOOK).await;
        let sent = proxies.counters.read().bytes;
        if sent == last && sent != done {
            OwnedTask::blocking(trim).join().await;
            done = sent;
        }
        last = sent;
    }
}

#[expect(unsafe_code, reason = "the C library's own call has no safe wrapper")]
fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: no pointers are passed, and the heap's own lock guards it against other threads.
    unsafe {
        libc::malloc_trim(0);
    }
}
