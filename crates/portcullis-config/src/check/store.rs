//! Where records are kept.

use super::Check;
use crate::node::Path;
use crate::{Store, raw};

/// The file of the embedded store when the configuration names none.
const FILE: &str = "portcullis.db";

pub(super) fn store(check: &mut Check<'_>, raw: Option<&raw::Store>) -> Store {
    let top = Path::top("store");
    match raw {
        None | Some(raw::Store::Memory {}) => Store::Memory,
        Some(raw::Store::Sqlite { path }) => {
            let file = check.resolve(path.as_deref().unwrap_or(FILE));
            if file.is_dir() {
                check.error(&top.key("path"), format!("{} is a folder", file.display()));
            } else if !file.parent().is_some_and(|folder| folder.as_os_str().is_empty() || folder.is_dir()) {
                let message = format!("the folder of {} is not there; make it", file.display());
                check.error(&top.key("path"), message);
            }
            Store::Sqlite { path: file }
        }
        Some(raw::Store::Postgres { url_env, url_file, url_vault, ca }) => {
            let ca = ca.as_ref().map(|file| check.file(&top.key("ca"), file));
            let url = match (url_env, url_file, url_vault) {
                (Some(name), None, None) => {
                    check.secret_of(&top.key("url_env"), "url", &raw::Secret::Env(name.clone()))
                }
                (None, Some(file), None) => {
                    check.secret_of(&top.key("url_file"), "url", &raw::Secret::File(file.clone()))
                }
                (None, None, Some(reference)) => {
                    check.secret_of(&top.key("url_vault"), "url", &raw::Secret::Vault(reference.clone()))
                }
                _ => {
                    let message =
                        "needs the URL of the database: one of `url_env`, `url_file` and `url_vault`";
                    check.error(&top, message);
                    None
                }
            };
            url.map_or(Store::Memory, |url| Store::Postgres { url, ca })
        }
    }
}
