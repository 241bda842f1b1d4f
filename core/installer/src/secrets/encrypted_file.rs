//! Secrets in a file under a passphrase: for machines without a keyring, and only where the settings ask for it.
//!
//! The file is `magic · version · argon2id's parameters · salt · nonce · AES-256-GCM of a JSON object · SHA-256 of all
//! before`. Everything up to the nonce is authenticated with the rest. The plain digest at the end tells a file that is damaged from a
//! passphrase that is wrong; it protects nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use argon2::{Algorithm, Argon2, Params, Version};
use async_trait::async_trait;
use atomic_write_file::AtomicWriteFile;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, Zeroizing};

use super::{SecretStore, SecretsError};

/// The file's name in the data folder.
pub const FILE_NAME: &str = "secrets.lowtouch";

const MAGIC: &[u8; 8] = b"LOWTOUCH";
const VERSION: u8 = 1;
const SALT: usize = 16;
const NONCE: usize = 12;
const DIGEST: usize = 32;
/// Magic, version, three numbers of 32 bits (little-endian), salt, nonce.
const HEADER: usize = MAGIC.len() + 1 + 3 * 4 + SALT + NONCE;
/// Longest file that is read, in bytes.
const MAX_FILE: usize = 4 << 20;
/// How long another program may hold the file.
const LOCK_WITHIN: Duration = Duration::from_secs(10);

/// What argon2id costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    /// RFC 9106, section 4, the second recommended option: 64 MiB, 3 passes, 4 lanes.
    const RFC_9106: Cost = Cost { memory_kib: 64 * 1024, passes: 3, lanes: 4 };
    /// A file that asks for more is not ours: it would stop the machine.
    const MOST: Cost = Cost { memory_kib: 1024 * 1024, passes: 16, lanes: 16 };
}

/// What the passphrase is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PassphraseFor {
    /// A file that is there.
    Opening,
    /// A file that is made now: worth asking twice.
    NewFile,
}

/// Who knows the passphrase: a person, or a file.
#[async_trait]
pub trait AskPassphrase: Send + Sync {
    /// Asks.
    ///
    /// # Errors
    /// [`SecretsError::PassphraseMissing`] where nobody can be asked.
    async fn passphrase(&self, file: PassphraseFor) -> Result<SecretString, SecretsError>;
}

/// Keeps secrets in one file. The passphrase is asked for once, when it is first needed; its key is kept until the end.
pub struct EncryptedFile {
    path: PathBuf,
    ask: Arc<dyn AskPassphrase>,
    key: Arc<Mutex<Option<Key>>>,
    cost: Cost,
}

/// Derived from a passphrase with this salt.
#[derive(Clone)]
struct Key {
    salt: [u8; SALT],
    cost: Cost,
    bytes: Zeroizing<[u8; 32]>,
}

/// Names and values. Wiped when dropped.
#[derive(Default)]
struct Secrets(BTreeMap<String, String>);

impl Drop for Secrets {
    fn drop(&mut self) {
        self.0.values_mut().for_each(Zeroize::zeroize);
    }
}

/// A file as it was read.
struct Sealed {
    header: [u8; HEADER],
    cost: Cost,
    salt: [u8; SALT],
    nonce: [u8; NONCE],
    sealed: Vec<u8>,
}

impl EncryptedFile {
    /// In this folder. Reads nothing yet.
    pub fn new(data_dir: &Path, ask: Arc<dyn AskPassphrase>) -> Self {
        EncryptedFile { path: data_dir.join(FILE_NAME), ask, key: Arc::default(), cost: Cost::RFC_9106 }
    }

    /// Cheap enough for many tests.
    #[cfg(test)]
    fn cheap(data_dir: &Path, ask: Arc<dyn AskPassphrase>) -> Self {
        EncryptedFile { cost: Cost { memory_kib: 64, passes: 1, lanes: 1 }, ..Self::new(data_dir, ask) }
    }

    /// `change` gives the value and whether to write. `create`: a file that is not there is made, else it is as empty.
    async fn with<T: Send + 'static>(
        &self,
        create: bool,
        change: impl FnOnce(&mut Secrets) -> (T, bool) + Send + 'static,
    ) -> Result<T, SecretsError> {
        let there = self.path.try_exists().map_err(|source| storage(&self.path, source))?;
        if !there && !create {
            return Ok(change(&mut Secrets::default()).0);
        }
        let known = self.key.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Asked before the file is locked: a person may take long.
        let passphrase = match known {
            Some(_) => None,
            None => {
                let file = if there { PassphraseFor::Opening } else { PassphraseFor::NewFile };
                let passphrase = self.ask.passphrase(file).await?;
                if passphrase.expose_secret().is_empty() {
                    return Err(SecretsError::PassphraseMissing);
                }
                Some(passphrase)
            }
        };
        let (path, cost, place) = (self.path.clone(), self.cost, self.key.clone());
        let job = tokio::task::spawn_blocking(move || {
            let (done, key) = work(&path, cost, known, passphrase.as_ref(), change)?;
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
            Ok(done)
        });
        job.await.map_err(|stopped| SecretsError::Failed(stopped.to_string()))?
    }
}

