# SPDX-License-Identifier: Apache-2.0
"""A folder of orders for failpoints, and what struck (mod_amtunlock/base/failpoint.h)."""

import itertools
import os
from dataclasses import dataclass

from .around import wait_until


@dataclass(frozen=True)
class Hit:
    """One line of `hits`."""

    id: str
    point: str
    action: str
    pid: int
    at: float


def read_hits(path):
    """The strikes written down in a file; none where there is no file."""
    try:
        lines = path.read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    fields = [line.split() for line in lines if line.endswith("\n")]
    return [Hit(one[0], one[1], one[2], int(one[3]), float(one[4])) for one in fields]


class Points:
    """The folder that AMTUNLOCK_FAULTS names."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        folder.chmod(0o777)  # every process that passes a point writes here
        self.orders = {}
        self.numbers = itertools.count(1)

    def environment(self):
        return {"AMTUNLOCK_FAULTS": str(self.folder)}

    def arm(self, point, action, nth=1, number=0):
        """One more order; its id."""
        order = f"{next(self.numbers)}"
        self.orders[order] = f"{order} {point} {nth} {action} {number}\n"
        self._write()
        return order

    def disarm(self, *orders):
        for order in orders:
            self.orders.pop(order, None)
        self._write()

    def _write(self):
        scratch = self.folder / "orders.new"
        scratch.write_text("".join(self.orders.values()))
        scratch.chmod(0o644)
        os.replace(scratch, self.folder / "orders")

    def hits(self):
        return read_hits(self.folder / "hits")

    def hit(self, order, action=None):
        """The strike of this order, or None."""
        if not (self.folder / f"fired.{order}").exists():  # cheaper than the file that grows
            return None
        return next((hit for hit in self.hits() if hit.id == order and action in (None, hit.action)), None)

    def await_hit(self, order, seconds, action=None):
        wait_until(lambda: self.hit(order, action) is not None, seconds, 0.01)
        return self.hit(order, action)
