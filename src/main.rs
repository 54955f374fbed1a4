//! The program `hourmark`: everything is in the library.
fn main() {}
