//! Every kind of store does the same, seen from outside.

mod postgres;
mod server;
mod sqlite;
mod suite;
