# SPDX-License-Identifier: Apache-2.0
"""A simulated fleet for a test, and a console that speaks to its PCs over HTTP as any AMT client would."""

import base64
import contextlib
import csv
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / os.environ.get("AMTU_BUILD", "build") / "amtsim"

SOAP = "http://www.w3.org/2003/05/soap-envelope"
WSA = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
WSMAN = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
WXF = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
WSEN = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
ANONYMOUS = WSA + "/role/anonymous"
AMT = "http://intel.com/wbem/wscim/1/amt-schema/1/"
IPS = "http://intel.com/wbem/wscim/1/ips-schema/1/"
CIM = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
POWER_SERVICE = CIM + "CIM_PowerManagementService"
ASSOCIATED_POWER = CIM + "CIM_AssociatedPowerManagementService"
BOOT_SETTINGS = AMT + "AMT_BootSettingData"


QUICK = ("--boot-seconds", "0.1-0.2", "--power-seconds", "0.03-0.06", "--answer-ms", 1)


def wait_for(what, condition, seconds=10.0):
    """The first true value of condition()."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds} s: {what}")


class Fleet:
    """One amtsim process with its files."""

    def __init__(self, *arguments, ready=True, prefix=()):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="amtsim."))
        self.dir = self.folder / "fleet"
        self.log = self.folder / "log"
        self.log_read = 0
        self.lines = []
        self.reading = threading.Lock()
        self.socket = self.folder / "control"
        self.tls = "none" not in arguments
        command = [*prefix, PROGRAM, "--dir", self.dir, "--log", self.log, "--control", self.socket]
        command += map(str, arguments)
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if ready:
            self._read_files()

    def _read_files(self):
        line = self.process.stdout.readline()
        if line != "ready\n":
            raise AssertionError(f"amtsim did not start: {line}{self.process.communicate()[1]}")
        with open(self.dir / "fleet.csv", newline="", encoding="ascii") as file:
            self.pcs = list(csv.DictReader(file))
        self.admin = (self.dir / "admin").read_text(encoding="ascii").splitlines()

    def stop(self):
        """Its exit status and what it said on stderr."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.end()

    def end(self):
        """The same, for a simulator that ends by itself."""
        errors = self.process.communicate(timeout=20)[1]
        shutil.rmtree(self.folder)
        return self.process.returncode, errors

    def control(self, **line):
        """One line to the control socket, its answer."""
        return self.control_text(json.dumps(line).encode() + b"\n")

    def control_text(self, text):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(self.socket))
            client.sendall(text)
            with client.makefile("rb") as stream:
                return json.loads(stream.readline())

    def fault(self, pc, fault, **more):
        assert self.control(do="fault", system=pc["fqdn"], fault=fault, **more) == {"ok": True}

    def state(self, pc):
        return self.control(do="state", system=pc["fqdn"])

    def events(self, pc=None, event=None):
        with self.reading, open(self.log, encoding="utf-8") as file:
            file.seek(self.log_read)
            new = file.read()
            whole = new[:new.rfind("\n") + 1]
            self.lines += [json.loads(line) for line in whole.splitlines()]
            self.log_read += len(whole)
        return [line for line in self.lines
                if (pc is None or line["system"] == pc["fqdn"]) and (event is None or line["event"] == event)]

    def names(self, pc):
        """The events of a PC, without those that every request and every write makes."""
        usual = ("connection", "tls", "auth", "request-seen", "write")
        return [line["event"] for line in self.events(pc) if line["event"] not in usual]

    def wait_event(self, pc, event, count=1):
        return wait_for(f"{event} of {pc['fqdn']}", lambda: self.events(pc, event)[count - 1:])[0]

    def console(self, pc, admin=False):
        user, password = self.admin if admin else (pc["user"], pc["password"])
        return Console(self, pc, user, password)


@contextlib.contextmanager
def fleet(*arguments):
    """A fleet that must end cleanly."""
    one = Fleet(*arguments)
    try:
        yield one
    finally:
        status, errors = one.stop()
    assert (status, errors) == (0, "")


