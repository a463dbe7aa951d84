# SPDX-License-Identifier: Apache-2.0
"""Many callers at once, each with a connection of its own and a pause between its calls:

    crowd.py PORT PATH CALLERS SECONDS PAUSE

Reads the header Authorization that all of them send from its standard input. Each call asks for the unlock of one unknown
system, under a message id of its own. Writes one JSON list a call: when it began (CLOCK_MONOTONIC), its seconds, the
HTTP status, the fault's subcode or "", and the system's name.
"""

import asyncio
import json
import random
import re
import sys
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "stack"))

from amtu_stack import soap  # noqa: E402

SUBCODE = re.compile(rb"<\w+:Subcode>\s*<\w+:Value>([^<]*)<")


class Caller:
    def __init__(self, port, path, authorization, pause):
        self.port, self.path, self.authorization, self.pause = port, path, authorization, pause
        self.streams = None
        self.calls = []

    def request(self, name):
        body = soap.unlock([name]).encode()
        head = (f"POST {self.path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {self.authorization}\r\n"
                f"Content-Type: application/soap+xml;charset=UTF-8\r\nContent-Length: {len(body)}\r\n\r\n")
        return head.encode() + body

    async def answer(self):
        reader, _ = self.streams
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: *(\d+)", head)[1])
        body = await reader.readexactly(length)
        if re.search(rb"(?i)\nconnection: *close", head):
            self.hang_up()
        found = SUBCODE.search(body)
        return int(head.split(None, 2)[1]), found[1].decode() if found else ""

    def hang_up(self):
        if self.streams:
            self.streams[1].close()
        self.streams = None

    async def exchange(self, request):
        """Once more where httpd had closed a connection that lay idle."""
        lay_idle = self.streams is not None
        try:
            if not self.streams:
                self.streams = await asyncio.open_connection("127.0.0.1", self.port)
            self.streams[1].write(request)
            return await self.answer()
        except (OSError, asyncio.IncompleteReadError):
            self.hang_up()
            if not lay_idle:
                raise
        return await self.exchange(request)

    async def call(self):
        name = f"{uuid.uuid4().hex}.example"
        request = self.request(name)
        began = time.monotonic()
        try:
            status, subcode = await asyncio.wait_for(self.exchange(request), 20)
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as problem:
            status, subcode = 0, repr(problem)
            self.hang_up()
        self.calls.append((began, time.monotonic() - began, status, subcode, name))

    async def live(self, until):
        await asyncio.sleep(random.uniform(0, self.pause))
        while time.monotonic() < until:
            await self.call()
            await asyncio.sleep(random.uniform(0.5, 1.5) * self.pause)
        self.hang_up()


async def crowd(port, path, callers, seconds, pause):
    authorization = sys.stdin.readline().strip()
    everybody = [Caller(port, path, authorization, pause) for _ in range(callers)]
    until = time.monotonic() + seconds
    await asyncio.gather(*(caller.live(until) for caller in everybody))
    for caller in everybody:
        for call in caller.calls:
            print(json.dumps(call))


if __name__ == "__main__":
    asyncio.run(crowd(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5])))
