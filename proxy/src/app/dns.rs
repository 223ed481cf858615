use std::rc::Rc;
use std::sync::Arc;

use crate::app::StartError;
use crate::config::bootstrap::Bootstrap;
use crate::config::names::NameService;
use crate::dns::{self, Book};
use crate::own::Listening;
use crate::runtime::Shared;

/// Where a workload is that does not say so, as the control plane has it.
const NAMESPACE: &str = "default";

/// The DNS, served until this is dropped.
pub(super) struct Names {
    _serving: dns::Serving,
    _listening: Listening,
}

/// What the DNS is to know, if there is to be one.
pub(super) fn book(service: Option<&NameService>, bootstrap: &Bootstrap) -> Option<Rc<Book>> {
    let namespace = bootstrap.node.metadata.get("NAMESPACE").and_then(serde_json::Value::as_str);
    service.map(|_| Rc::new(Book::new(namespace.filter(|namespace| !namespace.is_empty()).unwrap_or(NAMESPACE))))
}

/// It serves before the proxy has an identity: others wait for names, too.
pub(super) async fn serve(
    service: Option<&NameService>,
    book: Option<&Rc<Book>>,
    bootstrap: &Bootstrap,
    shared: &Arc<Shared>,
) -> Result<Option<Names>, StartError> {
    let (Some(service), Some(book)) = (service, book) else { return Ok(None) };
    if bootstrap.dynamic.as_ref().is_none_or(|dynamic| dynamic.server.is_none()) {
        // Nobody will.
        book.tell(0, std::iter::empty());
    }
    let stats = Arc::clone(shared.registry.dns.get_or_init(Arc::default));
    let serving = dns::open(service, Rc::clone(book), stats).await.map_err(StartError::Dns)?;
    let listening = shared.own.listen(serving.addresses.iter().copied());
    Ok(Some(Names { _serving: serving, _listening: listening }))
}
