//! The cluster, and what is run of an image, in the shape of the file.

use serde_json::{Value, json};

use super::{secrets, without_nulls};
use crate::units::show_duration;
use crate::{ClusterAuth, Image, Kubernetes, SandboxNetwork};

/// The cluster. How it is reached is shown as it was found; the file says where to look.
pub(super) fn kubernetes(kubernetes: &Kubernetes) -> Value {
    let access = &kubernetes.access;
    json!({
        "server": access.server.to_string(),
        "auth": match &access.auth {
            ClusterAuth::None => "none".to_owned(),
            ClusterAuth::Token(_) => "token".to_owned(),
            ClusterAuth::TokenFile(file) => format!("token from {}", file.display()),
            ClusterAuth::Certificate { .. } => "client certificate".to_owned(),
        },
        "namespace": kubernetes.namespace,
        "instance": kubernetes.instance,
        "image_pull_secrets": kubernetes.image_pull_secrets,
        "gateway": without_nulls(json!({
            "labels": kubernetes.gateway.labels,
            "namespace": kubernetes.gateway.namespace,
            "cidrs": (!kubernetes.gateway.cidrs.is_empty()).then_some(&kubernetes.gateway.cidrs),
        })),
        "start_timeout": show_duration(kubernetes.start_timeout),
    })
}

/// Puts what is said of an image in the place of what is said of a server behind a URL.
pub(super) fn image(server: &mut Value, image: &Image) {
    for key in ["url", "transport", "tls"] {
        server[key] = Value::Null;
    }
    server["image"] = json!(image.reference);
    server["args"] = json!(image.args);
    server["env"] = json!(secrets(&image.env));
    server["idle_stop"] = json!(image.idle_stop.map(show_duration));
    server["container"] = without_nulls(json!({
        "command": (!image.command.is_empty()).then_some(&image.command),
        "port": image.port,
        "path": image.path,
        "cpu": image.cpu,
        "memory": image.memory,
        "tmp": image.tmp,
        "user": image.user,
        "network": if image.network == SandboxNetwork::Any { "any" } else { "none" },
        "ports": match &image.network {
            SandboxNetwork::Ports(ports) => json!(ports),
            SandboxNetwork::None | SandboxNetwork::Any => Value::Null,
        },
        "cidrs": (!image.cidrs.is_empty()).then_some(&image.cidrs),
    }));
}
