# SPDX-License-Identifier: Apache-2.0
"""httpd with TLS, SPNEGO and the module, from a server root in the run folder."""

import os
import secrets
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from . import kdc, ports, soap
from .console import Console
from .process import Failure, await_answer, pids_with_argument, run

PROGRAM = "/usr/sbin/apache2"
MODULES = Path("/usr/lib/apache2/modules")
MODULE_NAMES = ("authn_core", "authz_core", "authz_host", "authz_user", "auth_gssapi", "socache_shmcb", "ssl", "env",
                "setenvif", "headers")
GROUPS = ("floor-1", "floor-2")
NTLM_DOMAIN = "FLEET"

SERVER = """\
ServerRoot {root}
DefaultRuntimeDir {root}/run
PidFile {root}/run/httpd.pid
Mutex file:{root}/run default
ServerName localhost
{identity}
{modules}
LoadModule amtunlock_module {module}
Listen 127.0.0.1:{http}
Listen 127.0.0.1:{https}
Protocols http/1.1
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 30
Timeout 20
StartServers {servers}
SSLSessionCache shmcb:{root}/run/tls-sessions(512000)
ErrorLog {error_log}
LogLevel warn amtunlock:info
LogFormat "%h %u \\"%r\\" %>s %b %D %P" plain
CustomLog {access_log} plain

AMTUnlockRedis unix:{redis} user=amtunlock-web password-file={redis_password}
AMTUnlockMaxSystems {max_systems}
AMTUnlockScope * "%{{REMOTE_USER}} == '{console}@{realm}'"
AMTUnlockScope {group} "%{{REMOTE_USER}} == '{console2}@{realm}'"
AMTUnlockMech {mechanisms}
AMTUnlockWorker {worker}
AMTUnlockWorkerProgram {worker_program}
AMTUnlockWorkerConfig {worker_config}
{worker_user}
{extra}

<Location /wsman>
    SetHandler amtunlock
    AuthType GSSAPI
    AuthName "AMT unlock"
    GssapiConnectionBound On
    GssapiSignalPersistentAuth On
    GssapiPublishMech On
    GssapiAllowedMech krb5
    GssapiAllowedMech ntlmssp
    Require valid-user
</Location>
<Location /wsman-anon/identify>
    SetHandler amtunlock
    Require all granted
</Location>
<Location /amtunlock-status>
    SetHandler amtunlock-status
    Require local
</Location>
<Location /amtunlock-metrics>
    SetHandler amtunlock-metrics
    Require local
</Location>

<VirtualHost 127.0.0.1:{https}>
    SSLEngine On
    SSLProtocol -all +TLSv1.2 +TLSv1.3
    SSLCertificateFile {root}/tls/server.pem
    SSLCertificateKeyFile {root}/tls/server.key
</VirtualHost>
"""

