//! What the tests of this crate share.
// Helpers of tests may panic as tests do; clippy's own exception sees only the test functions.
#![allow(clippy::unwrap_used, clippy::expect_used)]
// Each test program uses its own part of it.
#![allow(dead_code)]

pub(crate) mod app;
pub(crate) mod azure;
pub(crate) mod endpoint;
