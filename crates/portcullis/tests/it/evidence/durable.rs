//! That strict mode waits for the disk, and not only for the operating system: what a killed process wrote is there without it, what a
//! machine without power wrote is not. A library of a few lines stands between the gateway and `fdatasync`.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Fake, Gateway, Modern, until};

fn library(folder: &Path) -> std::path::PathBuf {
    let (source, built) = (folder.join("sync.c"), folder.join("sync.so"));
    std::fs::write(&source, include_str!("sync.c")).unwrap();
    let mut compile = Command::new("cc");
    compile.args(["-shared", "-fPIC", "-o"]).args([&built, &source]).arg("-ldl");
    assert!(compile.status().unwrap().success());
    built
}

/// A gateway in strict mode whose waits for the disk are counted in `counts`, and fail while there is a file `fails`.
fn start(log: &Value, servers: &Value) -> Gateway {
    let folder = tempfile::tempdir().unwrap();
    let config = json!({
        "listen": "127.0.0.1:0", "servers": servers, "audit": {"mode": "strict", "node": "gw", "log": log},
    });
    std::fs::write(folder.path().join("portcullis.json"), config.to_string()).unwrap();
    std::fs::write(folder.path().join("counts"), "").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.args(["serve", "--config", "portcullis.json"]);
    command.env("LD_PRELOAD", library(folder.path()));
    command.env("SYNC_COUNTS", folder.path().join("counts")).env("SYNC_FAILS", folder.path().join("fails"));
    Gateway::spawn(folder, command)
}

#[tokio::test]
async fn strict_waits_for_the_disk_and_refuses_when_it_fails() {
    let upstream = Fake::modern().start().await;
    let servers = json!({"x": upstream.config()});
    for log in [json!({"kind": "files"}), json!({"kind": "sqlite"})] {
        let gateway = start(&log, &servers);
        let waits = || std::fs::metadata(gateway.folder().join("counts")).unwrap().len();
        let client = Modern::at("/mcp/s/x");
        let call = async || {
            let params = json!({"name": "echo", "arguments": {}});
            client.request(&gateway, "tools/call", params).await.status()
        };
        assert_eq!(call().await, 200);
        for _ in 0..10 {
            let before = waits();
            assert_eq!(call().await, 200);
            // For what is about to be done, and for how it ended.
            assert!(waits() >= before + 2, "{log}");
        }
        let fails = gateway.folder().join("fails");
        std::fs::write(&fails, "").unwrap();
        let asked = upstream.count("tools/call");
        assert_eq!(call().await, 503, "{log}");
        assert_eq!(upstream.count("tools/call"), asked, "it was not made");
        std::fs::remove_file(&fails).unwrap();
        until("calls", async || call().await == 200).await;
        let mut verify = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        verify.args(["audit", "verify", "audit"]).current_dir(gateway.folder());
        assert!(verify.output().unwrap().status.success(), "{log}");
    }
}
