//! The serial link: over a pipe with a paused clock, and over a real pty pair.
// Clippy takes only functions marked #[test] for tests; this whole file is one.
#![allow(clippy::unwrap_used)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use lowtouch_links::{
    Deadlines, Link, LinkError,
    serial::SerialLink,
    serial_frame::{Action, Answer, Responder},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::{Instant, sleep, timeout},
};

/// How the simulated line and device misbehave. Counted from 1 over the frames in that direction.
#[derive(Clone, Default)]
struct Faults {
    lose_to_device: Vec<usize>,
    lose_to_host: Vec<usize>,
    twice_to_host: bool,
    log_text: bool,
    handling: Duration,
    /// From this request on the device is silent.
    silent_from: Option<usize>,
    restart_before: Option<usize>,
}

/// A device that answers `echo` with the request, refuses `prov-session` and knows nothing else. Counts what it handled.
fn device(faults: Faults) -> (DuplexStream, Arc<AtomicUsize>) {
    let (host, mut line) = duplex(16 * 1024);
    let handled = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&handled);
    tokio::spawn(async move {
        let mut responder = Responder::new();
        let (mut received, mut sent) = (0, 0);
        let mut bytes = vec![0; 8192];
        while let Ok(read @ 1..) = line.read(&mut bytes).await {
            received += 1;
            if faults.lose_to_device.contains(&received) {
                continue;
            }
            if faults.restart_before == Some(received) {
                responder = Responder::new();
            }
            for action in responder.receive(&bytes[..read]) {
                let out = match action {
                    Action::Send(out) => out,
                    Action::Request { ticket, endpoint, body } => {
                        let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
                        if faults.silent_from.is_some_and(|from| number >= from) {
                            continue;
                        }
                        sleep(faults.handling).await;
                        responder.respond(ticket, answer(&endpoint, body))
                    }
                    _ => continue,
                };
                sent += 1;
                if faults.lose_to_host.contains(&sent) {
                    continue;
                }
                if faults.log_text {
                    line.write_all(b"I (99) dps: no secrets here\r\nW (100) wifi: ").await.unwrap();
                }
                for _ in 0..1 + usize::from(faults.twice_to_host) {
                    if line.write_all(&out).await.is_err() {
                        return;
                    }
                }
            }
        }
    });
    (host, handled)
}

fn answer(endpoint: &str, body: Vec<u8>) -> Answer {
    match endpoint {
        "echo" => Answer::Response(body),
        "prov-session" => Answer::Refused,
        _ => Answer::UnknownEndpoint,
    }
}

async fn link(faults: Faults) -> (SerialLink, Arc<AtomicUsize>) {
    let (host, handled) = device(faults);
    (SerialLink::over(host, "pipe", Deadlines::default()).await.unwrap(), handled)
}

#[tokio::test(start_paused = true)]
async fn exchanges_refusals_and_unknown_endpoints_go_over_the_line() {
    let (mut link, _) = link(Faults::default()).await;
    assert_eq!(link.exchange("echo", b"").await.unwrap(), b"");
    let longest = vec![0; 4096];
    assert_eq!(link.exchange("echo", &longest).await.unwrap(), longest);
    let refused = LinkError::Refused { endpoint: "prov-session".to_owned() };
    assert_eq!(link.exchange("prov-session", b"x").await, Err(refused));
    let unknown = LinkError::UnknownEndpoint { endpoint: "dps-config".to_owned() };
    assert_eq!(link.exchange("dps-config", b"x").await, Err(unknown));
    let too_long = LinkError::TooLong { len: 4097, max: 4096 };
    assert_eq!(link.exchange("echo", &[0; 4097]).await, Err(too_long));
    assert_eq!(link.exchange("echo", b"still there").await.unwrap(), b"still there");
    assert_eq!(link.traffic().exchanges, 5);
    link.close().await;
    assert_eq!(link.exchange("echo", b"").await, Err(LinkError::Interrupted));
}

#[tokio::test(start_paused = true)]
async fn more_exchanges_than_sequence_numbers_work() {
    let (mut link, handled) = link(Faults::default()).await;
    for number in 0..600_u32 {
        let body = number.to_be_bytes();
        assert_eq!(link.exchange("echo", &body).await.unwrap(), body);
    }
    assert_eq!(handled.load(Ordering::SeqCst), 600);
}

