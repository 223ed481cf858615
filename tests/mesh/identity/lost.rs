use std::time::{Duration, SystemTime};

use ninon_tests::named::{self, Named};
use ninon_tests::ports;

use super::peers::{Port, STRICT};
use super::soak::{expires, join};
use super::stolen::{Connected, is_ok};
use super::*;
use crate::load::Load;
use crate::world::Program;

/// Long enough to be renewed, to fail and to be renewed after all, and short enough for a test.
const TIMES: [&str; 4] = ["--certificate-ttl", "30s", "--max-certificate-ttl", "30s"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_authority_is_lost_certificates_hold_and_what_is_left_of_them_is_told() {
    let mut world = World::start_with(&TIMES).await;
    let stranger = Stranger::new(&world);
    world.write("shop.yaml", STRICT);
    let (application, outbound) = (Named::start("cart").await, ports::free());
    let port = ports::free();
    let (cart, at_cart) = join(&world, "cart", &of("cart", port, application.port, ports::free())).await;
    let (web, at_web) = join(&world, "web", &of("web", ports::free(), ports::free(), outbound)).await;
    crate::world::until(outbound, "/", "cart", (200, "cart")).await;
    stranger.joins("other", &token(&world, "shop", &[]), 30);
    let load = Load::start(outbound, "cart", "/");
    let first = [expires(at_cart, "cart").await.unwrap(), expires(at_web, "web").await.unwrap()];

    world.kill();
    for (process, admin) in [(&cart, at_cart), (&web, at_web)] {
        let told = || async {
            process.log().lines().any(|line| tells(line, "the certificate could not be renewed; it soon expires")).then_some(())
        };
        eventually(LIMIT, told).await.unwrap_or_else(|| panic!("{}", process.log()));
        let (_, stats) = named::get(admin, "/stats", "host: x\r\n", LIMIT).await.unwrap();
        assert!(stats.lines().any(|line| line.strip_prefix("ninon.identity.failed: ").is_some_and(|count| count != "0")), "{stats}");
    }
    // What they have, they keep, and new connections are made with it.
    assert_eq!([expires(at_cart, "cart").await.unwrap(), expires(at_web, "web").await.unwrap()], first);
    assert!(is_ok(Connected::open(&stranger, port, "other").asks()), "{}", cart.log());

    world.serve().await;
    stranger.trusts(&world);
    for (admin, name, before) in [(at_cart, "cart", first[0]), (at_web, "web", first[1])] {
        let renewed = || async { expires(admin, name).await.filter(|now| *now > before) };
        eventually(LIMIT, renewed).await.unwrap_or_else(|| panic!("{name}: {}\n{}", cart.log(), web.log()));
    }
    assert!(first.iter().all(|end| SystemTime::now() < *end), "in time");
    // When the first ones are over, nobody has noticed.
    let over = || async { first.iter().all(|end| *end + Duration::from_secs(1) < SystemTime::now()).then_some(()) };
    eventually(LIMIT * 2, over).await.expect("time passes");
    let before = load.seen();
    load.answers(100).await;
    for tally in [before, load.end().await] {
        assert!(tally.keys().all(|seen| seen == "200 cart"), "{tally:?}\n{}\n{}", cart.log(), web.log());
    }
    assert!(!cart.log().contains("has expired") && !web.log().contains("has expired"), "{}\n{}", cart.log(), web.log());
}

/// An error that says what is left.
fn tells(line: &str, words: &str) -> bool {
    line.contains("ERROR") && line.contains(words) && line.contains("left_seconds=")
}

fn of(name: &str, port: u16, application: u16, outbound: u16) -> Vec<&'static str> {
    let words = format!(
        "--port http={port}:{application} --label app={name} --address 127.0.0.1 --outbound-address 127.0.0.1:{outbound} --certificate-ttl 30s"
    );
    words.leak().split(' ').collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_http_connection_ends_with_its_clients_certificate() {
    let world = World::start().await;
    world.write("shop.yaml", STRICT);
    let (stranger, application, port) = (Stranger::new(&world), Named::start("cart").await, ports::free());
    let of = [Port::new("http", port, application.port)];
    let (cart, admin) = super::peers::join((&world, &stranger), Program::Ninon, "cart", &of, ports::free()).await;
    let short = token(&world, "shop", &[]);
    let asked = SystemTime::now();
    stranger.joins("web", &short, 15);
    let connected = || async {
        let mut connected = Connected::open(&stranger, port, "web");
        is_ok(connected.asks()).then_some(connected)
    };
    let live = eventually(LIMIT, connected).await.unwrap_or_else(|| panic!("{}", cart.log()));
    // It asks on and on.
    let live = std::cell::RefCell::new(live);
    let ended = || async { live.borrow_mut().asks().is_none().then(SystemTime::now) };
    let ended = eventually(LIMIT * 2, ended).await.unwrap_or_else(|| panic!("{}", cart.log()));
    // Certificates end with a whole second.
    assert!(ended >= asked + Duration::from_secs(14), "not before: {:?}", ended.duration_since(asked));
    let (_, stats) = named::get(admin, "/stats?filter=ssl.certificate_expired", "host: x\r\n", LIMIT).await.unwrap();
    assert!(stats.lines().any(|line| line.ends_with("ssl.certificate_expired: 1")), "{stats}");
    // Within the second that is its last.
    let refused = || async { Connected::open(&stranger, port, "web").asks().is_none().then_some(()) };
    eventually(LIMIT, refused).await.expect("no other is let in");
}
