//! The report: Markdown that is printed as it is and committed as it was printed.

use std::fmt::Write as _;

use super::Found;
use super::elicitation::{self, Elicitations};
use super::evidence::MODES;
use super::layers::{GUARDED_BYTES, POLICIES};
use super::listing::{Lists, SERVERS, TOOLS};
use super::machine::Machine;
use super::matrix::{CONNECTIONS, Matrix, Way, cells};
use super::memory::Memory;
use super::path;
use super::sample::{Sample, median};
use super::scale::Scale;
use super::targets::Verdict;
use super::turns::Turns;

const INTRODUCTION: &str = "# Performance

These are the figures of one run of `portcullis-bench run`, as it printed them. `make bench` makes such a run
on your machine. The absolute figures say little about another machine; the ratios carry over better.

Each call is a `tools/call` with arguments that occur only once, over a keep-alive connection, answered with
1 KB of text that is compared with the arguments in full. The generator, the upstream and what is between them
share the machine, and the ways to the upstream take turns round by round. *direct* is the upstream alone,
*nginx* a plain reverse proxy in front of it, *portcullis* the gateway with default settings.
In the closed loop each connection sends its next call when the last is answered. In the open loop calls are
due on a schedule, at half of what nginx reaches in the closed loop, and latency counts from the moment a call
was due. Figures are medians over the rounds, and shares are taken within a round before; a p99 is that of the calls of
all rounds together. CPU per call is user and system time of the hop's processes.
";

/// Renders everything that was found.
pub(crate) fn render(machine: &Machine, scale: &Scale, found: &Found, verdicts: &[Verdict]) -> String {
    let Found { matrix, elicitations, layers, guard, evidence, path, memory, lists } = found;
    let sections = [
        INTRODUCTION.to_owned(),
        circumstances(machine, scale),
        targets(verdicts),
        calls(matrix, false),
        calls(matrix, true),
        resident(matrix, memory.as_ref()),
        guarded(layers),
        read(guard),
        kept(evidence),
        steps(path),
        aggregate(lists),
        asking(elicitations, scale),
    ];
    sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
}

fn circumstances(machine: &Machine, scale: &Scale) -> String {
    let mut text = "## The run\n\n| | |\n|---|---|\n".to_owned();
    for (name, value) in &machine.facts {
        row(&mut text, &[(*name).to_owned(), value.clone()]);
    }
    let Scale { rounds, warmup, measured, .. } = scale;
    row(
        &mut text,
        &[
            "measured".into(),
            format!("{rounds} rounds of {measured:?} each after {warmup:?} of warm-up; medians"),
        ],
    );
    text
}

fn targets(verdicts: &[Verdict]) -> String {
    let mut text = "## Targets\n\n| target | bound | measured | |\n|---|---|---:|---|\n".to_owned();
    for verdict in verdicts {
        let figure = verdict.figure.clone().unwrap_or_else(|| "–".into());
        row(&mut text, &[verdict.what.clone(), verdict.bound.clone(), figure, verdict.word().into()]);
    }
    text
}

fn calls(matrix: &Matrix, open: bool) -> String {
    let title = if open { "Open loop" } else { "Closed loop" };
    let mut text = format!(
        "## {title}\n\n| era | connections | way | calls/s | of nginx | p50 ms | p99 ms | p99 of nginx | CPU µs/call | unfinished |\n\
         |---|---:|---|---:|---:|---:|---:|---:|---:|---:|\n"
    );
    for cell in cells(open) {
        for way in [Way::Direct, Way::Nginx, Way::Portcullis] {
            let Some(samples) = matrix.samples.get(&(cell, way)) else { continue };
            let figure =
                |figure: fn(&Sample) -> f64, digits| number(matrix.median(cell, way, figure), digits);
            let unfinished: u64 = samples.iter().map(|sample| sample.unfinished).sum();
            row(
                &mut text,
                &[
                    cell.era.to_string(),
                    cell.connections.to_string(),
                    way.to_string(),
                    figure(|sample| sample.per_second, 0),
                    // On a schedule, calls per second are set and not found.
                    if open { "–".to_owned() } else { number(matrix.share_of_nginx(cell, way), 2) },
                    figure(|sample| sample.p50_ms, 3),
                    number(matrix.p99_ms(cell, way), 3),
                    number(matrix.p99_to_nginx(cell, way), 2),
                    number(median(samples.iter().filter_map(|sample| sample.cpu_us)), 1),
                    unfinished.to_string(),
                ],
            );
        }
    }
    text
}

