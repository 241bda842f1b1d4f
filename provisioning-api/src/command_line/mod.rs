//! The commands of the executable, by topic.

pub(crate) mod audit;
pub(crate) mod import;
pub(crate) mod orders;
pub(crate) mod people;
