//! Where packages are tested: an index of npm and PyPI on loopback, uv, a home, and the program beside them.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::Gateway;
use crate::oversight::said;

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/packages");

/// An MCP server in a package of npm: it says what it got of the one that it needs, its arguments, and whether it could change
/// its own folder.
const NODE: &str = r"#!/usr/bin/env node
const deep = require('acme-deep');
let changed = 'not changed';
try { require('fs').writeFileSync(__dirname + '/changed', ''); changed = 'changed'; } catch {}
const say = (message) => console.log(JSON.stringify({jsonrpc: '2.0', ...message}));
require('readline').createInterface({input: process.stdin}).on('line', (line) => {
  const {id, method} = JSON.parse(line);
  const text = [deep, ...process.argv.slice(2), changed].join(' ');
  const results = {
    initialize: {protocolVersion: '2025-11-25', capabilities: {tools: {}}, serverInfo: {name: 'it', version: '1'}},
    'tools/list': {tools: [{name: 'say', inputSchema: {type: 'object'}}]},
    'tools/call': {content: [{type: 'text', text}]},
  };
  if (results[method]) say({id, result: results[method]});
  else if (id !== undefined) say({id, error: {code: -32601, message: 'Method not found'}});
});
";

/// The same of PyPI.
const PYTHON: &str = r"
import json, os, sys
import acme_deep

def main():
    try:
        open(os.path.join(os.path.dirname(__file__), 'changed'), 'w')
        changed = 'changed'
    except OSError:
        changed = 'not changed'
    text = ' '.join([acme_deep.WORD, *sys.argv[1:], changed])
    results = {
        'initialize': {'protocolVersion': '2025-11-25', 'capabilities': {'tools': {}}, 'serverInfo': {'name': 'it', 'version': '1'}},
        'tools/list': {'tools': [{'name': 'say', 'inputSchema': {'type': 'object'}}]},
        'tools/call': {'content': [{'type': 'text', 'text': text}]},
    }
    for line in sys.stdin:
        message = json.loads(line)
        answer = {'jsonrpc': '2.0', 'id': message.get('id')}
        if message.get('method') in results:
            answer['result'] = results[message['method']]
        else:
            answer['error'] = {'code': -32601, 'message': 'Method not found'}
        if 'id' in message:
            print(json.dumps(answer), flush=True)
";

/// A registry of packages, as a gateway meets it.
pub(super) struct Ground {
    folder: TempDir,
    index: Child,
    port: String,
    /// The files that were fetched, each with its SHA-256.
    fetched: Arc<Mutex<Vec<String>>>,
    pub(super) shelf: Value,
}

impl Ground {
    /// With `acme-files` 1.4.0 of either kind, which needs `acme-deep`, of which there is 1.0.0.
    pub(super) fn new() -> Self {
        Self::that_runs("true")
    }

