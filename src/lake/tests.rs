//! The lake's promises, on real files in a temporary folder.

mod changing;
mod chunks;
mod dropping;
mod failing;
mod fixture;
mod ordering;
mod quarantine;
mod restating;
mod rewriting;
mod splicing;
mod swapping;
mod types;
mod versions;
