//! What a configuration came to, in the shape of the file: `portcullis config show --effective`.

mod guard;
mod kubernetes;
mod openapi;
mod toolset;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::units::show_duration;
use crate::{
    Anonymous, Apps, Audit, AuditLog, AuditMode, CallLimit, CredentialKind, Credentials, DefinitionsMode,
    Dpop, Each, EraPin, Facade, FactKind, Flow, FlowMode, HttpTransport, HttpUpstream, Identity, Issuer,
    Limits, LogFormat, OauthClient, OauthClientAuth, Otlp, OtlpProtocol, Policy, PolicyMode, Readers, Region,
    Sandbox, SandboxNetwork, Secret, SecretVault, Server, Settings, Sharing, Stdio, Store, Transport,
    VaultAuth,
};

/// The settings with every default filled in, keyed like the file; keys without a value are left out.
///
/// A secret shows as `{ "value": "***", "from": "env NAME" }`, the query of an upstream URL as `***`.
pub fn effective(settings: &Settings) -> Value {
    let servers: Map<_, _> = settings.servers.iter().map(|(id, it)| (id.to_string(), server(it))).collect();
    without_nulls(json!({
        "listen": settings.listen.to_string(),
        "public_url": settings.public_url,
        "tls": settings.tls.as_ref().map(|tls| json!({
            "cert": tls.cert.display().to_string(),
            "key": tls.key.display().to_string(),
            "client_ca": tls.client_ca.as_ref().map(|path| path.display().to_string()),
        })),
        "store": store(&settings.store),
        "secrets": settings.secrets.as_ref().map(|vault| json!({ "vault": secret_vault(vault) })),
        "servers": servers,
        "kubernetes": settings.kubernetes.as_ref().map(kubernetes::kubernetes),
        "identity": identity(&settings.identity),
        "policy": settings.policy.as_ref().map(policy),
        "audit": settings.audit.as_ref().map(audit),
        "witness": settings.witness.as_ref().map(|witness| json!({
            "key": secret(&witness.key), "logs": witness.logs,
        })),
        "toolsets": settings.toolsets.iter().map(|(id, it)| (id.to_string(), toolset::toolset(it))).collect::<Map<_, _>>(),
        "discovery": toolset::finding(settings),
        "registry": {
            "import": settings.registry.import.as_ref().map(|import| json!({
                "namespaces": import.namespaces, "packages": import.packages, "remotes": import.remotes,
            })),
            "advisories": settings.registry.advisories.as_ref().map(|path| path.display().to_string()),
            "packages": {
                "npm": settings.registry.packages.npm,
                "pypi": settings.registry.packages.pypi,
                "folder": settings.registry.packages.folder.display().to_string(),
            },
        },
        "definitions": { "mode": match settings.definitions {
            DefinitionsMode::TrustFirstUse => "trust-first-use",
            DefinitionsMode::Approve => "approve",
            DefinitionsMode::Off => "off",
        } },
        "flow": settings.flow.as_ref().map(flow),
        "approvals": {
            "tools": settings.approvals.tools,
            "by": if settings.approvals.by_operator { "operator" } else { "user" },
            "needed": settings.approvals.needed,
            "lifetime": show_duration(settings.approvals.lifetime),
            "webhook": settings.approvals.webhook.as_ref().map(|webhook| json!({
                "url": webhook.url,
                "token": webhook.token.as_ref().map(secret),
                "ca": webhook.ca.as_ref().map(|path| path.display().to_string()),
            })),
        },
        "halt": {
            "all": settings.halt.all,
            "servers": settings.halt.servers,
            "tools": settings.halt.tools,
            "principals": settings.halt.principals,
        },
        "guard": settings.guard.as_ref().map(guard::guard),
        "http": {
            "allowed_origins": settings.http.allowed_origins,
            "allowed_hosts": settings.http.allowed_hosts,
        },
        "limits": limits(&settings.limits),
        "telemetry": {
            "log": {
                "format": match settings.telemetry.log.format {
                    LogFormat::Auto => "auto",
                    LogFormat::Json => "json",
                    LogFormat::Pretty => "pretty",
                },
                "filter": settings.telemetry.log.filter,
            },
            "otlp": settings.telemetry.otlp.as_ref().map(otlp),
            "metrics": settings.telemetry.metrics,
            "allow": settings.telemetry.allow.as_ref().map(readers),
        },
        "workers": settings.workers,
    }))
}

