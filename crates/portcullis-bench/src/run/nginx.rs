//! nginx as the yardstick: a plain reverse proxy with everything in its favour and nothing else.
//!
//! Keep-alive on both sides without a request limit (the default of 1,000 would measure reconnects), default
//! buffering, no access log, one worker per core. It runs in a folder of its own and touches no system
//! service.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use super::service::Service;
use crate::client::Endpoint;

/// Starts `program` in front of `upstream`.
pub(crate) fn start(program: &Path, scratch: &Path, upstream: &Endpoint) -> anyhow::Result<Service> {
    let prefix = scratch.join("nginx");
    fs::create_dir_all(&prefix)?;
    // The workers may run as another user than we do.
    for folder in [scratch, &prefix] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    }
    let endpoint: Endpoint = format!("http://127.0.0.1:{}{}", free_port()?, upstream.path).parse()?;
    let config = prefix.join("nginx.conf");
    fs::write(&config, configuration(&endpoint.authority, &upstream.authority))?;
    let log = prefix.join("error.log");
    let mut command = Command::new(program);
    command.arg("-p").arg(&prefix).arg("-c").arg(&config).arg("-e").arg(&log);
    Service::start_at("nginx", command, &prefix.join("stderr.log"), endpoint).context("nginx")
}

/// nginx cannot say which port it took, so one is picked for it. Should another process take it in between,
/// nginx ends with an error that says so.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn configuration(listen: &str, upstream: &str) -> String {
    format!(
        r#"daemon off;
worker_processes auto;
pid nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path client_body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    keepalive_requests 100000000;
    upstream bench {{
        server {upstream};
        keepalive 64;
        keepalive_requests 100000000;
    }}
    server {{
        listen {listen};
        location / {{
            proxy_pass http://bench;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"#
    )
}
