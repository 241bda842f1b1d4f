//! Secrets at rest: AES-256-GCM under a key that is not in the database.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sqlx::{AnyConnection, Row as _};
use zeroize::Zeroizing;

use crate::store::Store;

/// The secret that tells a wrong key file at start rather than at the first pairing.
const CANARY: &str = "canary";

/// Seals and opens what stands in the table `secrets`.
pub(crate) struct Vault {
    cipher: Aes256Gcm,
}

/// Why a secret cannot be kept or had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The key file cannot be read or made.
    #[error("cannot use the key file {path}")]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The key file holds no 32 bytes in base64.
    #[error("{0} holds no key (32 bytes in base64)")]
    NoKey(PathBuf),
    /// The database has secrets, and the key file that they were encrypted under is missing.
    #[error("the key file {0} is missing, and the database holds secrets that only its key opens")]
    Missing(PathBuf),
    /// The database's secrets were encrypted under another key, or were changed.
    #[error("a secret in the database does not open under this key")]
    WrongKey,
    /// The operating system gives no random numbers.
    #[error("no random numbers")]
    Random(#[from] getrandom::Error),
    /// The database.
    #[error("the database cannot be used")]
    Database(#[from] sqlx::Error),
}

impl Vault {
    /// Reads the key, or makes it when neither it nor any secret exists.
    pub(crate) async fn open(path: &Path, store: &Store) -> Result<Self, VaultError> {
        let used: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM secrets").fetch_one(store.read()).await?;
        let key_file = |source| VaultError::KeyFile { path: path.into(), source };
        let missing = !path.try_exists().map_err(key_file)?;
        if missing && used > 0 {
            return Err(VaultError::Missing(path.into()));
        }
        if missing {
            let mut key = Zeroizing::new([0_u8; 32]);
            getrandom::fill(&mut *key)?;
            match write_private(path, Zeroizing::new(STANDARD.encode(*key)).as_bytes()) {
                Ok(()) => {
                    tracing::warn!(path = %path.display(), "made the key that secrets are encrypted under: back it up, apart from the database")
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(key_file(error)),
            }
        }
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(key_file)?);
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| VaultError::NoKey(path.into()))?);
        let cipher = Aes256Gcm::new_from_slice(&bytes).map_err(|_| VaultError::NoKey(path.into()))?;
        let vault = Self { cipher };
        let mut tx = store.begin().await?;
        if vault.get(&mut tx, CANARY).await?.is_none() {
            vault.put(&mut tx, CANARY, CANARY.as_bytes()).await?;
        }
        tx.commit().await?;
        Ok(vault)
    }

    /// Keeps a secret under a name, over whatever was there.
    pub(crate) async fn put(&self, db: &mut AnyConnection, name: &str, secret: &[u8]) -> Result<(), VaultError> {
        // Random 96-bit nonces are safe for 2^32 secrets under one key (NIST SP 800-38D, 8.3); here are a few per instance.
        let mut nonce = [0_u8; 12];
        getrandom::fill(&mut nonce)?;
        // The name is authenticated, so that one secret cannot be put in another's place.
        let payload = Payload { msg: secret, aad: name.as_bytes() };
        let sealed = self.cipher.encrypt(&Nonce::from(nonce), payload).map_err(|_| VaultError::WrongKey)?;
        sqlx::query("INSERT INTO secrets (name, nonce, ciphertext) VALUES ($1, $2, $3) ON CONFLICT (name) DO UPDATE SET nonce = $2, ciphertext = $3")
            .bind(name)
            .bind(&nonce[..])
            .bind(sealed)
            .execute(db)
            .await?;
        Ok(())
    }

    /// The secret of that name.
    pub(crate) async fn get(
        &self,
        db: &mut AnyConnection,
        name: &str,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        let Some(row) =
            sqlx::query("SELECT nonce, ciphertext FROM secrets WHERE name = $1").bind(name).fetch_optional(db).await?
        else {
            return Ok(None);
        };
        let nonce: Vec<u8> = row.try_get(0)?;
        let nonce: [u8; 12] = nonce.try_into().map_err(|_| VaultError::WrongKey)?;
        let sealed: Vec<u8> = row.try_get(1)?;
        let payload = Payload { msg: &sealed, aad: name.as_bytes() };
        let secret = self.cipher.decrypt(&Nonce::from(nonce), payload).map_err(|_| VaultError::WrongKey)?;
        Ok(Some(Zeroizing::new(secret)))
    }
}

/// Writes a new file that only its owner may read: wholly or not at all, and never over an existing one.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", uuid::Uuid::new_v4()));
    let draft = path.with_file_name(name);
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&draft).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        // Unlike a rename, a link fails when another process was first.
        std::fs::hard_link(&draft, path)
    });
    let removed = std::fs::remove_file(&draft);
    written.and(removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_database;

    async fn store(folder: &Path) -> Store {
        Store::open(&test_database::url(folder)).await.unwrap()
    }

    #[tokio::test]
    async fn a_secret_opens_under_its_own_name_and_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path()).await;
        let file = folder.path().join("key");
        let vault = Vault::open(&file, &store).await.unwrap();
        let mut tx = store.begin().await.unwrap();
        vault.put(&mut tx, "one", b"secret").await.unwrap();
        assert_eq!(vault.get(&mut tx, "one").await.unwrap().unwrap().as_slice(), b"secret");
        sqlx::query("UPDATE secrets SET name = 'two' WHERE name = 'one'").execute(&mut *tx).await.unwrap();
        assert!(matches!(vault.get(&mut tx, "two").await, Err(VaultError::WrongKey)));
        tx.commit().await.unwrap();

        let other = folder.path().join("other");
        std::fs::write(&other, STANDARD.encode([7; 32])).unwrap();
        assert!(matches!(Vault::open(&other, &store).await, Err(VaultError::WrongKey)));
        assert!(matches!(Vault::open(&folder.path().join("gone"), &store).await, Err(VaultError::Missing(_))));
        std::fs::write(&other, "short").unwrap();
        assert!(matches!(Vault::open(&other, &store).await, Err(VaultError::NoKey(_))));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn nobody_else_may_read_the_key_or_the_database() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite:{}", folder.path().join("db").display())).await.unwrap();
        Vault::open(&folder.path().join("key"), &store).await.unwrap();
        for file in ["key", "db"] {
            let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }
}
