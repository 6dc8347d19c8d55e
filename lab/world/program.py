"""A program in a host: its output as events, its end, its memory and processor time."""
import json
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

MEMORY_EVERY_SECONDS = 0.1


class WentWrong(Exception):
    """A program did not do what was waited for."""


@dataclass(frozen=True)
class Line:
    """One line of standard output."""
    at: float
    text: str

    @property
    def event(self):
        """The JSON object on the line; an empty one when it is something else."""
        if not self.text.startswith("{"):
            return {}
        try:
            return json.loads(self.text)
        except ValueError:
            return {}


class Program:
    """Starts at construction. Standard output is read line by line and kept, both streams are
    also written to `FOLDER/NAME.out` and `NAME.err`. One thread reads, one waits for the end, one
    watches the memory. Its children end with it."""

    def __init__(self, argv, *, folder, name, namespace=None, env=None):
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.name, self.folder = name, folder
        self.lines: list[Line] = []
        self.code = None
        self.usage = None
        self.peak_rss_bytes = 0
        self.ended_at = None
        self._changed = threading.Condition()
        self._ended = threading.Event()
        words = [str(word) for word in argv]
        if namespace is not None:
            words = namespace.enter(*words)
        self.started_at = time.monotonic()
        with open(folder / f"{name}.err", "ab") as errors:
            self._popen = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors,
                cwd=folder, env={**os.environ, **(env or {})}, start_new_session=True)
        self.pid = self._popen.pid
        self._threads = [threading.Thread(target=work, daemon=True)
                         for work in (self._read, self._watch, self._measure)]
        for thread in self._threads:
            thread.start()

    # -- waiting

    def wait_line(self, wanted, what, within, since=0):
        """The first line, from number `since` on, for which `wanted(text)` is true."""
        return self._wait_for(lambda line: wanted(line.text), what, within, since).text

    def wait_event(self, wanted, what, within, since=0):
        """The first JSON event, from line number `since` on, for which `wanted(event)` is true."""
        return self._wait_for(lambda line: line.event and wanted(line.event),
                              what, within, since).event

    def wait_exit(self, within):
        """Its exit code; minus the signal's number when a signal ended it."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.code is not None, within):
                raise WentWrong(f"{self.name}: still runs after {within} s")
        return self.code

    @property
    def events(self):
        """All JSON events so far."""
        return [line.event for line in list(self.lines) if line.event]

    @property
    def cpu_seconds(self):
        """User and system time of the ended program."""
        return self.usage.ru_utime + self.usage.ru_stime

    # -- ending

    def signal(self, number):
        """Sends a signal unless it has ended."""
        with self._changed:
            if self.code is None:
                os.kill(self.pid, number)

    def kill(self, within=10):
        """Ends it at once, as a power cut would."""
        self.signal(signal.SIGKILL)
        return self.wait_exit(within)

    def stop(self, within=10):
        """Asks it to end, and insists when the time is over."""
        self.signal(signal.SIGTERM)
        try:
            return self.wait_exit(within)
        except WentWrong:
            return self.kill()

    # -- threads

    def _wait_for(self, wanted, what, within, since):
        deadline = time.monotonic() + within
        seen = since
        with self._changed:
            while True:
                for line in self.lines[seen:]:
                    seen += 1
                    if wanted(line):
                        return line
                if self.code is not None:
                    raise WentWrong(f"{self.name}: ended with {self.code} before {what}; "
                                    f"it said: {self.last_words()}")
                left = deadline - time.monotonic()
                if left <= 0:
                    raise WentWrong(f"{self.name}: no {what} within {within} s")
                self._changed.wait(left)

    def last_words(self):
        """The end of what it said, for a failure's message."""
        said = (self.folder / f"{self.name}.err").read_text(errors="replace").strip()
        return " / ".join(said.splitlines()[-3:]) or "nothing"

    def _read(self):
        with open(self.folder / f"{self.name}.out", "ab") as copy, self._popen.stdout as output:
            for raw in output:
                copy.write(raw)
                copy.flush()
                line = Line(time.monotonic(), raw.decode(errors="replace").rstrip("\n"))
                with self._changed:
                    self.lines.append(line)
                    self._changed.notify_all()

    def _watch(self):
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        ended_at = time.monotonic()
        self._ended.set()
        # It is not reaped yet, so that the group is still its own.
        os.killpg(self.pid, signal.SIGKILL)
        self._threads[0].join()
        with self._changed:
            _, status, self.usage = os.wait4(self.pid, 0)
            self._popen.returncode = 0
            self.ended_at = ended_at
            self.code = os.waitstatus_to_exitcode(status)
            self._changed.notify_all()

    def _measure(self):
        # The peak in `rusage` would start at our own size, which the child has before its exec.
        while True:
            self._sample_memory()
            if self._ended.wait(MEMORY_EVERY_SECONDS):
                return

    def _sample_memory(self):
        try:
            for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    peak = int(line.split()[1]) * 1024
                    self.peak_rss_bytes = max(self.peak_rss_bytes, peak)
        except (FileNotFoundError, ProcessLookupError):
            pass
