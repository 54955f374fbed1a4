//! The integration tests: the built program, real servers on loopback, outside readers of the lake.

// A test crate exports nothing: `pub` says only which helpers are for other files.
#![allow(unreachable_pub, dead_code)]
// Tests say on standard error that they were skipped, and why.
#![allow(clippy::print_stderr)]

mod answers;
mod campaigns;
mod commands;
mod contract;
mod costs;
mod disk;
mod documents;
mod errors;
mod faults;
mod foretold;
mod gaps;
mod hours;
mod layers;
mod lease;
mod live;
mod new;
mod outside;
mod platforms;
mod quality;
mod quota;
mod quota_accounts;
mod quota_restarts;
mod quota_told;
mod readers;
mod reconcile;
mod record;
mod recovery;
mod reference;
mod replay;
mod reports;
mod restatement;
mod restatement_log;
mod rewrite;
mod sample;
mod sandbox;
mod served;
mod signing_in;
mod story;
mod truth;
mod unknown;
mod vocabulary;
mod walk;
