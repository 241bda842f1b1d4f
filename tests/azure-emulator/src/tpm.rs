//! TPM attestation: a key that only the TPM with this endorsement key and this storage root key can have.
//!
//! Sources: TPM 2.0 Library, Part 1, 11.4.10.2 (KDFa), 23.3 (duplication), 24 (credential protection) and annex B.4 (RSA OAEP); Part 2 for the
//! structures. The blob's parts and their order are those that Microsoft's client takes apart (npm azure-iot-security-tpm).

use aes::Aes128;
use cfb_mode::Encryptor;
use cfb_mode::cipher::KeyIvInit as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rsa::{BoxedUint, Oaep, PublicKey};
use sha2::{Digest as _, Sha256};

const ALG_RSA: u16 = 0x0001;
const ALG_HMAC: u16 = 0x0005;
const ALG_KEYEDHASH: u16 = 0x0008;
const ALG_SHA256: u16 = 0x000b;
const ALG_NULL: u16 = 0x0010;
/// `userWithAuth`, `noDA` and `sign` of TPMA_OBJECT.
const SIGNING_KEY: u32 = 1 << 6 | 1 << 10 | 1 << 18;

/// A TPM's public key as an enrollment and a registration carry it (TPM2B_PUBLIC).
pub(crate) struct PublicArea {
    name: Vec<u8>,
    key: PublicKey,
}

impl PublicArea {
    /// `None`: no RSA key whose name is made with SHA-256, the one kind that Azure's clients make.
    pub(crate) fn parse(tpm2b: &[u8]) -> Option<Self> {
        let mut outer = Reader(tpm2b);
        let area = outer.sized()?;
        let mut reader = Reader(area);
        let (kind, name_alg, _attributes) = (reader.u16()?, reader.u16()?, reader.u32()?);
        if kind != ALG_RSA || name_alg != ALG_SHA256 || !outer.0.is_empty() {
            return None;
        }
        reader.sized()?;
        if reader.u16()? != ALG_NULL {
            let (_key_bits, _mode) = (reader.u16()?, reader.u16()?);
        }
        if reader.u16()? != ALG_NULL {
            return None;
        }
        let (_bits, exponent, modulus) = (reader.u16()?, reader.u32()?, reader.sized()?);
        let exponent = if exponent == 0 { 65_537 } else { exponent };
        let key = PublicKey::new(BoxedUint::from_be_slice_vartime(modulus), BoxedUint::from(exponent)).ok()?;
        Some(Self { name: name(area), key })
    }

    /// A secret of 32 bytes, and the same encrypted for this key under one of the TPM's labels.
    fn secret(&self, label: &[u8]) -> Option<([u8; 32], Vec<u8>)> {
        let secret = rand::random::<[u8; 32]>();
        let padding = Oaep::<Sha256>::new_with_label(label);
        let encrypted = self.key.encrypt(&mut rand::rng(), padding, &secret).ok()?;
        Some((secret, encrypted))
    }
}

/// An HMAC key of 32 bytes, and the blob that brings it into the one TPM that has both keys.
pub(crate) fn wrapped_key(endorsement_key: &PublicArea, storage_root_key: &PublicArea) -> Option<([u8; 32], Vec<u8>)> {
    let (key, seed, inner_key) = (rand::random::<[u8; 32]>(), rand::random::<[u8; 32]>(), rand::random::<[u8; 16]>());
    let public = public_of(&key, &seed);
    let name = name(&public);

    let mut sensitive = ALG_KEYEDHASH.to_be_bytes().to_vec();
    sized(&mut sensitive, &[]);
    sized(&mut sensitive, &seed);
    sized(&mut sensitive, &key);
    let mut with_size = Vec::new();
    sized(&mut with_size, &sensitive);
    // The inner wrap, under the key that only the endorsement key's holder gets.
    let mut inner = Vec::new();
    sized(&mut inner, &Sha256::new().chain_update(&with_size).chain_update(&name).finalize());
    inner.extend_from_slice(&with_size);
    cfb(&inner_key, &mut inner);
    // The outer one, under a seed that only the storage root key's holder gets.
    let (outer_seed, encrypted_seed) = storage_root_key.secret(b"DUPLICATE\0")?;
    let duplicate = protected(&outer_seed, inner, &name);

    let (credential_seed, encrypted_credential_seed) = endorsement_key.secret(b"IDENTITY\0")?;
    let mut credential = Vec::new();
    sized(&mut credential, &inner_key);
    let credential = protected(&credential_seed, credential, &storage_root_key.name);

    let mut blob = Vec::new();
    for part in [&credential, &encrypted_credential_seed, &duplicate, &encrypted_seed, &public] {
        sized(&mut blob, part);
    }
    // The encrypted URI of the SDKs: unused.
    sized(&mut blob, &[]);
    Some((key, blob))
}

/// TPMT_PUBLIC of an HMAC key.
fn public_of(key: &[u8], seed: &[u8]) -> Vec<u8> {
    let mut public = Vec::new();
    public.extend_from_slice(&ALG_KEYEDHASH.to_be_bytes());
    public.extend_from_slice(&ALG_SHA256.to_be_bytes());
    public.extend_from_slice(&SIGNING_KEY.to_be_bytes());
    sized(&mut public, &[]);
    public.extend_from_slice(&ALG_HMAC.to_be_bytes());
    public.extend_from_slice(&ALG_SHA256.to_be_bytes());
    sized(&mut public, &Sha256::new().chain_update(seed).chain_update(key).finalize());
    public
}

/// Encrypted and then authenticated together with a name: both the credential and the outer wrap are made so.
fn protected(seed: &[u8], mut plain: Vec<u8>, name: &[u8]) -> Vec<u8> {
    let key: [u8; 32] = kdf_a(seed, "STORAGE", name, 128);
    cfb(&key[..16], &mut plain);
    let integrity: [u8; 32] = kdf_a(seed, "INTEGRITY", &[], 256);
    let mut protected = Vec::new();
    sized(&mut protected, &hmac(&integrity, &[&plain, name]));
    protected.extend_from_slice(&plain);
    protected
}

/// KDFa with SHA-256, for at most one block.
fn kdf_a(key: &[u8], label: &str, context: &[u8], bits: u32) -> [u8; 32] {
    hmac(key, &[&1_u32.to_be_bytes(), label.as_bytes(), &[0], context, &bits.to_be_bytes()])
}

#[allow(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length is a key");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// AES-128 in CFB mode with an IV of zeros.
#[allow(clippy::expect_used, reason = "both lengths are those of AES-128")]
fn cfb(key: &[u8], data: &mut [u8]) {
    Encryptor::<Aes128>::new_from_slices(key, &[0; 16]).expect("16 bytes").encrypt(data);
}

/// A TPM's name for a public area: the hash with its algorithm before it.
fn name(public: &[u8]) -> Vec<u8> {
    let mut name = ALG_SHA256.to_be_bytes().to_vec();
    name.extend_from_slice(&Sha256::digest(public));
    name
}

/// With its length before it, as every TPM2B.
fn sized(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend_from_slice(&u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
    to.extend_from_slice(bytes);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn sized(&mut self) -> Option<&'a [u8]> {
        let len = self.u16()?;
        self.take(len.into())
    }
}
