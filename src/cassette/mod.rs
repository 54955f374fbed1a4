//! Cassettes: the platform's answers as they came, kept for some days so that a lake can be rebuilt from them without a
//! request, a bug can be shown to others, and an API can be played back.
//!
//! One file per unit: `<lake>/_raw/<pipeline>/<date>/<moment>-<unit digest>.jsonl.zst`, JSON lines that `zstdcat` shows.
//! The first line is the [`Header`], then one [`Line`] after the other. No line holds a secret: every text goes through
//! the client's masking before it is compressed.
//!
//! | file | what |
//! |---|---|
//! | `format` | the lines as types |
//! | [`tape`] | records one unit's exchanges, compressed as they come |
//! | [`shelf`] | the files: writing, listing, opening, removing the old |
//! | [`recording`] | what a run records, and what it could not |
//! | [`play`] | from a cassette back to rows |
//! | [`export`] | one plain file for a bug report, with or without names |
//! | [`fixtures`] | answer files and a scenario for tests |
//! | [`index`] | which recorded answer a request gets |
//! | [`server`] | an HTTP server that gives them |

pub mod export;
pub mod fixtures;
mod format;
pub mod index;
pub mod play;
pub mod recording;
pub mod server;
pub mod shelf;
pub mod tape;

pub use export::Disguise;
pub use format::{
    Exchange, FORMAT, Failure, GoneAccount, Header, Line, PartLine, RecordedAccount, RecordedRun, RecordedUnit, Span,
    is_harmless,
};
pub use index::Index;
pub use recording::Recording;
pub use shelf::{Cassette, Kept, Lines, Shelf};
pub use tape::{Seen, Tape};
