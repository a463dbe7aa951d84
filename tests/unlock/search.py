# SPDX-License-Identifier: Apache-2.0
"""A search for byte strings: in files, and in processes as a debugger or a core would show them.

Memory is read whole, also what is kept out of cores: what is not found here is in no core either.
"""

import base64
import os
from pathlib import Path

CHUNK = 1 << 16
NOTHING = bytes(CHUNK)


def spellings(secret):
    """The ways in which a byte string may stand in a file: as it is, in hexadecimal, base64, or UTF-16."""
    encoded = [base64.b64encode(bytes(before) + secret) for before in range(3)]
    # Only the digits that the secret alone decides; what stands before and behind it is another's.
    aligned = [text[(4 * before + 2) // 3:len(text) - 4] for before, text in enumerate(encoded)]
    return [secret, secret.hex().encode(), *aligned, secret.decode().encode("utf-16-le")]


class Search:
    """Byte strings, and where they were found."""

    def __init__(self, wanted):
        self.wanted = wanted  # {name: bytes}
        self.longest = max(len(one) for one in wanted.values())

    @classmethod
    def of_all_spellings(cls, wanted):
        return cls({f"{name} {number}": text for name, secret in wanted.items()
                    for number, text in enumerate(spellings(secret))})

    def names_in(self, data):
        return {name for name, text in self.wanted.items() if text in data}

    def names_in_stream(self, read):
        """`read` gives the next piece, b'' at the end; what stands across two pieces is found, too."""
        found, rest = set(), b""
        while piece := read():
            data = rest + piece
            if piece != NOTHING:  # most memory is
                found |= self.names_in(data)
            rest = data[-self.longest:]
        return found

    def in_file(self, path):
        with open(path, "rb") as file:
            return self.names_in_stream(lambda: file.read(CHUNK))

    def in_memory(self, pid):
        found = set()
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for begin, end in mappings(pid):
                found |= self._in_mapping(memory, begin, end)
        return found

    def _in_mapping(self, memory, begin, end):
        memory.seek(begin)
        left = [end - begin]

        def read():
            try:
                piece = memory.read(min(CHUNK, left[0])) if left[0] else b""
            except OSError:  # it went away, or nobody can read it
                return b""
            left[0] -= len(piece)
            return piece

        return self.names_in_stream(read)

    def in_process(self, pid):
        """(where, name) of what was found; nothing of a process that ended meanwhile."""
        found = set()
        for where, look in (("environment", lambda: self.in_file(f"/proc/{pid}/environ")),
                            ("arguments", lambda: self.in_file(f"/proc/{pid}/cmdline")),
                            ("memory", lambda: self.in_memory(pid))):
            try:
                found |= {(where, name) for name in look()}
            except (FileNotFoundError, ProcessLookupError):
                pass
        return found


def mappings(pid):
    """What a process could have written to."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        fields = line.split()
        if "rw" in fields[1] and fields[-1] not in ("[vvar]", "[vsyscall]"):
            begin, end = fields[0].split("-")
            yield int(begin, 16), int(end, 16)


def children(pid):
    try:
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def is_open_to_us(pid):
    """Whether this user may look into it: root may; others only with what they started, and not everywhere."""
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0):
            return True
    except PermissionError:
        return os.geteuid() == 0
