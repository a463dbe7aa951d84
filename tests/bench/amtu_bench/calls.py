# SPDX-License-Identifier: Apache-2.0
"""What consoles feel: how fast a large job is taken, what reading costs, and whether readers are in each other's way."""

import signal
import time

from amtu_stack import soap
from amtu_stack.httpd import Settings
from amtu_stack.process import Failure, Process, wait_until
from gss import Caller as Login

from .stacks import Load, load, running
from .starts import await_inventory, paper
from .table import Gate, Value, share
from .watch import cpu_seconds

SMALL = 20  # systems of the small job
SUBMISSIONS = 3  # large ones, one after the other
OTHERS = {"rate": 200, "connections": 16}  # the calls whose times are compared
CROWD = {"rate": 1000, "connections": 64}
POLLERS = 8  # of the large job
PATIENCE = 120  # seconds
FILE = "/bench-file"
BARE_CALLS = 2000
TURNS = 3  # of two loads that are compared
LOGGED_US, LOGGED_MOST = 500, 10000  # of Redis' log of slow calls

# One place of the service and one of a file, both for who authenticates his connection once.
PLACES = f"""\
DocumentRoot run
<LocationMatch "^/bench">
    AuthType GSSAPI
    AuthName "AMT unlock"
    GssapiConnectionBound On
    GssapiPublishMech On
    GssapiAllowedMech ntlmssp
    Require valid-user
</LocationMatch>
<Location /bench>
    SetHandler amtunlock
    AMTUnlockMech ntlm
    AMTUnlockScope * "true"
    AMTUnlockCallerLimits jobs=0 systems=0 contexts=0 kept=0 names=0 requests=0
    AMTUnlockMaxSystems 100000
</Location>
<Location {FILE}>
    SetHandler none
</Location>
"""


class Caller:
    """Whom the loads are, with an envelope of its own."""

    def __init__(self, stack):
        self.stack = stack
        self.user, _, self.password = stack.httpd.ntlm_users.read_text().split("\n")[0].replace(":", "\\", 1).partition(":")

    def send(self, body):
        """On a connection of its own; the answer knows how long the request took without the log-in."""
        one = Login(self.stack.httpd, "/bench")
        one.connection.timeout = PATIENCE
        try:
            if one.log_in(self.user, self.password, "raw").status != 200:
                raise Failure("the load's user is not let in")
            began = time.monotonic()
            answer = one.post(body)
            answer.seconds = time.monotonic() - began
            return answer
        finally:
            one.connection.close()

    def submit(self, names):
        """(whether the answer was 4096 with a job, the job, seconds of the request)"""
        answer = self.send(soap.unlock(names))
        accepted = answer.status == 200 and answer.text("p:ReturnValue") == "4096" and bool(answer.job)
        return accepted, answer.job if accepted else None, answer.seconds

    def job(self, names):
        """A job of these systems, whose unlocks have ended."""
        accepted, job, _ = self.submit(names)
        if not accepted:
            raise Failure(f"a job of {len(names)} systems was refused")
        if not wait_until(lambda: self.send(soap.get_job(job)).text("job:JobState") == "7", PATIENCE, 0.5):
            raise Failure(f"a job of {len(names)} systems has not ended after {PATIENCE} s")
        return job


def results_of(job):
    """GetUnlockedSystems, for any size of the answer."""
    return soap.request(soap.SERVICE, f"{soap.SERVICE}/GetUnlockedSystems",
                        f'<p:GetUnlockedSystems_INPUT xmlns:p="{soap.SERVICE}"><p:InstanceID>{job}</p:InstanceID>'
                        "</p:GetUnlockedSystems_INPUT>", more=f"<wsman:MaxEnvelopeSize>{16 << 20}</wsman:MaxEnvelopeSize>")


# ---- the rows --------------------------------------------------------------------------------------------------------

def answered(said):
    """What is refused is missing in a figure; a load of which nothing is answered has none."""
    return Gate(f"{said['ok']} of {said['requests']} requests were answered", said["ok"] > 0)


