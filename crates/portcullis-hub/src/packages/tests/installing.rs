//! Folders that are made once, whole, by a stand-in for uv.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;

use super::lock_of;
use crate::packages::tool::{Room, Tool};
use crate::packages::{Failed, Installed, Mirrors, Packages, Sealed};

/// A stand-in for uv, and a folder for what it installs.
struct Ground {
    tools: TempDir,
    place: TempDir,
    lock: Arc<Sealed>,
}

impl Ground {
    fn new() -> Self {
        let folder = || tempfile::tempdir().expect("a folder");
        let lock = Arc::new(lock_of(&[("acme", "1.0.0", &["sha256:00"])]).sealed());
        Self { tools: folder(), place: folder(), lock }
    }

    fn folder(&self) -> PathBuf {
        self.place.path().join("packages")
    }

    /// Of nobody who knows of the others.
    fn packages(&self) -> Packages {
        Packages::new(self.folder())
    }

    /// Makes a uv that makes an environment with a program, and counts how often it installs; says what uvx would be.
    fn uvx(&self, more: &str) -> String {
        let tools = self.tools.path().display();
        let script = format!(
            "#!/bin/sh\ncase \"$1\" in\n\
             venv) mkdir -p .venv/bin; ln -s {tools}/python3 .venv/bin/python; printf 'home = {tools}\nversion_info = 3.11.7\n' > \
             .venv/pyvenv.cfg;;\n\
             pip) echo once >> {tools}/count; sleep 0.2; echo > .venv/bin/acme; {more};;\nesac\n"
        );
        fs::write(self.tools.path().join("python3"), "").expect("written");
        let file = self.tools.path().join("uv");
        fs::write(&file, script).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("allowed");
        self.tools.path().join("uvx").display().to_string()
    }

    async fn install(&self, packages: &Packages, uvx: &str) -> Result<Installed, Failed> {
        packages.install(uvx, &self.lock, &Mirrors::default()).await
    }

    /// How often something was installed.
    fn count(&self) -> usize {
        fs::read_to_string(self.tools.path().join("count")).unwrap_or_default().lines().count()
    }

    /// What there is.
    fn left(&self) -> usize {
        fs::read_dir(self.folder()).expect("there").count()
    }
}

#[tokio::test]
async fn whoever_comes_at_the_same_time_waits_for_one_installation() {
    let ground = Ground::new();
    let (uvx, packages) = (ground.uvx("true"), ground.packages());
    let (one, two) = tokio::join!(ground.install(&packages, &uvx), ground.install(&packages, &uvx));
    let (one, two): (Installed, Installed) = (one.expect("installed"), two.expect("installed"));
    assert_eq!(one, two);
    assert_eq!(one.runtime, Some(ground.tools.path().join("python3")));
    assert!(one.folder.ends_with(ground.lock.digest()));
    assert_eq!(ground.count(), 1);
    // Others, who do not know of these: one of them is first, and what it made is everybody's.
    fs::remove_dir_all(&one.folder).expect("removed");
    let other = ground.packages();
    let (one, two) = tokio::join!(ground.install(&packages, &uvx), ground.install(&other, &uvx));
    assert_eq!(one.expect("installed"), two.expect("installed"));
    assert_eq!((ground.count(), ground.left()), (3, 1));
}

#[tokio::test]
async fn what_another_gateway_has_put_in_the_same_place_stays_there() {
    let ground = Ground::new();
    let (uvx, packages) = (ground.uvx("true"), ground.packages());
    let installed = ground.install(&packages, &uvx).await.expect("installed");
    let (place, digest) = (&installed.folder, ground.lock.digest());
    fs::write(place.join("first"), "").expect("written");
    // It was not whole when it was looked at, and is when its place is taken.
    let making = packages.making().await.expect("a folder");
    making.replace(place, digest).expect("it is there");
    assert!(place.join("first").exists(), "a server may run in it");
    // While another has it aside, it is not there at all.
    let aside = ground.folder().join("aside");
    fs::rename(place, &aside).expect("moved");
    making.replace(place, digest).expect_err("nothing is there");
    fs::rename(aside, place).expect("moved");
    fs::remove_file(place.join("runtime")).expect("removed");
    making.replace(place, digest).expect("replaced");
    assert!(!place.join("first").exists(), "it was not whole");
    making.remove().await;
    assert_eq!(ground.left(), 1);
}

