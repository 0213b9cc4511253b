//! On what, when and with which versions a run was made.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The circumstances of a run, as text for the report.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    /// Name and value, in the report's order.
    pub(crate) facts: Vec<(&'static str, String)>,
}

impl Machine {
    /// Reads what this machine says of itself; what it does not say is left out.
    pub(crate) fn read(nginx: Option<&Path>, gateway: Option<&Path>) -> Self {
        let facts = [
            ("date", output(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))),
            ("processor", processor()),
            ("memory", memory()),
            ("kernel", read("/proc/sys/kernel/osrelease")),
            ("system", system()),
            ("load average at the start", read("/proc/loadavg")),
            ("nginx", nginx.and_then(|program| output(Command::new(program).arg("-v")))),
            ("portcullis", gateway.and_then(|program| output(Command::new(program).arg("--version")))),
            ("command", Some(command())),
        ];
        let known = facts.into_iter().filter_map(|(name, value)| Some((name, value?)));
        Self { facts: known.collect() }
    }
}

/// First line that a program prints, on whichever stream.
fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().map(str::to_owned)
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

fn processor() -> Option<String> {
    let text = read("/proc/cpuinfo")?;
    let models: Vec<&str> = text.lines().filter_map(|line| value(line, "model name")).collect();
    Some(format!("{} × {}", models.len(), models.first()?))
}

fn memory() -> Option<String> {
    let text = read("/proc/meminfo")?;
    let total = text.lines().find_map(|line| value(line, "MemTotal"))?;
    let kibibytes: u64 = total.strip_suffix("kB")?.trim().parse().ok()?;
    Some(format!("{} GiB", kibibytes.div_ceil(1 << 20)))
}

fn system() -> Option<String> {
    let text = read("/etc/os-release")?;
    let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches('"').to_owned())
}

/// The value of a `key : value` line.
fn value<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (name, value) = line.split_once(':')?;
    (name.trim() == key).then(|| value.trim())
}

/// The command line as it was given, without the folder of this program.
fn command() -> String {
    let arguments = std::env::args().skip(1);
    std::iter::once("portcullis-bench".to_owned()).chain(arguments).collect::<Vec<_>>().join(" ")
}
