//! CPU time of a Security 2 handshake, and of the bare modular exponentiations that it needs, in the same run.
//!
//! The bare ones are crypto-bigint's own constant-time exponentiation, one after the other, with exponents of the lengths
//! that the protocol has: client g^a (256 bits), g^x (512), (B - k g^x)^(a + u x) (1024); device g^b (256), v^u (512),
//! (A v^u)^b (256). A ratio below 1 is what the table for g = 5 saves.

// A bench that cannot run should say so at once.
#![allow(clippy::expect_used)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{Odd, U256, U512, U1024, U3072};
use lowtouch_handoff::protocomm::client::{Credentials, Handshake, Next, Session};
use lowtouch_handoff::protocomm::device::{DeviceSecurity, SecureSession};
use lowtouch_handoff::protocomm::srp6a;
use secrecy::SecretString;

const CLIENT_ENTROPY: [u8; 64] = [0x9b; 64];
const DEVICE_ENTROPY: [u8; 64] = [0xc5; 64];

fn credentials() -> Credentials {
    Credentials::Security2 { username: "wifiprov".to_owned(), password: SecretString::from("abcd1234"), patch_ver: 1 }
}

fn device() -> SecureSession {
    let password = SecretString::from("abcd1234");
    let made = srp6a::make_verifier("wifiprov", &password, &[7; 16]).expect("credentials of the bench");
    SecureSession::new(DeviceSecurity::Security2 {
        username: "wifiprov".to_owned(),
        salt: made.salt,
        verifier: made.verifier,
        patch_ver: 1,
    })
}

/// The whole handshake; returns what went over the link: two requests, two responses.
fn conversation() -> ([Vec<u8>; 2], [Vec<u8>; 2]) {
    let mut device = device();
    let (handshake, first) = Handshake::start(credentials(), &CLIENT_ENTROPY).expect("start");
    let answer = device.handshake(&first, &DEVICE_ENTROPY).expect("first answer");
    let Ok(Next::Send(_, second)) = handshake.handle(&answer) else { panic!("no proof") };
    let proof = device.handshake(&second, &DEVICE_ENTROPY).expect("second answer");
    ([first, second], [answer, proof])
}

fn client_handshake(responses: &[Vec<u8>; 2]) -> Session {
    let (handshake, _) = Handshake::start(credentials(), &CLIENT_ENTROPY).expect("start");
    let Ok(Next::Send(handshake, _)) = handshake.handle(&responses[0]) else { panic!("no proof") };
    let Ok(Next::Secured(session)) = handshake.handle(&responses[1]) else { panic!("no session") };
    session
}

fn security2(criterion: &mut Criterion) {
    let (requests, responses) = conversation();
    let mut group = criterion.benchmark_group("security2");
    group.bench_function("client", |bench| bench.iter(|| client_handshake(black_box(&responses))));
    group.bench_function("device", |bench| {
        bench.iter_batched_ref(
            device,
            |device| {
                device.handshake(black_box(&requests[0]), &DEVICE_ENTROPY).expect("first answer");
                device.handshake(black_box(&requests[1]), &DEVICE_ENTROPY).expect("second answer")
            },
            BatchSize::SmallInput,
        );
    });

    let prime = Odd::new(U3072::from_be_slice(&srp6a::group_prime())).expect("an odd prime");
    let params = FixedMontyParams::new(prime);
    let generator = FixedMontyForm::new(&U3072::from_u8(5), &params);
    let other = FixedMontyForm::new(&U3072::from_be_slice(&[0x9d; 384]), &params);
    let short = U256::from_be_slice(&[0xb9; 32]);
    let middle = U512::from_be_slice(&[0xb9; 64]);
    let long = U1024::from_be_slice(&[0xb9; 128]);
    group.bench_function("client, bare exponentiations", |bench| {
        bench.iter(|| {
            let generator = black_box(generator);
            (generator.pow(&short), generator.pow(&middle), black_box(other).pow(&long))
        });
    });
    group.bench_function("device, bare exponentiations", |bench| {
        bench.iter(|| {
            let other = black_box(other);
            (black_box(generator).pow(&short), other.pow(&middle), other.pow(&short))
        });
    });
    group.bench_function("client, variable base only", |bench| bench.iter(|| black_box(other).pow(&long)));
    group.bench_function("client, variable base only, almost Montgomery", |bench| {
        let long = long.resize();
        bench.iter(|| black_box(other).pow_amm_bounded_exp(&long, 1024));
    });
    group.finish();
}

criterion_group!(benches, security2);
criterion_main!(benches);
