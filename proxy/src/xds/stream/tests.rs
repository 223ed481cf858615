use std::time::Duration;

use tokio::time::Instant;

use crate::config::ClusterName;
use crate::config::bootstrap::Server;
use crate::xds::stream::{BACK_OFF, Dialect, GOOD_STREAM, Opener, Opening, StreamError};

fn opener(servers: &[&str]) -> Opener {
    let servers = servers.iter().map(|name| ClusterName::from(*name)).collect();
    Opener::new(Server { delta: false, servers, metadata: Vec::new() })
}

fn refused(_: ClusterName) -> Opening {
    Box::pin(async { Err("refused".to_owned()) })
}

/// The server that is tried, and how long it is waited for.
async fn attempt(opener: &mut Opener) -> (String, Duration) {
    let begun = Instant::now();
    let (server, error) = opener.open(Dialect::Sotw, refused).await.unwrap_err();
    assert_eq!(error, StreamError::Failed("refused".to_owned()));
    opener.failed();
    (server.as_str().to_owned(), begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn servers_are_tried_in_turn_and_less_and_less_often() {
    let mut opener = opener(&["a", "b"]);
    assert_eq!(attempt(&mut opener).await, ("a".to_owned(), Duration::ZERO));
    let mut longest = BACK_OFF.0;
    for turn in 0..12 {
        let (server, waited) = attempt(&mut opener).await;
        assert_eq!(server, if turn % 2 == 0 { "b" } else { "a" });
        assert!(waited >= longest / 2 && waited <= longest + Duration::from_millis(1), "{waited:?} of {longest:?}");
        longest = (longest * 2).min(BACK_OFF.1);
    }
    assert_eq!(longest, BACK_OFF.1);
}

#[tokio::test(start_paused = true)]
async fn a_good_stream_ends_an_outage() {
    let mut opener = opener(&["a"]);
    for _ in 0..10 {
        attempt(&mut opener).await;
    }
    assert!(!opener.lost(GOOD_STREAM / 2), "a server that comes and goes is one outage");
    assert!(attempt(&mut opener).await.1 > BACK_OFF.0);
    assert!(opener.lost(GOOD_STREAM), "what comes after a good one is another");
    assert!(attempt(&mut opener).await.1 <= BACK_OFF.0 + Duration::from_millis(1));
}
