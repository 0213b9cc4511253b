//! The gateway as its users and its enemies meet it: the real binary, real sockets, real children.
//!
//! One binary, a module for each concern; `harness` is what they share. Nothing here waits for time to pass where it
//! can wait for an event, and every wait has a deadline.

mod harness;

mod aggregate;
mod apps;
mod cli;
mod connect;
mod delegation;
mod discovery;
mod drain;
mod evidence;
mod guard;
mod hostile_client;
mod hostile_server;
mod identity;
mod interactive;
mod kubernetes;
mod lifecycle;
mod limits;
mod openapi;
mod oversight;
mod packages;
mod policy;
mod polling;
mod readers;
mod registry;
mod reload;
mod rollout;
mod rotation;
mod sessions;
mod skills;
mod sse;
mod subscriptions;
mod surface;
mod tasks;
mod tls;
mod toolsets;
mod transcripts;
mod translation;
mod watching;
