# SPDX-License-Identifier: Apache-2.0
"""amtunlockd: its configuration, inventory and secrets, and workers that no httpd supervises."""

import csv
import shutil

from . import image
from .httpd import GROUPS
from .process import pids_with_argument

# The worker's account in the realm.
ACCOUNT = "amtunlockd"

CONFIGURATION = """\
[redis]
address = unix:{redis}
user = amtunlockd
password-file = {password}

[worker]
inventory = {inventory}
secrets = file:{secrets}
ca-file = {ca}
audit = {folder}/audit.jsonl
log = {folder}/worker.log
log-level = info
state-dir = {folder}/state
proof-key = {proof_key}
threads = {threads}
slots = {slots}
{kerberos}
[group default]
auth = {auth}
tls = {tls}
boot-timeout = {boot_timeout}
{more}
"""


class Worker:
    """Worker n of a stack; the first is the one that httpd supervises."""

    def __init__(self, places, number, redis, fleet, options, realm=None):
        self.places = places
        self.number = number
        self.redis = redis
        self.fleet = fleet
        self.options = options
        self.realm = realm  # with Kerberos at AMT

    @property
    def name(self):
        return f"worker-{self.number}"

    @property
    def folder(self):
        return self.places.run / self.name

    @property
    def config(self):
        return self.folder / "amtunlockd.conf"

    @property
    def log(self):
        return self.folder / "worker.log"

    @property
    def inventory(self):
        return self.folder / "systems.csv"

    def prepare(self):
        """Everything amtunlockd reads, owned by the user it runs as."""
        role = "amtunlock"
        self._proof_folder(role)
        self.places.folder(self.name, role)
        self.places.folder(f"{self.name}/state", role)
        password = self.redis.password_file("amtunlockd")
        secrets = self.places.write(self.folder / "secrets", self._secrets(), role, 0o600)
        ca = self.places.write(self.folder / "amt-ca.pem", self.fleet.ca.read_text(), role)
        self.write_inventory(self.fleet.systems())
        self.places.write(self.config, CONFIGURATION.format(
            redis=self.redis.socket, password=password, inventory=self.inventory, secrets=secrets,
            ca=ca, folder=self.folder, threads=self.options.threads, slots=getattr(self.options, "slots", 0) or max(2000, self.options.systems),
            proof_key=self.proof_key, auth=self.options.amt_auth, tls=self.options.tls, boot_timeout=self.options.boot_timeout,
            kerberos=self._kerberos(role), more=self._more()), role)
        self.places.link(f"{self.name}.log", self.log)

    @property
    def proof_key(self):
        """Of all workers of the stack: the first that starts makes it."""
        return self.places.run / "proof" / "proof.key"

    def _proof_folder(self, role):
        if not self.proof_key.parent.exists():
            self.places.folder(self.proof_key.parent.name, role)

    @property
    def keytab(self):
        return self.folder / "amt.keytab"

    def _kerberos(self, role):
        """With Kerberos at AMT: the account that all PCs let in."""
        if self.options.amt_auth != "kerberos":
            return ""
        self.realm.service_keytab(self.keytab, ACCOUNT)
        self.keytab.chmod(0o600)
        self.places.roles[role].own(self.keytab)
        return f"kerberos-keytab = {self.keytab}\nkerberos-principal = {ACCOUNT}\n"

    def environment(self):
        """Where the realm is; a cache of tickets that is not there must not matter."""
        if self.options.amt_auth != "kerberos":
            return {}
        return {"KRB5_CONFIG": str(self.realm.config), "KRB5CCNAME": "FILE:/nonexistent/cache"}

    def _more(self):
        """What else the group says: the image that its PCs boot, and whatever a test wants."""
        lines = list(getattr(self.options, "group", ()))
        if self.options.method in ("image", "mix"):
            disc = self.places.run / "unlock.iso"
            if not disc.exists():
                self._make_image(disc)
                disc.chmod(0o644)
            lines.append(f"image = {disc}")
        return "\n".join(lines)

    def _make_image(self, disc):
        """A copy of what the options name, which the worker's user may read wherever the original is."""
        if getattr(self.options, "image", ""):
            shutil.copyfile(self.options.image, disc)
        else:
            image.make(disc, getattr(self.options, "image_mebibytes", 1))

    def write_inventory(self, systems):
        """systems.csv for these rows of the fleet; the groups take turns, so that scopes can be told apart."""
        blind = self.blind()
        with open(self.inventory, "w", newline="") as out:
            table = csv.writer(out, lineterminator="\n")
            table.writerow(("fqdn", "address", "uuid", "group", "method", "auth", "tls", "probe"))
            for number, row in enumerate(systems):
                table.writerow((row["fqdn"], row["address"], row["uuid"], GROUPS[number % len(GROUPS)], row["method"],
                                "", "", "" if row["fqdn"] in blind else row["probe"]))

    def blind(self):
        """The PCs that a worker cannot ask whether their system runs."""
        every = getattr(self.options, "blind", 0)
        of_sol = [row["fqdn"] for row in self.fleet.systems() if row["method"] == "sol"]
        return set(of_sol[::every]) if every else set()

    def _secrets(self):
        lines = []
        for row in self.fleet.systems():
            if self.options.amt_auth == "digest":
                lines.append(f"amt {row['fqdn']} {row['user']} {row['password']}")
            if row["passphrase"]:
                lines.append(f"disk {row['fqdn']} {row['passphrase']}")
        return "\n".join(lines) + "\n"

    def pids(self):
        """Pids of this worker now: a supervised one may have been started again since."""
        return pids_with_argument("amtunlockd", str(self.config))

    def drive_pids(self):
        """Of its drive process, which may outlive it."""
        return pids_with_argument("amtunlockd", str(self.folder / "state"))

    def start(self):
        """By hand, as systemd would."""
        return self.places.start(self.name, [self.places.program("amtunlockd"), "-c", self.config],
                                 self.places.log(self.name), self.environment(),
                                 role=self.places.roles["amtunlock"])