#[async_trait]
impl SecretStore for EncryptedFile {
    async fn get(&self, name: &str) -> Result<Option<SecretString>, SecretsError> {
        let name = name.to_owned();
        self.with(false, move |secrets| (secrets.0.get(&name).cloned().map(SecretString::from), false)).await
    }

    async fn set(&self, name: &str, value: &SecretString) -> Result<(), SecretsError> {
        let (name, value) = (name.to_owned(), value.clone());
        let set = self.with(true, move |secrets| {
            if let Some(mut old) = secrets.0.insert(name, value.expose_secret().to_owned()) {
                old.zeroize();
            }
            ((), true)
        });
        set.await
    }

    async fn delete(&self, name: &str) -> Result<(), SecretsError> {
        let name = name.to_owned();
        let delete = self.with(false, move |secrets| match secrets.0.remove(&name) {
            Some(mut old) => {
                old.zeroize();
                ((), true)
            }
            None => ((), false),
        });
        delete.await
    }

    fn describe(&self) -> String {
        format!("the encrypted file {}", self.path.display())
    }

    fn file(&self) -> Option<&Path> {
        Some(&self.path)
    }
}

fn work<T>(
    path: &Path,
    cost: Cost,
    known: Option<Key>,
    passphrase: Option<&SecretString>,
    change: impl FnOnce(&mut Secrets) -> (T, bool),
) -> Result<(T, Key), SecretsError> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|source| storage(path, source))?;
    }
    let _lock = lock(path)?;
    let (mut secrets, key) = match read(path)? {
        Some(sealed) => {
            let known = known.filter(|key| key.salt == sealed.salt && key.cost == sealed.cost);
            let key = match (known, passphrase) {
                (Some(key), _) => key,
                (None, Some(passphrase)) => derive(passphrase, sealed.salt, sealed.cost)?,
                // Another program made the file anew meanwhile.
                (None, None) => return Err(SecretsError::WrongPassphrase),
            };
            (open(path, &sealed, &key)?, key)
        }
        None => {
            let key = match (known, passphrase) {
                (Some(key), _) => key,
                (None, Some(passphrase)) => derive(passphrase, random()?, cost)?,
                (None, None) => return Err(SecretsError::PassphraseMissing),
            };
            (Secrets::default(), key)
        }
    };
    let (done, write) = change(&mut secrets);
    if write {
        let bytes = seal(&secrets, &key)?;
        write_file(path, &bytes).map_err(|source| storage(path, source))?;
    }
    Ok((done, key))
}

/// Nobody else changes the file while this lives.
fn lock(path: &Path) -> Result<File, SecretsError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    let place = path.with_file_name(name);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&place)
        .map_err(|source| storage(&place, source))?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(std::fs::TryLockError::WouldBlock) if begun.elapsed() < LOCK_WITHIN => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(std::fs::TryLockError::WouldBlock) => return Err(SecretsError::Busy(path.into())),
            Err(std::fs::TryLockError::Error(source)) => return Err(storage(&place, source)),
        }
    }
}

fn read(path: &Path) -> Result<Option<Sealed>, SecretsError> {
    let damaged = |what: &str| SecretsError::Damaged { path: path.into(), what: what.into() };
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(storage(path, source)),
    };
    if bytes.len() < HEADER + DIGEST || bytes.len() > MAX_FILE {
        return Err(damaged(&format!("it has {} bytes", bytes.len())));
    }
    let (all, digest) = bytes.split_at(bytes.len() - DIGEST);
    if !all.starts_with(MAGIC) {
        return Err(damaged("it is no secrets file"));
    }
    if Sha256::digest(all).as_slice() != digest {
        return Err(damaged("its checksum is wrong"));
    }
    let (header, sealed) = all.split_first_chunk::<HEADER>().ok_or_else(|| damaged("it is cut off"))?;
    let mut rest = &header[MAGIC.len()..];
    let version = take::<1>(&mut rest)[0];
    if version != VERSION {
        return Err(damaged(&format!("version {version} is of a newer program; update this one")));
    }
    let cost = Cost {
        memory_kib: u32::from_le_bytes(take(&mut rest)),
        passes: u32::from_le_bytes(take(&mut rest)),
        lanes: u32::from_le_bytes(take(&mut rest)),
    };
    let most = Cost::MOST;
    if cost.memory_kib > most.memory_kib || cost.passes > most.passes || cost.lanes > most.lanes {
        return Err(damaged("it asks for more memory or time than any of ours"));
    }
    let (salt, nonce) = (take(&mut rest), take(&mut rest));
    Ok(Some(Sealed { header: *header, cost, salt, nonce, sealed: sealed.to_vec() }))
}

