//! What documents become.

use serde_json::{Value, json};

use super::*;

const PETS: &str = r##"
openapi: 3.0.3
info: { title: Pets, version: 1.2.3, description: All about pets. }
servers: [{ url: "https://{region}.pets.example/v1", variables: { region: { default: eu } } }]
paths:
  /pets:
    parameters:
      - { name: trace, in: header, schema: { type: string }, description: From the path. }
    get:
      operationId: listPets
      summary: Lists pets
      description: All of them, page by page.
      parameters:
        - { name: limit, in: query, schema: { type: integer, maximum: 100 } }
        - { name: "filter[kind]", in: query, schema: { $ref: "#/components/schemas/Kind" }, description: Which kind. }
        - { name: trace, in: header, required: true, schema: { type: string }, description: From the operation. }
        - { name: Authorization, in: header, required: true, schema: { type: string } }
        - { $ref: "#/components/parameters/Page" }
      responses:
        "200": { content: { application/json: { schema: { type: array, items: { $ref: "#/components/schemas/Pet" } } } } }
    post:
      operationId: list Pets
      requestBody:
        required: true
        description: The new pet.
        content: { application/json: { schema: { $ref: "#/components/schemas/Pet" } } }
      responses:
        "201": { content: { application/json: { schema: { $ref: "#/components/schemas/Pet" } } } }
        default: { content: { application/json: { schema: { $ref: "#/components/schemas/Problem" } } } }
  /pets/{petId}:
    parameters: [{ name: petId, in: path, required: true, schema: { type: string } }]
    get:
      responses:
        "200": { content: { application/json: { schema: { $ref: "#/components/schemas/Pet" } } } }
        "204": { description: Nothing. }
    delete: { operationId: removePet, deprecated: true, responses: { "204": {} } }
    put:
      operationId: replacePet
      requestBody: { content: { multipart/form-data: { schema: {} } } }
      responses: {}
  /pets/{petId}/photo:
    post:
      operationId: upload
      parameters: [{ name: petId, in: path, required: true, schema: { type: string } }]
      requestBody: { required: true, content: { multipart/form-data: { schema: {} } } }
      responses: {}
components:
  parameters:
    Page: { name: page, in: query, schema: { type: integer, minimum: 0, exclusiveMinimum: true } }
  schemas:
    Kind: { type: string, enum: [cat, dog], nullable: true }
    Pet:
      type: object
      required: [id, name]
      properties:
        id: { type: integer, readOnly: true }
        name: { type: string }
        kind: { $ref: "#/components/schemas/Kind" }
        mother: { $ref: "#/components/schemas/Pet" }
    Problem: { type: object }
  securitySchemes:
    key: { type: apiKey, in: query, name: api_key }
    token: { type: http, scheme: bearer }
    again: { type: apiKey, in: query, name: api_key }
"##;

#[test]
fn operations_become_tools() {
    let api = read(PETS).expect("an API");
    assert_eq!((api.title.as_deref(), api.version.as_deref()), (Some("Pets"), Some("1.2.3")));
    assert_eq!(api.server.as_deref(), Some("https://eu.pets.example/v1"));
    assert_eq!(api.keys, ["query api_key", "header Authorization (bearer)"]);
    assert_eq!(names(&api), ["listPets", "list_Pets", "get_pets_petId", "replacePet", "removePet"]);
    assert_eq!(api.left_out.len(), 1);
    assert_eq!(api.left_out[0].operation, "POST /pets/{petId}/photo");
    assert!(api.left_out[0].why.contains("multipart/form-data"), "{:?}", api.left_out);
    let expected = json!({
        "name": "listPets",
        "description": "Lists pets\n\nAll of them, page by page.\n\nGET /pets",
        "inputSchema": {
            "type": "object",
            "properties": {
                "trace": {"type": "string", "description": "From the operation."},
                "limit": {"type": "integer", "maximum": 100},
                "filter_kind": {"$ref": "#/$defs/Kind", "description": "Which kind."},
                "page": {"type": "integer", "exclusiveMinimum": 0},
            },
            "required": ["trace"],
            "additionalProperties": false,
            "$defs": {"Kind": {"type": ["string", "null"], "enum": ["cat", "dog", null]}},
        },
        "annotations": {"readOnlyHint": true, "idempotentHint": true},
        "_meta": {"io.portcullis/request": {
            "server": "https://eu.pets.example/v1",
            "arguments": [
                ["trace", "header", "trace", "simple"],
                ["limit", "query", "limit", "form", "explode"],
                ["filter_kind", "query", "filter[kind]", "form", "explode"],
                ["page", "query", "page", "form", "explode"],
            ],
        }},
    });
    assert_eq!(tool(&api, "listPets"), expected);
    let create = tool(&api, "list_Pets");
    let body = &create["inputSchema"]["properties"]["body"];
    assert_eq!(*body, json!({"$ref": "#/$defs/Pet", "description": "The new pet."}));
    assert_eq!(create["inputSchema"]["required"], json!(["body"]));
    assert_eq!(
        create["inputSchema"]["$defs"]["Pet"]["required"],
        json!(["name"]),
        "the id is the API's to give"
    );
    assert_eq!(create["outputSchema"]["required"], json!(["id", "name"]));
    assert_eq!(create["outputSchema"]["type"], "object");
    assert_eq!(create["outputSchema"]["properties"]["mother"], json!({"$ref": "#/$defs/Pet"}));
    assert_eq!(create["annotations"], json!({"readOnlyHint": false}));
    // Where nothing may come, too, no object is promised.
    assert_eq!(tool(&api, "get_pets_petId").get("outputSchema"), None);
    let destructive = json!({"readOnlyHint": false, "destructiveHint": true, "idempotentHint": true});
    assert_eq!(tool(&api, "removePet")["annotations"], destructive);
    assert_eq!(tool(&api, "removePet")["description"], "Deprecated.\n\nDELETE /pets/{petId}");
    assert_eq!(tool(&api, "replacePet")["inputSchema"]["properties"].get("body"), None, "it may be left out");
}

