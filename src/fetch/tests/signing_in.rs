//! Signing in against a token server.
