//! Every kind of store does the same, seen from outside.

mod journal;
mod postgres;
mod search;
mod server;
mod sqlite;
mod suite;
