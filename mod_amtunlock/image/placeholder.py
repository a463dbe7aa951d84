# SPDX-License-Identifier: Apache-2.0
"""Writes the placeholder of the proof's sector: see mod_amtunlock/proof/README.md, 2."""

import hashlib
import sys

MARKER = b"amtunlock proof sector 0b6a4e0d-5c51-4c43-9d0e-2f6f1a7c3b95 v1.\n"
sector = MARKER + bytes([1]) + bytes(2016 - len(MARKER) - 1)
sys.stdout.buffer.write(sector + hashlib.sha256(sector).digest())
