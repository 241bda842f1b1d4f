//! A tree of local processes that never outlives its owner, and a folder for their files.
//!
//! Three nets, one below the other: [`ProcessTree::stop`] asks (it closes every child's standard input, on which the
//! children end themselves) and then kills; dropping the tree kills; and if this process is killed outright, the operating
//! system closes those pipes, which ends the children all the same. The folder of a demo that was killed is removed by the
//! next one.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

/// The person's own secrets are no business of the demo: these variables are not handed on.
const PRIVATE: [&str; 4] = [
    "LOWTOUCH_TOKEN",
    "LOWTOUCH_WIFI_PASSPHRASE",
    "LOWTOUCH_PASSPHRASE_FILE",
    crate::settings::PROXY_PASSWORD_VARIABLE,
];

/// How long a process may take until it says that it is ready. Generous: a debug build on a busy machine.
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// How long a process may take to end by itself after its standard input is closed.
const STOP_DEADLINE: Duration = Duration::from_secs(3);
/// How many lines of a dead process's log are shown.
const LOG_TAIL: usize = 12;
const PREFIX: &str = "lowtouch-demo-";
const LOCK: &str = "in-use";

/// Processes and their folder; see the module.
#[derive(Debug)]
pub struct ProcessTree {
    // Dropped before the folder that they write to.
    children: Vec<Process>,
    dir: TempDir,
    told: Option<mpsc::UnboundedSender<String>>,
    // Locked as long as this process lives; tells the next demo that the folder is in use.
    _lock: File,
}

#[derive(Debug)]
struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    log: PathBuf,
}

