//! A TPM 2.0 behind a device file or a socket (swtpm's): the keys that Azure's clients use, at the handles that they use.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use zeroize::Zeroizing;

use super::command::{
    ACTIVATE_CREDENTIAL, ALG_AES, ALG_CFB, ALG_NULL, ALG_RSA, ALG_SHA256, Answer, Auth, CREATE_PRIMARY, Command,
    EVICT_CONTROL, FLUSH_CONTEXT, HEADER, HMAC, IMPORT, LOAD, LONGEST_ANSWER, POLICY_SECRET, Put as _, READ_PUBLIC,
    RH_ENDORSEMENT, RH_NULL, RH_OWNER, Reader, START_AUTH_SESSION, answer_len,
};
use super::{Tpm, TpmError, TpmPublicKeys};

// Where the keys are: the first two by TCG's "Registry of reserved TPM 2.0 handles", the third by Azure's clients.
const EK: u32 = 0x8101_0001;
const SRK: u32 = 0x8100_0001;
const IDENTITY: u32 = 0x8100_0100;

/// `fixedTPM`, `fixedParent`, `sensitiveDataOrigin`, `adminWithPolicy`, `restricted`, `decrypt` of TPMA_OBJECT: TCG's EK credential
/// profile, template L-1.
const EK_ATTRIBUTES: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 16 | 1 << 17;
/// `fixedTPM`, `fixedParent`, `sensitiveDataOrigin`, `userWithAuth`, `noDA`, `restricted`, `decrypt`.
const SRK_ATTRIBUTES: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 10 | 1 << 16 | 1 << 17;
/// PolicySecret of the endorsement hierarchy, as the same template has it.
const EK_POLICY: [u8; 32] = [
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24, 0xfd, 0x52, 0xd7,
    0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
];
const SE_POLICY: u8 = 0x01;

/// Making an RSA key is what takes longest: seconds, a minute on some chips.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);
/// How often a TPM that asks to be asked again is.
const AGAIN: u32 = 20;
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// TPM_RC_RETRY, TPM_RC_YIELDED, TPM_RC_TESTING.
const COME_AGAIN: [u32; 3] = [0x922, 0x908, 0x90a];
/// TPM_RC_HANDLE, without which handle it was.
const NO_SUCH_HANDLE: u32 = 0x08b;

/// Where a TPM is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TpmAddress {
    /// `/dev/tpmrm0`: the kernel's resource manager.
    Device(PathBuf),
    /// A Unix socket that carries plain commands, as `swtpm socket --server type=unixio` has it.
    Unix(PathBuf),
    /// The same over TCP.
    Tcp(SocketAddr),
}

impl FromStr for TpmAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("device", path)) if !path.is_empty() => Ok(Self::Device(path.into())),
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            Some(("tcp", address)) => address.parse().map(Self::Tcp).map_err(|_| "tcp: needs IP:PORT"),
            _ => Err("use device:/dev/tpmrm0, unix:PATH or tcp:IP:PORT"),
        }
    }
}

impl fmt::Display for TpmAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(path) => write!(f, "device:{}", path.display()),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp:{address}"),
        }
    }
}

/// A TPM at an address. It is opened for each use, one at a time.
#[derive(Debug)]
pub struct Chip {
    at: TpmAddress,
    turn: Mutex<()>,
}

impl Chip {
    /// Opens nothing yet.
    pub fn new(at: TpmAddress) -> Self {
        Self { at, turn: Mutex::new(()) }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Wire) -> Result<T, TpmError>) -> Result<T, TpmError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        work(&mut Wire::open(&self.at)?)
    }
}

impl Tpm for Chip {
    fn public_keys(&self) -> Result<TpmPublicKeys, TpmError> {
        self.with(|wire| {
            Ok(TpmPublicKeys {
                endorsement_key: wire.primary(EK, RH_ENDORSEMENT, &primary_template(EK_ATTRIBUTES, &EK_POLICY))?,
                storage_root_key: wire.primary(SRK, RH_OWNER, &primary_template(SRK_ATTRIBUTES, &[]))?,
            })
        })
    }

