//! Starts the real parts in one process for tests.
