# SPDX-License-Identifier: Apache-2.0
"""Stacks to measure, what is asked of them, and the clients in C."""

import json
import subprocess
import time
from contextlib import ExitStack, contextmanager
from datetime import datetime

from amtu_stack.places import build_folder
from amtu_stack.process import Failure, wait_until
from amtu_stack.stack import Options, Stack

HERE = "bench"
CONNECTIONS = 32  # of a load, where nothing else is said


def program(name):
    return build_folder() / HERE / name


class BenchOptions(Options):
    """What a stack is asked for besides."""

    def __init__(self, amtsim=(), image_mebibytes=1, slots=0, **options):
        super().__init__(**options)
        self.amtsim, self.image_mebibytes, self.slots = amtsim, image_mebibytes, slots


@contextmanager
def running(settings=None, **options):
    """A stack for as long as it is measured."""
    stack = Stack(build_folder() / HERE / "stack", BenchOptions(**options), settings=settings)
    stack.up()
    try:
        yield stack
    finally:
        stack.down()


def names_of(stack):
    return [row["fqdn"] for row in stack.fleet.systems()]


def unlock(stack, names, wait=True, ticket="KRB5CCNAME"):
    """The command's answer to an unlock of these; ticket: whose, by the name of the stack's variable."""
    environment = stack.caller_environment()
    file = stack.places.write(stack.places.run / "names", "\n".join(names) + "\n")
    words = [stack.places.program("amtunlock"), "unlock", *(["--wait", "--json"] if wait else []), "--file", file]
    done = subprocess.run([str(word) for word in words], env={**environment, "KRB5CCNAME": environment[ticket]},
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode not in (0, 1):
        raise Failure(f"amtunlock ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout) if wait else None


def records(worker):
    """Lines of a worker's audit record, whole ones."""
    with open(worker.folder / "audit.jsonl") as lines:
        return [json.loads(line) for line in lines if line.endswith("\n")]


def moment(record):
    """When a line was written, in seconds as time.time() has them."""
    return datetime.fromisoformat(record["t"]).timestamp()


def times_of(stack, event, names):
    """{name: when} of the last such line of each of these systems, whichever worker wrote it."""
    wanted = set(names)
    return {record["system"]: moment(record) for worker in stack.workers for record in records(worker)
            if record["event"] == event and record["system"] in wanted}


def await_ends(stack, names, seconds):
    """When each of these systems' unlocks ended; all must, within that time. The record is read once, as it grows."""
    wanted, ends = set(names), {}

    def all_ended():
        for file in files:
            for line in whole_lines(file):
                if '"event":"outcome"' in line and (record := json.loads(line))["system"] in wanted:
                    ends[record["system"]] = moment(record)
        return len(ends) == len(wanted)

    with ExitStack() as opened:
        files = [opened.enter_context(open(worker.folder / "audit.jsonl")) for worker in stack.workers]
        if not wait_until(all_ended, seconds, 0.1):
            raise Failure(f"{len(wanted) - len(ends)} of {len(wanted)} systems were not through after {seconds:g} s")
    return ends


def whole_lines(file):
    """What was written since the last call, but for a line that is still being written."""
    while True:
        at = file.tell()
        line = file.readline()
        if not line.endswith("\n"):
            file.seek(at)
            return
        yield line


# ---- the programs in C -----------------------------------------------------------------------------------------------

def said_by(name, *words):
    """What one of them says when it is through."""
    began = time.monotonic()
    done = subprocess.run([str(word) for word in (program(name), *words)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise Failure(f"{name} ended with {done.returncode} after {time.monotonic() - began:.0f} s: {done.stderr}")
    return json.loads(done.stdout)


class Load:
    """One run of the client in C; what it said is in `said`. It is ended with the block that it runs in."""

    def __init__(self, stack, path, seconds, body=None, connections=CONNECTIONS, rate=0, name="load"):
        run = stack.places.run
        self.samples_file = run / f"{name}.samples"
        self.seconds = seconds
        self.words = [program("load"), "--url", stack.httpd.url(path), "--ca", stack.httpd.ca, "--users",
                      stack.httpd.ntlm_users, "--connections", connections, "--seconds", seconds,
                      "--samples", self.samples_file]
        if body is not None:
            self.words += ["--body", stack.places.write(run / f"{name}.body", body)]
        if rate:
            self.words += ["--rate", rate]

    def __enter__(self):
        self.child = subprocess.Popen([str(word) for word in self.words], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        return self

    def wait(self):
        """Until it is through; what it said."""
        try:
            said, trouble = self.child.communicate(timeout=2 * self.seconds + 60)
        except subprocess.TimeoutExpired as problem:
            raise Failure("the load did not end") from problem
        if self.child.returncode != 0:
            raise Failure(f"the load ended with {self.child.returncode}: {trouble.strip()}")
        self.said = json.loads(said)
        return self.said

    def samples(self):
        """(seconds of the monotonic clock at which it began, milliseconds, status) of each request."""
        for line in self.samples_file.read_text().splitlines():
            began, milliseconds, status = line.split()
            yield float(began), float(milliseconds), int(status)

    def __exit__(self, *unused):
        if self.child.poll() is None:
            self.child.kill()
            self.child.communicate()


def load(stack, path, seconds, **how):
    """What one run of the client said."""
    with Load(stack, path, seconds, **how) as client:
        return client.wait()


def recorded_calls(stack, system):
    """The requests of this system so far, as the bare client reads them; the simulator was told to log them."""
    calls = []
    with open(stack.fleet.log) as log:
        for line in log:
            if f'"{system}"' in line and '"request-seen"' in line:
                calls.append(json.loads(line)["body"])
    calls = [body.encode() for body in calls if body]  # the first is empty: it asks for the challenge
    if not calls:
        raise Failure(f"the simulator has logged no request of {system}")
    file = stack.places.run / "calls"
    file.write_bytes(b"".join(b"%d\n%s\n" % (len(body), body) for body in calls))
    return file, len(calls)


def bare(stack, systems, calls, connections):
    """What the bare client said of the same calls to these systems (rows of the fleet)."""
    file = stack.places.write(stack.places.run / "bare", "".join(
        f"{row['fqdn']},{row['address']},{row['user']},{row['password']}\n" for row in systems))
    return said_by("floor", stack.fleet.ca, file, calls, connections)
