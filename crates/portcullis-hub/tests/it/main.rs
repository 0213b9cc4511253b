//! The supervisor with real processes: that they start as told, and that nothing is left of them, whoever dies.

mod calls;
mod life;
mod processes;
mod sandbox;
mod stderr;
mod survivors;

use std::{path::Path, time::Duration};

use portcullis_hub::{Child, Command, Supervisor};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::ChildStdout,
    time,
};

/// The keeper's program; see its source.
const FIXTURE: &str = env!("CARGO_BIN_EXE_keeper-fixture");

/// For what must happen; generous, for the machine may be busy.
const DEADLINE: Duration = Duration::from_secs(20);

fn supervisor() -> Supervisor {
    Supervisor::new(Path::new(FIXTURE))
}

/// `script` for `/bin/sh`.
fn sh(script: &str) -> Command {
    command("/bin/sh", &["-c", script])
}

fn command(program: &str, args: &[&str]) -> Command {
    Command {
        server: "files".parse().expect("a slug"),
        program: program.to_owned(),
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        env: Vec::new(),
        secrets: Vec::new(),
        cwd: None,
        sandbox: None,
        packages: None,
    }
}

async fn spawn(supervisor: &Supervisor, command: &Command) -> Child {
    supervisor.spawn(command).await.expect("it starts")
}

/// Reads lines of a child's stdout, each within the deadline.
struct Lines(tokio::io::Lines<BufReader<ChildStdout>>);

impl Lines {
    fn of(stdout: ChildStdout) -> Self {
        Self(BufReader::new(stdout).lines())
    }

    async fn next(&mut self) -> Option<String> {
        within(self.0.next_line()).await.expect("stdout is readable text")
    }
}

async fn within<T>(what: impl Future<Output = T>) -> T {
    time::timeout(DEADLINE, what).await.expect("it happens before the deadline")
}