/// The next `N` bytes; zeros where there are none, which the lengths above rule out.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    match rest.split_first_chunk::<N>() {
        Some((first, others)) => {
            *rest = others;
            *first
        }
        None => [0; N],
    }
}

fn derive(passphrase: &SecretString, salt: [u8; SALT], cost: Cost) -> Result<Key, SecretsError> {
    let failed = |error: argon2::Error| SecretsError::Failed(format!("argon2id: {error}"));
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(failed)?;
    let mut bytes = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.expose_secret().as_bytes(), &salt, bytes.as_mut())
        .map_err(failed)?;
    Ok(Key { salt, cost, bytes })
}

fn open(path: &Path, file: &Sealed, key: &Key) -> Result<Secrets, SecretsError> {
    let payload = Payload { msg: &file.sealed, aad: &file.header };
    let plain = cipher(key)?
        .decrypt(&Nonce::from(file.nonce), payload)
        .map(Zeroizing::new)
        // The file is whole, so it is the passphrase.
        .map_err(|_| SecretsError::WrongPassphrase)?;
    match serde_json::from_slice(&plain) {
        Ok(secrets) => Ok(Secrets(secrets)),
        Err(_) => Err(SecretsError::Damaged { path: path.into(), what: "its content is unknown".into() }),
    }
}

fn seal(secrets: &Secrets, key: &Key) -> Result<Vec<u8>, SecretsError> {
    let failed = |_| SecretsError::Failed("the secrets cannot be encrypted".into());
    let nonce: [u8; NONCE] = random()?;
    let mut bytes = Vec::with_capacity(HEADER + DIGEST);
    bytes.extend_from_slice(MAGIC);
    bytes.push(VERSION);
    for number in [key.cost.memory_kib, key.cost.passes, key.cost.lanes] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(&key.salt);
    bytes.extend_from_slice(&nonce);
    let plain = serde_json::to_vec(&secrets.0).map(Zeroizing::new);
    let plain = plain.map_err(|_| SecretsError::Failed("the secrets cannot be written as JSON".into()))?;
    let payload = Payload { msg: &plain, aad: &bytes };
    let sealed = cipher(key)?.encrypt(&Nonce::from(nonce), payload).map_err(failed)?;
    bytes.extend_from_slice(&sealed);
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(digest.as_slice());
    Ok(bytes)
}

fn cipher(key: &Key) -> Result<Aes256Gcm, SecretsError> {
    Aes256Gcm::new_from_slice(key.bytes.as_ref()).map_err(|_| SecretsError::Failed("the key has a wrong length".into()))
}

fn random<const N: usize>() -> Result<[u8; N], SecretsError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| SecretsError::Failed(format!("no randomness: {error}")))?;
    Ok(bytes)
}

/// All of it or nothing, for this user alone.
fn write_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if std::fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(std::io::Error::other("it is no regular file"));
    }
    let mut options = AtomicWriteFile::options();
    #[cfg(unix)]
    {
        use atomic_write_file::unix::OpenOptionsExt as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        options.preserve_mode(false).mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.commit()
}

