# SPDX-License-Identifier: Apache-2.0
"""A CD for the simulated PCs to boot: it looks like an unlock image to a firmware, to the worker and to amtsim, and has
nothing in it. The same size gives the same bytes.

    sector 16     ISO 9660 volume        sector 20     what the firmware would start
    sector 17     El Torito boot record  sector 21     placeholder of the proof sector
    sector 19     boot catalog           the last one  SHA-256 of all before it, which amtsim's image checks
"""

import hashlib
import os
import struct

SECTOR = 2048
VOLUME, RECORD, TERMINATOR, CATALOG, START, PROOF = 16, 17, 18, 19, 20, 21
SECTORS_MIN = 64
MARKER = b"amtunlock proof sector 0b6a4e0d-5c51-4c43-9d0e-2f6f1a7c3b95 v1.\n"
CHECKSUM = "amtsim test image sha256 {}\n"


def _sector(*parts):
    """One sector with each (offset, bytes) in it."""
    sector = bytearray(SECTOR)
    for offset, data in parts:
        sector[offset:offset + len(data)] = data
    return bytes(sector)


def _both(value, form):
    """A number as ISO 9660 has it: little-endian, then big-endian."""
    return struct.pack("<" + form, value) + struct.pack(">" + form, value)


def _volume(sectors):
    return _sector((0, b"\x01CD001\x01"), (8, b" " * 32), (40, b"AMTUNLOCK TEST IMAGE".ljust(32)),
                   (80, _both(sectors, "I")), (120, _both(1, "H")), (124, _both(1, "H")), (128, _both(SECTOR, "H")))


def _catalog():
    """El Torito: a validation entry whose words add up to zero, and one that boots START without emulation."""
    entry = bytearray(32)
    entry[0], entry[30], entry[31] = 1, 0x55, 0xAA
    entry[28:30] = struct.pack("<H", -sum(struct.unpack("<16H", entry)) & 0xFFFF)
    return _sector((0, bytes(entry)), (32, struct.pack("<BBHBBHI", 0x88, 0, 0, 0, 0, 4, START)))


def placeholder():
    """The sector in whose place the worker serves a session's own: mod_amtunlock/proof/README.md, section 2."""
    head = (MARKER + bytes([1])).ljust(SECTOR - 32, b"\0")
    return head + hashlib.sha256(head).digest()


def content(size):
    """The image as bytes; size is a multiple of 2048 and at least 128 KiB."""
    count = size // SECTOR
    if size % SECTOR or count < SECTORS_MIN:
        raise ValueError(f"an image has {SECTORS_MIN} sectors of {SECTOR} bytes or more, and only whole ones")
    special = {VOLUME: _volume(count), RECORD: _sector((0, b"\x00CD001\x01EL TORITO SPECIFICATION"),
                                                       (0x47, struct.pack("<I", CATALOG))),
               TERMINATOR: _sector((0, b"\xffCD001\x01")), CATALOG: _catalog(), PROOF: placeholder()}
    before = b"".join(special.get(number) or hashlib.shake_128(b"%d" % number).digest(SECTOR)
                      for number in range(count - 1))
    return before + CHECKSUM.format(hashlib.sha256(before).hexdigest()).encode().ljust(SECTOR, b"\0")


def make(path, mebibytes=4):
    """Writes one; the path. Whoever has it open keeps the old one."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(content(mebibytes * 1024 * 1024))
    new.chmod(0o644)  # for a worker that runs as another user
    os.replace(new, path)
    return path