const ELICITATION: &str = "## Elicitation

A tool asks its client for one value (a form elicitation) and is answered at once. What is measured is the whole call, in a
closed loop, from its first request to its answer, which has to contain the value. A modern client is told `input_required`
and calls again on the same connection; a legacy client reads the question from the call's event stream and posts the value
on a second connection, so that one call keeps two of them busy. What a legacy server asks is collected for a moment before a
modern client is told: that moment is in the figures. *direct* is the same client with the same server and nothing between,
where they speak the same era.

";

fn asking(elicitations: &Elicitations, scale: &Scale) -> String {
    if elicitations.samples.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "{ELICITATION}Rounds: {}; medians.\n\n| client | server | connections | way | calls/s | of direct | p50 ms | p99 ms | \
         CPU µs/call | unfinished |\n|---|---|---:|---|---:|---:|---:|---:|---:|---:|\n",
        scale.elicitations
    );
    for cell in elicitation::cells() {
        let (pair, connections) = cell;
        let per_second = |way| elicitations.median(cell, way, |sample| Some(sample.per_second));
        let direct = per_second(Way::Direct);
        for way in [Way::Direct, Way::Portcullis] {
            let Some(samples) = elicitations.samples.get(&(cell, way)) else { continue };
            let figure = |figure: fn(&Sample) -> Option<f64>, digits| {
                number(elicitations.median(cell, way, figure), digits)
            };
            let unfinished: u64 = samples.iter().map(|sample| sample.unfinished).sum();
            let share = per_second(way).zip(direct).map(|(ours, direct)| ours / direct);
            row(
                &mut text,
                &[
                    pair.client.to_string(),
                    pair.server.to_string(),
                    connections.to_string(),
                    way.to_string(),
                    number(per_second(way), 0),
                    number(share, 2),
                    figure(|sample| Some(sample.p50_ms), 3),
                    figure(|sample| Some(sample.p99_ms), 3),
                    figure(|sample| sample.cpu_us, 1),
                    unfinished.to_string(),
                ],
            );
        }
    }
    text
}

fn resident(matrix: &Matrix, memory: Option<&Memory>) -> String {
    let mut text =
        "## Resident memory\n\nSums over all processes of a tree; shared pages count for each of them.\n\n| | MB |\n|---|---:|\n"
            .to_owned();
    for (way, bytes) in &matrix.resident {
        row(&mut text, &[format!("{way} after the load above"), megabytes(*bytes)]);
    }
    if let Some(memory) = memory {
        let Memory { idle, sessions, loaded, opening } = memory;
        row(&mut text, &["portcullis, fresh and idle".into(), megabytes(*idle)]);
        row(
            &mut text,
            &[
                format!("portcullis with {sessions} idle legacy sessions, opened in {opening:.1?}"),
                megabytes(*loaded),
            ],
        );
    }
    text
}

fn guarded(layers: &Turns) -> String {
    let about = format!(
        "*on*: each call brings an access token (a JWT), and is held against {POLICIES} policies. *off*: neither is configured."
    );
    layer("Identity and policy", &about, layers)
}

fn read(layers: &Turns) -> String {
    let about = format!(
        "*on*: arguments and results are read by the guard in its baseline, which finds nothing in them. *off*: it is not \
         configured. The results have {GUARDED_BYTES} bytes of text."
    );
    layer("Guard", &about, layers)
}

fn layer(title: &str, about: &str, layers: &Turns) -> String {
    let [off, on] = &layers.samples[..] else {
        return String::new();
    };
    let mut text = format!(
        "## {title}\n\nThe same calls through two gateways beside each other, in a closed loop over {} connections. \
         {about}\n\n\
         | {} | calls/s | of off | p50 ms | p99 ms | CPU µs/call | unfinished |\n|---|---:|---:|---:|---:|---:|---:|\n",
        CONNECTIONS[1],
        title.to_lowercase()
    );
    for (name, samples, ratio) in [("off", off, None), ("on", on, layers.share(1, 0))] {
        sampled(&mut text, name, samples, ratio);
    }
    text
}

