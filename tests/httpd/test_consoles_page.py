# SPDX-License-Identifier: Apache-2.0
"""docs/consoles.md: its examples are run as they stand, and what it shows is what the service answers."""

import os
import re
import subprocess
import sys
import time
import types
import xml.etree.ElementTree as tree

import pytest
from amtu_stack import soap
from amtu_stack.places import REPOSITORY
from interface_files import MOF, read_mof, uri
from test_interface_files import check

PAGE = (REPOSITORY / "docs" / "consoles.md").read_text(encoding="utf-8")
BLOCKS = [(kind, text) for kind, text in re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.S | re.M)]
CLASSES = read_mof(MOF.read_text(encoding="utf-8"))
METHODS = {method: name for name, one in CLASSES.items() if not one.abstract for method in one.methods}
NAME = "pc-001.example.com"


def block(kind):
    (text,) = [text for one, text in BLOCKS if one == kind]
    return text


def test_curl(stack, tmp_path):
    environment = {**os.environ, **stack.console().environment(), "AMTU_URL": stack.httpd.url(), "AMTU_CA": str(stack.httpd.ca)}
    done = subprocess.run(["/bin/sh", "-e"], input=block("sh"), capture_output=True, text=True,
                          env=environment, cwd=tmp_path, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    most, results, errors = re.match(r"(\d+)\s*(<s:Envelope.*?</s:Envelope>)\s*(<s:Envelope.*)", done.stdout, re.S).groups()
    assert most == str(stack.httpd.settings.max_systems)
    assert f"<p:failedSystems>{NAME}</p:failedSystems>" in results
    assert "not-available" in errors


def test_curl_with_more_names_than_one_request_takes(stack, tmp_path):
    environment = {**os.environ, **stack.console().environment(), "AMTU_URL": stack.httpd.url("/few"), "AMTU_CA": str(stack.httpd.ca)}
    wanted = [f"nobody-{number}.fleet.test" for number in range(7)]
    script = block("sh").replace(f'NAMES="{NAME}"', f'NAMES="{" ".join(wanted)}"')
    done = subprocess.run(["/bin/sh", "-e"], input=script, capture_output=True, text=True,
                          env=environment, cwd=tmp_path, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.findall(r"<p:failedSystems>(.*?)</p:failedSystems>", done.stdout) == wanted
    assert done.stdout.count("GetErrors_OUTPUT xmlns") == 3


@pytest.fixture
def page(console, monkeypatch):
    """page(PLACE): the page's class, and what it sends. In place of requests and its Kerberos stands the caller that all
    tests use. An exception of `lost` comes instead of an answer; `pause` instead of a sleep."""

    def load(path="/wsman", lost=(), pause=time.sleep):
        sent, lost = [], list(lost)

        class Session:
            def post(self, url, data, headers, timeout):
                answer = console.send(data, path=path, content_type=headers["Content-Type"])
                sent.append((data, answer))
                problem = lost.pop(0) if lost else None
                if problem:
                    raise problem
                return types.SimpleNamespace(status_code=answer.status, content=answer.body)

        monkeypatch.setitem(sys.modules, "requests", types.SimpleNamespace(
            Session=Session, ConnectionError=ConnectionError, Timeout=TimeoutError))
        monkeypatch.setitem(sys.modules, "requests_kerberos", types.SimpleNamespace(
            REQUIRED=1, HTTPKerberosAuth=lambda **how: how))
        names = {"__name__": "page"}
        exec(compile(block("python"), "docs/consoles.md", "exec"), names)
        names["time"] = types.SimpleNamespace(monotonic=time.monotonic, sleep=pause)
        return names["Unlock"]("https://localhost/wsman"), sent

    return load


def test_python_with_more_names_than_one_request_takes(page, switched_off, idle_worker):
    """Also where the caller may not have all of them waiting at once, and where one part is refused."""

    def pause(seconds):
        idle_worker()
        time.sleep(min(seconds, 0.2))

    unlock, sent = page("/few", pause=pause)
    wanted = [*switched_off[:6], "no name", *switched_off[6:8], switched_off[0]]
    unlocked, failed = unlock.unlock(wanted)
    assert (sorted(unlocked), failed) == (sorted(switched_off[:6]), [])
    assert [part for part, _ in unlock.refused] == [["no name", *switched_off[6:8]]]
    assert any(answer.fault and answer.fault[0] == "wsman:QuotaLimit" for _, answer in sent), "the quota was not reached"


def test_python(page):
    """With the page's own code."""
    unlock, sent = page(lost=[None, ConnectionError("the answer was lost"), None])
    assert unlock.unlock([NAME, "pc-002.example.com"]) == ([], [NAME, "pc-002.example.com"])
    assert sent[1][0] == sent[2][0], "a lost answer: the same message again"
    with pytest.raises(RuntimeError, match="host name"):
        unlock.unlock(["no name"])


XML = [text for kind, text in BLOCKS if kind == "xml"]


@pytest.mark.parametrize("text", XML, ids=lambda text: re.search(r"<\w:(\w+)", text)[1])
def test_xml(console, text):
    """Requests are answered; answers have the shape that real ones are checked for."""
    root = tree.fromstring(text)
    namespace, _, name = root.tag[1:].partition("}")
    method, _, kind = name.rpartition("_")
    if name == "Envelope":
        assert console.send(text).job
    elif kind == "OUTPUT":
        declared = CLASSES[METHODS[method]].methods[method]
        assert namespace == uri(METHODS[method])
        check(list(root), {one: value for one, value in declared.items() if value.direction == "Out"}, namespace)
    else:
        answer = console.send(soap.request(namespace, f"{namespace}/{method}", text))
        assert answer.fault in (None, ("wsa:DestinationUnreachable", "InvalidResourceURI")), "the job of the page is none"
        assert answer.fault is None or "InstanceID" in text


@pytest.mark.parametrize("kind", ["bat", "powershell"])
def test_commands_for_windows_name_what_there_is(console, kind):
    """They cannot be run here, but what they name must exist."""
    text = block(kind)
    for resource in set(re.findall(r"http://[\w./-]+/(?:AMT|CIM)_\w+", text)):
        assert resource in (soap.SERVICE, soap.JOB)
    actions = set(re.findall(r"(?:winrm invoke|-Action) (\w+)", text))
    assert actions and actions <= METHODS.keys()
    for line in text.splitlines():
        action = re.search(r"(?:winrm invoke|-Action) (\w+)", line)
        if action:
            jobs = "CIM_ConcreteJob" in line or "$jobs" in line
            assert METHODS[action[1]] == ("CIM_ConcreteJob" if jobs else "AMT_RemoteEncryptionService")
            assert ("UnlockSystems" == action[1]) == bool(re.search(r"-file:|-FilePath", line)), "an array needs a file"


def test_reason_codes_are_those_of_the_product():
    """The list of the page against the table of the code."""
    source = (REPOSITORY / "mod_amtunlock" / "jobs" / "reason.c").read_text(encoding="utf-8")
    known = set(re.findall(r'\[JOBS_REASON_\w+\]\s*=\s*\{\s*"([a-z-]+)"', source))
    (listed,) = re.findall(r"^Reason codes: (.*?)\n\n", PAGE, re.S | re.M)
    assert known and set(re.findall(r"`([a-z-]+)`", listed)) == known


