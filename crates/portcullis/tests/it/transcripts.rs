//! The minimum matrix of the protocol's corners: each row a transcript, between every client and every server.
//!
//! `rows/` has the transcripts; `text.rs` says how they are written, `lines.rs` what their lines can be. `player.rs` plays one
//! side of one, over a `client.rs` or a `server.rs`; `table.rs` plays all pairs, `page.rs` lists them; `setting.rs` has what some
//! rows need besides: users with tokens, policies. A transcript has a script for each side, often one
//! for each era of it, and knows nothing of pairs: what a client says and hears depends on the client, what a server
//! hears and says on the server, and the gateway stands between. Where a pair is different, the row has a script for
//! it; where something cannot be carried, the row says so and why, and has scripts for what happens instead.
//!
//! `PAIR=http-2025-11-25--stdio-2026-07-28 cargo nextest run -p portcullis transcripts::call` runs one pair.

mod client;
mod ends;
mod lines;
mod matching;
mod page;
mod player;
mod server;
mod setting;
mod table;
mod text;
mod wire;

macro_rules! rows {
    ($($name:ident)*) => {
        /// Every row, by its name.
        const ROWS: &[&str] = &[$(stringify!($name)),*];
        $(
            #[tokio::test]
            async fn $name() {
                table::play(read(stringify!($name))).await;
            }
        )*
    };
}

use ends::End;
use text::Transcript;

rows! {
    asked_by_prompts_and_resources
    asked_on_the_standalone_stream
    asked_outside_calls
    bad_base64
    bad_base64_of_arguments
    batches
    call
    cancelled_while_asked
    cancelling
    changes_that_nobody_tells
    choice_of_several
    client_dies_while_asked
    content_of_newer_revisions
    declined_sampling
    elicitation_by_form
    elicitation_by_url
    elicitation_completed
    elicitation_outside_calls
    empty_string_cursor
    errors_of_servers
    errors_of_the_other_era
    float_elicitation_value
    ids
    list_and_paging
    list_changed
    logs
    logs_outside_calls
    nested_mirrored_header
    oversized_header
    paging
    pings
    policy_changes_in_mid_list
    progress
    prompts_resources_and_completion
    question_expires
    resource_not_found
    resource_updates
    restart_mid_call
    roots
    sampling
    sampling_outside_calls
    sampling_with_tools
    server_dies_while_asked
    several_questions_at_once
    several_rounds
    structured_content
    structured_content_as_text
    task_asks
    task_cancelled
    task_hosted
    tasks_asked_for
    tasks_of_the_extension
    token_expires
    two_users_at_once
    two_users_one_asked
    unknown_method
}

/// The items of the minimum matrix, in its order.
const ITEMS: &[&str] = &[
    "batch",
    "list+paging",
    "call",
    "progress",
    "cancel by both signals",
    "form/URL elicitation",
    "sampling with tools",
    "roots",
    "logs",
    "subscribe/list_changed",
    "tasks both kinds",
    "resource-not-found",
    "unknown method",
    "oversized header",
    "bad Base64",
    "nested `x-mcp-header`",
    "empty-string cursor",
    "float elicitation value",
    "`id` as string/number echo",
    "upstream restart mid-call",
    "token expiry on an open stream",
    "RBAC change while a snapshot cursor is live",
    "two users with one shared upstream credential",
];

fn folder() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/transcripts/rows")
}

/// Read when it is played, so that a row is written without a build.
fn read(name: &str) -> Transcript {
    let text = std::fs::read_to_string(folder().join(name).with_extension("txt"));
    Transcript::read(&text.unwrap_or_else(|error| panic!("{name}: {error}")))
}

#[test]
fn every_row_is_played_and_every_item_has_one() {
    let files = std::fs::read_dir(folder()).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<String> =
        files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    files.sort();
    assert_eq!(files, ROWS);
    let rows: Vec<Transcript> = ROWS.iter().map(|name| read(name)).collect();
    for row in &rows {
        assert!(ITEMS.contains(&row.item.as_str()), "`{}` is not in the matrix", row.item);
        assert!(!table::pairs(row).is_empty(), "a row for nobody: {}", row.about);
        table::check_losses(row);
    }
    for item in ITEMS {
        assert!(rows.iter().any(|row| row.item == *item), "{item}");
    }
}

/// Each item is played over every pair of transports, in each pair of eras; batches, which one revision has, in some of them,
/// and what is wrong with headers from those clients that send them.
#[test]
fn every_item_is_played_over_every_pair_of_transports() {
    let rows: Vec<Transcript> = ROWS.iter().map(|name| read(name)).collect();
    for item in ITEMS {
        let kind = |end: End| (end.transport, end.is_modern() && *item != "batch");
        let of_item = rows.iter().filter(|row| row.item == *item);
        let played: Vec<_> = of_item.flat_map(table::pairs).map(|(a, b)| (kind(a), kind(b))).collect();
        let can_be = |client: &End| match *item {
            "batch" => client.is("2025-03-26"),
            "oversized header" => !client.is("stdio"),
            "bad Base64" => client.is_modern() && client.is("http"),
            _ => true,
        };
        for (client, server) in ends::pairs().filter(|(client, _)| can_be(client)) {
            assert!(played.contains(&(kind(client), kind(server))), "{item}: {client} before {server}");
        }
    }
}

#[test]
fn the_page_is_fresh() {
    if std::env::var_os("REFRESH").is_some() {
        page::refresh();
    }
    let (is, should) = (page::published(), page::page());
    for (number, (is, should)) in is.lines().zip(should.lines()).enumerate() {
        assert_eq!(is, should, "line {} of {}; `make generate` mends it", number + 1, page::PLACE);
    }
    assert!(is == should, "{} is not fresh; `make generate` mends it", page::PLACE);
}
