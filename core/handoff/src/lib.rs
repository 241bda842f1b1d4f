//! Device protocols as sans-IO state machines, both roles.