def rate(stack, caller, seconds, body):
    """Requests a second of this envelope, and of a file that is as long as its answer; in turns, so that a machine whose
    speed changes changes both."""
    answer = caller.send(body)
    stack.places.write(stack.httpd.root / "run" / FILE[1:], "x" * len(answer.body))
    turns = min(seconds, TURNS)
    service, file = [], []
    for _ in range(turns):
        service.append(load(stack, "/bench", seconds // turns, body=body))
        file.append(load(stack, FILE, seconds // turns))
    figure, floor = (sum(one["ok"] for one in said) / sum(one["seconds"] for one in said) for said in (service, file))
    return Value(figure, floor), [answered(one) for one in service + file]


def redis_cost(stack, seconds, body):
    """Milliseconds of Redis' CPU that a call costs, beside those of a read of two fields by a bare client."""
    redis = stack.state.process("Redis").pid
    before = cpu_seconds(redis)
    said = load(stack, "/bench", seconds, body=body, connections=2)
    figure = cpu_seconds(redis) - before
    with stack.redis.client() as client:
        before = cpu_seconds(redis)
        for _ in range(BARE_CALLS):
            client.call("HMGET", "{amtu}:inventory", "digest", "systems")
        floor = cpu_seconds(redis) - before
    return Value(1000 * figure / said["requests"], 1000 * floor / BARE_CALLS), [answered(said)]


def refusals(stack, seconds, large, small):
    """Requests that were not answered with what they asked for, while many poll a large job and a crowd a small one."""
    with Load(stack, "/bench", seconds, body=results_of(large), connections=POLLERS, name="pollers") as pollers, \
            Load(stack, "/bench", seconds, body=soap.get_job(small), name="crowd", **CROWD) as crowd:
        said = [pollers.wait(), crowd.wait()]
    return (Value(sum(one["refused"] + one["failed"] for one in said)),
            [Gate("pollers and crowd were served", all(one["ok"] > 0 for one in said))])


def submission(stack, caller, seconds, names, job):
    """A large submission: its time, how many were taken, and the 99th of 100 times of other calls meanwhile and alone."""
    calm = load(stack, "/bench", 2 * seconds, body=soap.get_job(job), **OTHERS)
    took, accepted, windows = [], [], []
    with Load(stack, "/bench", (1 + SUBMISSIONS) * seconds, body=soap.get_job(job), **OTHERS) as others:
        time.sleep(0.5)  # only what is under way together counts below, so this must not be exact
        for _ in range(SUBMISSIONS):
            began = time.monotonic()
            done, _, seconds = caller.submit(names)
            windows.append((began, time.monotonic()))
            took.append(seconds)
            accepted.append(done)
        said = others.wait()
        beside = [milliseconds for began, milliseconds, _ in others.samples()
                  if any(begin <= began + milliseconds / 1000 and began <= end for begin, end in windows)]
    if not beside:
        raise Failure("no call was under way while the large job was submitted")
    return ({"submit": Value(max(took)), "submit-taken": Value(sum(accepted) / SUBMISSIONS),
             "submit-others": Value(share(beside, 0.99), calm["p99"]),
             "submit-refusals": Value(said["refused"] + said["failed"])},
            [Gate("the calls alone were answered", calm["ok"] == calm["requests"] > 0)])


def watch_redis(client):
    for words in (("CONFIG", "SET", "slowlog-log-slower-than", LOGGED_US), ("CONFIG", "SET", "slowlog-max-len", LOGGED_MOST),
                  ("SLOWLOG", "RESET")):
        client.call(*words)


def slowest(client):
    """The longest that a function held Redis since watch_redis(), and which one it was."""
    held = [(microseconds, words[1]) for _, _, microseconds, words, *_ in client.call("SLOWLOG", "GET", LOGGED_MOST)
            if words[0].upper().startswith("FCALL")]
    longest, which = max(held, default=(LOGGED_US, "or less"))
    return Value(longest / 1000, note=which)


def calls(submitted, large, seconds):
    """All of it in one stack, whose inventory has more PCs than there are: what was asked for them fails at once."""
    with running(Settings(extra=PLACES), systems=1) as stack, stack.redis.client() as redis:
        watch_redis(redis)
        stack.workers[0].write_inventory(paper(submitted))
        worker = Process.of("worker", stack.workers[0].pids()[0])
        worker.signal(signal.SIGHUP)
        await_inventory(stack, submitted)
        caller = Caller(stack)
        names = [row["fqdn"] for row in paper(submitted)]
        small, of_large = caller.job(names[:SMALL]), caller.job(names[SMALL:SMALL + large])
        worker.signal(signal.SIGSTOP)  # what is measured is the way from a console to Redis and back
        values, gates = {}, []
        for name, (value, held) in (
                ("get-job", rate(stack, caller, seconds, soap.get_job(small))),
                ("results", rate(stack, caller, seconds, results_of(small))),
                ("results-redis", redis_cost(stack, seconds, results_of(of_large))),
                ("refusals", refusals(stack, seconds, of_large, small))):
            values[name] = value
            gates += held
        more, held = submission(stack, caller, seconds, names, small)
        worker.signal(signal.SIGKILL)  # it has nothing to end
        return {**values, **more, "slowest": slowest(redis)}, gates + held
