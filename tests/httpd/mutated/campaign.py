#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Sends mutated envelopes through a live httpd: campaign.py [--count N] [--seed S] [--only NUMBER]

The module is the one of AMTU_BUILD (build/asan: with AddressSanitizer). Every answer must be a well-formed fault or
result, no child may be lost, and memory must not grow. Ends with a line of figures; exit 0 only if all of that held.
"""

import argparse
import http.client
import os
import ssl
import sys
import threading
import time
import xml.etree.ElementTree as tree
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "conformance"), str(HERE.parent), str(HERE.parents[1] / "stack")]

from amtu_stack import soap  # noqa: E402
from cases import CASES  # noqa: E402
from mutator import mutant  # noqa: E402
from rules import SCHEMA  # noqa: E402
from transport import MISMATCH  # noqa: E402

PATH = "/mutated"
USER = "mutant@ELSEWHERE.TEST"
# One child, so that its memory can be watched, with room for every connection of the campaign.
CONFIGURATION = f"""
ServerLimit 1
SSLVerifyClient optional
SSLCACertificateFile tls/ca.pem
<Location {PATH}>
    SetHandler amtunlock
    AMTUnlockTrustedProxy X-Caller mutator.fleet.test
    AMTUnlockScope * false
    AMTUnlockOperator true
    Require valid-user
