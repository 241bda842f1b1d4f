//! Every recorded session again in the client's role, through the public interface only.
//!
//! - Every session whose client private key was recorded (18 of 20, the refused Security 1 ones among them) replays byte
//!   for byte: our client is given that key as entropy and the device's recorded responses, and must send exactly what
//!   Espressif's client sent, read what it read, and stop where it was refused.
//! - The two refused Security 2 sessions do not tell the client's private key, so their proof cannot be computed by
//!   anybody. src/protocomm/recorded_sessions.rs re-encodes their requests byte for byte; here a client with a key of its own
//!   and the same wrong password goes as far as the device's recorded response lets it.
//! - The device's role is in src/protocomm/recorded_sessions.rs, because it puts recorded keys into the device.

// Helper functions of tests are tests too.
#![allow(clippy::unwrap_used)]

use lowtouch_handoff::proto_ver;
use lowtouch_handoff::protocomm::Weakness;
use lowtouch_handoff::protocomm::client::{Credentials, Handshake, HandshakeError, Next};
use secrecy::SecretString;

// Each role reads part of it.
#[allow(dead_code)]
#[path = "vectors/recorded.rs"]
mod recorded;

use recorded::Recorded;

fn credentials(session: &Recorded) -> Credentials {
    let secret = SecretString::from(session.secret.as_str());
    match session.sec {
        1 => Credentials::Security1 { pop: secret },
        2 => Credentials::Security2 {
            username: session.username.clone(),
            password: secret,
            patch_ver: session.patch_ver,
        },
        other => panic!("security {other}"),
    }
}

fn entropy(private: &[u8; 32]) -> [u8; 64] {
    let mut entropy = [0; 64];
    entropy[..32].copy_from_slice(private);
    entropy
}

#[test]
fn our_client_sends_and_reads_what_espressifs_client_did() {
    let mut exchanges = 0;
    for session in recorded::sessions() {
        let name = &session.name;
        let Some(private) = session.client_private else {
            continue;
        };
        let (mut handshake, mut request) = Handshake::start(credentials(&session), &entropy(&private)).unwrap();
        let mut log = session.log.iter();
        let secured = loop {
            let exchange = log.next().unwrap();
            exchanges += 1;
            assert_eq!(exchange.endpoint, "prov-session");
            assert_eq!(request, exchange.request, "{name}");
            let Some(response) = &exchange.response else {
                assert_eq!(handshake.refused(), HandshakeError::WrongPop, "{name}");
                break None;
            };
            match handshake.handle(response).unwrap() {
                Next::Send(next, bytes) => (handshake, request) = (next, bytes),
                Next::Secured(secured) => break Some(secured),
            }
        };
        assert_eq!(secured.is_none(), session.refused, "{name}");
        let Some(mut secured) = secured else { continue };
        let weakness = match (session.sec, session.patch_ver) {
            (1, _) => Some(Weakness::NoMac),
            (_, 0) => Some(Weakness::NonceNeverChanges),
            _ => None,
        };
        assert_eq!(secured.weakness(), weakness);
        for exchange in log {
            exchanges += 1;
            let (plain_request, plain_response) = exchange.plain.as_ref().unwrap();
            assert_eq!(secured.seal(plain_request).unwrap(), exchange.request, "{name}");
            let sealed = exchange.response.as_ref().unwrap();
            assert_eq!(&secured.open(sealed).unwrap(), plain_response, "{name}");
            assert_eq!(exchange.request.len(), plain_request.len() + secured.overhead());
        }
    }
    assert_eq!(exchanges, 156);
}

#[test]
fn a_client_with_a_wrong_password_is_refused_with_its_proof() {
    let refused = recorded::sessions().into_iter().filter(|s| s.client_private.is_none());
    for session in refused {
        let (handshake, request) = Handshake::start(credentials(&session), &[0x5a; 64]).unwrap();
        assert_eq!(request.len(), session.log[0].request.len());
        let Next::Send(handshake, proof) = handshake.handle(session.log[0].response.as_ref().unwrap()).unwrap() else {
            panic!("a session without a proof");
        };
        assert_eq!(proof.len(), session.log[1].request.len());
        assert_eq!(session.log[1].response, None);
        assert_eq!(handshake.refused(), HandshakeError::WrongPop);
    }
}

#[test]
fn every_recorded_version_answer_is_read() {
    let mut read = 0;
    for session in recorded::sessions() {
        let Some(answer) = &session.proto_ver else { continue };
        let version = proto_ver::parse(answer.as_bytes()).unwrap();
        assert_eq!(version.ver, "v1.1");
        assert_eq!(u64::from(version.sec_ver), session.sec, "{}", session.name);
        if session.sec == 2 {
            assert_eq!(version.sec_patch_ver, session.patch_ver, "{}", session.name);
        }
        assert!(version.can("wifi_scan"));
        assert_eq!(version.can("no_pop"), session.sec == 1 && session.secret.is_empty());
        assert_eq!(version.lowtouch, None);
        read += 1;
    }
    assert_eq!(read, 16);
}