class Answer:
    """What a device sent back."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def xml(self):
        return ElementTree.fromstring(self.body)

    def element(self, name):
        """The first element of that local name."""
        for node in self.xml.iter():
            if node.tag.rpartition("}")[2] == name:
                return node
        raise AssertionError(f"no {name} in {self.body!r}")

    def text(self, name):
        return self.element(name).text or ""

    def texts(self, name):
        return [node.text or "" for node in self.xml.iter() if node.tag.rpartition("}")[2] == name]

    @property
    def subcode(self):
        """Of a fault, without its prefix."""
        subcode = self.element("Subcode")
        return subcode[0].text.partition(":")[2]

    @property
    def result(self):
        return int(self.text("ReturnValue"))


def envelope(action, resource, body="", selectors=None, headers="", message="1"):
    chosen = "".join(f'<w:Selector Name="{name}">{value}</w:Selector>' for name, value in (selectors or {}).items())
    chosen = f"<w:SelectorSet>{chosen}</w:SelectorSet>" if chosen else ""
    return (f'<?xml version="1.0" encoding="utf-8"?><Envelope xmlns="{SOAP}" xmlns:a="{WSA}" xmlns:w="{WSMAN}">'
            f"<Header><a:Action>{action}</a:Action><a:To>/wsman</a:To><w:ResourceURI>{resource}</w:ResourceURI>"
            f"<a:MessageID>{message}</a:MessageID><a:ReplyTo><a:Address>{ANONYMOUS}</a:Address></a:ReplyTo>"
            f"<w:OperationTimeout>PT60S</w:OperationTimeout>{chosen}{headers}</Header><Body>{body}</Body></Envelope>")


def invocation(resource, method, parameters=""):
    return envelope(f"{resource}/{method}", resource,
                    f'<r:{method}_INPUT xmlns:r="{resource}">{parameters}</r:{method}_INPUT>')


def reference(resource, **selectors):
    chosen = "".join(f'<w:Selector Name="{name}">{value}</w:Selector>' for name, value in selectors.items())
    return (f"<a:Address>{ANONYMOUS}</a:Address><a:ReferenceParameters><w:ResourceURI>{resource}</w:ResourceURI>"
            f"<w:SelectorSet>{chosen}</w:SelectorSet></a:ReferenceParameters>")


HOST = reference(CIM + "CIM_ComputerSystem", CreationClassName="CIM_ComputerSystem", Name="ManagedSystem")


class Console:
    """An AMT console that sends each request with curl: its own connection and its own digest exchange."""

    def __init__(self, the_fleet, pc, user, password):
        self.fleet = the_fleet
        self.pc = pc
        self.user = user
        self.password = password
        self.port = 16993 if the_fleet.tls else 16992
        self.url = f"{'https' if the_fleet.tls else 'http'}://{pc['fqdn']}:{self.port}/wsman"

    def curl(self, body, *options, url=None, seconds=10):
        """(exit status, Answer); the password goes through curl's standard input."""
        config = f'user = "{self.user}:{self.password}"\n'
        with tempfile.NamedTemporaryFile() as file, tempfile.NamedTemporaryFile() as head:
            file.write(body.encode() if isinstance(body, str) else body)
            file.flush()
            command = ["curl", "--silent", "--config", "-", "--digest", "--max-time", str(seconds),
                       "--cacert", str(self.fleet.dir / "ca.pem"), "--dump-header", head.name,
                       "--resolve", f"{self.pc['fqdn']}:{self.port}:{self.pc['address']}",
                       "--header", "Content-Type: application/soap+xml; charset=utf-8",
                       "--data-binary", f"@{file.name}", *options, url or self.url]
            done = subprocess.run(command, input=config.encode(), stdout=subprocess.PIPE, check=False)
            heads = head.read().decode("ascii").strip().split("\r\n\r\n")
        return done.returncode, self._answer(heads[-1], done.stdout)

    @staticmethod
    def _answer(head, body):
        lines = head.split("\r\n")
        words = lines[0].split(" ")
        status = int(words[1]) if len(words) > 1 else 0
        return Answer(status, {name.lower(): value.strip() for name, _, value in
                               (line.partition(":") for line in lines[1:])}, body)

    def post(self, body, *options):
        status, answer = self.curl(body, *options)
        assert status == 0, f"curl ends with {status}"
        return answer

    def get(self, resource, **selectors):
        return self.post(envelope(WXF + "/Get", resource, selectors=selectors))

    def invoke(self, resource, method, parameters=""):
        return self.post(invocation(resource, method, parameters))

    def power(self, state):
        """The ReturnValue of RequestPowerStateChange."""
        return self.invoke(POWER_SERVICE, "RequestPowerStateChange",
                           f"<r:PowerState>{state}</r:PowerState><r:ManagedElement>{HOST}</r:ManagedElement>").result

    def power_state(self):
        return int(self.get(ASSOCIATED_POWER).text("PowerState"))

    def put_boot(self, **members):
        body = "".join(f"<r:{name}>{value}</r:{name}>" for name, value in members.items())
        return self.post(envelope(WXF + "/Put", BOOT_SETTINGS,
                                  f'<r:AMT_BootSettingData xmlns:r="{BOOT_SETTINGS}">{body}</r:AMT_BootSettingData>'))

    def change_boot_order(self, source=None):
        resource = CIM + "CIM_BootConfigSetting"
        chosen = reference(CIM + "CIM_BootSourceSetting", InstanceID=source) if source else ""
        return self.invoke(resource, "ChangeBootOrder", f"<r:Source>{chosen}</r:Source>" if source else "").result

    def set_role(self, role):
        resource = CIM + "CIM_BootService"
        setting = reference(CIM + "CIM_BootConfigSetting", InstanceID="Intel(r) AMT: Boot Configuration 0")
        return self.invoke(resource, "SetBootConfigRole",
                           f"<r:BootConfigSetting>{setting}</r:BootConfigSetting><r:Role>{role}</r:Role>").result


