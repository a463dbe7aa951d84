# SPDX-License-Identifier: Apache-2.0
"""The stack's Redis: the product's own configuration on a unix socket in the run folder."""

import secrets
import socket

from .places import REPOSITORY
from .process import await_answer

CONFIGURATION = REPOSITORY / "conf" / "redis.conf"
USERS = REPOSITORY / "conf" / "redis-users.acl"


class RedisError(Exception):
    """An error that Redis answered."""


class Client:
    """As much of RESP2 as a test needs: one command, one answer."""

    def __init__(self, path, seconds=5.0):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(seconds)
        self.socket.connect(str(path))
        self.input = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.input.close()
        self.socket.close()

    def call(self, *words):
        self.socket.sendall(self._message(words))
        return self._answer()

    def call_all(self, calls):
        """The answers to several calls that are sent at once."""
        self.socket.sendall(b"".join(map(self._message, calls)))
        return [self._answer() for _ in calls]

    @staticmethod
    def _message(words):
        parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)

    def _answer(self):
        line = self.input.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("Redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.input.read(int(rest) + 2)[:-2].decode()
        if kind == b"*":
            return [self._answer() for _ in range(int(rest))]
        return rest.decode()


class Redis:
    """redis-server with conf/redis.conf, the paths turned into the run folder."""

    def __init__(self, places):
        self.places = places
        self.environment = {}

    @property
    def socket(self):
        return self.places.run / "redis" / "redis.sock"

    def password_file(self, user):
        """First line: the password of amtunlock-web or amtunlockd, readable by its owner only."""
        return self.places.run / "redis" / f"{user}.password"

    def _write_users(self):
        """The product's ACL users with passwords made for this run, each in a file of who uses it."""
        lines = ["user default on nopass ~* &* +@all"]
        for line in USERS.read_text().splitlines():
            words = line.split()
            if len(words) < 2 or words[0] != "user" or words[1] == "default":
                continue
            password = secrets.token_hex(16)
            rights = [word for word in words[2:] if word[0] not in "<>#!" and word not in ("nopass", "resetpass")]
            lines.append(" ".join(words[:2] + ["resetpass", f">{password}"] + rights))
            owner = "amtunlock" if words[1] == "amtunlockd" else None
            self.places.write(self.password_file(words[1]), password + "\n", owner, 0o600)
        return self.places.write(self.socket.parent / "users.acl", "\n".join(lines) + "\n", "redis", 0o600)

    def _write_configuration(self):
        """The product's redis.conf, less what differs in a test."""
        folder = self.socket.parent
        own = {"port": 0, "unixsocket": self.socket, "unixsocketperm": 666, "dir": folder / "data",
               "aclfile": folder / "users.acl", "daemonize": "no", "supervised": "no", "logfile": '""',
               "pidfile": '""'}
        kept = [line for line in CONFIGURATION.read_text().splitlines() if line.partition(" ")[0] not in own]
        lines = [*kept, *(f"{name} {value}" for name, value in own.items())]
        return self.places.write(folder / "redis.conf", "\n".join(lines) + "\n")

    def client(self, seconds=5.0):
        """As the default user, whom the stack lets in without a password: what the socket guards is a test's data."""
        return Client(self.socket, seconds)

    def answers(self):
        try:
            with self.client(1) as client:
                return client.call("PING") == "PONG"
        except (OSError, RedisError):
            return False

    def start(self):
        self.places.folder("redis", "redis")
        self.places.folder("redis/data", "redis", 0o700)
        self._write_users()
        configuration = self._write_configuration()
        role = self.places.roles["redis"]
        log = self.places.log("redis")
        self.places.write(log, "", "redis")
        process = self.places.start("Redis", ["/usr/bin/redis-server", configuration], log, self.environment,
                                    role)
        await_answer(process, self.answers, 10, log)
        return process
