# SPDX-License-Identifier: Apache-2.0
"""modules.py LIB/MODULES/RELEASE LIST [NAME...]: the files of the modules of a list, and of further names, with all that
they need, in an order in which they can be loaded; read from what depmod wrote."""

import sys
from pathlib import Path


def normal(path):
    """The name by which modprobe knows a module: "kernel/a/b-c.ko" is "b_c"."""
    return Path(path).name.removesuffix(".ko").replace("-", "_")


def read_names(list_of):
    """Every name of the list, with whether a kernel may be without it."""
    lines = (line.split("#")[0].strip() for line in Path(list_of).read_text().splitlines())
    return [(normal(line.lstrip("?")), line.startswith("?")) for line in lines if line]


def read_builtin(folder):
    return {normal(line) for line in (folder / "modules.builtin").read_text().splitlines()}


def read_needs(folder):
    """Name of each module: its file, and the files that it needs, the one to be loaded first at the end."""
    needs = {}
    for line in (folder / "modules.dep").read_text().splitlines():
        path, _, rest = line.partition(":")
        needs[normal(path)] = (path, rest.split())
    return needs


def main(folder, list_of, further):
    needs, builtin = read_needs(folder), read_builtin(folder)
    order = {}
    for name, may_miss in read_names(list_of) + [(normal(name), False) for name in further]:
        if name in needs:
            path, wanted = needs[name]
            order.update(dict.fromkeys([*reversed(wanted), path]))
        elif name not in builtin and not may_miss:
            sys.exit(f"image: the kernel {folder.name} has no module {name}: the image would not find its drive or a disk.")
    print("\n".join(order))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