</Location>
"""
THREADS = 4
SLOWEST = 10.0  # seconds for one answer, under AddressSanitizer, on a machine that others use too
TIDY_EVERY = 100  # envelopes; jobs that pile up would make enumerations slow, and nothing else
# KiB that memory may grow in the second half of a campaign: what AddressSanitizer holds back, and so much an envelope.
# A campaign of 10,000 grows by about 5 MiB, ever slower; a leak of 1 KiB an envelope would show in it.
GROWTH, GROWTH_EACH = 8 * 1024, 1.5
CODES = {"s:Sender": (400, 403, 413, 415), "s:Receiver": (500,), "s:VersionMismatch": (500,), "s:MustUnderstand": (500,)}
HOPELESS = (SCHEMA, MISMATCH)  # what such a seed becomes seldom gets any further
WITH_SUBCODE = ("s:Sender", "s:Receiver")


class Wrong(Exception):
    """An answer that should not be."""


# ---- what an answer must be -------------------------------------------------------------------------------------

def decode(body, content_type):
    """The text of an answer, by its mark or its content type."""
    charset = content_type.rpartition("charset=")[2].lower()
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if body.startswith(mark):
            return body[len(mark):].decode(encoding)
    if charset == "utf-16":
        return body.decode("utf-16-be" if body[:1] == b"\0" else "utf-16-le")
    return body.decode("utf-8")


def check(status, content_type, body, sent):
    """Raises Wrong, or returns what kind of answer it was."""
    if status == 200 and not body:
        if sent.body:
            raise Wrong("an empty answer to a request with a body")
        return "empty"
    if not content_type.startswith("application/soap+xml"):
        raise Wrong(f"status {status} with content type {content_type!r}")
    try:
        root = tree.fromstring(decode(body, content_type))
    except (UnicodeDecodeError, tree.ParseError) as problem:
        raise Wrong(f"not well-formed: {problem}") from problem
    parts = [one.tag for one in root]
    if root.tag != f"{{{soap.S}}}Envelope" or parts != [f"{{{soap.S}}}Header", f"{{{soap.S}}}Body"]:
        raise Wrong(f"not an envelope: {root.tag} with {parts}")
    answer = soap.Answer(status, {}, tree.tostring(root), 0)
    return check_fault(answer) if answer.fault else check_result(answer)


def check_fault(answer):
    code = answer.text("s:Fault/s:Code/s:Value")
    subcode = answer.text("s:Fault/s:Code/s:Subcode/s:Value")
    if answer.status not in CODES.get(code, ()):
        raise Wrong(f"{code} with status {answer.status}")
    if (subcode is not None) != (code in WITH_SUBCODE):
        raise Wrong(f"{code} with subcode {subcode}")
    if subcode == "wsman:InternalError":
        raise Wrong(f"internal error: {answer.reason}")
    if not answer.reason or not (answer.text("s:Header/wsa:Action") or "").endswith("/fault"):
        raise Wrong("a fault without reason or action")
    return subcode or code


def check_result(answer):
    action = answer.text("s:Header/wsa:Action")
    if answer.status != 200:
        raise Wrong(f"a result with status {answer.status}")
    if action is None and answer.find("s:Body/wsmid:IdentifyResponse") is None:
        raise Wrong("a result that is none")
    if action is not None and not action.endswith("Response"):
        raise Wrong(f"a result of action {action}")
    return "answered"


# ---- sending ----------------------------------------------------------------------------------------------------

class Sender:
    """One connection at a time, opened again when the server closed it."""

    def __init__(self, port, trust):
        self.port, self.trust = port, trust
        self.connection = None

    def send(self, sent):
        if self.connection is None:
            self.connection = http.client.HTTPSConnection("localhost", self.port, context=self.trust, timeout=SLOWEST)
        body = iter([sent.body[:100], sent.body[100:]]) if sent.chunked and len(sent.body) > 100 else sent.body
        self.connection.request("POST", PATH, body, {"Content-Type": sent.content_type, "X-Caller": USER})
        answer = self.connection.getresponse()
        data = answer.read()
        if answer.will_close:
            self.close()
        return answer.status, answer.getheader("Content-Type") or "", data

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None


def trust(stack, pem):
    made = ssl.create_default_context(cafile=stack.httpd.ca)
    made.load_cert_chain(pem)
    return made


def resident(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


class Memory:
    """KiB that some processes take, looked at now and then."""

    def __init__(self):
        self.samples = []

    def sample(self, pids):
        self.samples.append(sum(resident(pid) for pid in pids))

    def growth(self):
        """In the second half."""
        half = self.samples[len(self.samples) // 2:]
        return half[-1] - half[0] if half else 0

    def problems(self, count):
        """Of so many envelopes in all."""
        if self.growth() > max(GROWTH, GROWTH_EACH * count / 2):
            yield f"httpd grew by {self.growth()} KiB in the second half: {self.samples}"


class Campaign:
    """So many envelopes through one httpd."""

    def __init__(self, stack, pem, seed, first=0):
        self.stack, self.seed, self.first = stack, seed, first
        self.senders = [Sender(stack.httpd.https, trust(stack, pem)) for _ in range(THREADS)]
        self.children = sorted(stack.httpd.children())
        self.log_start = stack.httpd.error_log.stat().st_size
        self.kinds, self.wrong, self.memory = Counter(), [], Memory()
        self.lock = threading.Lock()
        self.seeds = self.fill()

    def fill(self):
        """The bodies of the list, with something that exists in place of each name."""
        job = f"amtunlock:{'a' * 26}"
        values = {"job": job, "fresh": job, "foreign": job, "running": job, "pending": job, "large": job, "context": "uuid:none",
                  "uuid": "0f0e3b60-5a3c-4f0e-9d0c-8f5a2f6f3f10", "unknown": "unknown.example", "off": "unknown.example"}
        made = self.probe()
        values.update(made)
        texts = []
        for case in CASES:
            for body in (*case.first, case.body):
                if isinstance(body, str) and len(body) < 20000:
                    for name, value in values.items():
                        body = body.replace("{" + name + "}", value)
                    texts += [body] * (1 if case.expected in HOPELESS else 4)
        return texts

    def probe(self):
        """A job of the campaign's caller, so that what needs one gets further than "no such job"."""
        from mutator import Mutant
        sent = Mutant(soap.unlock(["unknown.example"]).encode(), "application/soap+xml;charset=UTF-8", False, [])
        status, _, data = self.senders[0].send(sent)
        job = soap.Answer(status, {}, data, 0).job
        return {name: job for name in ("job", "fresh", "foreign", "running", "pending", "large", "job_name")}

    def one(self, sender, number):
        sent = mutant(self.seed, number, self.seeds)
        try:
            begun = time.monotonic()
            kind = check(*sender.send(sent), sent)
            if time.monotonic() - begun > SLOWEST:
                raise Wrong(f"answered after {time.monotonic() - begun:.1f} s")
        except (Wrong, OSError, http.client.HTTPException) as problem:
            sender.close()
            kind = "WRONG"
            with self.lock:
                self.wrong.append(f"number {number} ({', '.join(sent.what)}): {problem!r}")
        with self.lock:
            self.kinds[kind] += 1

    def share(self, sender, numbers):
        for number in numbers:
            if len(self.wrong) > 20:
                return
            self.one(sender, number)

    def tidy(self):
        with self.stack.redis.client() as redis:
            for pattern in ("{amtu}:job:*", "{amtu}:jobs*", "{amtu}:context*", "{amtu}:message:*", "{amtu}:caller*"):
                for key in redis.call("KEYS", pattern):
                    redis.call("DEL", key)
        self.seeds = self.fill()

    def run(self, count):
        for first in range(self.first, self.first + count, TIDY_EVERY):
            numbers = range(first, min(first + TIDY_EVERY, self.first + count))
            threads = [threading.Thread(target=self.share, args=(sender, numbers[turn::THREADS]))
                       for turn, sender in enumerate(self.senders)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.memory.sample(self.stack.httpd.children())
            self.tidy()
        for sender in self.senders:
            sender.close()
        return self

    # ---- the verdict --------------------------------------------------------------------------------------------

    def log(self):
        with open(self.stack.httpd.error_log, errors="replace") as lines:
            lines.seek(self.log_start)
            return lines.read()

    def problems(self):
        """An error message for each violation."""
        yield from self.wrong
        if sorted(self.stack.httpd.children()) != self.children:
            yield f"children of httpd were {self.children} and are {sorted(self.stack.httpd.children())}"
        yield from self.memory.problems(sum(self.kinds.values()))
        for line in self.log().splitlines():
            if any(word in line for word in ("AddressSanitizer", "runtime error", "AH00052", ":crit]", ":alert]", ":emerg]")):
                yield f"httpd's log: {line}"

    def figures(self):
        total = sum(self.kinds.values())
        kinds = ", ".join(f"{kind} {number}" for kind, number in self.kinds.most_common())
        first, *_, last = self.memory.samples * 2
        return (f"{total} envelopes (seed {self.seed}), {len(self.wrong)} wrong answers, memory {first // 1024} to {last // 1024} "
                f"MiB, second half {self.memory.growth():+} KiB; {kinds}")


def main():
    from amtu_stack.httpd import Settings
    from amtu_stack.places import build_folder
    from amtu_stack.stack import Options, Stack
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--only", type=int, help="send the envelope of this number alone, and print it")
    chosen = parser.parse_args()
    os.environ.setdefault("AMTU_BUILD", "build/asan")
    from certificates import make_certificate
    stack = Stack(build_folder() / "stack-tests" / "mutate", Options(systems=1), settings=Settings(extra=CONFIGURATION))
    stack.up()
    try:
        begun = time.monotonic()
        pem = make_certificate(stack, stack.httpd.root / "tls" / "mutator.pem", "/CN=mutator", "DNS:mutator.fleet.test")
        campaign = Campaign(stack, pem, chosen.seed, chosen.only or 0)
        if chosen.only is not None:
            sent = mutant(chosen.seed, chosen.only, campaign.seeds)
            print(sent.content_type, sent.body)
        campaign.run(1 if chosen.only is not None else chosen.count)
        wrong = list(campaign.problems())
        print("\n".join([*wrong, f"{campaign.figures()}; {time.monotonic() - begun:.0f} s"]))
        return 1 if wrong else 0
    finally:
        stack.down()


if __name__ == "__main__":
    sys.exit(main())
