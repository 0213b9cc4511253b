//! What the report shows of the figures that it is given.

use std::time::Duration;

use super::render;
use crate::run::Found;
use crate::run::elicitation::{Elicitations, PAIRS, Tally};
use crate::run::listing::Lists;
use crate::run::machine::Machine;
use crate::run::matrix::{Cell, Matrix, Way};
use crate::run::memory::Memory;
use crate::run::sample::Sample;
use crate::run::scale::Scale;
use crate::run::targets::judge;
use crate::run::turns::Turns;
use crate::wire::Era;

#[test]
fn shows_figures_ratios_and_verdicts() {
    let mut matrix = Matrix::default();
    let cell = Cell { era: Era::Modern, open: false, connections: 32 };
    let nginx = Sample { per_second: 20_000.0, p50_ms: 1.0, p99_ms: 2.0, cpu_us: Some(20.0), unfinished: 0 };
    let ours = Sample { per_second: 19_000.0, cpu_us: None, unfinished: 3, ..nginx };
    matrix.samples.insert((cell, Way::Nginx), vec![nginx]);
    matrix.samples.insert((cell, Way::Portcullis), vec![ours]);
    let latencies = |ms| [Duration::from_millis(ms)].into_iter().collect();
    matrix.latencies.insert((cell, Way::Nginx), latencies(2));
    matrix.latencies.insert((cell, Way::Portcullis), latencies(5));
    let memory =
        Memory { idle: 20_000_000, sessions: 10_000, loaded: 80_000_000, opening: Duration::from_secs(2) };
    let times = [Duration::from_micros(2500)].into_iter().collect();
    let mut elicitations = Elicitations::default();
    elicitations.samples.insert(((PAIRS[0], 32), Way::Direct), vec![nginx]);
    let asked = Sample { per_second: 5_000.0, cpu_us: Some(71.26), ..nginx };
    elicitations.samples.insert(((PAIRS[0], 32), Way::Portcullis), vec![asked]);
    elicitations.samples.insert(((PAIRS[1], 1), Way::Portcullis), vec![asked]);
    elicitations.tallies.insert(PAIRS[0], Tally { answered: 12, wrong: 0, lost: 1 });
    let lists = vec![Lists { era: Era::Modern, guarded: false, times, pages: 4, bytes: 500_000 }];
    let turns =
        |samples: &[Sample]| Turns { samples: samples.iter().map(|one| vec![*one]).collect(), wrong: None };
    let (layers, guard) = (turns(&[nginx, ours]), turns(&[nginx, ours]));
    let evidence = turns(&[nginx, ours, asked, asked]);
    let path = turns(&[nginx, nginx, ours, ours, ours, ours, asked]);
    let found = Found { matrix, elicitations, layers, guard, evidence, path, memory: Some(memory), lists };
    let scale = Scale::full();
    let verdicts = judge(&found, &scale);
    let machine = Machine { facts: vec![("kernel", "6.1".into())] };
    let report = render(&machine, &scale, &found, &verdicts);
    for line in [
        "| kernel | 6.1 |",
        "| modern | 32 | nginx | 20000 | 1.00 | 1.000 | 2.000 | 1.00 | 20.0 | 0 |",
        "| modern | 32 | portcullis | 19000 | 0.95 | 1.000 | 5.000 | 2.50 | – | 3 |",
        "| throughput as a share of nginx's, modern era, closed loop, 32 connections | at least 0.9 | 0.95 | PASS |",
        "| p99 as a multiple of nginx's, modern era, closed loop, 32 connections | at most 2 | 2.50 | MISS |",
        "| resident memory for each idle legacy session, of 10000 | under 10 KB | 6.00 KB | PASS |",
        "| portcullis with 10000 idle legacy sessions, opened in 2.0s | 80.0 |",
        "| modern | anybody | 1 | 4 | 500 | 2.50 | 2.50 |",
        "| throughput with a token and 500 policies as a share of that without | at least 0.85 | 0.95 | PASS |",
        "| throughput with the guard as a share of that without, results of 4096 bytes | at least 0.85 | 0.95 | PASS |",
        "| on | 19000 | 0.95 | 1.000 | 2.000 | – | 3 |",
        "| throughput with evidence in `normal` as a share of that without | at least 0.9 | 0.95 | PASS |",
        "| throughput with evidence in `strict` as a share of that without | at least 0.5 | 0.25 | MISS |",
        "| strict | 5000 | 0.25 | 1.000 | 2.000 | 71.3 | 0 |",
        "| throughput with everything on as a share of nginx's | at least 0.6 | 0.25 | MISS |",
        "| nginx | 20000 | 1.00 | – | 1.000 | 2.000 | 20.0 | 0 |",
        "| bare | 19000 | 0.95 | – | 1.000 | 2.000 | – | 3 |",
        "| + evidence (`normal`) | 5000 | 0.25 | 0.26 | 1.000 | 2.000 | 71.3 | 0 |",
        "| calls that ask, modern client, modern server: answered with the elicited value | all | 12, 0 wrong, 1 lost | MISS |",
        "| modern | modern | 32 | direct | 20000 | 1.00 | 1.000 | 2.000 | 20.0 | 0 |",
        "| modern | modern | 32 | portcullis | 5000 | 0.25 | 1.000 | 2.000 | 71.3 | 0 |",
        "| modern | legacy | 1 | portcullis | 5000 | – | 1.000 | 2.000 | 71.3 | 0 |",
    ] {
        assert!(report.lines().any(|found| found == line), "{line}\nis not in\n{report}");
    }
}
