use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;

use http::{HeaderMap, StatusCode};
use tokio::task::LocalSet;
use tokio::time::Instant;

use super::*;
use crate::config::Fraction;
use crate::config::ListenerName;
use crate::config::access_log::{Comparison, LogFilter};
use crate::config::address::Address;
use crate::config::format::Format;
use crate::exchange::{ConnectionInfo, ResponseFlag, StreamInfo};

fn info() -> StreamInfo {
    let address = Address::Ip(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)));
    StreamInfo::new(Rc::new(ConnectionInfo {
        id: 1,
        redirected: false,
        dialled_proxy: false,
        source: None,
        local: address.clone(),
        peer: address.clone(),
        client: address,
        listener: ListenerName::from("in"),
        tls: None,
        started: Instant::now(),
        termination: std::cell::OnceCell::new(),
    }))
}

/// A folder of a test's own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ninon-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn log(&self, text: &str) -> AccessLog {
        let format = LogFormat::Text { format: Format::parse(text).unwrap(), omit_empty: false };
        AccessLog { sink: LogSink::File(self.0.join("access.log")), format, filter: None }
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn lines_are_in_the_file_once_they_are_flushed() {
    let (folder, registry) = (Folder::new("flush"), Registry::new());
    let logs = AccessLogs::new(&registry);
    let worker = async {
        let worker = logs.worker();
        let mut info = info();
        for status in [StatusCode::OK, StatusCode::NOT_FOUND] {
            info.status = Some(status);
            worker.log(&[folder.log("%RESPONSE_CODE% %RESPONSE_FLAGS%\n")], &Exchange::of_connection(&info, "here"));
        }
        assert_eq!(registry.ninon.access_log_written.value(), 0);
    };
    LocalSet::new().run_until(worker).await;
    assert!(logs.flush(LIMIT));
    assert_eq!(folder.read("access.log"), "200 -\n404 -\n");
    assert_eq!((registry.ninon.access_log_written.value(), registry.ninon.access_log_waiting_bytes.value()), (2, 0));
}

#[tokio::test]
async fn a_line_does_not_wait_for_others() {
    let (folder, registry) = (Folder::new("waits"), Registry::new());
    let logs = AccessLogs::new(&registry);
    let worker = async {
        let worker = logs.worker();
        worker.log(&[folder.log("one\n")], &Exchange::of_connection(&info(), "here"));
        tokio::time::sleep(FLUSH_AFTER + Duration::from_millis(200)).await;
        assert!(logs.flush(LIMIT));
        assert_eq!(folder.read("access.log"), "one\n");
        drop(worker);
    };
    LocalSet::new().run_until(worker).await;
}

#[tokio::test]
async fn a_renamed_file_is_let_go() {
    let (folder, registry) = (Folder::new("rename"), Registry::new());
    let logs = AccessLogs::new(&registry);
    let worker = async {
        let worker = logs.worker();
        let log = |text: &str| {
            worker.log(&[folder.log(text)], &Exchange::of_connection(&info(), "here"));
            worker.flush();
            assert!(logs.flush(LIMIT));
        };
        log("before\n");
        std::fs::rename(folder.0.join("access.log"), folder.0.join("old.log")).unwrap();
        log("between\n");
        logs.reopen();
        log("after\n");
    };
    LocalSet::new().run_until(worker).await;
    assert_eq!((folder.read("old.log").as_str(), folder.read("access.log").as_str()), ("before\nbetween\n", "after\n"));
}

#[tokio::test]
async fn a_full_disk_costs_lines_and_nothing_else() {
    let registry = Registry::new();
    let logs = AccessLogs::new(&registry);
    let worker = async {
        let worker = logs.worker();
        let format = LogFormat::Text { format: Format::parse("line\n").unwrap(), omit_empty: false };
        let full = AccessLog { sink: LogSink::File(PathBuf::from("/dev/full")), format, filter: None };
        (0..3).for_each(|_| worker.log(std::slice::from_ref(&full), &Exchange::of_connection(&info(), "here")));
    };
    LocalSet::new().run_until(worker).await;
    assert!(logs.flush(LIMIT));
    assert_eq!((registry.ninon.access_log_dropped.value(), registry.ninon.access_log_write_failed.value()), (3, 1));
}

#[tokio::test]
async fn a_writer_that_hangs_costs_lines_and_no_time() {
    let (folder, registry) = (Folder::new("hangs"), Registry::new());
    let pipe = folder.0.join("access.log");
    // Nobody reads this pipe: opening it for writing does not return.
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    let logs = AccessLogs::new(&registry);
    let worker = async {
        let worker = logs.worker();
        let begun = Instant::now();
        let log = [folder.log(&format!("{}\n", "x".repeat(1023)))];
        (0..8192).for_each(|_| worker.log(&log, &Exchange::of_connection(&info(), "here")));
        assert!(begun.elapsed() < Duration::from_secs(2));
        let dropped = registry.ninon.access_log_dropped.value();
        assert!((4000..=8192).contains(&dropped), "{dropped}");
        assert!(!logs.flush(Duration::from_millis(50)));
        // Let the writer go, so that the pipe can.
        let reader = std::fs::OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
        drop(reader);
    };
    LocalSet::new().run_until(worker).await;
}

#[test]
fn filters_look_at_what_happened() {
    let mut info = info();
    info.status = Some(StatusCode::SERVICE_UNAVAILABLE);
    info.flags.set(ResponseFlag::NoHealthyUpstream);
    info.ended = info.started.checked_add(Duration::from_millis(250));
    let mut response = HeaderMap::new();
    response.insert("grpc-status", "5".parse().unwrap());
    let exchange = Exchange { response: Some(&response), ..Exchange::of_connection(&info, "here") };
    let status = |statuses, exclude| LogFilter::GrpcStatus { statuses, exclude };
    let yes = [
        LogFilter::StatusCode(Comparison::AtLeast(500)),
        LogFilter::Duration(Comparison::AtMost(250)),
        LogFilter::NotHealthCheck,
        LogFilter::Fraction(Fraction::ALL),
        LogFilter::ResponseFlags(vec![]),
        LogFilter::ResponseFlags(vec!["UF".into(), "UH".into()]),
        LogFilter::All(vec![]),
        LogFilter::Any(vec![LogFilter::Traceable, LogFilter::NotHealthCheck]),
        status(vec![5], false),
        status(vec![0], true),
    ];
    let no = [
        LogFilter::StatusCode(Comparison::Equal(200)),
        LogFilter::Duration(Comparison::AtLeast(251)),
        LogFilter::Traceable,
        LogFilter::Fraction(Fraction::NONE),
        LogFilter::ResponseFlags(vec!["UF".into()]),
        LogFilter::Any(vec![]),
        LogFilter::All(vec![LogFilter::Traceable, LogFilter::NotHealthCheck]),
        status(vec![14], false),
        status(vec![5], true),
    ];
    for filter in yes {
        assert!(fits(&filter, &exchange), "{filter:?}");
    }
    for filter in no {
        assert!(!fits(&filter, &exchange), "{filter:?}");
    }
}
