# SPDX-License-Identifier: Apache-2.0
"""What a case of the conformance list is made of: what is sent, and what the answer must be.

Texts hold {names} that stand for something that exists when the case runs; see Scene in test_conformance.py.
"""

import re
from dataclasses import dataclass, field

from amtu_stack import soap

WSMB = "http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd"
WSE = "http://schemas.xmlsoap.org/ws/2004/08/eventing"
COMMON = "http://schemas.dmtf.org/wbem/wscim/1/common"
MICROSOFT = "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd"
ALL_CLASSES = "http://schemas.dmtf.org/wbem/wscim/1/*"
OWNING, AFFECTED = soap.CIM + "CIM_OwningJobElement", soap.CIM + "CIM_AffectedJobElement"
ERROR = soap.CIM + "CIM_Error"

# Prefixes in paths of expectations.
PREFIXES = {**soap.NAMESPACES, "cim": COMMON, "owning": OWNING, "affected": AFFECTED, "error": ERROR,
            "xsi": soap.XSI, "x": "urn:x"}
FAULT_ACTIONS = {"wsa": soap.WSA + "/fault", "s": soap.WSA + "/fault",
                 "wsman": "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault", "wsen": soap.WSEN + "/fault",
                 "wxf": soap.WXF + "/fault", "wsmb": "http://schemas.dmtf.org/wbem/wsman/1/cimbinding/fault"}
RECEIVER = ("wsa:EndpointUnavailable", "wsman:InternalError", "wsman:TimedOut", "wsen:InvalidEnumerationContext",
            "wsen:TimedOut")


@dataclass
class Fault:
    """Code or subcode, last part of the detail's URI, HTTP status; texts that the envelope must hold."""

    code: str
    detail: str | None = None
    status: int = 400
    says: tuple = ()
    has: tuple = ()

    def check(self, answer):
        assert (answer.fault, answer.status) == ((self.code, self.detail), self.status), answer
        kind = {"s:VersionMismatch": self.code, "s:MustUnderstand": self.code}.get(
            self.code, "s:Receiver" if self.code in RECEIVER else "s:Sender")
        assert answer.text("s:Fault/s:Code/s:Value") == kind
        assert answer.text("s:Header/wsa:Action") == FAULT_ACTIONS[self.code.partition(":")[0]]
        reason = answer.find("s:Fault/s:Reason/s:Text")
        assert reason.text.strip() and reason.get("{http://www.w3.org/XML/1998/namespace}lang") == "en-US"
        for text in self.says:
            assert text in answer.body.decode(), text
        for path in self.has:
            assert find(answer, path), path


@dataclass
class Result:
    """An answer that is no fault: elements that it has and has not, texts of elements (all of them, in order)."""

    has: tuple = ()
    lacks: tuple = ()
    texts: dict = field(default_factory=dict)  # path: text, list of texts, or a compiled pattern for each text
    action: str | None = None  # None: the request's action and "Response"; "": no header
    counts: dict = field(default_factory=dict)  # path: how many, or (least, most)
    unlike: dict = field(default_factory=dict)  # path: the text that its one element does not have

    def check(self, answer):
        assert answer.status == 200 and answer.fault is None, answer
        for path in self.has:
            assert find(answer, path), f"no {path} in {answer}"
        for path in self.lacks:
            assert not find(answer, path), f"{path} in {answer}"
        for path, expected in self.texts.items():
            found = [(one.text or "").strip() for one in find(answer, path)]
            if isinstance(expected, re.Pattern):
                assert found and all(expected.fullmatch(one) for one in found), f"{path}: {found}"
            else:
                assert found == ([expected] if isinstance(expected, str) else expected), f"{path} in {answer}"
        for path, text in self.unlike.items():
            assert [one.text != text for one in find(answer, path)] == [True], f"{path} in {answer}"
        for path, expected in self.counts.items():
            least, most = expected if isinstance(expected, tuple) else (expected, expected)
            assert least <= len(find(answer, path)) <= most, f"{len(find(answer, path))} x {path} in {answer}"


@dataclass
class Http:
    """An answer of HTTP itself: status, headers that hold a text, a body or none."""

    status: int
    headers: dict = field(default_factory=dict)
    empty: bool = False

    def check(self, answer):
        assert answer.status == self.status, answer
        for name, text in self.headers.items():
            assert text.lower() in answer.headers.get(name, "").lower(), answer.headers
        assert not (self.empty and answer.body), answer


