//! Configurations on disk.

use std::fs;

use portcullis_config::{Anonymous, Overrides, Tls, load};

use crate::Env;

#[test]
fn refuses_files_that_cannot_be_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let shown = |name: &str| {
        let problems = load(&folder.path().join(name), &Env::new(), &Overrides::default()).expect_err(name);
        problems.to_string().replace(&folder.path().display().to_string(), "")
    };
    assert_eq!(shown("p.ini"), "/p.ini: error: expected a name that ends in .yaml, .yml, .json or .toml");
    assert_eq!(
        shown("p.yaml"),
        "/p.yaml: error: cannot read the configuration: No such file or directory (os error 2)"
    );
    fs::write(folder.path().join("p.json"), [0xff, 0xfe]).expect("written");
    assert!(shown("p.json").starts_with("/p.json: error: cannot read the configuration: "));
}

#[test]
fn a_mutual_tls_listener_may_leave_loopback() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    for name in ["cert.pem", "key.pem", "ca.pem"] {
        fs::write(path(name), "").expect("written");
    }
    let text = "listen: 0.0.0.0:443\ntls: { cert: cert.pem, key: key.pem, client_ca: ca.pem }\n";
    fs::write(path("p.yaml"), text).expect("written");
    let loaded = load(&path("p.yaml"), &Env::new(), &Overrides::default()).unwrap_or_else(|p| panic!("{p}"));
    assert_eq!(loaded.settings.identity.anonymous, Anonymous::Deny);
    let tls = Tls { cert: path("cert.pem"), key: path("key.pem"), client_ca: Some(path("ca.pem")) };
    assert_eq!(loaded.settings.tls, Some(tls));
    assert_eq!(loaded.files, [path("p.yaml"), path("ca.pem"), path("cert.pem"), path("key.pem")]);
}
