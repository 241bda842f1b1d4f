//! Which database: `sqlite:FILE`, or `postgres://…` with the rule that nobody else's server is spoken to without proof.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use url::Url;

/// What the URL may say beside user, host, port and database.
const PARAMETERS: [&str; 11] = [
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "host",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// The parsed URL. Nothing of it is for logs: there may be a password in it.
#[derive(Clone)]
pub(crate) enum DatabaseUrl {
    Sqlite { url: Url, file: PathBuf },
    Postgres { url: Url },
}

/// Why a database is not taken; never with anything of it that may be secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum UrlError {
    #[error("the database is sqlite:FILE or postgres://USER@HOST/DATABASE")]
    Scheme,
    #[error("the database URL knows no parameter {0}; docs/configuration.md has those that it knows")]
    Parameter(String),
    #[error(
        "sslmode={0} would not prove whose server it is: leave it out (verify-full is what is done), with \
         sslrootcert=FILE for a CA of your own; only a Unix socket or this machine's own address may have sslmode=disable"
    )]
    Unverified(String),
    #[error("the database URL cannot be read; a Unix socket is postgres://USER@%2Fvar%2Frun%2Fpostgresql/DATABASE")]
    Unreadable,
    #[error("PostgreSQL must be 14 or newer")]
    TooOld,
    #[error("the database is encoded in {0}; it must be UTF8 (CREATE DATABASE … ENCODING 'UTF8')")]
    Encoding(String),
}

impl DatabaseUrl {
    pub(crate) fn parse(text: &str) -> Result<Self, UrlError> {
        let url = Url::parse(text)
            .map_err(|_| if text.starts_with("postgres") { UrlError::Unreadable } else { UrlError::Scheme })?;
        match url.scheme() {
            "sqlite" => {
                let options = SqliteConnectOptions::from_str(text).map_err(|_| UrlError::Unreadable)?;
                Ok(Self::Sqlite { url, file: options.get_filename().into() })
            }
            "postgres" | "postgresql" => Ok(Self::Postgres { url: verified(url)? }),
            _ => Err(UrlError::Scheme),
        }
    }
}

/// The same URL, which says how the server is verified.
fn verified(mut url: Url) -> Result<Url, UrlError> {
    let mut pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    if let Some((unknown, _)) = pairs.iter().find(|(key, _)| !PARAMETERS.contains(&key.as_str())) {
        return Err(UrlError::Parameter(unknown.chars().take(40).collect()));
    }
    let asked = pairs.iter().rev().find(|(key, _)| key == "sslmode").map(|(_, mode)| mode.clone());
    // As the driver reads it, with what it takes from the environment.
    let options = PgConnectOptions::from_str(url.as_str()).map_err(|_| match &asked {
        Some(mode) if !matches!(mode.as_str(), "verify-full" | "disable") => UrlError::Unverified(mode.clone()),
        _ => UrlError::Unreadable,
    })?;
    let is_here = options.get_socket().is_some() || is_here(options.get_host());
    let mode = match asked.as_deref() {
        None if is_here => "disable",
        None | Some("verify-full") => "verify-full",
        Some("disable") if is_here => "disable",
        Some(other) => return Err(UrlError::Unverified(other.chars().take(40).collect())),
    };
    pairs.retain(|(key, _)| key != "sslmode");
    pairs.push(("sslmode".into(), mode.into()));
    if pairs.iter().all(|(key, _)| key != "application_name") {
        pairs.push(("application_name".into(), "provisioning-api".into()));
    }
    url.query_pairs_mut().clear().extend_pairs(pairs);
    Ok(url)
}

/// A folder of Unix sockets, or an address of this machine.
fn is_here(host: &str) -> bool {
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host.starts_with('/') || host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(text: &str) -> Result<String, UrlError> {
        match DatabaseUrl::parse(text)? {
            DatabaseUrl::Postgres { url } => {
                let modes: Vec<_> = url.query_pairs().filter(|(key, _)| key == "sslmode").collect();
                assert_eq!(modes.len(), 1);
                Ok(modes[0].1.to_string())
            }
            DatabaseUrl::Sqlite { .. } => panic!("{text} is SQLite"),
        }
    }

    #[test]
    fn another_machine_is_verified_whether_the_url_says_so_or_not() {
        for url in ["postgres://api@db.example/fleet", "postgres://api:pw@192.0.2.1:5433/fleet?sslmode=verify-full"] {
            assert_eq!(mode(url).unwrap(), "verify-full", "{url}");
        }
        for unverified in ["disable", "allow", "prefer", "require", "verify-ca", "none"] {
            for url in [
                format!("postgres://api@db.example/fleet?sslmode={unverified}"),
                format!("postgres:///fleet?host=db.example&sslmode={unverified}"),
                format!("postgres://localhost.example/fleet?sslmode=verify-full&sslmode={unverified}"),
            ] {
                assert_eq!(mode(&url).unwrap_err(), UrlError::Unverified(unverified.into()), "{url}");
            }
        }
    }

    #[test]
    fn this_machine_need_not_be_verified() {
        for url in [
            "postgres:///fleet?host=/var/run/postgresql",
            "postgres://api@%2Fvar%2Frun%2Fpostgresql/fleet",
            "postgresql://api@localhost/fleet",
            "postgres://api@127.0.0.1/fleet?sslmode=disable",
            "postgres://api@[::1]/fleet",
        ] {
            assert_eq!(mode(url).unwrap(), "disable", "{url}");
        }
        assert_eq!(mode("postgres://api@localhost/fleet?sslmode=verify-full").unwrap(), "verify-full");
        assert!(mode("postgres://api@localhost/fleet?sslmode=prefer").is_err());
    }

    #[test]
    fn what_is_refused_tells_no_secret() {
        for url in [
            "postgres://api:s3cret@db.example/fleet?passwd=s3cret",
            "mysql://api:s3cret@db/x",
            "s3cret",
            "postgres://api:s3cret@db.example:x/",
        ] {
            let refused = DatabaseUrl::parse(url).err().unwrap();
            assert!(!format!("{refused} {refused:?}").contains("s3cret"), "{refused}");
        }
    }
}