OPENSSL_CONF = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = AMT unlock test CA
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
[server]
basicConstraints = critical, CA:FALSE
subjectAltName = DNS:localhost, IP:127.0.0.1
extendedKeyUsage = serverAuth
"""


@dataclass
class Settings:
    """What a test may want otherwise."""

    mpm: str = "event"
    max_systems: int = 100
    supervise: bool = True
    mechanisms: str = "krb5"
    extra: str = ""  # more directives, server-wide
    servers: int = 1
    modules: tuple = ()  # of httpd's own, besides those that every stack has
    environment: dict = field(default_factory=dict)  # more variables of httpd


class Httpd:
    """apache2 on two free ports: plain HTTP and TLS."""

    def __init__(self, places, realm, redis, worker, settings):
        self.places = places
        self.realm = realm
        self.redis = redis
        self.worker = worker
        self.settings = settings
        self.http = self.https = None
        self.process = None

    @property
    def root(self):
        return self.places.run / "httpd"

    @property
    def config(self):
        return self.root / "httpd.conf"

    @property
    def ca(self):
        return self.root / "tls" / "ca.pem"

    @property
    def error_log(self):
        return self.places.log("httpd-error")

    @property
    def ntlm_users(self):
        """The server's NTLM accounts, or None where httpd has no NTLM mechanism to use them."""
        return self.root / "ntlm.users" if gss_ntlm() else None

    def url(self, path="/wsman", tls=True):
        return f"https://localhost:{self.https}{path}" if tls else f"http://localhost:{self.http}{path}"

    def prepare(self):
        """Folders, certificates and the keytab: once a stack."""
        self.places.folder("httpd")
        self.places.folder("httpd/run", "www-data")
        self.places.folder("httpd/tls")
        self._make_certificates()
        self.realm.service_keytab(self.realm.keytab, kdc.SERVICE)
        self.realm.keytab.chmod(0o600)
        self.places.roles["www-data"].own(self.realm.keytab)

        if self.ntlm_users:
            self.places.write(self.ntlm_users, f"{NTLM_DOMAIN}:bob:{secrets.token_hex(8)}\n", "www-data", 0o600)

    def _make_certificates(self):
        tls = self.root / "tls"
        request = self.places.write(tls / "openssl.cnf", OPENSSL_CONF)
        what = "making the web server's certificate"
        new = ["openssl", "req", "-config", request, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        run(what, [*new, "-x509", "-days", "30", "-extensions", "ca", "-keyout", tls / "ca.key", "-out", self.ca])
        run(what, [*new, "-subj", "/CN=localhost", "-keyout", tls / "server.key", "-out", tls / "server.csr"])
        run(what, ["openssl", "x509", "-req", "-in", tls / "server.csr", "-CA", self.ca, "-CAkey", tls / "ca.key",
                   "-CAcreateserial", "-days", "30", "-extfile", request, "-extensions", "server",
                   "-out", tls / "server.pem"])
        for key in tls.glob("*.key"):
            key.chmod(0o600)

    def text(self):
        """httpd.conf by the settings."""
        names = (f"mpm_{self.settings.mpm}", *MODULE_NAMES, *self.settings.modules)
        www = self.places.roles["www-data"]
        owner = self.places.roles["amtunlock"]
        return SERVER.format(
            root=self.root, http=self.http, https=self.https, servers=self.settings.servers,
            identity=f"User {www.httpd_name()}\nGroup {www.httpd_group()}" if www.uid is not None else "",
            modules="\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in names),
            module=self.places.program("mod_amtunlock.so"), error_log=self.error_log,
            access_log=self.places.log("httpd-access"), redis=self.redis.socket,
            redis_password=self.redis.password_file("amtunlock-web"), max_systems=self.settings.max_systems,
            console=kdc.CONSOLE, console2=kdc.CONSOLE2, group=GROUPS[0], realm=kdc.REALM,
            mechanisms=self.settings.mechanisms, worker="On" if self.settings.supervise else "Off",
            worker_program=self.places.program("amtunlockd"), worker_config=self.worker.config,
            worker_user=f"AMTUnlockWorkerUser {owner.httpd_name()}" if owner.uid is not None else "",
            extra=self.settings.extra)

    def configure(self):
        """Writes httpd.conf from the settings."""
        return self.places.write(self.config, self.text())

    def environment(self):
        made = {"KRB5_CONFIG": str(self.realm.config), "KRB5_KTNAME": f"FILE:{self.realm.keytab}",
                "KRB5RCACHENAME": f"file2:{self.root}/run/rcache"}
        if self.ntlm_users:
            made["NTLM_USER_FILE"] = str(self.ntlm_users)
            made["NETBIOS_DOMAIN_NAME"] = NTLM_DOMAIN  # which a server that is a member would tell its clients
        return {**made, **sanitizer(self.places.program("mod_amtunlock.so")), **self.settings.environment}

    def check(self, config=None):
        """What `httpd -t` says of a configuration: (exit status, text)."""
        words = [PROGRAM, "-d", self.root, "-f", config or self.config, "-t"]
        done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False,
                              env={**os.environ, **self.environment()}, stdin=subprocess.DEVNULL)
        return done.returncode, done.stderr + done.stdout

    def start(self):
        """Starts httpd, on other ports where somebody was quicker; the Process."""
        if self.http:
            self.process = self._start()
        else:
            self.process = ports.attempts(2, self._start_on)
        return self.process

    def _start_on(self, http, https):
        self.http, self.https = http, https
        return self._start()

    def _start(self):
        self.configure()
        status, text = self.check()
        if status != 0:
            raise Failure(f"httpd refuses its configuration {self.config}:\n{text.strip()}")
        process = self.places.start("httpd", [PROGRAM, "-d", self.root, "-f", self.config, "-D", "FOREGROUND"],
                                    self.places.log("httpd-start"), self.environment())
        try:
            await_answer(process, lambda: ports.connects(self.http) and ports.connects(self.https), 15, self.error_log)
        except Failure:
            process.stop()
            raise
        return process

    def answers(self, ticket):
        """Whether the service answers an authenticated Identify over TLS."""
        try:
            answer = Console(self, ticket).send(soap.IDENTIFY, seconds=10)
        except Failure:
            return False
        return answer.status == 200 and b"IdentifyResponse" in answer.body

    def graceful(self):
        self.process.signal(signal.SIGUSR1)

    def reload(self):
        self.process.signal(signal.SIGHUP)

    def stop(self):
        return self.process.stop(15)

    def restart(self):
        self.stop()
        return self.start()

    def pids(self):
        """The parent and its children, now."""
        return pids_with_argument("apache2", str(self.config))

    def children(self):
        return [pid for pid in self.pids() if pid != self.process.pid]


def gss_ntlm():
    """Whether GSS-API has an NTLM mechanism here (Debian's gss-ntlmssp); GSS_MECH_CONFIG names mechanisms elsewhere."""
    elsewhere = os.environ.get("GSS_MECH_CONFIG")
    if elsewhere:
        return "ntlm" in Path(elsewhere).read_text()
    return any(Path("/etc/gss/mech.d").glob("*ntlm*")) if Path("/etc/gss/mech.d").is_dir() else False


def sanitizer(program):
    """What a process needs in its environment to load a program that was built with AddressSanitizer."""
    needed = run("reading what the module is linked to", ["ldd", program])
    for line in needed.splitlines():
        name, _, rest = line.strip().partition(" => ")
        if name.startswith("libasan"):
            # httpd itself is not instrumented, and what it leaks at its end is not ours. Freed memory is held back,
            # but not for long: tests watch whether memory grows.
            return {"LD_PRELOAD": rest.split()[0],
                    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:quarantine_size_mb=16"}
    return {}
