//! What evidence costs: the same calls through gateways that keep none, that keep it in `normal`, and in `strict`.
//!
//! They run beside each other and take turns. Their logs are in the folder of the run, and so on its disk. In `strict` each call
//! waits for the disk before it is answered, and one of a tool that may change something also before it is made.

use std::path::Path;

use super::gateway::{self, Gateway};
use super::scale::Scale;
use super::turns::{self, Contender, Turns};
use crate::client::Endpoint;
use crate::echo::TEXT_BYTES;
use crate::upstream::CHANGES;

/// The ways in which evidence is kept; the last is `strict` again, with a tool that may change something.
pub(crate) const MODES: [&str; 4] = ["off", "normal", "strict", "strict, a tool that may change something"];

/// Measures all of them.
pub(crate) fn measure(
    program: &Path,
    scratch: &Path,
    upstream: &Endpoint,
    scale: &Scale,
) -> anyhow::Result<Turns> {
    let servers = gateway::either_era(upstream);
    let start = |mode: &str| -> anyhow::Result<Gateway> {
        let folder = scratch.join(format!("evidence-{mode}"));
        std::fs::create_dir(&folder)?;
        Gateway::start(program, &folder, &format!("{servers}audit: {{ mode: \"{mode}\" }}\n"))
    };
    let gateways = [start(MODES[0])?, start(MODES[1])?, start(MODES[2])?];
    let mut contenders: Vec<_> =
        gateways.iter().map(|gateway| Contender::new(gateway.server("up"), Some(gateway.pid()))).collect();
    let strict = &gateways[2];
    contenders.push(Contender { tool: CHANGES, ..Contender::new(strict.server("up"), Some(strict.pid())) });
    turns::take("evidence", scale, &contenders, TEXT_BYTES)
}