class Wire:
    """One connection, spoken by hand: what curl would not send."""

    def __init__(self, the_fleet, pc, port=None, seconds=10):
        self.pc = pc
        raw = socket.create_connection((pc["address"], port or (16993 if the_fleet.tls else 16992)), timeout=seconds)
        self.socket = raw
        if the_fleet.tls:
            context = ssl.create_default_context(cafile=the_fleet.dir / "ca.pem")
            self.socket = context.wrap_socket(raw, server_hostname=pc["fqdn"])
        self.stream = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *what):
        self.stream.close()
        self.socket.close()

    def send(self, text):
        self.socket.sendall(text if isinstance(text, bytes) else text.encode())

    def request(self, body, *headers, method="POST", uri="/wsman"):
        data = body.encode()
        lines = [f"{method} {uri} HTTP/1.1", f"Host: {self.pc['fqdn']}:16993", f"Content-Length: {len(data)}",
                 "Content-Type: application/soap+xml; charset=utf-8", *headers]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
        return self.read()

    def read(self):
        """One answer; status 0 when the device closed the connection instead."""
        first = self.stream.readline()
        if not first:
            return Answer(0, {}, b"")
        headers = {}
        while (line := self.stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        if headers.get("transfer-encoding") == "chunked":
            body = self._chunks()
        else:
            body = self.stream.read(int(headers.get("content-length", "0")))
        return Answer(int(first.split()[1]), headers, body)

    def _chunks(self):
        body = b""
        self.sizes = []
        while True:
            self.sizes.append(self.stream.readline().strip().decode())
            size = int(self.sizes[-1], 16)
            body += self.stream.read(size)
            self.stream.readline()
            if size == 0:
                return body

    def is_closed(self):
        """Did the device end the connection?"""
        return self.stream.read(1) == b""


class Digest:
    """RFC 7616 with MD5, as a client computes it."""

    def __init__(self, challenge, user, password):
        self.fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        self.user = user
        self.password = password

    def header(self, body="", nc=1, qop="auth", uri="/wsman", nonce=None, realm=None):
        def md5(*parts):
            return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()
        nonce = nonce or self.fields["nonce"]
        realm = realm or self.fields["realm"]
        count = f"{nc:08x}"
        a2 = ["POST", uri] + ([md5(body)] if qop == "auth-int" else [])
        cnonce = base64.b16encode(os.urandom(8)).decode()
        response = md5(md5(self.user, realm, self.password), nonce, count, cnonce, qop, md5(*a2))
        return (f'Authorization: Digest username="{self.user}", realm="{realm}", nonce="{nonce}", uri="{uri}", '
                f'response="{response}", qop={qop}, nc={count}, cnonce="{cnonce}"')
