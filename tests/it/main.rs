//! The integration tests: the built program, real servers on loopback, outside readers of the lake.

// A test crate exports nothing: `pub` says only which helpers are for other files.
#![allow(unreachable_pub, dead_code)]

mod contract;
mod layers;
mod outside;
mod readers;
mod sandbox;