    fn activate(&self, blob: &[u8]) -> Result<(), TpmError> {
        let blob = Blob::read(blob).map_err(|_| TpmError::Blob)?;
        self.with(|wire| {
            let session = wire.endorsement_session()?;
            let inner_key = wire.activate_credential(session, &blob);
            if inner_key.is_err() {
                // A session that was used up is gone already.
                let _ = wire.flush(session);
            }
            let private = wire.import(&inner_key?, &blob)?;
            let key = wire.load(&private, blob.public)?;
            let kept = wire.keep(key, IDENTITY);
            wire.flush(key)?;
            kept
        })
    }

    fn sign(&self, data: &[u8]) -> Result<Vec<u8>, TpmError> {
        let mut parameters = Vec::new();
        parameters.put_sized(data);
        parameters.put_u16(ALG_SHA256);
        self.with(|wire| {
            let command =
                Command { kind: HMAC, handles: &[IDENTITY], auth: &[Auth::Empty], parameters, answers_handles: 0 };
            let answer = wire.run(&command)?;
            Ok(Reader(&answer.parameters).sized()?.to_vec())
        })
    }
}

/// The parts of DPS's blob, as Azure's clients take it apart; what follows them is not used.
struct Blob<'a> {
    credential: &'a [u8],
    credential_secret: &'a [u8],
    duplicate: &'a [u8],
    duplicate_secret: &'a [u8],
    public: &'a [u8],
}

impl<'a> Blob<'a> {
    fn read(blob: &'a [u8]) -> Result<Self, TpmError> {
        let mut reader = Reader(blob);
        Ok(Self {
            credential: reader.sized()?,
            credential_secret: reader.sized()?,
            duplicate: reader.sized()?,
            duplicate_secret: reader.sized()?,
            public: reader.sized()?,
        })
    }
}

/// TPMT_PUBLIC of an RSA key of 2048 bits that protects others, for CreatePrimary.
fn primary_template(attributes: u32, policy: &[u8]) -> Vec<u8> {
    let mut template = Vec::new();
    template.put_u16(ALG_RSA);
    template.put_u16(ALG_SHA256);
    template.put_u32(attributes);
    template.put_sized(policy);
    put_aes(&mut template, 128);
    template.put_u16(ALG_NULL);
    template.put_u16(2048);
    template.put_u32(0);
    // As many zeros as the key has bytes, as TCG's templates have it: the endorsement key is then the one of its maker's certificate.
    template.put_sized(&[0; 256]);
    template
}

fn put_aes(to: &mut Vec<u8>, bits: u16) {
    to.put_u16(ALG_AES);
    to.put_u16(bits);
    to.put_u16(ALG_CFB);
}

enum Stream {
    File(File),
    Unix(UnixStream),
    Tcp(TcpStream),
}

struct Wire {
    stream: Stream,
    at: String,
}

impl Wire {
    fn open(at: &TpmAddress) -> Result<Self, TpmError> {
        let opened = || {
            Ok(match at {
                TpmAddress::Device(path) => Stream::File(OpenOptions::new().read(true).write(true).open(path)?),
                TpmAddress::Unix(path) => {
                    let stream = UnixStream::connect(path)?;
                    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
                    Stream::Unix(stream)
                }
                TpmAddress::Tcp(address) => {
                    let stream = TcpStream::connect_timeout(address, Duration::from_secs(5))?;
                    stream.set_read_timeout(Some(ANSWER_WITHIN))?;
                    Stream::Tcp(stream)
                }
            })
        };
        let stream = opened().map_err(|source| TpmError::Unreachable { at: at.to_string(), source })?;
        Ok(Self { stream, at: at.to_string() })
    }