#[test]
fn every_schema_is_one_of_2020_12() {
    let api = read(PETS).expect("an API");
    for operation in &api.operations {
        let tool = tool(&api, operation.name());
        for schema in [&tool["inputSchema"], &tool["outputSchema"]] {
            if *schema != Value::Null {
                jsonschema::draft202012::new(schema).unwrap_or_else(|error| panic!("{schema}: {error}"));
            }
        }
    }
    let input = tool(&api, "list_Pets")["inputSchema"].clone();
    let validator = jsonschema::draft202012::new(&input).expect("a schema");
    assert!(validator.is_valid(&json!({"body": {"name": "Tom", "kind": null, "mother": {"name": "Kitty"}}})));
    assert!(!validator.is_valid(&json!({"body": {"name": "Tom", "kind": "cow"}})));
    assert!(!validator.is_valid(&json!({"body": {"name": "Tom"}, "more": 1})));
}

#[test]
fn the_published_document_of_the_registry_is_an_api() {
    let text = include_str!("../../../../tests/registry/openapi.json");
    let api = read(text).expect("an API");
    assert!(api.operations.len() >= 5, "{:?}", names(&api));
    assert_eq!(api.left_out, []);
    for operation in &api.operations {
        let tool = tool(&api, operation.name());
        jsonschema::draft202012::new(&tool["inputSchema"]).expect("a schema");
    }
}

