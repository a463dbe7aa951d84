# SPDX-License-Identifier: Apache-2.0
"""A disk whose fsync takes long, for one process: tests/faults/slow_disk.c, preloaded."""

import os
import struct

from .places import build_folder


class SlowDisk:
    def __init__(self, path):
        self.path = path
        self.set(0)

    def environment(self):
        return {"LD_PRELOAD": str(build_folder() / "slow_disk.so"), "AMTU_SLOW_DISK": str(self.path)}

    def set(self, milliseconds):
        """From its next fsync on, each takes so much longer."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            os.pwrite(file, struct.pack("=q", milliseconds), 0)
        finally:
            os.close(file)