fn storage(path: &Path, source: std::io::Error) -> SecretsError {
    SecretsError::Storage { path: path.into(), source }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::*;

    struct Person {
        passphrase: &'static str,
        asked: AtomicUsize,
    }

    #[async_trait]
    impl AskPassphrase for Person {
        async fn passphrase(&self, _: PassphraseFor) -> Result<SecretString, SecretsError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            Ok(self.passphrase.to_owned().into())
        }
    }

    fn person(passphrase: &'static str) -> Arc<Person> {
        Arc::new(Person { passphrase, asked: AtomicUsize::new(0) })
    }

    fn secret(text: &str) -> SecretString {
        text.to_owned().into()
    }

    async fn value(store: &EncryptedFile, name: &str) -> Option<String> {
        store.get(name).await.unwrap().map(|value| value.expose_secret().to_owned())
    }

    #[tokio::test]
    async fn secrets_are_kept_under_a_passphrase_that_is_asked_for_once() {
        let folder = tempfile::tempdir().unwrap();
        let person = person("correct horse");
        let store = EncryptedFile::cheap(folder.path(), person.clone());
        assert_eq!(value(&store, "a").await, None);
        store.delete("a").await.unwrap();
        assert_eq!(person.asked.load(Ordering::SeqCst), 0, "there is nothing to open yet");
        store.set("a", &secret("marked-1")).await.unwrap();
        store.set("b", &secret("marked-2")).await.unwrap();
        store.set("a", &secret("marked-3")).await.unwrap();
        store.delete("b").await.unwrap();
        assert_eq!((value(&store, "a").await, value(&store, "b").await), (Some("marked-3".into()), None));
        assert_eq!(person.asked.load(Ordering::SeqCst), 1);
        let bytes = std::fs::read(folder.path().join(FILE_NAME)).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("marked"));
        let again = EncryptedFile::cheap(folder.path(), person);
        assert_eq!(value(&again, "a").await, Some("marked-3".into()));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn the_file_is_for_its_user_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let store = EncryptedFile::cheap(folder.path(), person("p"));
        let path = folder.path().join(FILE_NAME);
        for _ in 0..2 {
            store.set("a", &secret("1")).await.unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            // Also after somebody opened it up.
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        }
    }

    #[tokio::test]
    async fn a_wrong_passphrase_and_a_damaged_file_are_told_apart_and_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        EncryptedFile::cheap(folder.path(), person("right")).set("a", &secret("1")).await.unwrap();
        let whole = std::fs::read(&path).unwrap();
        let wrong = EncryptedFile::cheap(folder.path(), person("wrong"));
        assert!(matches!(wrong.get("a").await, Err(SecretsError::WrongPassphrase)));
        assert!(matches!(wrong.set("a", &secret("2")).await, Err(SecretsError::WrongPassphrase)));
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        let missing = EncryptedFile::cheap(folder.path(), person(""));
        assert!(matches!(missing.get("a").await, Err(SecretsError::PassphraseMissing)));
        for end in [0, 1, HEADER, whole.len() - 1] {
            std::fs::write(&path, &whole[..end]).unwrap();
            let store = EncryptedFile::cheap(folder.path(), person("right"));
            assert!(matches!(store.get("a").await, Err(SecretsError::Damaged { .. })), "{end} bytes");
            assert!(matches!(store.set("b", &secret("2")).await, Err(SecretsError::Damaged { .. })), "{end} bytes");
            assert_eq!(std::fs::read(&path).unwrap(), &whole[..end], "it is left as it is");
        }
    }

    #[tokio::test]
    async fn a_file_that_asks_for_too_much_is_refused_before_it_is_tried() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let store = EncryptedFile::cheap(folder.path(), person("p"));
        store.set("a", &secret("1")).await.unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[MAGIC.len() + 1..MAGIC.len() + 5].copy_from_slice(&u32::MAX.to_le_bytes());
        bytes.truncate(bytes.len() - DIGEST);
        let digest = Sha256::digest(&bytes);
        bytes.extend_from_slice(digest.as_slice());
        std::fs::write(&path, bytes).unwrap();
        let error = store.get("a").await.unwrap_err();
        assert!(error.to_string().contains("more memory"), "{error}");
    }

    #[tokio::test]
    async fn two_programs_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let stores: Vec<_> = (0..4).map(|_| EncryptedFile::cheap(folder.path(), person("p"))).collect();
        stores[0].set("first", &secret("1")).await.unwrap();
        let sets = stores.iter().enumerate().flat_map(|(number, store)| {
            (0..5).map(move |turn| async move { store.set(&format!("{number}.{turn}"), &secret("1")).await })
        });
        futures::future::try_join_all(sets).await.unwrap();
        for name in (0..4).flat_map(|number| (0..5).map(move |turn| format!("{number}.{turn}"))) {
            assert_eq!(value(&stores[0], &name).await.as_deref(), Some("1"), "{name}");
        }
    }

    #[test]
    fn the_parameters_are_those_of_rfc_9106() {
        let store = EncryptedFile::new(Path::new("/nowhere"), person("p"));
        assert_eq!(store.cost, Cost { memory_kib: 65536, passes: 3, lanes: 4 });
    }

    proptest! {
        #[test]
        fn any_changed_byte_is_noticed(place in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(FILE_NAME);
            let key = derive(&secret("p"), [7; SALT], Cost { memory_kib: 64, passes: 1, lanes: 1 }).unwrap();
            let secrets = Secrets(BTreeMap::from([("a".into(), "1".into())]));
            let mut bytes = seal(&secrets, &key).unwrap();
            let at = place.index(bytes.len());
            bytes[at] ^= 1 << bit;
            std::fs::write(&path, &bytes).unwrap();
            let noticed = matches!(read(&path), Err(SecretsError::Damaged { .. }));
            prop_assert!(noticed);
        }
    }
}