#[tokio::test(start_paused = true)]
async fn a_lost_request_or_response_is_sent_once_more_and_handled_once() {
    // Frame 1 each way is the hello.
    for faults in
        [Faults { lose_to_device: vec![2], ..Faults::default() }, Faults { lose_to_host: vec![2], ..Faults::default() }]
    {
        let (mut link, handled) = link(faults).await;
        let start = Instant::now();
        assert_eq!(link.exchange("echo", b"a").await.unwrap(), b"a");
        assert_eq!(start.elapsed(), Duration::from_secs(2));
        assert_eq!(link.exchange("echo", b"b").await.unwrap(), b"b");
        assert_eq!(handled.load(Ordering::SeqCst), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_lost_twice_ends_at_the_deadline() {
    let (mut link, handled) = link(Faults { lose_to_device: vec![2, 3], ..Faults::default() }).await;
    let start = Instant::now();
    let after = Deadlines::default().exchange;
    let error = link.exchange("echo", b"a").await;
    assert_eq!(error, Err(LinkError::Timeout { what: "exchange", after }));
    assert_eq!(start.elapsed(), after);
    assert_eq!(link.exchange("echo", b"a").await, Err(LinkError::Interrupted));
    link.reconnect().await.unwrap();
    assert_eq!(link.exchange("echo", b"b").await.unwrap(), b"b");
    assert_eq!(handled.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_handler_is_waited_for_and_not_run_again() {
    let (mut link, handled) = link(Faults { handling: Duration::from_secs(20), ..Faults::default() }).await;
    assert_eq!(link.exchange("echo", b"a").await.unwrap(), b"a");
    assert_eq!(link.exchange("echo", b"b").await.unwrap(), b"b");
    assert_eq!(handled.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn log_text_and_repeated_answers_disturb_nothing() {
    let (mut link, _) = link(Faults { log_text: true, twice_to_host: true, ..Faults::default() }).await;
    for number in 0..20_u8 {
        assert_eq!(link.exchange("echo", &[number; 300]).await.unwrap(), [number; 300]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_restarts_has_lost_the_connection() {
    let (mut link, _) = link(Faults { restart_before: Some(3), ..Faults::default() }).await;
    link.exchange("echo", b"a").await.unwrap();
    assert_eq!(link.exchange("echo", b"b").await, Err(LinkError::Lost));
    link.reconnect().await.unwrap();
    assert_eq!(link.exchange("echo", b"c").await.unwrap(), b"c");
}

#[tokio::test(start_paused = true)]
async fn a_lost_hello_is_repeated() {
    let (mut link, _) = link(Faults { lose_to_device: vec![1, 2], ..Faults::default() }).await;
    assert_eq!(link.exchange("echo", b"a").await.unwrap(), b"a");
}

#[tokio::test(start_paused = true)]
async fn silence_is_a_timeout_and_noise_is_garbage() {
    let (host, _silent) = duplex(1024);
    let after = Deadlines::default().connect;
    let error = SerialLink::over(host, "pipe", Deadlines::default()).await.err();
    assert_eq!(error, Some(LinkError::Timeout { what: "connect", after }));

    let (host, mut noisy) = duplex(64 * 1024);
    noisy.write_all(b"login: \0\0\x01\x02\0").await.unwrap();
    let error = SerialLink::over(host, "pipe", Deadlines::default()).await.err();
    assert_eq!(error, Some(LinkError::Garbage));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_exchange_poisons_the_link_until_it_reconnects_and_its_late_answer_is_ignored() {
    let (mut link, _) = link(Faults { handling: Duration::from_secs(1), ..Faults::default() }).await;
    let dropped = timeout(Duration::from_millis(500), link.exchange("echo", b"old")).await;
    assert!(dropped.is_err());
    assert_eq!(link.exchange("echo", b"new").await, Err(LinkError::Interrupted));
    link.reconnect().await.unwrap();
    assert_eq!(link.exchange("echo", b"new").await.unwrap(), b"new");
}

#[tokio::test(start_paused = true)]
async fn a_line_that_ends_is_lost() {
    let (host, device) = duplex(1024);
    drop(device);
    let error = SerialLink::over(host, "pipe", Deadlines::default()).await.err();
    assert_eq!(error, Some(LinkError::Lost));
}

#[cfg(target_os = "linux")]
mod pty {
    use std::{
        io::{Read, Write},
        os::fd::OwnedFd,
    };

    use lowtouch_links::{LinkAddress, open};
    use nix::{
        fcntl::OFlag,
        pty::{grantpt, posix_openpt, unlockpt},
    };

    use super::*;

    /// A device on a thread of its own behind a real pty. Its line loses, repeats and mixes in log text.
    struct Pty {
        path: String,
        handled: Arc<AtomicUsize>,
        /// Keeps the pty open between two hosts.
        _slave: OwnedFd,
    }

    fn start() -> Pty {
        start_and_die_after(usize::MAX)
    }

    /// The device's end closes after this many requests, as when a USB cable is pulled.
    fn start_and_die_after(requests: usize) -> Pty {
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = nix::pty::ptsname_r(&master).unwrap();
        let slave = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        let handled = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&handled);
        let mut master = master;
        std::thread::spawn(move || {
            let mut responder = Responder::new();
            let mut bytes = [0; 4096];
            let mut answers = 0;
            while let Ok(read @ 1..) = master.read(&mut bytes) {
                for action in responder.receive(&bytes[..read]) {
                    let out = match action {
                        Action::Send(out) => out,
                        Action::Request { ticket, endpoint, body } => {
                            if counted.fetch_add(1, Ordering::SeqCst) == requests {
                                return;
                            }
                            responder.respond(ticket, answer(&endpoint, body))
                        }
                        _ => continue,
                    };
                    answers += 1;
                    // Log text without a line end, a broken frame, and now and then a frame too many.
                    let _ = master.write_all(b"I (17) main: \x1b[0;32mok\x1b[0m\0\x05abc");
                    let _ = master.write_all(&out);
                    if answers % 3 == 0 {
                        let _ = master.write_all(&out);
                    }
                    if answers == 2 {
                        // Half a frame, as a reset in the middle would leave.
                        let _ = master.write_all(&out[..out.len() / 2]);
                    }
                }
            }
        });
        Pty { path, handled, _slave: slave.into() }
    }

    async fn open_pty(path: &str) -> Result<Box<dyn Link>, LinkError> {
        let address: LinkAddress = format!("serial://{path}").parse().unwrap();
        open(&address, Deadlines::default()).await
    }

    #[tokio::test]
    async fn every_byte_value_crosses_a_real_pty_between_log_text_and_broken_frames() {
        let pty = start();
        let mut link = open_pty(&pty.path).await.unwrap();
        // Every byte that a terminal in cooked mode would change, and values of the greatest length.
        let body: Vec<u8> = (0..4096_u32).map(|number| number as u8).collect();
        for _ in 0..5 {
            assert_eq!(link.exchange("echo", &body).await.unwrap(), body);
        }
        assert!(matches!(link.exchange("prov-session", b"x").await, Err(LinkError::Refused { .. })));
        assert_eq!(pty.handled.load(Ordering::SeqCst), 6);
        assert_eq!(link.describe(), format!("serial://{}", pty.path));
        link.reconnect().await.unwrap();
        assert_eq!(link.exchange("echo", b"again").await.unwrap(), b"again");
    }

    #[tokio::test]
    async fn a_port_in_use_is_busy_and_free_again_once_closed() {
        let pty = start();
        let mut first = open_pty(&pty.path).await.unwrap();
        let second = open_pty(&pty.path).await.err();
        assert_eq!(second, Some(LinkError::Busy { what: pty.path.clone() }));
        first.close().await;
        open_pty(&pty.path).await.unwrap();
    }

    #[tokio::test]
    async fn a_port_that_is_unplugged_is_lost_and_then_not_found() {
        let Pty { path, _slave, .. } = start_and_die_after(1);
        let mut link = open_pty(&path).await.unwrap();
        drop(_slave);
        link.exchange("echo", b"a").await.unwrap();
        assert_eq!(link.exchange("echo", b"b").await, Err(LinkError::Lost));
        let error = link.reconnect().await;
        assert!(matches!(error, Err(LinkError::NotFound { .. })), "{error:?}");
    }

    #[tokio::test]
    async fn a_port_that_is_not_there_is_not_found() {
        let nowhere = open_pty("/dev/ttyNOWHERE").await.err();
        assert_eq!(nowhere, Some(LinkError::NotFound { what: "/dev/ttyNOWHERE".to_owned() }));
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = open_pty(file.path().to_str().unwrap()).await.err();
        assert!(matches!(error, Some(LinkError::NotFound { .. })), "{error:?}");
    }
}
