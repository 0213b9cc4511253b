//! What happens to the gateway itself.
