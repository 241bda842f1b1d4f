//! The suite `postgres`: every test of the provisioning API against a real PostgreSQL, and those of several replicas.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::app;
use crate::commands::{Outcome, cargo, output, root, run, target_folder};
use crate::prerequisites;

/// Where Debian puts each version's programs.
const VERSIONS: &str = "/usr/lib/postgresql";

/// Where tests are that need PostgreSQL itself: several processes, a server that ends, the tables of both databases.
const ONLY_HERE: [&str; 3] = ["replicas", "database_restart", "provisioning_api"];

/// Nothing of this server outlives the suite, so it need not reach the disk. Never for a database that is to stay.
const OPTIONS: &str =
    "-c listen_addresses= -c fsync=off -c full_page_writes=off -c max_connections=300 -c autovacuum=off";

pub(crate) fn why_not() -> Option<String> {
    // Of the client alone there is a folder, too.
    if programs().is_none()
        && prerequisites::may_install()
        && let Err(error) = prerequisites::install(&["postgresql"])
    {
        return Some(error);
    }
    programs().is_none().then(|| format!("there is no bin/pg_ctl in {VERSIONS}: sudo apt-get install postgresql"))
}

pub(crate) fn test() -> Outcome {
    let server = Server::start()?;
    let template = server.url("lowtouch_template");
    server.ask("CREATE DATABASE lowtouch_template")?;
    run(Command::new(target_folder()?.join("debug/provisioning-api")).args([
        "tenant",
        "list",
        "--database",
        &template,
    ]))?;
    let mut failed = Vec::new();
    for test in tests()? {
        let name = test.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let mut command = Command::new(&test);
        command.current_dir(root().join("provisioning-api"));
        command.env("LOWTOUCH_TEST_DATABASE", server.url("postgres")).env("LOWTOUCH_TEST_RESTART", server.restart());
        if ONLY_HERE.iter().any(|only| name.rsplit_once('-').is_some_and(|(name, _)| name == *only)) {
            command.arg("--include-ignored");
        }
        println!("-- {name}");
        if run(&mut command).is_err() {
            failed.push(name.to_owned());
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed on PostgreSQL: {}", failed.join(", "))) }
}

/// The executables of the provisioning API's tests. Of the whole workspace, so that nothing is compiled with other features.
fn tests() -> Outcome<Vec<PathBuf>> {
    let built = output(cargo(&["test", "--locked", "--no-run", "--message-format=json"]).args(app::packages()))?;
    let artifacts = built.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let manifest = root().join("provisioning-api/Cargo.toml");
    let ours =
        artifacts.filter(|artifact| artifact["manifest_path"].as_str().is_some_and(|path| Path::new(path) == manifest));
    let tests = ours.filter(|artifact| artifact["profile"]["test"] == true);
    let mut files: Vec<PathBuf> =
        tests.filter_map(|artifact| artifact["executable"].as_str().map(PathBuf::from)).collect();
    files.sort();
    if files.is_empty() { Err("cargo built no test of the provisioning API".into()) } else { Ok(files) }
}

/// The newest version's programs.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir(VERSIONS).ok()?.flatten();
    let folders = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join("pg_ctl").exists());
    folders.max_by_key(|bin| bin.parent().and_then(Path::file_name).and_then(OsStr::to_str)?.parse::<u32>().ok())
}

/// A server on a Unix socket in a folder of its own.
struct Server {
    programs: PathBuf,
    folder: PathBuf,
    is_root: bool,
}

impl Server {
    fn start() -> Outcome<Self> {
        let programs = programs().ok_or("PostgreSQL is not installed")?;
        let folder = std::env::temp_dir().join(format!("lowtouch-postgres-{}", std::process::id()));
        fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let is_root = output(Command::new("id").arg("-u"))?.trim() == "0";
        let server = Self { programs, folder, is_root };
        if is_root {
            // It does not run as root; Debian's package makes this user.
            run(Command::new("chown").arg("postgres").arg(&server.folder))?;
        }
        output(
            server
                .program("initdb")
                .args(["-U", "lowtouch", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "-N", "-D"])
                .arg(server.data()),
        )?;
        let options = format!("-k {} {OPTIONS}", server.folder.display());
        let mut start = server.program("pg_ctl");
        start.arg("-D").arg(server.data()).arg("-l").arg(server.folder.join("log"));
        run(start.args(["-s", "-w", "-t", "60", "-o", &options, "start"]))?;
        Ok(server)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn program(&self, name: &str) -> Command {
        let program = self.programs.join(name);
        let mut command = if self.is_root {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.current_dir(&self.folder);
        command
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://lowtouch@{}/{database}", self.folder.display().to_string().replace('/', "%2F"))
    }

    fn ask(&self, sql: &str) -> Outcome {
        run(Command::new("psql").args(["-X", "-q", "-d", &self.url("postgres"), "-c", sql]))
    }

    /// What a shell does to end the server as a crash would, and to start it again.
    fn restart(&self) -> String {
        let command = self.program("pg_ctl");
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
        format!(
            "{} -D {} -s -w -m immediate -l {}/log restart",
            words.join(" "),
            self.data().display(),
            self.folder.display()
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stopped =
            run(self.program("pg_ctl").arg("-D").arg(self.data()).args(["-s", "-w", "-m", "immediate", "stop"]));
        if let Err(error) = stopped {
            println!("{error}");
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}
