use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};
use jiff::Timestamp;
use tracing_subscriber::fmt::MakeWriter;

use super::redact;

/// How much may lie in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A file is closed when it is longer than this, in bytes.
    pub file_bytes: usize,
    /// Files that one process keeps, beside the one that it writes.
    pub older_files: usize,
    /// Files of all processes that have ended.
    pub files: usize,
    /// Bytes of all processes that have ended.
    pub bytes: u64,
}

impl Default for Limits {
    /// 4 MB for a process, and 16 MB in 60 files for those that have ended: some days of an installer's work, and a bundle
    /// that a mail takes.
    fn default() -> Self {
        Limits { file_bytes: 1_000_000, older_files: 3, files: 60, bytes: 16_000_000 }
    }
}

/// A ring of files in one folder. Each process writes files of its own, `TIME-PID.jsonl` and then `….jsonl.1` (the newer
/// the lower the number), so that no two can tear each other's lines; a lock beside them says that it still runs. Whoever
/// begins to write clears away what is over the limits, the oldest first, and leaves alone what is still written.
#[derive(Clone)]
pub struct Ring(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    limits: Limits,
    state: Mutex<State>,
}

enum State {
    /// Nothing to write yet.
    Fresh,
    Open {
        files: Box<FileRotate<AppendCount>>,
        /// Held as long as this process writes.
        _lock: File,
    },
    /// The folder cannot be written to: no log, and nothing else stops.
    Failed,
}

impl Ring {
    /// In `folder`, which is made when the first line comes.
    pub fn new(folder: impl Into<PathBuf>, limits: Limits) -> Self {
        Ring(Arc::new(Inner { folder: folder.into(), limits, state: Mutex::new(State::Fresh) }))
    }

    /// The files of a ring, the oldest first. Empty where there is none.
    pub fn files(folder: &Path) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = runs(folder).into_iter().flat_map(|run| run.files).collect();
        // Of one process the higher number is the older file.
        files.sort_by_key(|file| (stem(file), std::cmp::Reverse(number(file))));
        files
    }

    fn write_line(&self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let line = redact(&line);
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Fresh) {
            *state = self.open().unwrap_or(State::Failed);
        }
        if let State::Open { files, .. } = &mut *state {
            // One write a line; a disk that is full loses the line and nothing else.
            let _ = files.write_all(line.as_bytes());
        }
    }

    fn open(&self) -> io::Result<State> {
        let Inner { folder, limits, .. } = &*self.0;
        fs::create_dir_all(folder)?;
        private(folder);
        clear(folder, limits);
        let (name, lock) = self.own_name()?;
        let files = FileRotate::new(
            folder.join(format!("{name}.{ENDING}")),
            AppendCount::new(limits.older_files),
            // Whole lines: the limit is looked at between them.
            ContentLimit::BytesSurpassed(limits.file_bytes.max(1)),
            Compression::None,
            Some(own_file()),
        );
        Ok(State::Open { files: Box::new(files), _lock: lock })
    }

    /// A name that nobody else has; the lock is what makes it ours. In microseconds: within one moment a name that was
    /// cleared away is given again, and what is newer would pass for the oldest.
    fn own_name(&self) -> io::Result<(String, File)> {
        let now = Timestamp::now().strftime("%Y%m%dT%H%M%S%6f").to_string();
        for attempt in 0..100 {
            let name = format!("{now}-{}-{attempt}", std::process::id());
            // Of a ring that this process had before: its lock may be cleared away already.
            if self.0.folder.join(format!("{name}.{ENDING}")).exists() {
                continue;
            }
            let lock = OpenOptions::new()
                .create_new(true)
                .write(true)
                .open(self.0.folder.join(format!("{name}.{LOCK_ENDING}")));
            match lock {
                Ok(lock) => {
                    lock.try_lock().map_err(io::Error::from)?;
                    return Ok((name, lock));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

const ENDING: &str = "jsonl";
const LOCK_ENDING: &str = "lock";

impl Drop for Inner {
    fn drop(&mut self) {
        // The lock's file says nothing any more once nobody holds it; the next `clear` would find it too.
        let state = std::mem::replace(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner), State::Failed);
        drop(state);
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Ring").field(&self.0.folder).finish()
    }
}

impl<'a> MakeWriter<'a> for Ring {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { ring: self.clone(), bytes: Vec::new() }
    }
}

/// One line on its way into the ring.
#[derive(Debug)]
pub struct Line {
    ring: Ring,
    bytes: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.bytes.is_empty() {
            self.ring.write_line(&self.bytes);
        }
    }
}

/// The files of one process.
struct Run {
    name: String,
    files: Vec<PathBuf>,
    bytes: u64,
}

fn runs(folder: &Path) -> Vec<Run> {
    let mut runs = std::collections::BTreeMap::<String, Run>::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = stem(&path);
        if name.is_empty() || !entry.file_type().is_ok_and(|kind| kind.is_file()) {
            continue;
        }
        let run = runs.entry(name.clone()).or_insert_with(|| Run { name, files: Vec::new(), bytes: 0 });
        if path.extension().is_none_or(|ending| ending != LOCK_ENDING) {
            run.bytes += entry.metadata().map(|data| data.len()).unwrap_or_default();
            run.files.push(path);
        }
    }
    // By time, for that is how the names begin.
    runs.into_values().collect()
}