#[test]
fn what_the_operator_sets_is_nobody_elses_to_say() {
    let paths = json!({"/x": {"get": {"operationId": "x", "parameters": [
        {"name": "X-Key", "in": "header", "required": true, "schema": {}},
        {"name": "api_key", "in": "query", "required": true, "schema": {}},
        {"name": "Host", "in": "header", "schema": {}},
        {"name": "Cookie", "in": "header", "schema": {}},
        {"name": "s", "in": "cookie", "schema": {}},
        {"name": "q", "in": "query", "schema": {}},
    ]}}});
    let given = |set: &Set| {
        let api = read_with(&with_paths(&paths), set).expect("an API");
        let properties = tool(&api, "x")["inputSchema"]["properties"].clone();
        properties.as_object().expect("an object").keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(given(&Set::default()), ["X-Key", "api_key", "s", "q"]);
    assert_eq!(given(&set(&["x-key", "cookie"], &["api_key"])), ["q"]);
}

#[test]
fn only_what_is_wanted_is_offered() {
    let wanted = |patterns: &[&str]| {
        let operations = patterns.iter().map(|it| (*it).to_owned()).collect();
        read_with(PETS, &Set { operations, ..Set::default() })
    };
    assert_eq!(
        names(&wanted(&["list*", "removePet"]).expect("some")),
        ["listPets", "list_Pets", "removePet"]
    );
    let error = wanted(&["nothing"]).expect_err("none").to_string();
    assert!(error.contains("matches none"), "{error}");
}

#[test]
fn an_operation_on_another_server_is_not_called_on_this_one() {
    let paths = json!({
        "/here": {"get": {}},
        "/there": {"post": {"servers": [{"url": "https://uploads.example.com"}]}},
    });
    let api = read(&with_paths(&paths)).expect("an API");
    assert_eq!(names(&api), ["get_here"]);
    assert!(api.left_out[0].why.contains("https://uploads.example.com"));
}

/// Each of these is another request under the same words and schemas.
#[test]
fn whatever_changes_the_request_changes_the_definition() {
    let document = |change: &dyn Fn(&mut Value)| {
        let mut document = json!({
            "openapi": "3.1.0", "servers": [{"url": "https://{at}/v1", "variables": {"at": {"default": "a.example"}}}],
            "paths": {"/x/{id}": {"post": {
                "operationId": "change",
                "parameters": [
                    {"name": "id", "in": "path", "schema": {}},
                    {"name": "a b", "in": "query", "schema": {}},
                    {"name": "j", "in": "query", "content": {"application/json": {"schema": {}}}},
                ],
                "requestBody": {"content": {"application/x-www-form-urlencoded": {
                    "schema": {}, "encoding": {"list": {"style": "pipeDelimited"}},
                }}},
            }}},
        });
        change(&mut document);
        document.to_string()
    };
    let definition = |text: &str| read(text).expect("an API").operations[0].definition().clone();
    let (plain, placed) = (document(&|_| ()), Set { is_placed: true, ..Set::default() });
    let before = definition(&plain);
    let operation = "/paths/~1x~1{id}/post";
    for (path, value) in [
        ("/servers/0/url", json!("https://{at}/v2")),
        ("/servers/0/variables/at/default", json!("b.example")),
        (&*format!("{operation}/parameters/0/style"), json!("label")),
        (&*format!("{operation}/parameters/0/explode"), json!(true)),
        (&*format!("{operation}/parameters/1/name"), json!("a_b")),
        (&*format!("{operation}/parameters/1/in"), json!("header")),
        (&*format!("{operation}/parameters/1/in"), json!("cookie")),
        (&*format!("{operation}/parameters/1/allowReserved"), json!(true)),
        (&*format!("{operation}/parameters/2/content"), Value::Null),
        (
            &format!(
                "{operation}/requestBody/content/application~1x-www-form-urlencoded/encoding/list/style"
            ),
            json!("form"),
        ),
        (
            &format!(
                "{operation}/requestBody/content/application~1x-www-form-urlencoded/encoding/list/explode"
            ),
            json!(true),
        ),
    ] {
        let changed = document(&|document| {
            let (owner, key) = path.rsplit_once('/').expect("a path");
            let owner = document.pointer_mut(owner).expect(path);
            match (owner, value.is_null()) {
                (Value::Array(all), _) => all[key.parse::<usize>().expect("a place")] = value.clone(),
                (Value::Object(all), true) => drop(all.remove(key)),
                (owner, _) => owner[key] = value.clone(),
            }
            // The name of a header has no space.
            if value == "header" || value == "cookie" {
                document.pointer_mut(operation).expect("it")["parameters"][1]["name"] = "a_b".into();
            }
        });
        let after = definition(&changed);
        assert_ne!(after, before, "{path} {value}");
        assert_eq!(after.find("inputSchema"), before.find("inputSchema"), "{path} {value}");
        if path.starts_with("/servers") {
            // Where the operator says where the API is, it is nothing that the document changes.
            let of =
                |text: &str| read_with(text, &placed).expect("an API").operations[0].definition().clone();
            assert_eq!(of(&changed), of(&plain), "{path}");
        }
    }
    let media = plain.replace("application/x-www-form-urlencoded", "text/plain");
    assert_ne!(definition(&media), before);
}

/// What is kept of a document is what was made of it; one of many MiB would stay as long as its server otherwise.
#[test]
fn nothing_of_a_document_is_kept_once_it_is_read() {
    let paths = json!({"/x/{id}": {"post": {
        "summary": "Does it.",
        "parameters": [
            {"name": "id", "in": "path", "description": "Which.", "schema": {"type": "string"}},
            {"name": "q", "in": "query", "schema": {"type": "integer"}},
        ],
        "requestBody": {"description": "What.", "content": {"application/json": {"schema": {"type": "object"}}}},
        "responses": {"200": {"content": {"application/json": {"schema": {"type": "object"}}}}},
    }}});
    let text = bytes::Bytes::from(with_paths(&paths));
    let document = Document::parse(text.clone()).expect("a document");
    let api = Api::read(&document, &Set::default()).expect("an API");
    drop(document);
    assert_eq!(api.operations.len(), 1);
    assert!(text.is_unique(), "somebody has a part of it");
}
