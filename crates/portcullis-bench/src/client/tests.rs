//! Endpoints: what is accepted as a URL.

use super::{Endpoint, InvalidEndpoint};

#[test]
fn reads_host_port_and_path() {
    let endpoint: Endpoint = "http://127.0.0.1:80/mcp/s/up".parse().unwrap();
    assert_eq!(endpoint.address.port(), 80);
    assert_eq!((endpoint.authority.as_str(), endpoint.path.as_str()), ("127.0.0.1:80", "/mcp/s/up"));
    assert_eq!("http://127.0.0.1:80".parse::<Endpoint>().unwrap().path, "/");
}

#[test]
fn refuses_what_it_cannot_reach() {
    assert_eq!("https://127.0.0.1:80/".parse::<Endpoint>(), Err(InvalidEndpoint::Scheme));
    assert_eq!("http://nowhere/mcp".parse::<Endpoint>(), Err(InvalidEndpoint::Unresolved("nowhere".into())));
}
