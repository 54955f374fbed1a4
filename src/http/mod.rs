//! HTTP: sending requests and keeping what may be kept. Owns the connections; decides nothing about retries.

pub mod cache;
pub mod client;
pub mod transport;