fn secret_vault(vault: &SecretVault) -> Value {
    let auth = match &vault.auth {
        VaultAuth::Token(token) => json!({ "kind": "token", "token": secret(token) }),
        VaultAuth::AppRole { mount, role_id, secret_id } => json!({
            "kind": "approle", "mount": mount, "role_id": role_id, "secret_id": secret(secret_id),
        }),
        VaultAuth::Jwt { mount, role, file } => json!({
            "kind": "jwt", "mount": mount, "role": role, "token_file": file.display().to_string(),
        }),
    };
    json!({
        "url": vault.url,
        "namespace": vault.namespace,
        "ca": vault.ca.as_ref().map(|file| file.display().to_string()),
        "auth": auth,
        "max_age": show_duration(vault.max_age),
    })
}

fn store(store: &Store) -> Value {
    match store {
        Store::Memory => json!({ "kind": "memory" }),
        Store::Sqlite { path } => json!({ "kind": "sqlite", "path": path.display().to_string() }),
        Store::Postgres { url, ca } => json!({
            "kind": "postgres",
            "url": secret(url),
            "ca": ca.as_ref().map(|path| path.display().to_string()),
        }),
    }
}

fn policy(policy: &Policy) -> Value {
    let facts = |facts: &BTreeMap<String, FactKind>| -> Map<_, _> {
        facts.iter().map(|(name, kind)| (name.clone(), json!(fact(*kind)))).collect()
    };
    json!({
        "files": policy.texts.iter().map(|text| text.file.display().to_string()).collect::<Vec<_>>(),
        "mode": match policy.mode {
            PolicyMode::Enforce => "enforce",
            PolicyMode::Shadow => "shadow",
        },
        "roles": policy.roles,
        "groups": policy.groups,
        "labels": policy.labels,
        "claims": facts(&policy.claims),
        "arguments": facts(&policy.arguments),
    })
}

fn flow(flow: &Flow) -> Value {
    let region = |region: &Region| {
        let shown = json!({
            "data": region.data,
            "servers": region.servers,
            "groups": region.groups,
            "principals": region.principals,
        });
        (region.name.clone(), shown)
    };
    json!({
        "private": flow.private,
        "untrusted": flow.untrusted,
        "external": flow.external,
        "regions": flow.regions.iter().map(region).collect::<Map<_, _>>(),
        "mode": match flow.mode {
            FlowMode::Ask => "ask",
            FlowMode::Deny => "deny",
            FlowMode::Observe => "observe",
        },
        "window": show_duration(flow.window),
        "per": if flow.per_session { "session" } else { "principal" },
    })
}

