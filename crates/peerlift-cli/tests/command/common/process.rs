//! A `peerlift` that runs, and how it ended. None outlives its test.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// No test takes as long unless something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A process that is killed when it is forgotten or hangs.
pub(crate) struct Running {
    child: Child,
    stdout: Receiver<Vec<u8>>,
    /// What was read of standard output so far.
    seen: Vec<u8>,
    stderr: Option<JoinHandle<Vec<u8>>>,
    /// The lines of standard error, as they come.
    told: Receiver<String>,
    /// Dropped when the process has ended: the watchdog lies down.
    _watchdog: Sender<()>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_for(command, PATIENCE)
    }

    /// Starts a command that may take longer than others.
    pub(crate) fn start_for(command: &mut Command, patience: Duration) -> Self {
        let piped = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        let (line_sender, stdout) = channel();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        spawn(move || {
            loop {
                let mut line = Vec::new();
                // Files go to standard output, too: a line of them may be long, so it is cut.
                let read = (&mut out)
                    .take(1 << 16)
                    .read_until(b'\n', &mut line)
                    .unwrap_or(0);
                if read == 0 || line_sender.send(line).is_err() {
                    return;
                }
            }
        });
        let (told_sender, told) = channel();
        let mut err = BufReader::new(child.stderr.take().unwrap());
        let stderr = spawn(move || {
            let mut text = Vec::new();
            loop {
                let start = text.len();
                if err.read_until(b'\n', &mut text).unwrap_or(0) == 0 {
                    return text;
                }
                let line = String::from_utf8_lossy(&text[start..]).into_owned();
                // Nobody listens: it is kept for the end.
                let _ = told_sender.send(line);
            }
        });
        let watchdog = watch(pid(&child), patience);
        Self {
            child,
            stdout,
            seen: Vec::new(),
            stderr: Some(stderr),
            told,
            _watchdog: watchdog,
        }
    }

    /// The next line of standard output; `None` at its end.
    pub(crate) fn line(&mut self) -> Option<String> {
        let line = self.stdout.recv().ok()?;
        self.seen.extend_from_slice(&line);
        Some(String::from_utf8(line).unwrap())
    }

    /// Reads events until one is of this kind.
    pub(crate) fn event(&mut self, kind: &str) -> Value {
        self.event_with(kind, |_| true)
    }

    /// Reads events until one is of this kind and as wanted.
    pub(crate) fn event_with(&mut self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        while let Some(line) = self.line() {
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == kind && wanted(&event) {
                return event;
            }
        }
        let seen = String::from_utf8_lossy(&self.seen).into_owned();
        panic!(
            "no such {kind} event; stdout: {seen}; stderr: {}",
            self.said()
        );
    }

    /// Reads standard error until a line has these words; gives the line.
    pub(crate) fn told(&mut self, words: &str) -> String {
        match self.told.iter().find(|line| line.contains(words)) {
            Some(line) => line,
            None => panic!("nothing of {words:?} in {}", self.said()),
        }
    }

    /// Waits until something was printed, whatever it is.
    pub(crate) fn wait_for_output(&mut self) {
        let bytes = self.stdout.recv().unwrap();
        self.seen.extend_from_slice(&bytes);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(pid(&self.child), signal).unwrap();
    }

    /// Closes the end of its standard output that we read.
    pub(crate) fn stop_reading(&mut self) {
        self.stdout = channel().1;
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Ended {
        for rest in self.stdout.iter() {
            self.seen.extend_from_slice(&rest);
        }
        let status = self.child.wait().unwrap();
        Ended {
            status,
            stdout: std::mem::take(&mut self.seen),
            stderr: self.said(),
        }
    }

    fn said(&mut self) -> String {
        let _ = self.child.wait();
        let text = self
            .stderr
            .take()
            .map(|thread| thread.join().unwrap())
            .unwrap_or_default();
        String::from_utf8(text).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already when the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Kills the process when nobody has dropped the sender in time.
fn watch(pid: Pid, patience: Duration) -> Sender<()> {
    let (sender, receiver) = channel::<()>();
    spawn(move || {
        if receiver.recv_timeout(patience) == Err(RecvTimeoutError::Timeout) {
            eprintln!("killed after {patience:?}");
            let _ = kill_process(pid, Signal::KILL);
        }
    });
    sender
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ended {
    /// Demands success.
    #[track_caller]
    pub(crate) fn fine(self) -> Self {
        assert_eq!(
            self.status.code(),
            Some(0),
            "{}\n{}",
            self.stderr,
            self.text()
        );
        self
    }

    /// Demands this exit code and one line of complaint, `peerlift: WHAT HAPPENED; WHAT TO DO`,
    /// that has all of `words`.
    #[track_caller]
    pub(crate) fn failed(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(
            self.status.code(),
            Some(code),
            "{}\n{}",
            self.stderr,
            self.text()
        );
        let line = self.stderr.strip_suffix('\n').unwrap_or_default();
        assert!(!line.contains('\n'), "more than one line: {line}");
        let complaint = line.strip_prefix("peerlift: ").expect(&self.stderr);
        let (what, advice) = complaint.split_once("; ").expect(line);
        assert!(
            !what.is_empty() && !advice.is_empty() && !line.ends_with('.'),
            "{line}"
        );
        for word in words {
            assert!(line.contains(word), "{word:?} is not in {line:?}");
        }
        self
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard output, read as events.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.text()
            .lines()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect()
    }

    /// The only event of this kind.
    #[track_caller]
    pub(crate) fn event(&self, kind: &str) -> Value {
        let mut found = self.events();
        found.retain(|event| event["event"] == kind);
        assert_eq!(found.len(), 1, "{kind} events in {}", self.text());
        found.remove(0)
    }
}
