//! A certified OpenID provider (npm's `oidc-provider`) over TLS, and a person with a browser who signs in there.
//!
//! Needs Node and `npm ci` in this folder: `cargo xtask test oidc` sees to both. Tests that use it are `#[ignore]`d
//! elsewhere; README.md says how to write one.
#![allow(clippy::expect_used, clippy::missing_panics_doc)] // a test that cannot set its provider up has failed

mod browser;
mod provider;

pub use browser::{Browser, Page};
pub use provider::{Options, Provider};