fn audit(audit: &Audit) -> Value {
    json!({
        "mode": match audit.mode {
            AuditMode::Strict => "strict",
            AuditMode::Normal => "normal",
        },
        "path": audit.path.display().to_string(),
        "log": match &audit.log {
            AuditLog::Files => json!({ "kind": "files" }),
            AuditLog::Sqlite => json!({ "kind": "sqlite" }),
            AuditLog::Postgres { url, ca } => json!({
                "kind": "postgres",
                "url": secret(url),
                "ca": ca.as_ref().map(|path| path.display().to_string()),
            }),
        },
        "node": audit.node,
        "key": audit.key.as_ref().map(secret),
        "secret": audit.secret.as_ref().map(secret),
        "retention_days": audit.retention_days,
        "payloads": if audit.keeps_payloads { "encrypted" } else { "digest" },
        "checkpoint_interval": show_duration(audit.checkpoint_interval),
        "checkpoints": audit.checkpoints.as_ref().map(|path| path.display().to_string()),
        "witnesses": audit.witnesses.iter().map(|witness| json!({
            "url": witness.url, "key": witness.key, "ca": witness.ca.as_ref().map(|path| path.display().to_string()),
        })).collect::<Vec<_>>(),
        "timestamps": audit.timestamps.as_ref().map(|stamps| json!({
            "url": stamps.url,
            "every": show_duration(stamps.every),
            "ca": stamps.ca.as_ref().map(|path| path.display().to_string()),
        })),
        "allow": audit.allow.as_ref().map(readers),
        "admins": audit.admins.as_ref().map(readers),
        "systems": audit.systems.iter().map(|(name, system)| (name.clone(), json!({
            "servers": system.servers,
            "clients": system.clients,
            "purpose": system.purpose,
            "risk": system.risk,
            "model": system.model,
            "deployer": system.deployer,
            "data": system.data,
            "legal_basis": system.legal_basis,
            "retention_days": system.retention_days,
        }))).collect::<Map<_, _>>(),
    })
}

fn readers(readers: &Readers) -> Value {
    json!({ "groups": readers.groups, "principals": readers.principals })
}

fn fact(kind: FactKind) -> &'static str {
    match kind {
        FactKind::String => "string",
        FactKind::Integer => "integer",
        FactKind::Decimal => "decimal",
        FactKind::Boolean => "boolean",
        FactKind::Strings => "strings",
    }
}

fn server(server: &Server) -> Value {
    let mut shown = match &server.transport {
        Transport::Stdio(it) => stdio(it),
        Transport::Http(it) => http(it),
    };
    shown["era"] = json!(match server.era {
        EraPin::Auto => "auto",
        EraPin::Legacy => "legacy",
        EraPin::Modern => "modern",
    });
    shown["sharing"] = json!(match server.sharing {
        Sharing::Shared => "shared",
        Sharing::Session => "session",
    });
    shown["enabled"] = json!(server.enabled);
    shown["call_timeout"] = json!(show_duration(server.call_timeout));
    shown["list_ttl"] = json!(show_duration(server.list_ttl));
    shown["probe"] = json!(server.probe.map(show_duration));
    shown["max_concurrent"] = json!(server.max_concurrent);
    shown["apps"] = apps(&server.apps);
    shown["description"] = json!(server.description);
    if let Transport::Http(HttpUpstream { openapi: Some(api), .. }) = &server.transport {
        openapi::openapi(&mut shown, api);
    }
    if let Transport::Http(HttpUpstream { image: Some(image), .. }) = &server.transport {
        kubernetes::image(&mut shown, image);
    }
    shown
}