/// Why a process did not do what it was started for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// It could not be started.
    #[error("{name} could not be started")]
    Spawn {
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It ended before it was ready.
    #[error("{name} ended before it was ready{}", tail_text(.tail))]
    Ended {
        /// Which.
        name: String,
        /// Its last words.
        tail: Vec<String>,
    },
    /// It was not ready in time.
    #[error("{name} was not ready within {} s{}", READY_DEADLINE.as_secs(), tail_text(.tail))]
    NotReady {
        /// Which.
        name: String,
        /// Its last words.
        tail: Vec<String>,
    },
    /// It ended with an error, or although it should stay.
    #[error("{name} failed ({status}){}", tail_text(.tail))]
    Failed {
        /// Which.
        name: String,
        /// How.
        status: ExitStatus,
        /// Its last words.
        tail: Vec<String>,
    },
    /// The folder for its files cannot be made or used.
    #[error("the demo's folder could not be used")]
    Folder(#[source] io::Error),
}

fn tail_text(tail: &[String]) -> String {
    if tail.is_empty() { String::new() } else { format!("; its last words:\n  {}", tail.join("\n  ")) }
}

impl ProcessTree {
    /// An empty tree with a fresh folder that only this user can read.
    ///
    /// # Errors
    /// [`ProcessError`].
    pub fn new() -> Result<Self, ProcessError> {
        let temp = std::env::temp_dir();
        remove_abandoned(&temp);
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir().map_err(ProcessError::Folder)?;
        let lock = File::create(dir.path().join(LOCK)).map_err(ProcessError::Folder)?;
        lock.try_lock().map_err(|error| ProcessError::Folder(error.into()))?;
        Ok(Self { children: Vec::new(), dir, told: None, _lock: lock })
    }

    /// Tells the name of every process that gets ready from now on.
    pub fn tell(&mut self, told: mpsc::UnboundedSender<String>) {
        self.told = Some(told);
    }

    /// The folder; it goes away with the tree.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A new folder inside it.
    ///
    /// # Errors
    /// [`ProcessError`].
    pub fn make_dir(&self, name: &str) -> Result<PathBuf, ProcessError> {
        let path = self.dir().join(name);
        std::fs::create_dir_all(&path).map_err(ProcessError::Folder)?;
        Ok(path)
    }

    /// Starts a process that stays, and returns at once; [`Starting::ready`] waits for its line `ready {json}`.
    ///
    /// # Errors
    /// [`ProcessError`].
    pub fn start<I, S>(&mut self, name: &str, program: &Path, arguments: I) -> Result<Starting, ProcessError>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let log = self.dir().join(format!("{name}.log"));
        let stderr = File::create(&log).map_err(ProcessError::Folder)?;
        let mut command = command(program, arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
        let mut child = command.spawn().map_err(|source| ProcessError::Spawn { name: name.into(), source })?;
        let stdin = child.stdin.take();
        let (sender, ready) = oneshot::channel();
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(async move {
                let mut sender = Some(sender);
                let mut lines = BufReader::new(stdout).lines();
                // Read to the end, so that the process never blocks on a full pipe.
                while let Ok(Some(line)) = lines.next_line().await {
                    if let Some(json) = line.strip_prefix("ready ")
                        && let Ok(value) = serde_json::from_str::<Value>(json)
                        && let Some(sender) = sender.take()
                    {
                        let _ = sender.send(value);
                    }
                }
            });
        }
        self.children.push(Process { name: name.into(), child, stdin, log: log.clone() });
        let told = self.told.clone();
        Ok(Starting { name: name.into(), log, ready, told, deadline: Instant::now() + READY_DEADLINE })
    }

    /// Runs a process to its end and returns its standard output.
    ///
    /// # Errors
    /// [`ProcessError`].
    pub async fn run<I, S>(&self, name: &str, program: &Path, arguments: I) -> Result<String, ProcessError>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let mut command = command(program, arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let spawned = |source| ProcessError::Spawn { name: name.into(), source };
        let child = command.spawn().map_err(spawned)?;
        let output = timeout(READY_DEADLINE, child.wait_with_output())
            .await
            .map_err(|_| ProcessError::NotReady { name: name.into(), tail: Vec::new() })?
            .map_err(spawned)?;
        if !output.status.success() {
            let tail = last_lines(&String::from_utf8_lossy(&output.stderr));
            return Err(ProcessError::Failed { name: name.into(), status: output.status, tail });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Waits until a process ends although it should stay; never returns while all live.
    pub async fn first_end(&mut self) -> ProcessError {
        let waits = self.children.iter_mut().map(|process| {
            Box::pin(async move {
                // Waiting would close the child's standard input and so end it, had it not been taken out of the child.
                let status = process.child.wait().await;
                (process.name.clone(), process.log.clone(), status)
            })
        });
        let waits: Vec<_> = waits.collect();
        if waits.is_empty() {
            return std::future::pending().await;
        }
        let ((name, log, status), _, _) = futures::future::select_all(waits).await;
        match status {
            Ok(status) => ProcessError::Failed { name, status, tail: tail_of(&log) },
            Err(source) => ProcessError::Spawn { name, source },
        }
    }

    /// Ends every process, politely first, and removes the folder.
    pub async fn stop(mut self) {
        for process in &mut self.children {
            if let Some(mut stdin) = process.stdin.take() {
                let _ = stdin.shutdown().await;
            }
        }
        let deadline = Instant::now() + STOP_DEADLINE;
        for process in &mut self.children {
            if timeout_at(deadline, process.child.wait()).await.is_err() {
                let _ = process.child.kill().await;
            }
        }
        // Dropping the tree removes the folder.
    }
}

/// A process that was started and may not be ready yet.
#[derive(Debug)]
pub struct Starting {
    name: String,
    log: PathBuf,
    ready: oneshot::Receiver<Value>,
    told: Option<mpsc::UnboundedSender<String>>,
    deadline: Instant,
}

impl Starting {
    /// Waits for the line `ready {json}` and returns the JSON.
    ///
    /// # Errors
    /// [`ProcessError`].
    pub async fn ready(self) -> Result<Value, ProcessError> {
        match timeout_at(self.deadline, self.ready).await {
            Ok(Ok(value)) => {
                if let Some(told) = self.told {
                    // Nobody may listen any more.
                    let _ = told.send(self.name);
                }
                Ok(value)
            }
            Ok(Err(_)) => Err(ProcessError::Ended { name: self.name, tail: tail_of(&self.log) }),
            Err(_) => Err(ProcessError::NotReady { name: self.name, tail: tail_of(&self.log) }),
        }
    }
}

fn command<I, S>(program: &Path, arguments: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = Command::new(program);
    let arguments: Vec<OsString> = arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
    command.args(arguments).kill_on_drop(true);
    for name in PRIVATE {
        command.env_remove(name);
    }
    // A group of its own: Ctrl-C in the terminal reaches this process alone, which then ends the others in order.
    #[cfg(unix)]
    command.process_group(0);
    command
}

fn tail_of(log: &Path) -> Vec<String> {
    last_lines(&std::fs::read_to_string(log).unwrap_or_default())
}

fn last_lines(text: &str) -> Vec<String> {
    let mut tail = VecDeque::with_capacity(LOG_TAIL);
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        if tail.len() == LOG_TAIL {
            tail.pop_front();
        }
        tail.push_back(line.to_owned());
    }
    tail.into()
}

/// Removes the folders of demos that were killed before they could do it themselves.
fn remove_abandoned(temp: &Path) {
    let Ok(entries) = std::fs::read_dir(temp) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX)
            || !entry.file_type().is_ok_and(|kind| kind.is_dir())
        {
            continue;
        }
        // No lock file: it is being made this moment, or is nobody we know.
        let Ok(lock) = File::open(entry.path().join(LOCK)) else { continue };
        if lock.try_lock().is_ok() {
            // Another user's folder cannot be removed by us, which is as it should be.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    /// Says `ready {json}`, then does what the children of the demo promise: ends when its standard input closes.
    const GOOD: &str = r#"echo 'ready {"port":1}'; cat >/dev/null"#;

    fn shell(script: &str) -> [String; 2] {
        ["-c".to_owned(), script.to_owned()]
    }

    fn alive(pid: u32) -> bool {
        // A zombie is dead: its state letter stands behind the name in parentheses.
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
    }

    async fn wait_until_dead(pid: u32) {
        timeout(Duration::from_secs(10), async {
            while alive(pid) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("the process ends");
    }

    #[tokio::test]
    async fn a_ready_line_is_handed_on_and_stop_ends_the_process_and_removes_the_folder() {
        let mut tree = ProcessTree::new().unwrap();
        let dir = tree.dir().to_owned();
        let ready = tree.start("good", Path::new("/bin/sh"), shell(GOOD)).unwrap().ready().await.unwrap();
        assert_eq!(ready["port"], 1);
        let pid = tree.children[0].child.id().unwrap();
        assert!(alive(pid) && dir.exists());
        tree.stop().await;
        assert!(!alive(pid));
        assert!(!dir.exists());
    }

    #[tokio::test]
    async fn a_process_that_ignores_the_end_of_its_input_is_killed() {
        let mut tree = ProcessTree::new().unwrap();
        tree.start("deaf", Path::new("/bin/sh"), shell("echo 'ready {}'; exec sleep 600"))
            .unwrap()
            .ready()
            .await
            .unwrap();
        let pid = tree.children[0].child.id().unwrap();
        tree.stop().await;
        assert!(!alive(pid));
    }

    #[tokio::test]
    async fn dropping_the_tree_kills_its_processes() {
        let mut tree = ProcessTree::new().unwrap();
        tree.start("deaf", Path::new("/bin/sh"), shell("echo 'ready {}'; exec sleep 600"))
            .unwrap()
            .ready()
            .await
            .unwrap();
        let pid = tree.children[0].child.id().unwrap();
        drop(tree);
        wait_until_dead(pid).await;
    }

    #[tokio::test]
    async fn a_process_that_ends_before_it_is_ready_is_an_error_with_its_last_words() {
        let mut tree = ProcessTree::new().unwrap();
        let error = tree
            .start("bad", Path::new("/bin/sh"), shell("echo 'no disk' >&2; exit 3"))
            .unwrap()
            .ready()
            .await
            .unwrap_err();
        assert!(error.to_string().contains("no disk"), "{error}");
    }

    #[tokio::test]
    async fn a_process_that_ends_later_is_noticed() {
        let mut tree = ProcessTree::new().unwrap();
        tree.start("good", Path::new("/bin/sh"), shell(GOOD)).unwrap().ready().await.unwrap();
        tree.start("brief", Path::new("/bin/sh"), shell("echo 'ready {}'; exit 4")).unwrap().ready().await.unwrap();
        let error = tree.first_end().await;
        assert!(error.to_string().starts_with("brief failed"), "{error}");
    }

    #[tokio::test]
    async fn a_command_that_fails_shows_what_it_said() {
        let tree = ProcessTree::new().unwrap();
        let error =
            tree.run("token", Path::new("/bin/sh"), shell("echo 'no such role' >&2; exit 2")).await.unwrap_err();
        assert!(error.to_string().contains("no such role"), "{error}");
        let text = tree.run("token", Path::new("/bin/sh"), shell("echo hello")).await.unwrap();
        assert_eq!(text, "hello\n");
    }

    #[tokio::test]
    async fn the_folder_of_a_killed_demo_is_removed_and_one_in_use_is_not() {
        let temp = tempfile::tempdir().unwrap();
        let dead = temp.path().join(format!("{PREFIX}dead"));
        let live = temp.path().join(format!("{PREFIX}live"));
        for dir in [&dead, &live] {
            std::fs::create_dir(dir).unwrap();
        }
        drop(File::create(dead.join(LOCK)).unwrap());
        let held = File::create(live.join(LOCK)).unwrap();
        held.try_lock().unwrap();
        remove_abandoned(temp.path());
        assert!(!dead.exists());
        assert!(live.exists());
    }
}
