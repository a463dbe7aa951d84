# SPDX-License-Identifier: Apache-2.0
"""httpd's children die at their boundaries, and the console does what consoles do: it sends the same message again."""

from .around import Failure, Job, Settings, Stack, StackOptions, build_folder, soap, wait_until
from .campaign import Kind
from .points import Points
from .records import Broken, Records, Wrong

PCS = 2
PATIENCE = 20  # seconds in which httpd has another child that answers

# The first passing of each in a child: a request connects, sends, and hears.
POINTS = ("submit.before", "conn.dialled", "conn.sent", "conn.answered", "submit.answered")


def label_of(point):
    return f"httpd child dies at {point}"


class WebLane(Records):
    """A whole stack whose httpd has failpoints; its worker has none."""

    def __init__(self, name, systems=101, options=None, **settings):
        super().__init__()
        self.name = name
        options = StackOptions(systems=systems, **{"boot_seconds": "0.3-0.8", "method": "mix", **(options or {})})
        self.stack = Stack(build_folder() / "unlock-tests" / name, options,
                           settings=Settings(**{"supervise": False, "max_systems": max(100, systems), **settings}))
        self.fleet, self.redis, self.workers = self.stack.fleet, self.stack.redis, self.stack.workers
        self.folder = self.stack.places.dir
        self.points = None
        plain = self.stack.httpd.environment
        self.stack.httpd.environment = lambda: {**plain(), **self.points_environment()}

    def points_environment(self):
        """The folder can be made only when the stack has made its own."""
        if self.points is None:
            self.points = Points(self.stack.places.run / "points-httpd")
        return self.points.environment()

    def up(self):
        self.stack.up()
        self.clock_pc, *others = [row["fqdn"] for row in self.fleet.systems()]
        self.ready = others
        self.read_clock(self.clock_pc)
        self.console = self.stack.console()
        for worker in self.workers:
            self.note(worker.name, "started", worker.pids()[0])

    def down(self):
        try:
            if self.points is not None and self.stack.places.run:
                self.write_history()
        finally:
            self.stack.down()

    def armed(self):
        return {"httpd": self.points}

    def revive(self):
        """httpd does that itself; that it does is seen by every round."""

    def finish(self):
        """No child has crashed: another answers at once, and no round sees it. httpd tells of no other signal."""
        super().finish()
        crashed = [line for line in self.stack.httpd.error_log.read_text(errors="replace").splitlines() if "exit signal" in line]
        if crashed:
            raise Wrong("lives-on", crashed[0])

    def give_back(self, systems):
        """Off, for the next."""
        for system in systems:
            if self.fleet.tell(do="state", system=system)["power"] == 2:
                self.fleet.tell(do="power", system=system, to=8)
        self.ready.extend(systems)

    def submit_again(self, systems, message):
        """The job that this message made, sent until httpd answers."""
        found = []

        def sent():
            try:
                found.append(self.console.unlock(systems, message=message))
            except Failure:
                return False
            return True
        if not wait_until(sent, PATIENCE, 0.1):
            raise Broken("httpd does not answer any more")
        return self.keep(Job(self, found[0].removeprefix("amtunlock:"), systems))


def die_round(lane, point, _rng):
    lane.label = label_of(point)
    systems = [lane.ready.pop(0) for _ in range(PCS)]
    before = int(lane.redis_call("HGET", "{amtu}:counters", "jobs") or 0)
    order = lane.points.arm(point, "kill")
    lane.labels["httpd", order] = lane.label
    if point == "conn.dialled":  # no connection is left that was dialled before
        lane.redis_call("CLIENT", "KILL", "TYPE", "normal")
    message = soap.message_id()
    try:
        lane.console.unlock(systems, message=message)
        answered = True
    except Failure:
        answered = False
    struck = lane.points.hit(order)
    lane.points.disarm(order)
    if struck is None or answered:
        raise Broken("the child did not die" if struck is None else "a child answered after its death")
    job = lane.submit_again(systems, message)
    made = int(lane.redis_call("HGET", "{amtu}:counters", "jobs")) - before
    if made != 1:
        raise Wrong("one-job-a-message", f"{made} jobs")
    if not lane.watch_end(job):
        raise Broken(f"the job did not end: {job.tasks()}")


def make_lane(name):
    lane = WebLane(name)
    lane.up()
    return lane


def kind(each, lanes):
    rounds = [(label_of(point), lambda lane, rng, p=point: die_round(lane, p, rng))
              for _ in range(each) for point in POINTS]
    return Kind("web", make_lane, rounds, lanes, ("kill",))