@dataclass
class Case:
    """One rule. `first` is sent before, by the same caller, and must be answered (or refused)."""

    rule: str
    title: str
    body: str | bytes
    expected: Fault | Result | Http
    first: tuple = ()
    first_refused: bool = False
    who: str = "console"  # console, console2, nobody
    path: str = "/wsman"
    method: str = "POST"
    content_type: str = "application/soap+xml;charset=UTF-8"
    encoding: str = "utf-8"  # of the bytes sent, and of the answer
    mark: bytes = b""  # byte order mark, sent and expected
    number: str = ""  # given by cases.py


def find(answer, path):
    return answer.root.findall(f".//{path}", PREFIXES)


# ---- envelopes ----------------------------------------------------------------------------------------------

def get(resource=soap.SERVICE, **more):
    return soap.get(resource, **more)


def get_job(job="{job}", **more):
    return soap.get_job(job, **more)


def edited(body, *changes):
    """A body with texts replaced; each must be there."""
    for old, new in changes:
        assert old in body, old
        body = body.replace(old, new)
    return body


def without(element):
    """A Get of the service less one header."""
    body, count = re.subn(f"<{element}[ >].*?</{element}>", "", get())
    assert count == 1, element
    return body


def selected(*selectors, resource=soap.JOB):
    """A Get by selectors as they are given: (name, XML of the value)."""
    chosen = "".join(f'<wsman:Selector Name="{name}">{value}</wsman:Selector>' for name, value in selectors)
    return get(resource, more=f"<wsman:SelectorSet>{chosen}</wsman:SelectorSet>")


def reference(resource, **selectors):
    chosen = "".join(f'<wsman:Selector Name="{name}">{value}</wsman:Selector>' for name, value in selectors.items())
    return (f"<wsa:Address>{soap.ANONYMOUS}</wsa:Address><wsa:ReferenceParameters><wsman:ResourceURI>{resource}"
            f"</wsman:ResourceURI><wsman:SelectorSet>{chosen}</wsman:SelectorSet></wsa:ReferenceParameters>")


def endpoint(resource, **selectors):
    return f"<wsa:EndpointReference>{reference(resource, **selectors)}</wsa:EndpointReference>"


def enumerate_(resource=soap.JOB, inside="", **more):
    return soap.request(resource, soap.ENUMERATE,
                        f'<wsen:Enumerate xmlns:wsmb="{WSMB}">{inside}</wsen:Enumerate>', **more)


OPTIMIZED = "<wsman:OptimizeEnumeration/>"
MANY = OPTIMIZED + "<wsman:MaxElements>10000</wsman:MaxElements>"
ROOM = "<wsman:MaxEnvelopeSize>10000000</wsman:MaxEnvelopeSize>"


def everything(resource=soap.JOB, inside=""):
    """An Enumerate that is answered with all there is."""
    return enumerate_(resource, MANY + inside, more=ROOM)


def mode(name):
    return f"<wsman:EnumerationMode>{name}</wsman:EnumerationMode>"


def polymorphism(name):
    return f"<wsmb:PolymorphismMode>{name}</wsmb:PolymorphismMode>"


def pull(context="{context}", inside="", resource=soap.JOB, **more):
    return soap.request(resource, soap.PULL, f"<wsen:Pull><wsen:EnumerationContext>{context}</wsen:EnumerationContext>"
                                             f"{inside}</wsen:Pull>", **more)


def release(context="{context}", resource=soap.JOB):
    return soap.request(resource, soap.RELEASE, "<wsen:Release><wsen:EnumerationContext>"
                                                f"{context}</wsen:EnumerationContext></wsen:Release>")


def job_method(name, inside="", job="{job}"):
    return soap.method(name, inside, resource=soap.JOB, selectors={"InstanceID": job})


def element(name, text):
    return f"<p:{name}>{text}</p:{name}>"


UNREACHABLE = Fault("wsa:DestinationUnreachable", "InvalidResourceURI")
SCHEMA = Fault("wsman:SchemaValidationError")
NO_CONTEXT = Fault("wsen:InvalidEnumerationContext", status=500)


def selectors(detail):
    return Fault("wsman:InvalidSelectors", detail)


def parameter(detail, *says):
    return Fault("wsman:InvalidParameter", detail, says=says)


def unsupported(detail):
    return Fault("wsman:UnsupportedFeature", detail)