fn kept(evidence: &Turns) -> String {
    if evidence.samples.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "## Evidence\n\nThe same calls through gateways that keep no evidence, keep it in `normal`, and in `strict`, in a closed \
         loop over {} connections. In `strict` each call waits for the disk before it is answered; one of a tool that may change \
         something waits for it before it is made, too.\n\n\
         | evidence | calls/s | of off | p50 ms | p99 ms | CPU µs/call | unfinished |\n|---|---:|---:|---:|---:|---:|---:|\n",
        CONNECTIONS[1]
    );
    for (mode, (name, samples)) in MODES.iter().zip(&evidence.samples).enumerate() {
        let ratio = if mode == 0 { None } else { evidence.share(mode, 0) };
        sampled(&mut text, name, samples, ratio);
    }
    text
}

fn steps(path: &Turns) -> String {
    if path.samples.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "## The whole path\n\nThe same calls directly, through nginx, and through gateways of which each has one thing more \
         switched on, in turns, in a closed loop over {} connections. *bare* has default settings. *identity*: each call brings an \
         access token. *policy*: it is held against {POLICIES} policies. *guard*: arguments and results are read. *evidence*: each \
         call is an event of the log.\n\n\
         | way | calls/s | of nginx | of the step before | p50 ms | p99 ms | CPU µs/call | unfinished |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|\n",
        CONNECTIONS[1]
    );
    for (step, (name, samples)) in path::STEPS.iter().zip(&path.samples).enumerate() {
        let before = (step > path::NGINX + 1).then(|| path.share(step, step - 1)).flatten();
        let shares = [path.share(step, path::NGINX), before].map(|share| number(share, 2));
        measured(&mut text, name, samples, &shares);
    }
    text
}

fn sampled(text: &mut String, name: &str, samples: &[Sample], ratio: Option<f64>) {
    measured(text, name, samples, &[number(ratio, 2)]);
}

fn measured(text: &mut String, name: &str, samples: &[Sample], shares: &[String]) {
    let figure = |figure: fn(&Sample) -> f64, digits| number(median(samples.iter().map(figure)), digits);
    let unfinished: u64 = samples.iter().map(|sample| sample.unfinished).sum();
    let mut cells = vec![name.to_owned(), figure(|sample| sample.per_second, 0)];
    cells.extend_from_slice(shares);
    cells.extend([
        figure(|sample| sample.p50_ms, 3),
        figure(|sample| sample.p99_ms, 3),
        number(median(samples.iter().filter_map(|sample| sample.cpu_us)), 1),
        unfinished.to_string(),
    ]);
    row(text, &cells);
}

fn aggregate(lists: &[Lists]) -> String {
    if lists.is_empty() {
        return String::new();
    }
    let mut text = format!(
        "## Aggregate `tools/list`\n\n{SERVERS} servers behind `/mcp` with {TOOLS} tools, all pages, warm. *Anybody* is shown all of \
         them; *a token* brings a JWT with each request, and {POLICIES} policies show it half.\n\n\
         | era | who | lists | pages | KB | p50 ms | p99 ms |\n|---|---|---:|---:|---:|---:|---:|\n"
    );
    for Lists { era, guarded, times, pages, bytes } in lists {
        let who = if *guarded { "a token" } else { "anybody" }.to_owned();
        let ms = |quantile| number(Some(times.quantile(quantile).as_secs_f64() * 1e3), 2);
        let (count, kilobytes) = (times.count().to_string(), (bytes / 1000).to_string());
        row(&mut text, &[era.to_string(), who, count, pages.to_string(), kilobytes, ms(0.5), ms(0.99)]);
    }
    text
}

fn row(text: &mut String, cells: &[String]) {
    writeln!(text, "| {} |", cells.join(" | ")).expect("writing to a String cannot fail");
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
}

fn megabytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "bytes of a process")]
    let megabytes = bytes as f64 / 1e6;
    format!("{megabytes:.1}")
}

#[cfg(test)]
mod tests;
