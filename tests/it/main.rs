//! The integration tests: the built program, real servers on loopback, outside readers of the lake.

#![allow(unreachable_pub)]

mod disk;
mod faults;
mod hours;
mod layers;
mod lease;
mod quota;
mod recovery;
mod restatement;
mod sandbox;
mod story;