fn identity(identity: &Identity) -> Value {
    let issuer = |issuer: &Issuer| {
        without_nulls(json!({
            "issuer": issuer.issuer,
            "audience": issuer.audience,
            "groups_claim": issuer.groups_claim,
            "groups_prefix": (!issuer.groups_prefix.is_empty()).then_some(&issuer.groups_prefix),
            "algorithms": (!issuer.algorithms.is_empty()).then_some(&issuer.algorithms),
            "jwks_url": issuer.jwks_url,
            "introspection": issuer.introspection.as_ref().map(|it| json!({
                "url": it.url,
                "client_id": it.client_id,
                "client_secret": it.client_secret.as_ref().map(secret),
                "client_key": it.client_key.as_ref().map(secret),
                "client_key_id": it.client_key_id,
            })),
            "tenants": issuer.tenants.as_ref().map(|tenants| &tenants.allowed),
            "tenant_claim": issuer.tenants.as_ref().map(|tenants| &tenants.claim),
            "untyped": issuer.untyped,
            "max_lifetime": show_duration(issuer.max_lifetime),
            "step_up": issuer.step_up,
            "ca": issuer.ca.as_ref().map(|path| path.display().to_string()),
        }))
    };
    let file = |path: &std::path::Path| json!({ "file": path.display().to_string() });
    json!({
        "anonymous": match identity.anonymous {
            Anonymous::Allow => "allow",
            Anonymous::Deny => "deny",
        },
        "issuers": (!identity.issuers.is_empty())
            .then(|| identity.issuers.iter().map(issuer).collect::<Vec<_>>()),
        "facade": identity.facade.as_ref().map(facade),
        "keys": identity.keys.as_ref().map(|keys| file(&keys.file)),
        "scopes": (!identity.scopes.is_empty()).then_some(&identity.scopes),
        "step_up": (!identity.step_up.is_empty()).then_some(&identity.step_up),
        "dpop": (identity.dpop != Dpop::default())
            .then(|| json!({ "required": identity.dpop.required, "nonce": identity.dpop.nonce })),
        "login": identity.login.as_ref().map(|login| without_nulls(json!({
            "issuer": login.issuer,
            "client_id": login.client.id,
            "client_secret": match &login.client.auth {
                OauthClientAuth::Basic(it) => Some(secret(it)),
                _ => None,
            },
            "scopes": (!login.scopes.is_empty()).then_some(&login.scopes),
            "ca": login.ca.as_ref().map(|path| path.display().to_string()),
        }))),
        "revoked": identity.revoked.as_ref().map(|list| file(&list.file)),
    })
}

fn facade(facade: &Facade) -> Value {
    let path = |path: &std::path::Path| path.display().to_string();
    let idp = &facade.idp;
    let clients = facade.clients.iter().map(|(id, client)| {
        let shown = without_nulls(json!({
            "name": client.name,
            "redirect_uris": client.redirect_uris,
            "secret": client.secret.as_ref().map(secret),
            "jwks": client.jwks.as_ref().map(|(file, _)| path(file)),
            "client_credentials": client.client_credentials,
            "groups": client.groups,
        }));
        (id.clone(), shown)
    });
    json!({
        "idp": {
            "issuer": idp.issuer,
            "client_id": idp.client_id,
            "client_secret": idp.client_secret.as_ref().map(secret),
            "client_key": idp.client_key.as_ref().map(secret),
            "client_key_id": idp.client_key_id,
            "profile": idp.profile,
            "scopes": (!idp.scopes.is_empty()).then_some(&idp.scopes),
            "groups_claim": idp.groups_claim,
            "tenants": idp.tenants.as_ref().map(|tenants| &tenants.allowed),
            "tenant_claim": idp.tenants.as_ref().map(|tenants| &tenants.claim),
            "ca": idp.ca.as_deref().map(path),
        },
        "key": facade.key.as_ref().map(secret),
        "clients": clients.collect::<Map<_, _>>(),
        "documents": {
            "enabled": facade.documents.enabled,
            "hosts": facade.documents.hosts,
            "internal": facade.documents.internal,
            "ca": facade.documents.ca.as_deref().map(path),
        },
        "registration": facade.registration,
        "id_jag": facade.id_jag,
        "access_ttl": show_duration(facade.access_ttl),
        "session_ttl": show_duration(facade.session_ttl),
    })
}

fn apps(apps: &Apps) -> Value {
    if *apps == Apps::default() {
        return Value::Null;
    }
    json!({
        "connect_domains": apps.connect_domains,
        "resource_domains": apps.resource_domains,
        "frame_domains": apps.frame_domains,
        "base_uri_domains": apps.base_uri_domains,
        "permissions": apps.permissions,
    })
}

fn stdio(stdio: &Stdio) -> Value {
    json!({
        "command": stdio.command,
        "args": stdio.args,
        "env": secrets(&stdio.env),
        "cwd": stdio.cwd.as_ref().map(|path| path.display().to_string()),
        "inherit_env": stdio.inherit_env,
        "idle_stop": stdio.idle_stop.map(show_duration),
        "max_instances": stdio.max_instances,
        "spare": stdio.spare,
        "sandbox": stdio.sandbox.as_deref().map(sandbox),
    })
}

