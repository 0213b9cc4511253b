//! What a child may see of our environment, where its program is found, and what is said when it is not.

use std::{ffi::OsString, fs, os::unix::fs::PermissionsExt, path::Path};

use super::{Command, Ready, SpawnError};

fn command(program: &str) -> Command {
    Command {
        server: "files".parse().expect("a slug"),
        program: program.to_owned(),
        args: Vec::new(),
        env: Vec::new(),
        secrets: Vec::new(),
        cwd: None,
        sandbox: None,
        packages: None,
    }
}

fn ready(command: &Command, ours: &[(&str, &str)]) -> Result<Ready, SpawnError> {
    command.ready(ours.iter().map(|&(name, value)| (OsString::from(name), OsString::from(value))))
}

fn refused(command: &Command) -> String {
    ready(command, &[]).expect_err("it is refused").to_string()
}

fn write(file: &Path, mode: u32) {
    fs::write(file, "#!/bin/sh\n").expect("a temporary file can be written");
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).expect("and its mode set");
}

#[test]
fn passes_the_base_and_what_is_configured_and_nothing_else() {
    let mut command = command("/bin/sh");
    command.env = vec![("TOKEN".into(), "for this server".into()), ("LANG".into(), "de_DE".into())];
    let ours = [
        ("PATH", "/bin"),
        ("LANG", "C"),
        ("LC_TIME", "C.UTF-8"),
        ("DATABASE_URL", "secret"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("PORTCULLIS_CHILD", "ours"),
        ("LD_PRELOAD", "/evil.so"),
    ];
    let env: Vec<_> = ready(&command, &ours).expect("sh is there").env.into_iter().collect();
    let expected =
        [("LANG", "de_DE"), ("LC_TIME", "C.UTF-8"), ("PATH", "/bin"), ("TOKEN", "for this server")];
    assert_eq!(env, expected.map(|(name, value)| (name.into(), value.into())));
}

#[test]
fn looks_a_name_up_in_the_childs_own_path() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    write(&dir.path().join("serve"), 0o755);
    let mut command = command("serve");
    command.env = vec![("PATH".into(), format!("/nowhere:.::{}", dir.path().display()))];
    let found = ready(&command, &[("PATH", "/bin")]).expect("it is there").program;
    assert_eq!(found, dir.path().join("serve"));
}

#[test]
fn finds_programs_without_any_path() {
    assert!(ready(&command("sh"), &[]).expect("sh is in the default path").program.ends_with("sh"));
}

#[test]
fn a_relative_program_starts_at_the_working_directory() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    write(&dir.path().join("serve"), 0o755);
    let command = Command { cwd: Some(dir.path().to_owned()), ..command("./serve") };
    let found = ready(&command, &[]).expect("it is there").program;
    assert!(found.is_absolute() && found.ends_with("serve"), "{found:?}");
}

#[test]
fn says_where_it_looked() {
    let mut command = command("npxx");
    command.env = vec![("PATH".into(), "/nowhere:/not/here".into())];
    assert_eq!(
        refused(&command),
        "server `files`: program `npxx` was not found; looked in /nowhere, /not/here. Install it, write its full \
         path as `command`, or set PATH in the server's `env`"
    );
    command.env = vec![("PATH".into(), String::new())];
    assert!(refused(&command).contains("looked in no directory, PATH names none"));
    command.program = String::new();
    assert!(refused(&command).contains("program `` was not found"));
}

#[test]
fn says_that_a_path_leads_nowhere() {
    assert_eq!(
        refused(&command("/nowhere/serve")),
        "server `files`: there is no file /nowhere/serve. Correct `command`; relative paths start at `cwd`, and \
         `~` and `$NAME` are not expanded"
    );
}

#[test]
fn says_that_a_file_is_no_program() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("serve.py");
    write(&file, 0o644);
    let text = refused(&command(file.to_str().expect("a plain name")));
    assert!(text.contains("is not a program that the gateway's user may run. Make it executable"), "{text}");
    let mut by_name = command("serve.py");
    by_name.env = vec![("PATH".into(), dir.path().to_str().expect("a plain name").into())];
    assert!(matches!(ready(&by_name, &[]), Err(SpawnError::NotExecutable { .. })));
}

#[test]
fn says_that_the_working_directory_is_missing() {
    let command = Command { cwd: Some("/nowhere".into()), ..command("/bin/sh") };
    assert_eq!(
        refused(&command),
        "server `files`: cannot work in /nowhere: No such file or directory (os error 2). Create the directory or \
         correct `cwd`"
    );
}

#[test]
fn refuses_variables_that_no_environment_can_hold() {
    for (name, value) in [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "x\0")] {
        let mut command = command("/bin/sh");
        command.env = vec![(name.into(), value.into())];
        assert!(matches!(ready(&command, &[]), Err(SpawnError::Environment { .. })), "{name:?}={value:?}");
    }
}
