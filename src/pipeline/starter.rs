//! The file that `hourmark new` writes.

/// A commented pipeline file to start from, for a platform called `name`. It passes [`parse`](super::parse) as it is,
/// and shows every key of the format.
pub fn starter(name: &str) -> String {
    include_str!("starter.toml").replace("acme", name).replace("ACME", &name.to_uppercase())
}
