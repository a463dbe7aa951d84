# SPDX-License-Identifier: Apache-2.0
"""A management console: sends envelopes as a caller with a Kerberos ticket, through curl."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

from . import soap
from .process import Failure

CONTENT_TYPE = "application/soap+xml;charset=UTF-8"
# "%{stderr}" keeps this apart from the body, which goes to a file.
WRITE_OUT = "%{http_code} %{time_total}\n"


class Console:
    """One caller. Without a ticket: nobody."""

    def __init__(self, httpd, ticket=None):
        self.httpd = httpd
        self.ticket = ticket

    def environment(self):
        return {**os.environ, "KRB5_CONFIG": str(self.httpd.realm.config),
                "KRB5CCNAME": f"FILE:{self.ticket or '/nonexistent'}"}

    def send(self, body, **how):
        """One envelope (text or bytes), one Answer."""
        return self.send_all([body], **how)[0]

    def send_all(self, bodies, path="/wsman", tls=True, content_type=CONTENT_TYPE, method="POST", seconds=30, more=()):
        """Several, one after the other on one connection, so that one child gets them all."""
        with tempfile.TemporaryDirectory(prefix="curl-", dir=self.httpd.places.run) as scratch:
            words = ["curl"]
            for number, body in enumerate(bodies):
                sent = Path(scratch, f"sent{number}")
                sent.write_bytes(body.encode() if isinstance(body, str) else body)
                words += ["--next"] if number else []
                words += ["--head"] if method == "HEAD" else ["-X", method, "--data-binary", f"@{sent}"]
                words += ["-sS", "--max-time", str(seconds), "--cacert", str(self.httpd.ca),
                          "-H", f"Content-Type: {content_type}", "-H", "Expect:", "-w", WRITE_OUT,
                          "-D", f"{scratch}/headers{number}", "-o", f"{scratch}/body{number}"]
                words += ["--negotiate", "-u", ":"] if self.ticket else []
                words += [*more, self.httpd.url(path, tls)]
            done = subprocess.run(words, capture_output=True, text=True, env=self.environment(), check=False,
                                  stdin=subprocess.DEVNULL)
            if done.returncode != 0:
                raise Failure(f"curl ended with {done.returncode}: {done.stderr.strip()}")
            return [_answer(scratch, number, line) for number, line in enumerate(done.stdout.splitlines())]

    # ---- the main job -----------------------------------------------------------------------------------

    def unlock(self, names, **more):
        """Asks for an unlock; the job's InstanceID."""
        answer = self.send(soap.unlock(names, **more))
        if answer.status != 200 or not answer.job:
            raise Failure(f"UnlockSystems was refused: {answer!r}")
        return answer.job

    def job(self, job):
        """CIM_ConcreteJob as a dictionary of its single-valued properties."""
        answer = self.send(soap.get_job(job))
        if answer.status != 200:
            raise Failure(f"the job cannot be read: {answer!r}")
        instance = answer.find("job:CIM_ConcreteJob")
        return {one.tag.rpartition("}")[2]: (one.text or "").strip() for one in instance}

    def results(self, job):
        """(unlocked, failed) names so far."""
        answer = self.send(soap.unlocked(job))
        if answer.status != 200:
            raise Failure(f"the results cannot be read: {answer!r}")
        return answer.texts("p:unlockedSystems"), answer.texts("p:failedSystems")

    def wait(self, job, seconds=60):
        """Until the job is completed or terminated; its properties then."""
        deadline = time.monotonic() + seconds
        while True:
            properties = self.job(job)
            if properties["JobState"] in ("7", "8"):
                return properties
            if time.monotonic() > deadline:
                raise Failure(f"the job is not done after {seconds:g} s: {properties}")
            time.sleep(0.1)


def _answer(scratch, number, line):
    """The last block of headers belongs to the answer; those before it were 401s of the handshake."""
    status, seconds = line.split()
    blocks = Path(scratch, f"headers{number}").read_text(errors="replace").strip().split("\r\n\r\n")
    headers = {}
    for field in blocks[-1].splitlines()[1:]:
        name, _, value = field.partition(":")
        name = name.strip().lower()
        headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
    body = Path(scratch, f"body{number}")
    return soap.Answer(int(status), headers, body.read_bytes() if body.exists() else b"", float(seconds))
