//! What the tests of this crate share.
// Each test program uses its own part of it.
#![allow(dead_code)]

pub(crate) mod app;
pub(crate) mod endpoint;
