# SPDX-License-Identifier: Apache-2.0
"""Where a stack keeps its things, and who owns them.

A stack has two folders. Its --dir holds logs, links and state.json, and stays. Its run folder holds sockets, the
keytab, copies of the programs and all data; it has a short path of its own under /tmp, because the path of a unix
socket is limited and because, as root, the stack's processes run as other users, who could not enter a clone in
somebody's home. `down` removes it.
"""

import os
import pwd
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .process import Failure, signals_held, start

REPOSITORY = Path(__file__).resolve().parents[3]
RUN_PREFIX = "amtunlock-"
RUN_PARENT = Path("/tmp")
PROGRAMS = ("mod_amtunlock.so", "amtunlockd", "amtunlock", "amtsim")


def build_folder():
    """Where the programs under test are: AMTU_BUILD chooses a variant, such as build/check or build/asan."""
    return (REPOSITORY / os.environ.get("AMTU_BUILD", "build")).resolve()


def missing_programs(names=PROGRAMS):
    """Those of the programs that are not built."""
    return [name for name in names if not (build_folder() / name).exists()]


@dataclass(frozen=True)
class Role:
    """Who a part runs as; without an id: whoever started the stack."""

    name: str
    uid: int | None = None
    gid: int | None = None

    def own(self, *paths):
        for path in paths:
            if self.uid is not None:
                os.chown(path, self.uid, self.gid)

    def httpd_name(self):
        """As httpd's directives take it: a number needs no entry in the password file."""
        return f"#{self.uid}"

    def httpd_group(self):
        return f"#{self.gid}"


# Without a password entry of that name, a number that Debian leaves unassigned takes its place.
ROLE_IDS = {"www-data": 33, "amtunlock": 64801, "redis": 64802, "krb5kdc": 64803}


def roles():
    """The roles of this run: one user each as root, otherwise nobody but ourselves."""
    if os.geteuid() != 0:
        return {name: Role(name) for name in ROLE_IDS}
    made = {}
    for name, number in ROLE_IDS.items():
        try:
            entry = pwd.getpwnam(name)
            made[name] = Role(name, entry.pw_uid, entry.pw_gid)
        except KeyError:
            made[name] = Role(name, number, number)
    return made


class Places:
    """The folders of one stack."""

    programs = PROGRAMS

    def __init__(self, directory, run=None):
        self.dir = Path(directory).resolve()
        self.logs = self.dir / "logs"
        self.state = self.dir / "state.json"
        self.run = Path(run) if run else None
        self.roles = roles()
        self.record = lambda process: process  # told of each process at once

    def start(self, name, argv, log, env=None, role=None):
        """process.start(), recorded before anything can interrupt."""
        with signals_held() as mask:
            return self.record(start(name, argv, log, env, role, mask))

    def create(self):
        """Makes both folders, empty but for the logs of an earlier run, which it removes."""
        shutil.rmtree(self.logs, ignore_errors=True)
        self.logs.mkdir(parents=True)
        self.run = Path(tempfile.mkdtemp(prefix=RUN_PREFIX, dir=RUN_PARENT))
        if os.geteuid() == 0:
            self.run.chmod(0o711)
        self._copy_programs()

    def _copy_programs(self):
        """Copies, so that a build while the stack runs changes nothing under it."""
        target = self.run / "bin"
        target.mkdir(mode=0o755)
        missing = missing_programs(self.programs)
        if missing:
            raise Failure(f"not built: {', '.join(missing)} in {build_folder()}. Run: make stack-programs, with the "
                          "VARIANT that AMTU_BUILD names")
        for name in self.programs:
            shutil.copy(build_folder() / name, target / name)
            (target / name).chmod(0o755)

    def program(self, name):
        return self.run / "bin" / name

    def folder(self, name, role=None, mode=0o755):
        """A folder in the run folder that belongs to a role."""
        path = self.run / name
        path.mkdir(mode=mode)
        path.chmod(mode)
        if role:
            self.roles[role].own(path)
        return path

    def write(self, path, text, role=None, mode=0o644):
        """A file with exactly these permissions from its first byte on."""
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as out:
            os.fchmod(out.fileno(), mode)
            out.write(text)
        if role:
            self.roles[role].own(path)
        return path

    def log(self, name):
        return self.logs / f"{name}.log"

    def link(self, name, target):
        """A link in --dir, for a person who looks around."""
        link = self.dir / name
        link.unlink(missing_ok=True)
        link.symlink_to(target)

    def remove(self):
        """Removes the run folder and the links into it; the logs stay."""
        for link in self.dir.iterdir() if self.dir.is_dir() else ():
            if link.is_symlink():
                link.unlink()
        if self.run and self.run.parent == RUN_PARENT and self.run.name.startswith(RUN_PREFIX):
            shutil.rmtree(self.run, ignore_errors=True)
        self.state.unlink(missing_ok=True)
