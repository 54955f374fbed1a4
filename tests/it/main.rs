//! The integration tests: the built program, real servers on loopback, outside readers of the lake.

mod layers;
