//! A client whose requests carry an access token: how long that holds, and the same client with the next one.

use chrono::TimeDelta;
use reqwest::header::AUTHORIZATION;

use super::super::oauth2::{Granted, Identity};
use super::{Client, TokenLife};
use crate::error::{Error, Result};
use crate::pipeline::{Grant, OAuth2};
use crate::secret::Secret;
use crate::time::Instant;

/// Whether a client's signature holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenState {
    /// It does.
    Good,
    /// It does, and it is time to renew it.
    Ending,
    /// There is no access token, or none that holds.
    Gone,
}

impl TokenLife {
    /// The life of a token that was asked for at `asked_at`: renewed `ahead` of its end, but not before the half of its
    /// time, or a token that lives no longer than that would be renewed with every request.
    fn of(granted: &Granted, asked_at: Instant, ahead: std::time::Duration) -> TokenLife {
        let Some(lifetime) = granted.lifetime else { return TokenLife::Endless };
        let after = |time: std::time::Duration| {
            let time = TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX);
            asked_at.checked_add_signed(time).unwrap_or(Instant::MAX_UTC)
        };
        TokenLife::Until { renew_at: after(lifetime - ahead.min(lifetime / 2)), ends_at: after(lifetime) }
    }

    fn at(self, now: Instant) -> TokenState {
        match self {
            TokenLife::Endless => TokenState::Good,
            TokenLife::Missing => TokenState::Gone,
            TokenLife::Until { ends_at, .. } if ends_at <= now => TokenState::Gone,
            TokenLife::Until { renew_at, .. } if renew_at <= now => TokenState::Ending,
            TokenLife::Until { .. } => TokenState::Good,
        }
    }
}

impl Client {
    /// Whether requests can be sent as they are.
    pub fn token_state(&self, now: Instant) -> TokenState {
        self.life.at(now)
    }

    /// Sees to it that all secrets are there, so that a run does not begin without them. No token is fetched.
    pub(super) fn await_token(&mut self, rules: &OAuth2) -> Result<()> {
        let identity = Identity::read(rules)?;
        for secret in identity.secrets() {
            self.hide(secret.expose());
        }
        if let Grant::RefreshToken { token, keep } = &rules.grant {
            match token.resolve() {
                Ok(secret) => self.hide(secret.expose()),
                // What is kept goes before it, so it may have been taken away.
                Err(_) if keep.as_ref().is_some_and(|path| path.exists()) => {}
                Err(error) => return Err(error),
            }
        }
        self.life = TokenLife::Missing;
        Ok(())
    }

    /// The same client with the access token that was granted, asked for at `asked_at` with `secrets`. All connections are
    /// kept, and so is what is masked.
    ///
    /// # Errors
    /// A token that cannot be sent as a header.
    pub fn with_token(
        &self,
        granted: &Granted,
        secrets: &[Secret],
        asked_at: Instant,
        rules: &OAuth2,
    ) -> Result<Client> {
        let mut fresh = Client::blank(self.inner.clone(), self.api.clone(), self.clock);
        fresh.sources = self.sources.clone();
        fresh.parameters = self.parameters.clone();
        fresh.headers = self.headers.clone();
        fresh.remember(&self.secrets);
        fresh.remember(secrets);
        fresh.hide(granted.access.expose());
        if let Some(refresh) = &granted.refresh {
            fresh.hide(refresh.expose());
        }
        let value = format!("Bearer {}", granted.access.expose());
        fresh.add_header(AUTHORIZATION.as_str(), &value, &rules.token_url).map_err(|_| {
            let place = super::place(&rules.token_url);
            Error::platform(format!("the access token that {place} gave cannot be sent as a header"))
        })?;
        fresh.life = TokenLife::of(granted, asked_at, rules.refresh_ahead);
        fresh.in_use = fresh.secrets.len();
        Ok(fresh)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(text: &str) -> Instant {
        text.parse().expect("an instant")
    }

    fn life(lifetime: Option<u64>, ahead: u64) -> TokenLife {
        let granted = Granted { access: Secret::new("a"), lifetime: lifetime.map(Duration::from_secs), refresh: None };
        TokenLife::of(&granted, at("2026-11-20T12:00:00Z"), Duration::from_secs(ahead))
    }

    #[test]
    fn a_token_is_renewed_ahead_of_its_end() {
        let hour = life(Some(3600), 300);
        let states = ["12:54:59", "12:55:00", "12:59:59", "13:00:00"].map(|t| hour.at(at(&format!("2026-11-20T{t}Z"))));
        assert_eq!(states, [TokenState::Good, TokenState::Ending, TokenState::Ending, TokenState::Gone]);
    }

    /// It would be renewed with every request.
    #[test]
    fn a_token_that_lives_no_longer_than_that_is_renewed_at_its_half() {
        let minute = life(Some(60), 300);
        let states = ["12:00:29", "12:00:30", "12:01:00"].map(|t| minute.at(at(&format!("2026-11-20T{t}Z"))));
        assert_eq!(states, [TokenState::Good, TokenState::Ending, TokenState::Gone]);
    }

    #[test]
    fn a_token_without_an_end_and_one_that_is_not_there() {
        let later = at("2126-11-20T12:00:00Z");
        assert_eq!(life(None, 300).at(later), TokenState::Good);
        assert_eq!(life(Some(u64::MAX), 300).at(later), TokenState::Good, "no overflow");
        assert_eq!(TokenLife::Missing.at(later), TokenState::Gone);
    }
}
