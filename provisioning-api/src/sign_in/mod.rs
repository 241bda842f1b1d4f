//! The embedded authorization server: an invite lets one app in, once; what it gets is a session of short access tokens
//! and refresh tokens that rotate.
//!
//! RFC 6749 with PKCE (7636), for native apps (8252), devices without a browser (8628), revocation (7009), and what
//! RFC 9700 asks of all that.

pub(crate) mod codes;
pub(crate) mod device_flow;
pub(crate) mod grants;
pub(crate) mod invites;
pub(crate) mod sessions;

/// The one client: the installer's app in all its forms. It is public; PKCE stands in for a secret.
pub(crate) const CLIENT_ID: &str = "lowtouch";

/// Why a sign-in does not go on, with the codes of RFC 6749 (5.2) and RFC 8628 (3.5).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SignInError {
    /// Used, ended, withdrawn, another's or never there: one answer for all.
    #[error("it is used, ended or unknown; ask for a new one")]
    InvalidGrant,
    #[error("the sign-in was not approved yet")]
    AuthorizationPending,
    #[error("too soon; wait 5 seconds longer between two requests")]
    SlowDown,
    #[error("the sign-in was not approved in time; begin again")]
    ExpiredToken,
    #[error("the database cannot be used")]
    Database(#[from] sqlx::Error),
    #[error("no random numbers")]
    Random(#[from] getrandom::Error),
}
