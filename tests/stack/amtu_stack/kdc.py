# SPDX-License-Identifier: Apache-2.0
"""A Kerberos realm of the stack's own: its KDC, the service's keytab and the callers' tickets."""

from . import ports
from .process import Failure, await_answer, run

REALM = "AMTU.TEST"
CONSOLE = "console"
CONSOLE2 = "console2"
SERVICE = "HTTP/localhost"

KRB5_CONF = """\
[libdefaults]
    default_realm = {realm}
    dns_lookup_kdc = false
    dns_lookup_realm = false
    dns_canonicalize_hostname = false
    rdns = false
    udp_preference_limit = 1
    ticket_lifetime = 7d

[realms]
    {realm} = {{
        kdc = 127.0.0.1:{port}
    }}

[domain_realm]
    localhost = {realm}
    fleet.test = {realm}
    .fleet.test = {realm}
"""

KDC_CONF = """\
[kdcdefaults]
    kdc_listen = ""
    kdc_tcp_listen = 127.0.0.1:{port}

[realms]
    {realm} = {{
        database_name = {folder}/principal
        key_stash_file = {folder}/stash
        acl_file = {folder}/kadm5.acl
        max_life = 7d
        supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal
    }}

[logging]
    kdc = FILE:{log}
"""


class Kdc:
    """krb5kdc on a free port, with a database in the run folder."""

    def __init__(self, places):
        self.places = places

    @property
    def folder(self):
        return self.places.run / "krb5"

    @property
    def config(self):
        return self.folder / "krb5.conf"

    @property
    def keytab(self):
        """The web service's key."""
        return self.places.run / "httpd" / "http.keytab"

    def environment(self):
        return {"KRB5_CONFIG": str(self.config), "KRB5_KDC_PROFILE": str(self.folder / "kdc.conf")}

    def cache(self, principal):
        return self.folder / f"{principal}.ccache"

    def start(self):
        """Makes the realm and starts its KDC; the Process."""
        self.places.folder("krb5", mode=0o711)
        self.places.folder("krb5/db", "krb5kdc", 0o700)
        self._configure(0)
        run("creating the Kerberos realm",
            ["/usr/sbin/kdb5_util", "-r", REALM, "-P", "only-a-test", "create", "-s"], self.environment())
        self._administer(f"addprinc -randkey {CONSOLE}", f"addprinc -randkey {CONSOLE2}",
                         f"ktadd -k {self.folder}/callers.keytab {CONSOLE} {CONSOLE2}")
        return ports.attempts(1, self._start)

    def _configure(self, port):
        self.places.write(self.config, KRB5_CONF.format(realm=REALM, port=port))
        self.places.write(self.folder / "kdc.conf", KDC_CONF.format(realm=REALM, port=port, folder=self.folder / "db",
                                                                   log=self.places.log("kdc")))

    def _start(self, port):
        self._configure(port)
        role = self.places.roles["krb5kdc"]
        log = self.places.log("kdc")
        self.places.write(log, "", "krb5kdc")
        process = self.places.start("KDC", ["/usr/sbin/krb5kdc", "-n", "-r", REALM], log,
                                    {**self.environment(), "KRB5RCACHENAME": "none:"}, role)
        try:
            await_answer(process, lambda: ports.connects(port), 10, log)
        except Failure:
            process.stop()
            raise
        return process

    def _administer(self, *commands):
        run("administering the Kerberos realm", ["/usr/sbin/kadmin.local", "-r", REALM], self.environment(),
            text="\n".join(commands) + "\n", seconds=300)
        self.places.roles["krb5kdc"].own(*(self.folder / "db").iterdir())

    def service_keytab(self, path, *services):
        """A keytab with the keys of these services, made where they are new."""
        self._administer(*(f"addprinc -randkey {name}" for name in services),
                         *(f"ktadd -norandkey -k {path} {name}" for name in services))
        if not path.exists():
            raise Failure(f"kadmin.local made no keytab {path}")
        return path

    def login(self, principal):
        """A ticket for one of the callers; the cache file. That this works shows that the KDC answers."""
        run(f"getting a ticket for {principal} from the KDC",
            ["/usr/bin/kinit", "-c", f"FILE:{self.cache(principal)}", "-k", "-t", self.folder / "callers.keytab",
             principal], self.environment())
        return self.cache(principal)