#[tokio::test]
async fn what_nobody_makes_any_more_is_removed_and_nothing_else() {
    let ground = Ground::new();
    let (uvx, packages) = (ground.uvx("true"), ground.packages());
    let held = packages.making().await.expect("a folder");
    let made = |name: &str, age: Duration| {
        let path = ground.folder().join(name);
        fs::create_dir_all(&path).expect("made");
        let file = fs::File::open(&path).expect("there");
        file.set_modified(SystemTime::now() - age).expect("set");
        path
    };
    let minutes = Duration::from_mins;
    made(held.path().file_name().expect("a name").to_str().expect("a text"), minutes(2));
    let killed = made(".making-1-0-0", minutes(2));
    let begun = made(".making-1-0-1", minutes(0));
    let others = made("others", minutes(2));
    ground.install(&packages, &uvx).await.expect("installed");
    let there = [held.path(), &killed, &begun, &others].map(Path::exists);
    assert_eq!(there, [true, false, true, true], "one is made, one was left, one may be about to be locked");
}

#[tokio::test]
async fn a_python_is_kept_by_the_name_that_it_has() {
    let ground = Ground::new();
    let uvx = ground.uvx("true");
    let uv = ground.tools.path().join("uv");
    let script = fs::read_to_string(&uv).expect("read").replace("/python3 ", "/python3.11 ");
    fs::write(uv, script).expect("written");
    fs::rename(ground.tools.path().join("python3"), ground.tools.path().join("python3.11")).expect("moved");
    let installed = ground.install(&ground.packages(), &uvx).await.expect("installed");
    assert_eq!(installed.runtime, Some(ground.tools.path().join("python3.11")));
}

#[tokio::test]
async fn what_cannot_be_installed_is_tried_once_for_all_who_come_within_a_minute() {
    let ground = Ground::new();
    let (uvx, packages) = (ground.uvx("echo no; exit 1"), ground.packages());
    let all = tokio::join!(
        ground.install(&packages, &uvx),
        ground.install(&packages, &uvx),
        ground.install(&packages, &uvx)
    );
    let failed = all.0.expect_err("it cannot be installed");
    assert_eq!((all.1, all.2), (Err(failed.clone()), Err(failed.clone())));
    assert_eq!(failed.again, Some(Duration::from_mins(1)));
    let told = ground.install(&packages, &uvx).await.expect_err("it is not tried anew");
    assert_eq!((&told.what, &told.words), (&failed.what, &failed.words));
    assert!(told.again < failed.again, "it is told how long that remains so: {told:?}");
    assert_eq!((ground.count(), ground.left()), (1, 0));
}

#[tokio::test]
async fn what_leads_out_of_its_folder_is_no_program_and_is_not_left() {
    let ground = Ground::new();
    for hostile in [
        "ln -sf /bin/sh .venv/bin/acme",
        "rm .venv/bin/acme; mkdir .venv/bin/acme",
        "rm .venv/bin/acme",
        "echo no; exit 1",
    ] {
        let failed = ground.install(&ground.packages(), &ground.uvx(hostile)).await.expect_err(hostile);
        assert!(
            failed.what.contains("acme 1.0.0") && !failed.what.contains(".making-"),
            "{hostile}: {failed}"
        );
        assert_eq!(ground.left(), 0, "{hostile}");
    }
    // Whoever comes to what somebody changed does not start it either.
    let (uvx, packages) = (ground.uvx("true"), ground.packages());
    let installed = ground.install(&packages, &uvx).await.expect("installed");
    fs::remove_file(&installed.program).expect("removed");
    symlink("/bin/sh", &installed.program).expect("a link");
    let failed = ground.install(&packages, "uvx").await.expect_err("it leads elsewhere");
    assert!(failed.what.contains(&format!("Remove {}", installed.folder.display())), "{failed}");
}

#[tokio::test]
async fn what_is_not_whole_is_installed_anew() {
    let ground = Ground::new();
    let (uvx, packages) = (ground.uvx("true"), ground.packages());
    let installed = ground.install(&packages, &uvx).await.expect("installed");
    for mark in [None, Some(""), Some("another\n/usr/bin/python3")] {
        let file = installed.folder.join("runtime");
        match mark {
            None => fs::remove_file(file).expect("removed"),
            Some(mark) => fs::write(file, mark).expect("written"),
        }
        fs::write(installed.folder.join("half"), "").expect("written");
        let before = ground.count();
        assert_eq!(ground.install(&packages, &uvx).await.as_ref(), Ok(&installed), "{mark:?}");
        let half = installed.folder.join("half").exists();
        assert_eq!((ground.count(), ground.left(), half), (before + 1, 1, false), "{mark:?}");
    }
}

