//! Credentials, against an outside that a test writes.

mod attacks;
mod connecting;
mod grants;
mod lasting;
mod secrets;
mod world;
