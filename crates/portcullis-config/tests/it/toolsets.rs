//! The section `toolsets`.

use portcullis_config::{Discovery, effective};
use serde_json::json;

use crate::{refuses, settings, warns};

#[test]
fn what_is_picked_is_read_and_shown_as_it_was_written() {
    let text = "\
servers: { crm: { command: crm }, files: { command: files } }
toolsets:
  desk:
    title: Support desk
    discovery: beside
    tools:
      - from: crm/find
        name: find_customer
        description: Finds a customer.
        preset: { region: eu, page: 7, exact: true, text: '7', tags: [a, 2], near: { km: 1.5 } }
        hide: [debug]
      - from: crm/find
      - from: files/*
    prompts: [{ from: crm/ask, title: Ask }]
    resources: ['files/file:///data/*']
";
    let settings = settings(text);
    let desk = settings.toolsets.values().next().unwrap();
    assert_eq!((desk.title.as_deref(), desk.discovery), (Some("Support desk"), Discovery::Beside));
    assert!(desk.tools[2].from.takes("files", "read") && !desk.tools[2].from.takes("crm", "read"));
    assert!(desk.resources[0].takes("files", "file:///data/a/b"));
    assert_eq!(
        effective(&settings)["toolsets"],
        json!({"desk": {
            "title": "Support desk",
            "discovery": "beside",
            "tools": [
                {
                    "from": "crm/find", "name": "find_customer", "description": "Finds a customer.",
                    "preset": {
                        "exact": true, "near": {"km": 1.5}, "page": 7, "region": "eu", "tags": ["a", 2], "text": "7",
                    },
                    "hide": ["debug"],
                },
                {"from": "crm/find"},
                {"from": "files/*"},
            ],
            "prompts": [{"from": "crm/ask", "title": "Ask"}],
            "resources": ["files/file:///data/*"],
        }})
    );
    warns(
        "toolsets: { desk: {} }",
        "p.yaml:1:13: warning: toolsets.desk: has neither `tools` nor `prompts` nor `resources`: it is empty",
    );
}

#[test]
fn refuses_what_is_not_there_and_what_has_another_ones_name() {
    refuses(
        "\
servers: { crm: { command: crm } }
toolsets:
  Desk: { tools: [{ from: crm/a }] }
  desk:
    tools:
      - { from: crm }
      - { from: ledger/book }
      - { from: 'led*/book' }
      - { from: crm/*, name: all }
      - { from: crm/a, name: find }
      - { from: crm/b, name: Find }
      - { from: crm/c, name: crm__c }
      - { from: crm/d, name: 'a b' }
      - { from: crm/e }
      - { from: crm/e }
      - { from: crm/f, preset: { x: 1, y: }, hide: [x] }
      - { name: x }
    prompts: [{ from: crm/p, preset: {} }]
    resources: [file]
",
        "
p.yaml:3:3: error: toolsets.Desk: `Desk` is not a toolset name: use 1 to 40 of a-z and 0-9, with single dashes inside, for example `support-desk`
p.yaml:6:11: error: toolsets.desk.tools[0].from: `crm` is not `SERVER/NAME`; `*` stands for any characters
p.yaml:7:11: error: toolsets.desk.tools[1].from: there is no server `ledger`
p.yaml:8:11: error: toolsets.desk.tools[2].from: there is no server `led*`
p.yaml:9:24: error: toolsets.desk.tools[3].name: `crm/*` may be several; write another entry for one of them
p.yaml:11:24: error: toolsets.desk.tools[5].name: another entry is called `Find`
p.yaml:12:24: error: toolsets.desk.tools[6].name: `__` parts servers from their tools; use one `_`
p.yaml:13:24: error: toolsets.desk.tools[7].name: not a name that models can use: write 1 to 64 letters, digits, `-` and `_`
p.yaml:15:9: error: toolsets.desk.tools[9]: `crm/e` is here twice; give one of the two a `name`
p.yaml:16:41: error: toolsets.desk.tools[10].preset.y: is empty; expected a number or true or false or text or a list or a mapping
p.yaml:16:53: error: toolsets.desk.tools[10].hide[0]: `x` is preset, and so hidden already
p.yaml:17:9: error: toolsets.desk.tools[11]: `from` is missing; add it
p.yaml:18:30: error: toolsets.desk.prompts[0].preset: unknown key; expected one of from, name, title, description
p.yaml:19:17: error: toolsets.desk.resources[0]: `file` is not `SERVER/NAME`; `*` stands for any characters",
    );
    refuses(
        "servers: { hub: { command: x } }\ntoolsets: { a: { discovery: instead, tools: [{ from: hub/* }] } }\n",
        "p.yaml:1:12: error: servers.hub: where tools are searched (`discovery`), `hub` is the gateway itself; give the server another name",
    );
}

#[test]
fn clients_are_named_where_they_are_offered_something_else() {
    let text = "discovery: { clients: [{ names: [small-*], groups: [staff], tools: instead }] }";
    let settings = settings(text);
    assert_eq!(settings.discovery, Discovery::Off);
    assert_eq!(settings.discovery_rules[0].tools, Discovery::Instead);
    refuses(
        "discovery: { clients: [{ tools: beside }, { principals: [ada] }] }",
        "
p.yaml:1:24: error: discovery.clients[0]: fits everybody: name clients, or use `discovery.tools`
p.yaml:1:58: error: discovery.clients[1].principals[0]: `ada` is no principal; expected `anonymous`, `cert:<SHA-256 in lower-case hex>`, `key:<name>`, `user:<issuer>#<subject>` or `spiffe://…`",
    );
}

#[test]
fn a_server_of_the_registry_may_be_meant_where_there_is_one() {
    warns(
        "\
store: { kind: sqlite, path: p.db }
audit: { systems: { hr: { servers: [ats], purpose: x, risk: high } } }
toolsets: { desk: { tools: [{ from: files/read }] } }
",
        "
p.yaml:2:37: warning: audit.systems.hr.servers[0]: `ats` is no configured server; it may come from the registry
p.yaml:3:31: warning: toolsets.desk.tools[0].from: `files` is no configured server; it may come from the registry",
    );
    refuses(
        "store: { kind: memory }\ntoolsets: { desk: { tools: [{ from: files/read }] } }\n",
        "p.yaml:2:31: error: toolsets.desk.tools[0].from: there is no server `files`",
    );
}