fn sandbox(sandbox: &Sandbox) -> Value {
    let paths = |paths: &[std::path::PathBuf]| -> Vec<String> {
        paths.iter().map(|path| path.display().to_string()).collect()
    };
    json!({
        "read": paths(&sandbox.read),
        "write": paths(&sandbox.write),
        "network": if sandbox.network == SandboxNetwork::Any { "any" } else { "none" },
        "ports": match &sandbox.network {
            SandboxNetwork::Ports(ports) => ports.as_slice(),
            SandboxNetwork::None | SandboxNetwork::Any => &[],
        },
        "memory": sandbox.memory,
        "processes": sandbox.processes,
        "open_files": sandbox.open_files,
        "file_size": sandbox.file_size,
        "user": sandbox.user,
        "missing": if sandbox.best_effort { "allow" } else { "refuse" },
    })
}

fn http(http: &HttpUpstream) -> Value {
    let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
    json!({
        "url": http.url.to_string(),
        "transport": match http.transport {
            HttpTransport::Auto => "auto",
            HttpTransport::Streamable => "streamable-http",
            HttpTransport::Sse => "sse",
        },
        "headers": secrets(&http.headers),
        "credentials": http.credentials.as_deref().map(credentials),
        "tls": (http.url.expose().scheme_str() == Some("https")).then(|| json!({
            "ca": path(&http.tls.ca),
            "cert": path(&http.tls.cert),
            "key": path(&http.tls.key),
            "server_name": http.tls.server_name,
            "verify": http.tls.verify,
        })),
    })
}

fn credentials(credentials: &Credentials) -> Value {
    let some = |it: &Option<Secret>| it.as_ref().map(secret);
    let client = |client: &OauthClient| {
        json!({
            "client_id": client.id,
            "client_auth": match &client.auth {
                OauthClientAuth::Public => None,
                OauthClientAuth::Basic(_) => Some("basic"),
                OauthClientAuth::Post(_) => Some("post"),
                OauthClientAuth::PrivateKey(_) => Some("private-key-jwt"),
            },
            "client_secret": match &client.auth {
                OauthClientAuth::Basic(it) | OauthClientAuth::Post(it) => Some(secret(it)),
                _ => None,
            },
            "private_key": match &client.auth {
                OauthClientAuth::PrivateKey(it) => Some(secret(it)),
                _ => None,
            },
        })
    };
    let mut shown = credentials.client.as_ref().map_or_else(|| json!({}), client);
    shown["kind"] = json!(credentials.kind.name());
    shown["issuer"] = json!(credentials.issuer);
    shown["token_url"] = json!(credentials.token_url);
    shown["scopes"] = json!((!credentials.scopes.is_empty()).then_some(&credentials.scopes));
    shown["audience"] = json!(credentials.audience);
    shown["resource"] = json!(credentials.resource);
    shown["dpop"] = json!(credentials.dpop.then_some(true));
    shown["private_network"] = json!(credentials.private_network.then_some(true));
    shown["ca"] = json!(credentials.ca.as_ref().map(|path| path.display().to_string()));
    match &credentials.kind {
        CredentialKind::Static { value, bearer: true, .. } => shown["token"] = secret(value),
        CredentialKind::Static { header, value, .. } => {
            shown["header"] = json!(header);
            shown["value"] = secret(value);
        }
        CredentialKind::TokenExchange { entra, delegation, actor } => {
            shown["flavor"] = json!(if *entra { "entra-obo" } else { "standard" });
            shown["mode"] =
                json!((!entra).then_some(if *delegation { "delegation" } else { "impersonation" }));
            shown["actor_token"] = json!(some(actor));
        }
        CredentialKind::IdJag { idp_issuer, idp_token_url, idp_client, subject, id_token } => {
            shown["idp"] = client(idp_client);
            shown["idp"]["issuer"] = json!(idp_issuer);
            shown["idp"]["token_url"] = json!(idp_token_url);
            shown["subject_token"] = json!(some(subject));
            shown["subject_token_type"] = json!(if *id_token { "id-token" } else { "access-token" });
        }
        CredentialKind::WorkloadIdentity { file } => shown["token_file"] = json!(file.display().to_string()),
        CredentialKind::Oauth { client_metadata_url } => {
            shown["client_metadata_url"] = json!(client_metadata_url);
        }
        CredentialKind::Assertion { lifetime, key, header } => {
            shown["lifetime"] = json!(show_duration(*lifetime));
            shown["private_key"] = json!(some(key));
            shown["header"] = json!(header);
        }
        CredentialKind::ClientCredentials => {}
    }
    shown
}