    fn run(&mut self, command: &Command<'_>) -> Result<Answer, TpmError> {
        let bytes = Zeroizing::new(command.encode());
        for _ in 0..AGAIN {
            let answer = match &mut self.stream {
                // The kernel gives an answer whole, to one read.
                Stream::File(file) => exchange_whole(file, &bytes),
                Stream::Unix(stream) => exchange(stream, &bytes),
                Stream::Tcp(stream) => exchange(stream, &bytes),
            };
            let answer = answer.map_err(|source| TpmError::Unreachable { at: self.at.clone(), source })?;
            match command.decode(&answer) {
                Err(TpmError::Refused { code, .. }) if COME_AGAIN.contains(&code) => std::thread::sleep(AGAIN_AFTER),
                decoded => return decoded,
            }
        }
        Err(TpmError::Garbage)
    }

    /// The key (TPM2B_PUBLIC) that lives at this handle. Where there is none it is made, the same for the same TPM, and kept there.
    fn primary(&mut self, handle: u32, hierarchy: u32, template: &[u8]) -> Result<Vec<u8>, TpmError> {
        let read =
            Command { kind: READ_PUBLIC, handles: &[handle], auth: &[], parameters: Vec::new(), answers_handles: 0 };
        match self.run(&read) {
            Ok(answer) => return public(&answer),
            Err(TpmError::Refused { code, .. }) if code & 0x0bf == NO_SUCH_HANDLE => {}
            Err(error) => return Err(error),
        }
        let mut parameters = Vec::new();
        // No password and no data, no outside information, no selected PCRs.
        parameters.put_sized(&[0; 4]);
        parameters.put_sized(template);
        parameters.put_sized(&[]);
        parameters.put_u32(0);
        let create = Command {
            kind: CREATE_PRIMARY,
            handles: &[hierarchy],
            auth: &[Auth::Empty],
            parameters,
            answers_handles: 1,
        };
        let answer = self.run(&create)?;
        let made = first_handle(&answer)?;
        let kept = self.keep(made, handle);
        self.flush(made)?;
        kept?;
        public(&answer)
    }

    /// Keeps a loaded key at this handle, in place of another.
    fn keep(&mut self, key: u32, handle: u32) -> Result<(), TpmError> {
        match self.evict(handle, handle) {
            Ok(()) => {}
            Err(TpmError::Refused { code, .. }) if code & 0x0bf == NO_SUCH_HANDLE => {}
            Err(error) => return Err(error),
        }
        self.evict(key, handle)
    }

    /// Keeps a loaded key at the handle, or, of the handle itself, takes away what is kept there.
    fn evict(&mut self, key: u32, handle: u32) -> Result<(), TpmError> {
        let mut parameters = Vec::new();
        parameters.put_u32(handle);
        let handles = [RH_OWNER, key];
        let auth = &[Auth::Empty];
        self.run(&Command { kind: EVICT_CONTROL, handles: &handles, auth, parameters, answers_handles: 0 }).map(drop)
    }

    fn flush(&mut self, handle: u32) -> Result<(), TpmError> {
        let mut parameters = Vec::new();
        // Its handle is a parameter, so that what is lost can be flushed too.
        parameters.put_u32(handle);
        self.run(&Command { kind: FLUSH_CONTEXT, handles: &[], auth: &[], parameters, answers_handles: 0 }).map(drop)
    }

    /// A session that satisfies the endorsement key's policy.
    fn endorsement_session(&mut self) -> Result<u32, TpmError> {
        let mut parameters = Vec::new();
        parameters.put_sized(&rand::random::<[u8; 32]>());
        parameters.put_sized(&[]);
        parameters.push(SE_POLICY);
        parameters.put_u16(ALG_NULL);
        parameters.put_u16(ALG_SHA256);
        let start = Command {
            kind: START_AUTH_SESSION,
            handles: &[RH_NULL, RH_NULL],
            auth: &[],
            parameters,
            answers_handles: 1,
        };
        let session = first_handle(&self.run(&start)?)?;
        let mut parameters = Vec::new();
        // No nonce, no command, no reference, no end.
        parameters.put_sized(&[]);
        parameters.put_sized(&[]);
        parameters.put_sized(&[]);
        parameters.put_u32(0);
        let handles = [RH_ENDORSEMENT, session];
        let secret =
            Command { kind: POLICY_SECRET, handles: &handles, auth: &[Auth::Empty], parameters, answers_handles: 0 };
        match self.run(&secret) {
            Ok(_) => Ok(session),
            Err(error) => {
                // What it was for has failed already.
                let _ = self.flush(session);
                Err(error)
            }
        }
    }

