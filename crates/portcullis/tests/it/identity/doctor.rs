//! `portcullis doctor auth`: against our own gateway, against what is wrong with it, and against nobody.

use std::process::{Command, Output};

use serde_json::{Value, json};

use super::facade;
use crate::harness::{Fake, Gateway, Upstream};

async fn doctor(args: &[&str], token: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
    command.arg("doctor").arg("auth").args(args);
    if let Some(token) = token {
        command.args(["--token-env", "TOKEN"]).env("TOKEN", token);
    }
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn findings(output: &Output) -> Vec<Value> {
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    told["findings"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_gateway_whose_name_is_not_the_url_is_told_so() {
    // It calls itself by its public URL, and is asked by its address: what a client behind a wrong name meets.
    let scene = facade::Scene::new().await;
    let url = format!("http://{}/mcp", scene.gateway.address);
    let output = doctor(&[&url, "--json"], None).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let findings = findings(&output);
    let wrong: Vec<_> = findings.iter().filter(|it| it["verdict"] == "failed").collect();
    assert!(
        wrong.iter().any(|it| it["step"] == "resource-metadata" && it["field"] == "resource"),
        "{wrong:#?}"
    );
}

#[tokio::test]
async fn a_login_of_our_own_is_good_all_the_way_and_a_stranger_s_token_is_not() {
    let idp = crate::harness::idp::Idp::start().await;
    let upstream = Fake::modern().start().await;
    // Without `public_url`, it is called by its address.
    let config = json!({
        "servers": {"x": upstream.config()},
        "identity": {"facade": {"idp": {"issuer": idp.issuer, "client_id": "gateway"}}},
    });
    let gateway = Gateway::start(&config);
    let url = format!("http://{}/mcp", gateway.address);
    let output = doctor(&[&url, "--json"], None).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(findings(&output).iter().all(|it| it["verdict"] == "ok"), "{output:?}");
    let foreign = idp.token("ada");
    let output = doctor(&[&url, "--json"], Some(&foreign)).await;
    assert_eq!(output.status.code(), Some(1));
    let fields: Vec<_> = findings(&output).iter().map(|it| it["field"].clone()).collect();
    assert!(fields.contains(&json!("iss")) && fields.contains(&json!("Authorization")), "{fields:?}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains(&foreign));
    let text = doctor(&[&url], None).await;
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.starts_with("ok ") && text.ends_with("a client can log in here\n"), "{text}");
}

#[tokio::test]
async fn what_is_wrong_is_named_and_nobody_there_is_another_exit_code() {
    let broken = Upstream::start(|_, answer| async move { answer.json(404, &json!({})).await }).await;
    let output = doctor(&[&broken.url], None).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("failed")
            && text.contains("challenge")
            && text.contains("`status`")
            && text.contains("-> "),
        "{text}"
    );
    let away = doctor(&["http://127.0.0.1:9/mcp", "--json"], None).await;
    assert_eq!((away.status.code(), findings(&away)[0]["verdict"].clone()), (Some(3), json!("unreachable")));
    let usage = doctor(&[&broken.url, "--token-env", "NO_SUCH_VARIABLE"], None).await;
    assert_eq!(usage.status.code(), Some(2));
}
