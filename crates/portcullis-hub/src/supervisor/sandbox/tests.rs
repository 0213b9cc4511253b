//! What a sandbox needs of a machine.

use super::{Host, Lack, Limits, Network, Sandbox};

const EVERYTHING: Host =
    Host { files: true, ports: true, scopes: true, calls: true, namespaces: true, root: false };

fn counted() -> Sandbox {
    Sandbox { limits: Limits { processes: Some(8), ..Limits::default() }, ..Sandbox::default() }
}

#[test]
fn a_machine_that_has_everything_lacks_nothing() {
    assert_eq!(counted().lacks(&EVERYTHING), []);
}

#[test]
fn each_thing_that_a_machine_lacks_is_named() {
    let nothing = Host { root: false, ..Host::default() };
    let sandbox = Sandbox { user: Some("mcp".to_owned()), ..counted() };
    let lacks = [Lack::Files, Lack::Ports, Lack::Scopes, Lack::Calls, Lack::Processes, Lack::User];
    assert_eq!(sandbox.lacks(&nothing), lacks);
}

#[test]
fn only_what_is_asked_for_is_lacking() {
    let host = Host { ports: false, namespaces: false, ..EVERYTHING };
    assert_eq!(Sandbox { network: Network::Any, ..Sandbox::default() }.lacks(&host), []);
    assert_eq!(Sandbox::default().lacks(&host), [Lack::Ports]);
}

#[test]
fn root_counts_no_processes_of_its_own() {
    let host = Host { root: true, ..EVERYTHING };
    assert_eq!(counted().lacks(&host), [Lack::Processes]);
    assert_eq!(Sandbox { user: Some("mcp".to_owned()), ..counted() }.lacks(&host), []);
}
