//! Stand-in for the state store: only what fetching needs, in memory.
#![expect(missing_docs, reason = "replaced by the state store when the branches meet")]

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;
use crate::time::Instant;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedResponse {
    pub etag: Option<String>,
    pub last_modified: Option<String>,
    pub fresh_until: Option<Instant>,
    pub body: Vec<u8>,
    pub link: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub struct State {
    responses: Arc<Mutex<HashMap<(String, String), CachedResponse>>>,
}

impl State {
    pub async fn open(_path: &Path) -> Result<State> {
        Ok(State::default())
    }

    pub async fn cached_response(&self, pipeline: &str, key: &str) -> Result<Option<CachedResponse>> {
        let responses = self.responses.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(responses.get(&(pipeline.to_owned(), key.to_owned())).cloned())
    }

    pub async fn store_response(
        &self,
        pipeline: &str,
        key: &str,
        response: &CachedResponse,
        _now: Instant,
    ) -> Result<()> {
        let mut responses = self.responses.lock().unwrap_or_else(PoisonError::into_inner);
        responses.insert((pipeline.to_owned(), key.to_owned()), response.clone());
        Ok(())
    }
}
