//! End-to-end tests of the whole pairing; see the folder tests.