    fn activate_credential(&mut self, session: u32, blob: &Blob<'_>) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        let mut parameters = Vec::new();
        parameters.put_sized(blob.credential);
        parameters.put_sized(blob.credential_secret);
        let auth = [Auth::Empty, Auth::Policy(session)];
        let activate =
            Command { kind: ACTIVATE_CREDENTIAL, handles: &[SRK, EK], auth: &auth, parameters, answers_handles: 0 };
        let answer = self.run(&activate)?;
        Ok(Zeroizing::new(Reader(&answer.parameters).sized()?.to_vec()))
    }

    fn import(&mut self, inner_key: &[u8], blob: &Blob<'_>) -> Result<Vec<u8>, TpmError> {
        let mut parameters = Vec::new();
        parameters.put_sized(inner_key);
        parameters.put_sized(blob.public);
        parameters.put_sized(blob.duplicate);
        parameters.put_sized(blob.duplicate_secret);
        put_aes(&mut parameters, u16::try_from(inner_key.len() * 8).map_err(|_| TpmError::Blob)?);
        let import = Command { kind: IMPORT, handles: &[SRK], auth: &[Auth::Empty], parameters, answers_handles: 0 };
        let answer = self.run(&import)?;
        Ok(Reader(&answer.parameters).sized()?.to_vec())
    }

    fn load(&mut self, private: &[u8], public: &[u8]) -> Result<u32, TpmError> {
        let mut parameters = Vec::new();
        parameters.put_sized(private);
        parameters.put_sized(public);
        let load = Command { kind: LOAD, handles: &[SRK], auth: &[Auth::Empty], parameters, answers_handles: 1 };
        first_handle(&self.run(&load)?)
    }
}

fn first_handle(answer: &Answer) -> Result<u32, TpmError> {
    answer.handles.first().copied().ok_or(TpmError::Garbage)
}

/// TPM2B_PUBLIC, the first parameter, with its size.
fn public(answer: &Answer) -> Result<Vec<u8>, TpmError> {
    let mut public = Vec::new();
    public.put_sized(Reader(&answer.parameters).sized()?);
    Ok(public)
}

fn exchange_whole(file: &mut File, command: &[u8]) -> io::Result<Vec<u8>> {
    file.write_all(command)?;
    let mut answer = vec![0; LONGEST_ANSWER];
    let len = file.read(&mut answer)?;
    answer.truncate(len);
    Ok(answer)
}

fn exchange(stream: &mut (impl Read + Write), command: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(command)?;
    stream.flush()?;
    let mut header = [0; HEADER];
    stream.read_exact(&mut header)?;
    let len = answer_len(header).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    let mut answer = header.to_vec();
    answer.resize(len, 0);
    stream.read_exact(&mut answer[HEADER..])?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_are_read_as_they_are_written() {
        for text in ["device:/dev/tpmrm0", "unix:/run/tpm.sock", "tcp:127.0.0.1:2321"] {
            assert_eq!(text.parse::<TpmAddress>().unwrap().to_string(), text);
        }
        for bad in ["", "/dev/tpm0", "unix:", "tcp:localhost:1", "usb:1"] {
            assert!(bad.parse::<TpmAddress>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_blob_makes_it_panic(blob: Vec<u8>) {
            let _ = Blob::read(&blob);
        }
    }

    #[test]
    fn a_tpm_that_is_not_there_is_said_with_its_address() {
        let chip = Chip::new("unix:/nowhere/tpm.sock".parse().unwrap());
        let error = chip.public_keys().unwrap_err();
        assert!(error.to_string().contains("unix:/nowhere/tpm.sock"), "{error}");
    }
}
