//! Who gives vectors of texts, so that tools are found by what they mean.

use std::time::Duration;

use super::{Env, settings, yaml};

#[test]
fn a_service_of_vectors_is_named_with_its_model_and_waited_for_a_moment() {
    assert_eq!(settings("discovery: { tools: instead }\n").embeddings, None);
    let local = "discovery: { embeddings: { url: 'http://127.0.0.1:81/v1/embeddings', model: small } }\n";
    let found = settings(local).embeddings.expect("a service");
    assert_eq!((found.model.as_str(), found.timeout, found.key), ("small", Duration::from_millis(300), None));
    for (entry, why) in [
        ("url: 'http://models.example/v1/embeddings', model: small", "use `https`"),
        ("url: 'https://models.example/v1/embeddings', model: ' '", "name a model"),
        ("url: 'https://models.example/v1/embeddings', model: small, timeout: 6s", "at most `5s`"),
        ("url: 'https://models.example/v1/embeddings', model: small, key: { env: NONE }", "NONE"),
        ("model: small", "url"),
    ] {
        let text = format!("discovery: {{ embeddings: {{ {entry} }} }}\n");
        let problems = yaml(&text, &Env::new()).err().unwrap_or_else(|| panic!("{entry}")).to_string();
        assert!(problems.contains(why) && problems.contains("discovery.embeddings"), "{problems}");
    }
}