fn limits(limits: &Limits) -> Value {
    json!({
        "body_bytes": limits.body_bytes,
        "bodies_bytes": limits.bodies_bytes,
        "header_bytes": limits.header_bytes,
        "json_depth": limits.json_depth,
        "batch": limits.batch,
        "list_page": limits.list_page,
        "connections": limits.connections,
        "connections_per_principal": limits.connections_per_principal,
        "concurrent_calls": limits.concurrent_calls,
        "concurrent_per_client": limits.concurrent_per_client,
        "replay_bytes": limits.replay_bytes,
        "sessions": limits.sessions,
        "sessions_per_principal": limits.sessions_per_principal,
        "session_idle": show_duration(limits.session_idle),
        "key_rotation": show_duration(limits.key_rotation),
        "header_read": show_duration(limits.header_read),
        "body_read": show_duration(limits.body_read),
        "call_timeout": show_duration(limits.call_timeout),
        "call_max": show_duration(limits.call_max),
        "ask_timeout": show_duration(limits.ask_timeout),
        "parked_calls": limits.parked_calls,
        "parked_per_client": limits.parked_per_client,
        "response_bytes": limits.response_bytes,
        "keep_alive_interval": show_duration(limits.keep_alive_interval),
        "poll_after": limits.poll_after.map(show_duration),
        "drain": show_duration(limits.drain),
        "calls": (!limits.calls.is_empty()).then(|| limits.calls.iter().map(call_limit).collect::<Vec<_>>()),
    })
}

fn call_limit(limit: &CallLimit) -> Value {
    let Each { principal, group, server, tool } = limit.each;
    let each = [("principal", principal), ("group", group), ("server", server), ("tool", tool)];
    let each: Vec<_> = each.into_iter().filter(|(_, counted)| *counted).map(|(name, _)| name).collect();
    let list = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    without_nulls(json!({
        "name": limit.name,
        "groups": list(&limit.groups),
        "principals": list(&limit.principals),
        "servers": list(&limit.servers),
        "tools": list(&limit.tools),
        "each": (!each.is_empty()).then_some(each),
        "rate": limit.rate.map(|rate| rate.to_string()),
        "burst": limit.rate.map(|_| limit.burst),
        "concurrent": limit.concurrent,
        "budget": limit.budget.map(|budget| budget.to_string()),
    }))
}

fn otlp(otlp: &Otlp) -> Value {
    json!({
        "endpoint": otlp.endpoint,
        "protocol": match otlp.protocol {
            OtlpProtocol::Grpc => "grpc",
            OtlpProtocol::Http => "http",
        },
        "headers": secrets(&otlp.headers),
        "sample_ratio": otlp.sample_ratio,
        "service_name": otlp.service_name,
    })
}

fn secrets(secrets: &BTreeMap<String, Secret>) -> Map<String, Value> {
    secrets.iter().map(|(name, value)| (name.clone(), secret(value))).collect()
}

fn secret(secret: &Secret) -> Value {
    json!({ "value": secret.to_string(), "from": secret.source().to_string() })
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let kept = object.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        other => other,
    }
}
