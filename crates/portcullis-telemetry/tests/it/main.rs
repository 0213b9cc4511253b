//! Telemetry from outside: spans at a real collector, a log line on the real standard error.

mod collector;
mod logs;
mod traces;