/// `TIME-PID-N`, or nothing for a file that is not the ring's.
fn stem(path: &Path) -> String {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some((stem, ending)) = name.split_once('.') else { return String::new() };
    let ours = ending == LOCK_ENDING || ending == ENDING || ending.strip_prefix("jsonl.").is_some_and(is_number);
    if ours && stem.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') { stem.to_owned() } else { String::new() }
}

fn number(path: &Path) -> u32 {
    path.extension().and_then(|ending| ending.to_str()).and_then(|ending| ending.parse().ok()).unwrap_or(0)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit())
}

/// Makes room: the oldest processes' files go first, those of processes that run stay.
fn clear(folder: &Path, limits: &Limits) {
    let ended: Vec<(Run, Option<File>)> = runs(folder)
        .into_iter()
        .filter_map(|run| match File::open(folder.join(format!("{}.{LOCK_ENDING}", run.name))) {
            // Ours while it is cleared, so that two that begin at once do not count each other's.
            Ok(lock) => lock.try_lock().is_ok().then_some((run, Some(lock))),
            Err(_) => Some((run, None)),
        })
        .collect();
    let mut files: usize = ended.iter().map(|(run, _)| run.files.len()).sum();
    let mut bytes: u64 = ended.iter().map(|(run, _)| run.bytes).sum();
    for (run, lock) in ended {
        let over = files > limits.files || bytes > limits.bytes;
        if over || run.files.is_empty() {
            for file in &run.files {
                let _ = fs::remove_file(file);
            }
            files -= run.files.len();
            bytes -= run.bytes;
        }
        drop(lock);
        if over || run.files.is_empty() || lock_is_stale(folder, &run.name) {
            let _ = fs::remove_file(folder.join(format!("{}.{LOCK_ENDING}", run.name)));
        }
    }
}

/// Nobody takes an ended process's name again, so its lock has done its work.
fn lock_is_stale(folder: &Path, name: &str) -> bool {
    File::open(folder.join(format!("{name}.{LOCK_ENDING}"))).is_ok_and(|lock| lock.try_lock().is_ok())
}

/// As the rotation opens them otherwise, but for this user only.
fn own_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// For this user only: device names and addresses are in the log.
#[cfg(unix)]
fn private(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
}

