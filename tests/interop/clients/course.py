# SPDX-License-Identifier: Apache-2.0
"""The course of a console, for clients in Python, whatever they build and send envelopes with.

Prints a line for each thing it learns: a name, a tab, a value. run (beside this folder) knows what they must be.
"""

import os
import time
import xml.etree.ElementTree as tree

S = "http://www.w3.org/2003/05/soap-envelope"
WSMAN = "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
WSEN = "http://schemas.xmlsoap.org/ws/2004/09/enumeration"
WSMID = "http://schemas.dmtf.org/wbem/wsman/identity/1/wsmanidentity.xsd"
GET = "http://schemas.xmlsoap.org/ws/2004/09/transfer/Get"
SERVICE = "http://intel.com/wbem/wscim/1/amt-schema/1/AMT_RemoteEncryptionService"
JOB = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ConcreteJob"
ERROR = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_Error"
IDENTIFY = (f'<s:Envelope xmlns:s="{S}" xmlns:wsmid="{WSMID}"><s:Header/><s:Body><wsmid:Identify/></s:Body></s:Envelope>')


class Fault(Exception):
    """What the service refused: its subcode and the last word of its detail."""

    @classmethod
    def of(cls, answer):
        subcode = answer.findtext(f".//{{{S}}}Subcode/{{{S}}}Value", "")
        detail = answer.findtext(f".//{{{WSMAN}}}FaultDetail", "")
        made = cls(f"{subcode} {detail.rpartition('/')[2]}".strip())
        made.reason = answer.findtext(f".//{{{S}}}Reason/{{{S}}}Text", "")
        return made


def tell(name, *values):
    print(name, " ".join(values), sep="\t", flush=True)


def parse(status, text):
    """The root of an answer; raises its fault."""
    root = tree.fromstring(text)
    if root.find(f".//{{{S}}}Fault") is not None:
        raise Fault.of(root)
    if status != 200:
        raise RuntimeError(f"status {status} without a fault")
    return root


def enumerate_service(ask):
    """Enumerate and Pull; the instances."""
    context = ask(SERVICE, f"{WSEN}/Enumerate", "Enumerate", namespace=WSEN).findtext(f".//{{{WSEN}}}EnumerationContext")
    found = []
    while context:
        answer = ask(SERVICE, f"{WSEN}/Pull", "Pull", [("EnumerationContext", context)], namespace=WSEN)
        found += answer.findall(f".//{{{WSEN}}}Items/*")
        context = answer.findtext(f".//{{{WSEN}}}EnumerationContext")
    return found


def poll(ask, selectors):
    """The job's state when it has ended."""
    while True:
        state = ask(JOB, GET, selectors=selectors).findtext(f".//{{{JOB}}}JobState")
        if int(state) >= 7:
            return state
        time.sleep(0.5)


def await_end(ask, selectors):
    """How the job is refused once it is forgotten."""
    deadline = time.monotonic() + float(os.environ["AMTU_FORGOTTEN_WITHIN"])
    while time.monotonic() < deadline:
        try:
            ask(JOB, GET, selectors=selectors)
        except Fault as fault:
            return str(fault)
        time.sleep(1)
    return "it is still there"


def run(ask, identify):
    """ask(resource, action, element, arguments, namespace=resource, selectors={}) gives an answer's root or raises Fault."""
    systems = os.environ["AMTU_SYSTEMS"].split()
    tell("product", identify().findtext(f".//{{{WSMID}}}ProductVendor"))
    (service,) = enumerate_service(ask)
    tell("service", service.findtext(f"{{{SERVICE}}}CreationClassName"))
    tell("maximum", ask(SERVICE, GET).findtext(f".//{{{SERVICE}}}MaxSystemsPerRequest"))
    started = ask(SERVICE, f"{SERVICE}/UnlockSystems", "UnlockSystems_INPUT", [("systems", name) for name in systems])
    job = started.findtext(f".//{{{WSMAN}}}Selector[@Name='InstanceID']")
    tell("job", job)
    selectors = {"InstanceID": job}
    tell("state", poll(ask, selectors))
    done = ask(SERVICE, f"{SERVICE}/GetUnlockedSystems", "GetUnlockedSystems_INPUT", [("InstanceID", job)])
    for name in ("unlocked", "failed"):
        tell(name, *(one.text for one in done.iterfind(f".//{{{SERVICE}}}{name}Systems")))
    for error in ask(JOB, f"{JOB}/GetErrors", "GetErrors_INPUT", selectors=selectors).iterfind(f".//{{{JOB}}}Errors"):
        tell("error", error.findtext(f"{{{ERROR}}}ErrorSource"), error.findtext(f"{{{ERROR}}}MessageID"))
    tell("gone", await_end(ask, selectors))