#[tokio::test]
async fn a_python_that_has_gone_is_said_and_what_to_do() {
    let ground = Ground::new();
    let (uvx, packages) = (ground.uvx("true"), ground.packages());
    let installed = ground.install(&packages, &uvx).await.expect("installed");
    fs::remove_file(ground.tools.path().join("python3")).expect("removed");
    let failed = ground.install(&packages, &uvx).await.expect_err("nothing would run it").what;
    let remove = format!("Remove {}", installed.folder.display());
    assert!(failed.contains("the Python that acme 1.0.0") && failed.contains(&remove), "{failed}");
    fs::remove_dir_all(&installed.folder).expect("removed");
    let uvx = ground.uvx("true");
    ground.install(&packages, &uvx).await.expect("anew");
}

#[tokio::test]
async fn a_registry_is_told_to_the_log_and_not_to_callers() {
    let ground = Ground::new();
    let uvx = ground.uvx("exit 1");
    let mirrors = Mirrors { pypi: Some("https://pypi.example.com/a-token/simple".to_owned()), npm: None };
    let failed = ground.packages().install(&uvx, &ground.lock, &mirrors).await.expect_err("it fails");
    assert!(!failed.what.contains("example.com") && failed.what.contains("~/.netrc"), "{failed}");
    assert!(
        failed.words.iter().any(|line| line.contains("https://pypi.example.com/a-token/simple")),
        "{failed:?}"
    );
}

#[tokio::test]
async fn where_no_folder_can_be_made_another_one_is_named() {
    let ground = Ground::new();
    let packages = Packages::new(PathBuf::from("/proc/nowhere"));
    let failed = ground.install(&packages, "uvx").await.expect_err("nobody can make it").what;
    assert!(failed.contains("/proc/nowhere") && failed.contains("`registry.packages.folder`"), "{failed}");
}

#[tokio::test]
async fn what_installs_is_marked_as_whoever_started_it_marks_its_children() {
    let ground = Ground::new();
    let said = ground.tools.path().join("said");
    let uvx = ground.uvx(&format!("echo $PORTCULLIS_CHILD $(ulimit -f) > {}", said.display()));
    let marker = Some("1-00.x.7".to_owned());
    let packages = Packages::taking_turns(ground.folder(), Arc::default(), marker);
    ground.install(&packages, &uvx).await.expect("installed");
    let said = fs::read_to_string(said).expect("said");
    let (marker, largest) = said.trim().split_once(' ').expect("two words");
    assert_eq!(marker, "1-00.x.7");
    // In blocks, whose size is the shell's.
    largest.parse::<u64>().expect("no file may become larger");
}

#[tokio::test]
async fn what_npm_would_fetch_from_an_address_is_said_to_be_that() {
    let ground = Ground::new();
    let npm = ground.tools.path().join("npm");
    fs::write(&npm, "#!/bin/sh\necho 'npm error code EALLOWREMOTE' >&2\nexit 1\n").expect("written");
    fs::set_permissions(&npm, fs::Permissions::from_mode(0o755)).expect("allowed");
    let npx = ground.tools.path().join("npx").display().to_string();
    let tool = Tool::beside(&npx, "npm", ground.place.path(), None, None);
    let failed = tool.run(&[]).await.expect_err("it refuses").resolving("acme 1.0.0", &tool);
    assert!(failed.what.contains("acme 1.0.0") && failed.what.contains("`bundleDependencies`"), "{failed}");
    assert_eq!(failed.words, ["npm error code EALLOWREMOTE"]);
}

#[tokio::test]
async fn what_takes_more_room_than_there_is_is_ended() {
    let ground = Ground::new();
    // What holds memory is a process of its own, which goes with the one that started it.
    let keeps = "import os, time; kept, it = b'x' * (64 << 20), os.getppid()\nwhile os.getppid() == it: time.sleep(0.1)";
    let uvx =
        ground.uvx(&format!("seq 100 | while read n; do echo > $n; done; python3 -c \"{keeps}\"; true"));
    let most = Room { files: 1000, bytes: 1 << 30, memory: 1 << 30 };
    for (room, told) in [
        (Room { files: 50, ..most }, "its packages have more than"),
        (Room { bytes: 50, ..most }, "its packages have more than"),
        (Room { memory: 32 << 20, ..most }, "more than 32 MiB of memory"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join(".venv/bin")).expect("made");
        let tool = Tool::beside(&uvx, "pypi", folder.path(), None, None).in_room(room);
        let began = Instant::now();
        let stopped = tool.run(&["pip".to_owned()]).await.expect_err("it is ended");
        let failed = stopped.resolving("acme", &tool).what;
        assert!(failed.contains(told), "{failed}");
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}
