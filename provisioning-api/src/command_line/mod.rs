//! The commands of the executable, by topic.

pub(crate) mod orders;
pub(crate) mod people;
