# SPDX-License-Identifier: Apache-2.0
"""Envelopes that tests send, written by hand, and what they look for in answers. Shares nothing with the product."""

import uuid
import xml.etree.ElementTree as tree
from xml.sax.saxutils import escape, quoteattr

S = "http://www.w3.org/2003/05/soap-envelope"
S11 = "http://schemas.xmlsoap.org/soap/envelope/"
WSA = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
WSMAN = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
WSEN = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
WXF = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
WSMID = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
ANONYMOUS = WSA + "/role/anonymous"

INTEL = "http://intel.com/wbem/wscim/1/amt-schema/1/"
CIM = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
SERVICE = INTEL + "AMT_RemoteEncryptionService"
JOB = CIM + "CIM_ConcreteJob"

NAMESPACES = {"s": S, "wsa": WSA, "wsman": WSMAN, "wsen": WSEN, "wsmid": WSMID, "p": SERVICE, "job": JOB}

GET, DELETE = WXF + "/Get", WXF + "/Delete"
ENUMERATE, PULL, RELEASE = WSEN + "/Enumerate", WSEN + "/Pull", WSEN + "/Release"

IDENTIFY = (f'<s:Envelope xmlns:s="{S}" xmlns:wsmid="{WSMID}"><s:Header/><s:Body><wsmid:Identify/></s:Body>'
            "</s:Envelope>")


def message_id():
    return f"uuid:{uuid.uuid4()}"


def header(resource, action, selectors=None, message=None, more=""):
    """The usual headers of a console."""
    chosen = "".join(f"<wsman:Selector Name={quoteattr(name)}>{escape(value)}</wsman:Selector>"
                     for name, value in (selectors or {}).items())
    return "".join((
        f'<wsa:Action s:mustUnderstand="true">{escape(action)}</wsa:Action>',
        f'<wsa:To s:mustUnderstand="true">{ANONYMOUS}</wsa:To>',
        f'<wsman:ResourceURI s:mustUnderstand="true">{escape(resource)}</wsman:ResourceURI>' if resource else "",
        f'<wsa:MessageID s:mustUnderstand="true">{escape(message or message_id())}</wsa:MessageID>',
        f"<wsa:ReplyTo><wsa:Address>{ANONYMOUS}</wsa:Address></wsa:ReplyTo>",
        f"<wsman:SelectorSet>{chosen}</wsman:SelectorSet>" if chosen else "",
        more))


def envelope(headers, body=""):
    spaces = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items() if prefix not in ("p", "job"))
    return f"<s:Envelope {spaces}><s:Header>{headers}</s:Header><s:Body>{body}</s:Body></s:Envelope>"


def request(resource, action, body="", **more):
    return envelope(header(resource, action, **more), body)


def get(resource, **more):
    return request(resource, GET, **more)


def method(name, arguments="", resource=SERVICE, **more):
    """A method call; the arguments are elements in the prefix p."""
    body = f'<p:{name}_INPUT xmlns:p="{resource}">{arguments}</p:{name}_INPUT>'
    return request(resource, f"{resource}/{name}", body, **more)


def unlock(names, element="systems", **more):
    return method("UnlockSystems", "".join(f"<p:{element}>{escape(name)}</p:{element}>" for name in names), **more)


def unlocked(job=None, more="", **headers):
    """GetUnlockedSystems of a job, or of the caller's latest."""
    which = f"<p:InstanceID>{escape(job)}</p:InstanceID>" if job else ""
    return method("GetUnlockedSystems", which + more, **headers)


def get_job(job, **more):
    return get(JOB, selectors={"InstanceID": job}, **more)


class Answer:
    """One HTTP answer, with the questions that tests ask of it."""

    def __init__(self, status, headers, body, seconds):
        self.status = status
        self.headers = headers
        self.body = body
        self.seconds = seconds

    def __repr__(self):
        return f"<Answer {self.status} in {self.seconds:.3f} s: {self.body[:2000]!r}>"

    @property
    def root(self):
        return tree.fromstring(self.body)

    def find(self, path):
        return self.root.find(f".//{path}", NAMESPACES)

    def text(self, path):
        found = self.find(path)
        return None if found is None else (found.text or "").strip()

    def texts(self, path):
        return [(one.text or "").strip() for one in self.root.findall(f".//{path}", NAMESPACES)]

    @property
    def fault(self):
        """(subcode or code, last part of the fault detail or None) of a fault; None for anything else."""
        if not self.body or self.find("s:Fault") is None:
            return None
        code = self.text("s:Fault/s:Code/s:Subcode/s:Value") or self.text("s:Fault/s:Code/s:Value")
        detail = self.text("s:Fault/s:Detail/wsman:FaultDetail")
        return code, detail.rpartition("/")[2] if detail else None

    @property
    def reason(self):
        return self.text("s:Fault/s:Reason/s:Text")

    @property
    def job(self):
        """InstanceID in the Job reference of UnlockSystems."""
        for selector in self.root.iterfind(".//p:Job//wsman:Selector", NAMESPACES):
            if selector.get("Name") == "InstanceID":
                return selector.text
        return None