    /// The same, where every package wants to run a command line: those of npm when they are installed, that of PyPI
    /// whenever there is a Python that finds it.
    pub(super) fn that_runs(line: &str) -> Self {
        let scripts = &json!({"preinstall": line, "install": line, "postinstall": line, "prepare": line});
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("home")).unwrap();
        let files = json!({
            "name": "@acme/files", "version": "1.4.0", "bin": {"files": "run.js"},
            "dependencies": {"acme-deep": "^1.0.0"}, "scripts": scripts,
        });
        let mut deep = deep_of_npm("1.0.0", "deep");
        deep["manifest"]["scripts"] = scripts.clone();
        let mut shelf = json!({
            "npm": [
                {"manifest": files, "files": {"run.js": NODE}, "links": {"link.js": "/etc/passwd"}},
                deep,
            ],
            "pypi": [
                {
                    "name": "acme-files", "version": "1.4.0", "requires": ["acme-deep>=1"],
                    "scripts": {"acme-files": "acme_files:main"}, "files": {"acme_files.py": PYTHON},
                },
                deep_of_pypi("1.0.0", "deep"),
            ],
        });
        shelf["pypi"][1]["files"]["acme_deep.pth"] = json!(format!("import os; os.system({line:?})\n"));
        let path = folder.path().join("shelf.json");
        std::fs::write(&path, shelf.to_string()).unwrap();
        let mut index = Command::new("python3");
        index.arg(format!("{HERE}/index.py")).arg(&path).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut index = index.spawn().unwrap();
        let mut lines = BufReader::new(index.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap();
        let fetched = Arc::<Mutex<Vec<String>>>::default();
        let sink = fetched.clone();
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| {
                sink.lock().unwrap().push(line);
            });
        });
        Self { folder, index, port, fetched, shelf }
    }

    /// Puts what `shelf` has by now before everybody.
    pub(super) fn publish(&self) {
        let draft = self.folder.path().join("draft");
        std::fs::write(&draft, self.shelf.to_string()).unwrap();
        std::fs::rename(draft, self.folder.path().join("shelf.json")).unwrap();
    }

    /// The registry of npm, or the index of PyPI.
    pub(super) fn url(&self, kind: &str) -> String {
        match kind {
            "npm" => format!("http://127.0.0.1:{}/npm/", self.port),
            _ => format!("http://127.0.0.1:{}/pypi/simple", self.port),
        }
    }

    /// How often files were fetched.
    pub(super) fn count(&self) -> usize {
        self.fetched.lock().unwrap().len()
    }

    /// The SHA-256 of a file that was fetched.
    pub(super) fn digest(&self, of: &str) -> String {
        let fetched = self.fetched.lock().unwrap();
        let line = fetched.iter().find(|line| line.contains(of)).expect("it was fetched");
        line.rsplit(' ').next().unwrap().to_owned()
    }

    /// Nobody answers there any more.
    pub(super) fn close(&mut self) {
        self.index.kill().unwrap();
        self.index.wait().unwrap();
    }

    pub(super) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// A configuration whose packages come from here, with `more` in its `registry.packages`.
    pub(super) fn config(&self, more: &Value) -> Value {
        let mut packages = json!({"npm": self.url("npm"), "pypi": self.url("pypi")});
        packages.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"store": {"kind": "sqlite"}, "servers": {}, "registry": {"packages": packages, "advisories": "osv"}})
    }

    /// A gateway, beside files that npm and uv would heed if they looked for them there.
    pub(super) fn start(&self, config: &Value) -> Gateway {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("osv")).unwrap();
        std::fs::write(folder.path().join(".npmrc"), "before=2001-01-01\nignore-scripts=false\n").unwrap();
        std::fs::write(folder.path().join("uv.toml"), "exclude-newer = \"2001-01-01\"\n").unwrap();
        std::fs::write(folder.path().join(".python-version"), "2.1\n").unwrap();
        let mut config = config.clone();
        config["listen"] = json!("127.0.0.1:0");
        std::fs::write(folder.path().join("portcullis.json"), config.to_string()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(["serve", "--config", "portcullis.json"]);
        self.surround(&mut command);
        Gateway::spawn(folder, command)
    }

    fn surround(&self, command: &mut Command) {
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", uv().display())).env("HOME", self.home()).env("USER", "ops");
        // What would run a Python where packages are installed.
        command.env("UV_COMPILE_BYTECODE", "1").env("UV_VENV_SEED", "1");
        command.env_remove("PORTCULLIS_CONFIG").env_remove("PORTCULLIS_LOG");
    }

    /// Runs a command of the registry; `path` is where programs are looked for, if not as usual.
    pub(super) fn run(&self, folder: &Path, args: &[&str], path: Option<&str>) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.arg("server").args(args).args(["--config", "portcullis.json"]).current_dir(folder);
        self.surround(&mut command);
        if let Some(path) = path {
            command.env("PATH", path);
        }
        tokio::task::block_in_place(|| command.output().unwrap())
    }

    /// The same, where it has to go well.
    pub(super) fn done(&self, folder: &Path, args: &[&str]) -> String {
        let output = self.run(folder, args, None);
        assert!(output.status.success(), "{args:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same, where it has not reached; what was said.
    pub(super) fn refused(&self, folder: &Path, args: &[&str]) -> String {
        let output = self.run(folder, args, None);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", said(&output));
        said(&output)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = self.index.kill();
        let _ = self.index.wait();
    }
}

/// A version of what the others need; it says `word`.
pub(super) fn deep_of_npm(version: &str, word: &str) -> Value {
    let manifest = json!({"name": "acme-deep", "version": version});
    json!({"manifest": manifest, "files": {"index.js": format!("module.exports = '{word}';")}})
}

pub(super) fn deep_of_pypi(version: &str, word: &str) -> Value {
    json!({"name": "acme-deep", "version": version, "files": {"acme_deep.py": format!("WORD = '{word}'")}})
}

/// What is in the folder where packages are installed.
pub(super) fn installed(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The folder of uv's programs, which comes from PyPI once, as pinned.
fn uv() -> PathBuf {
    let wanted = std::fs::read_to_string(format!("{HERE}/requirements.txt")).unwrap();
    let version = wanted.lines().find_map(|line| line.strip_prefix("uv==")).unwrap();
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("uv-{version}"));
    if !place.join("bin/uv").is_file() {
        let making = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let run = |program: &Path, args: &[&str]| {
            let done = Command::new(program).args(args).current_dir(making.path()).output().unwrap();
            assert!(done.status.success(), "{args:?}: {}", said(&done));
        };
        run(Path::new("python3"), &["-m", "venv", "it"]);
        let requirements = format!("{HERE}/requirements.txt");
        let args = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r", &requirements];
        run(&making.path().join("it/bin/pip"), &args);
        // Another test may have been faster.
        let _ = std::fs::rename(making.path().join("it"), &place);
    }
    place.join("bin")
}
