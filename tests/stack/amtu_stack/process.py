# SPDX-License-Identifier: Apache-2.0
"""Processes that the stack starts: found again later, and never mistaken for another with the same pid."""

import os
import signal
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TAIL_LINES = 15
STOPPED_WITHIN = 5.0  # seconds


class Failure(Exception):
    """A part of the stack did not do what it should; the text is what the person at the terminal reads."""


def stat_fields(pid):
    """Fields of /proc/PID/stat after the name (which may hold spaces and brackets), or None without such a process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def start_time(pid):
    """When the process started, in clock ticks since boot: with the pid, its identity. None if it is gone."""
    fields = stat_fields(pid)
    # A zombie has ended; nobody may ever collect it where pid 1 is not an init.
    return int(fields[19]) if fields and fields[0] not in "ZX" else None


def arguments(pid):
    """The argument vector of a process; empty for one that is gone or a kernel thread."""
    try:
        raw = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return raw.decode("utf-8", "replace").split("\0")[:-1]


def pids_with_argument(program, argument):
    """Pids of processes whose program has this name and that were given exactly this argument."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        words = arguments(entry)
        if words and os.path.basename(words[0]) == program and argument in words[1:] and start_time(entry):
            found.append(int(entry))
    return sorted(found)


def state_of(stat):
    """Of a process or a thread, by its file in /proc."""
    return stat.read_text().rpartition(")")[2].split()[0]


def wait_until(condition, seconds, every=0.02):
    """Polls until the condition holds; False if it does not within that time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(every)
    return True


def tail(log):
    """The last lines of a log, for an error message."""
    try:
        lines = Path(log).read_text(errors="replace").splitlines()[-TAIL_LINES:]
    except OSError as problem:
        return f"  (no log: {problem})"
    return "\n".join("  " + line for line in lines) or "  (its log is empty)"


@dataclass(frozen=True)
class Process:
    """A process known by pid and start time."""

    name: str
    pid: int
    start: int

    @classmethod
    def of(cls, name, pid):
        return cls(name, pid, start_time(pid) or 0)

    def alive(self):
        return self.start != 0 and start_time(self.pid) == self.start

    def signal(self, number):
        """Sends a signal to this very process; quietly does nothing if it is gone, whoever has its pid now. Stopped it is
        when all of its threads are: until then they go on, and might still claim what a test submits."""
        try:
            handle = os.pidfd_open(self.pid)
        except (ProcessLookupError, FileNotFoundError):  # gone; or its number is a thread's now
            return
        try:
            # The handle is held first: what passes this check is what gets the signal.
            if self.alive():
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(handle)
        if number == signal.SIGSTOP:
            wait_until(self.stands_still, STOPPED_WITHIN, 0.002)

    def stands_still(self):
        """It is stopped, or gone."""
        try:
            states = [state_of(stat) for stat in Path(f"/proc/{self.pid}/task").glob("*/stat")]
        except (FileNotFoundError, ProcessLookupError):  # a thread has ended
            return False
        return all(state in "TtZX" for state in states)

    def stop(self, grace=10.0):
        """SIGTERM, and SIGKILL after the grace time. True if it went by itself."""
        self.signal(signal.SIGCONT)  # a test may have frozen it
        self.signal(signal.SIGTERM)
        if wait_until(lambda: not self.alive(), grace):
            return True
        self.signal(signal.SIGKILL)
        wait_until(lambda: not self.alive(), 5)
        return False


@contextmanager
def signals_held():
    """What ends the caller waits: so that nothing is started that nobody knows of."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    try:
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def start(name, argv, log, env=None, role=None, mask=None):
    """Starts a process in a session of its own, with its output in a log. Role: who it runs as (places.Role); mask:
    the signal mask it begins with, where the caller's own is not meant for it."""
    who = {}
    if role is not None and role.uid is not None:
        who = {"user": role.uid, "group": role.gid, "extra_groups": []}
    with open(log, "ab") as output:
        try:
            child = subprocess.Popen(
                [str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env={**os.environ, **(env or {})}, start_new_session=True, cwd="/",
                preexec_fn=None if mask is None else (lambda: signal.pthread_sigmask(signal.SIG_SETMASK, mask)), **who)
        except OSError as problem:
            raise Failure(f"{name} cannot be started: {problem}") from problem
    _children.append(child)
    return Process.of(name, child.pid)


# Popen objects, kept so that a long test run collects the exit status of those that ended.
_children = []


def collect():
    """Collects ended children, so that a long-lived caller leaves no zombies."""
    _children[:] = [child for child in _children if child.poll() is None]


def run(what, argv, env=None, seconds=30, text=None):
    """Runs a command to its end; its output. A failure says what was being done and what the command said."""
    try:
        done = subprocess.run([str(word) for word in argv], input=text, capture_output=True, text=True,
                              env={**os.environ, **(env or {})}, timeout=seconds, check=False,
                              stdin=subprocess.DEVNULL if text is None else None)
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise Failure(f"{what}: {problem}") from problem
    if done.returncode != 0:
        raise Failure(f"{what}: {argv[0]} ended with {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def await_answer(process, answers, seconds, log):
    """Waits until a started part answers. A failure names the part and shows the end of its log."""
    wait_until(lambda: answers() or not process.alive(), seconds)
    if process.alive() and answers():
        return
    state = f"did not answer within {seconds:g} s" if process.alive() else "ended at once"
    raise Failure(f"{process.name} {state}. The end of {log}:\n{tail(log)}")