#[cfg(not(unix))]
fn private(_: &Path) {}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Limits = Limits { file_bytes: 2_000, older_files: 2, files: 6, bytes: 20_000 };

    fn line(text: &str) -> Vec<u8> {
        format!("{}\n", serde_json::json!({ "message": text })).into_bytes()
    }

    fn write(ring: &Ring, text: &str) {
        ring.make_writer().write_all(&line(text)).unwrap();
    }

    fn total(folder: &Path) -> u64 {
        Ring::files(folder).iter().map(|file| fs::metadata(file).unwrap().len()).sum()
    }

    #[test]
    fn nothing_is_made_before_the_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let ring = Ring::new(folder.path().join("logs"), SMALL);
        assert!(!folder.path().join("logs").exists());
        write(&ring, "first");
        assert_eq!(Ring::files(&folder.path().join("logs")).len(), 1);
    }

    #[test]
    fn one_process_keeps_a_bounded_number_of_bytes_in_whole_lines_and_the_newest_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let ring = Ring::new(folder.path(), SMALL);
        for number in 0..2_000 {
            write(&ring, &format!("line {number}"));
        }
        let files = Ring::files(folder.path());
        assert_eq!(files.len(), SMALL.older_files + 1);
        assert!(total(folder.path()) < 3 * 2_100, "{}", total(folder.path()));
        let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
        let mut numbers = text.lines().map(|line| {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            value["message"].as_str().unwrap()[5..].parse::<u32>().unwrap()
        });
        let mut last = numbers.next().unwrap();
        for number in numbers {
            assert_eq!(number, last + 1, "the files are in order and none is missing");
            last = number;
        }
        assert_eq!(last, 1_999);
    }

    #[test]
    fn many_runs_stay_within_the_limits_and_the_oldest_go_first() {
        let folder = tempfile::tempdir().unwrap();
        for run in 0..30 {
            let ring = Ring::new(folder.path(), SMALL);
            write(&ring, &format!("run {run}"));
        }
        let files = Ring::files(folder.path());
        // The limit, and the last one itself.
        assert!(files.len() <= SMALL.files + 1, "{files:?}");
        let text: String = files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
        assert!(text.contains("run 29") && text.contains("run 25") && !text.contains("run 2\""), "{text}");
        let locks = fs::read_dir(folder.path()).unwrap().flatten();
        let locks = locks.filter(|entry| entry.path().extension().is_some_and(|ending| ending == LOCK_ENDING)).count();
        assert!(locks <= 2, "{locks} locks are left");
    }

    #[test]
    fn what_is_still_written_is_never_cleared_away() {
        let folder = tempfile::tempdir().unwrap();
        let long = Ring::new(folder.path(), SMALL);
        write(&long, "from the beginning");
        for _ in 0..30 {
            write(&Ring::new(folder.path(), SMALL), &"x".repeat(1500));
        }
        write(&long, "to the end");
        let text: String = Ring::files(folder.path()).iter().map(|file| fs::read_to_string(file).unwrap()).collect();
        assert!(text.contains("from the beginning") && text.contains("to the end"));
        assert!(total(folder.path()) <= SMALL.bytes + 4_000);
    }

    #[test]
    fn files_of_others_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["notes.txt", "a.b.jsonl", "20260101T000000-1-0.jsonl.bak", ".hidden"] {
            fs::write(folder.path().join(name), "x".repeat(50_000)).unwrap();
        }
        write(&Ring::new(folder.path(), SMALL), "a line");
        assert_eq!(Ring::files(folder.path()).len(), 1);
        assert!(folder.path().join("notes.txt").exists() && folder.path().join("a.b.jsonl").exists());
    }

    #[test]
    fn a_folder_that_cannot_be_made_stops_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let ring = Ring::new(file.join("logs"), SMALL);
        write(&ring, "lost");
        write(&ring, "lost");
    }

    #[test]
    fn secrets_are_taken_out_on_the_way_in() {
        let folder = tempfile::tempdir().unwrap();
        let ring = Ring::new(folder.path(), SMALL);
        ring.make_writer().write_all(b"{\"pop\":\"MARKED\"}\n").unwrap();
        let text = fs::read_to_string(&Ring::files(folder.path())[0]).unwrap();
        assert_eq!(text, "{\"pop\":\"[redacted]\"}\n");
    }

    #[cfg(unix)]
    #[test]
    fn the_files_are_this_users_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let ring = Ring::new(folder.path().join("logs"), SMALL);
        write(&ring, "a line");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder.path().join("logs")), 0o700);
        assert_eq!(mode(&Ring::files(&folder.path().join("logs"))[0]), 0o600);
    }
}
