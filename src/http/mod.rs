//! HTTP: sending requests and keeping what may be kept. Owns the connections; decides nothing about retries.
//!
//! | file | what |
//! |---|---|
//! | [`client`] | the one place that sends: signs, bounds time and size, masks |
//! | [`transport`] | why no answer was read |
//! | [`cache`] | what may be kept of a list |
//! | [`oauth2`] | token requests and what is answered to them |
//! | [`kept`] | the file in which a rotated refresh token is kept |
//! | [`jwt`], [`oauth1`], [`proof`] | signatures, pure |

pub mod cache;
pub mod client;
pub mod jwt;
pub mod kept;
pub mod oauth1;
pub mod oauth2;
pub mod proof;
pub mod transport;
