//! Credentials, against an outside that a test writes.
