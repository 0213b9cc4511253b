//! The table as a page of the documentation, made from the rows.

use std::fmt::Write as _;
use std::path::Path;

use super::ends::{self, End, groups};
use super::table::{LOSSES, count};
use super::text::{Need, Side, Transcript};
use super::{ITEMS, ROWS, read};

/// Where it is, seen from the crate.
pub(super) const PLACE: &str = "../../docs/reference/matrix.md";

/// The page as it has to be.
pub(super) fn page() -> String {
    let rows: Vec<(&str, Transcript)> = ROWS.iter().map(|name| (*name, read(name))).collect();
    let mut page = String::from(HEAD);
    let named = |ends: Vec<End>| ends.iter().map(|end| format!("{end}")).collect::<Vec<_>>().join(", ");
    for (clients, servers) in groups() {
        let number = clients.len() * servers.len();
        let (clients, servers) = (named(clients), named(servers));
        let _ = writeln!(page, "- {clients} **before** {servers}: {number} pairs.");
    }
    let (clients, servers) = (ends::clients().count(), ends::servers().count());
    let (all, possible) = (ends::pairs().count(), clients * servers);
    let _ = writeln!(
        page,
        "\nThat is {all} pairs of the {possible} that {clients} clients and {servers} servers can make.\n"
    );
    let pairs: usize = rows.iter().map(|(_, row)| count(row).0).sum();
    let _ = writeln!(page, "{} rows, {pairs} pairs that carry them.\n", rows.len());
    page.push_str("| of the matrix | row | what it shows | between | pairs |\n|---|---|---|---|---|\n");
    for item in ITEMS {
        for (name, row) in rows.iter().filter(|(_, row)| row.item == *item) {
            let (carried, lost) = count(row);
            let lost = if lost == 0 { String::new() } else { format!(", {lost} cannot") };
            let between = between(&row.needs);
            let _ = writeln!(page, "| {item} | `{name}` | {} | {between} | {carried}{lost} |", row.about);
        }
    }
    page.push_str(CANNOT);
    for (name, row) in &rows {
        for loss in &row.losses {
            let (client, server) = (words(&loss.client, "client"), words(&loss.server, "server"));
            let which = LOSSES[loss.number - 1];
            let _ = writeln!(page, "| `{name}` | {client}, {server} | {which} | {} |", loss.why);
        }
    }
    page
}

fn words(words: &[String], side: &str) -> String {
    if words.is_empty() { format!("any {side}") } else { format!("{side} {}", words.join(" ")) }
}

fn between(needs: &[Need]) -> String {
    let of = |side: Side, name: &str| {
        let mut all = vec![name.to_owned()];
        for need in needs.iter().filter(|need| need.side == side) {
            all.extend(need.from.iter().map(|from| format!("from {from} on")));
            all.extend(need.words.iter().map(|word| match word.strip_prefix('!') {
                Some(word) => format!("not {word}"),
                None => word.clone(),
            }));
        }
        if all.len() == 1 { format!("any {name}") } else { all.join(" ") }
    };
    format!("{}, {}", of(Side::Client, "client"), of(Side::Server, "server"))
}

/// The page as it is.
pub(super) fn published() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(PLACE)).unwrap_or_default()
}

/// Writes the page.
pub(super) fn refresh() {
    std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join(PLACE), page()).unwrap();
}

const HEAD: &str = "\
# What is tested between clients and servers

<!-- Made from crates/portcullis/tests/it/transcripts/rows; refresh with `make generate`. -->

Each row is a transcript of what one client and one server say and hear on the wire. It is played against the built program
and compared message by message. What is not in the transcript must not come. The rows are those of the minimum matrix of
the protocol's corners.

A row is played between all of the following pairs that it concerns. In them every transport in each of its eras, on the
client's side, meets every transport in each of its eras on the server's side, and so does every revision of a client with each
transport of servers, and every revision of a server with each transport of clients; not every revision meets every other:

";

const CANNOT: &str = "
## What cannot be carried

These pairs are played as well: the transcripts say what happens instead, and the test fails when anything else does. More is in
[eras](../concept/eras.md).

| row | between | what is lost | why |
|---|---|---|---|
";
