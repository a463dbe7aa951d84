# SPDX-License-Identifier: Apache-2.0
"""Another httpd beside the stack's: for the configurations that are shipped, with names, ports and paths put in."""

from amtu_stack import ports
from amtu_stack.httpd import MODULES, PROGRAM, sanitizer
from amtu_stack.places import REPOSITORY
from amtu_stack.process import await_answer, pids_with_argument, run, start

CONF = REPOSITORY / "conf"
SERVER = """\
ServerRoot {root}
DefaultRuntimeDir {root}/run
PidFile {root}/run/httpd.pid
Mutex file:{root}/run default
ServerName localhost
{identity}
{modules}
SSLSessionCache shmcb:{root}/run/tls-sessions(512000)
ErrorLog {log}
LogLevel warn
{text}
"""


def shipped(name, **replaced):
    """The text of a shipped file with other texts put in; each must be there."""
    text = (CONF / name).read_text(encoding="utf-8")
    for old, new in replaced.items():
        assert old in text, old
        text = text.replace(old, str(new))
    return text


class SecondHttpd:
    """apache2 with these modules and this text, in a folder of the stack's run folder; the stack's keytab and CA."""

    def __init__(self, stack, name, modules, text, port=None):
        self.stack = stack
        self.port = port  # where the text makes it listen, if its user wants to know
        self.name = name
        self.root = stack.places.run / name
        self.modules = modules
        self.text = text
        self.process = None
        self.error_log = stack.places.log(f"{name}-error")

    def __enter__(self):
        places, www = self.stack.places, self.stack.places.roles["www-data"]
        places.folder(self.name)
        places.folder(f"{self.name}/run", "www-data")
        modules = "\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in self.modules)
        config = places.write(self.root / "httpd.conf", SERVER.format(
            root=self.root, log=self.error_log, modules=modules, text=self.text,
            identity=f"User {www.httpd_name()}\nGroup {www.httpd_group()}" if www.uid is not None else ""))
        environment = {**self.stack.httpd.environment(), **sanitizer(places.program("mod_amtunlock.so"))}
        words = [PROGRAM, "-d", self.root, "-f", config]
        self.checked = run(f"checking {self.name}", [*words, "-t"], environment)
        self.process = start(self.name, [*words, "-D", "FOREGROUND"], places.log(self.name), environment)
        return self

    def wait(self, port):
        await_answer(self.process, lambda: ports.connects(port), 15, self.error_log)
        return self

    def log(self):
        return self.error_log.read_text(errors="replace")

    def __exit__(self, *exception):
        self.process.stop()
        assert not pids_with_argument("apache2", str(self.root / "httpd.conf"))


class There:
    """What Console asks of an httpd."""

    def __init__(self, stack, port):
        self.realm, self.ca, self.port = stack.httpd.realm, stack.httpd.ca, port
        self.places = stack.places
        self.https = port

    def url(self, path="/wsman", tls=True):
        return f"{'https' if tls else 'http'}://localhost:{self.port}{path}"
