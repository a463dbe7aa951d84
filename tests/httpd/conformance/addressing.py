# SPDX-License-Identifier: Apache-2.0
"""Addressing: who is spoken to, and the headers of WS-Addressing (DSP0226 clause 5)."""

from amtu_stack import soap
from rules import (AFFECTED, ALL_CLASSES, OWNING, Case, Fault, Result, UNREACHABLE, edited, endpoint, get, get_job,
                   selected, selectors, unsupported, without)

REQUIRED = "wsa:MessageInformationHeaderRequired"
INVALID = "wsa:InvalidMessageInformationHeader"
ANSWERED = Result(has=("p:AMT_RemoteEncryptionService",))
ANONYMOUS_REPLY = f"<wsa:ReplyTo><wsa:Address>{soap.ANONYMOUS}</wsa:Address>"
ELSEWHERE = "<wsa:Address>http://elsewhere.example/</wsa:Address>"


def header(attributes):
    return get(more=f'<x:Odd xmlns:x="urn:x" {attributes}/>')


HEADERS = [
    Case("DSP0226 R5.3-1", "wsa:To is required", without("wsa:To"), Fault(REQUIRED, has=("s:Detail/wsa:To",))),
    Case("DSP0226 5.4.5", "wsa:Action is required", without("wsa:Action"),
         Fault(REQUIRED, has=("s:Detail/wsa:Action",))),
    Case("DSP0226 5.4.4", "wsa:MessageID is required", without("wsa:MessageID"),
         Fault(REQUIRED, has=("s:Detail/wsa:MessageID",))),
    Case("DSP0226 5.4.2", "wsa:ReplyTo is required", without("wsa:ReplyTo"),
         Fault(REQUIRED, has=("s:Detail/wsa:ReplyTo",))),
    Case("DSP0226 R5.3-1", "an empty wsa:To is none", edited(get(), (f">{soap.ANONYMOUS}</wsa:To>", "></wsa:To>")),
         Fault(REQUIRED, has=("s:Detail/wsa:To",))),
    Case("DSP0226 5.3", "wsa:To is for routing: another host's address is served",
         edited(get(), (f">{soap.ANONYMOUS}</wsa:To>", ">http://other.example:5985/wsman</wsa:To>")), ANSWERED),
    Case("DSP0226 5.3", "wsa:To without a host is served (Go clients)",
         edited(get(), (f">{soap.ANONYMOUS}</wsa:To>", ">/wsman</wsa:To>")), ANSWERED),
    Case("DSP0226 R5.4.2-2", "answers go back over the connection: another wsa:ReplyTo is refused",
         edited(get(), (ANONYMOUS_REPLY, "<wsa:ReplyTo>" + ELSEWHERE)), unsupported("AddressingMode")),
    Case("DSP0226 R5.4.3-3", "faults go back over the connection: another wsa:FaultTo is refused",
         get(more=f"<wsa:FaultTo>{ELSEWHERE}</wsa:FaultTo>"), unsupported("AddressingMode")),
    Case("DSP0226 5.4.3", "an anonymous wsa:FaultTo is served",
         get(more=f"<wsa:FaultTo><wsa:Address>{soap.ANONYMOUS}</wsa:Address></wsa:FaultTo>"), ANSWERED),
    Case("DSP0226 5.4.6", "wsa:From is of no effect", get(more=f"<wsa:From>{ELSEWHERE}</wsa:From>"), ANSWERED),
    Case("DSP0226 R5.4.2-5", "reference parameters of wsa:ReplyTo come back as headers",
         edited(get(), (ANONYMOUS_REPLY, ANONYMOUS_REPLY + '<wsa:ReferenceParameters><x:Route xmlns:x="urn:x">7</x:Route>'
                                                           "</wsa:ReferenceParameters>")),
         Result(texts={"s:Header/x:Route": "7"})),
    Case("DSP0226 R5.4.4-1", "wsa:MessageID may be any URI",
         get(message="urn:uuid:6F7B9E2A-0000-4000-8000-0123456789AB"),
         Result(texts={"s:Header/wsa:RelatesTo": "urn:uuid:6F7B9E2A-0000-4000-8000-0123456789AB"})),
    Case("DSP0226 5.4.4", "wsa:MessageID that is no URI is served (Go clients count)", get(message="0"),
         Result(texts={"s:Header/wsa:RelatesTo": "0"})),
    Case("DSP0226 5.4.4", "a repeated wsa:MessageID is served again", get(message="uuid:{uuid}"), ANSWERED,
         first=(get(message="uuid:{uuid}"),)),
    Case("DSP0226 R13.1-9", "wsa:Action twice", edited(get(), ("</wsa:Action>", "</wsa:Action><wsa:Action>x</wsa:Action>")),
         Fault(INVALID, has=("s:Detail/wsa:Action",))),
    Case("DSP0226 R13.1-9", "wsman:ResourceURI twice", get(more="<wsman:ResourceURI>x</wsman:ResourceURI>"),
         Fault(INVALID, has=("s:Detail/wsman:ResourceURI",))),
    Case("DSP0226 R13.1-9", "wsman:SelectorSet twice", get_job(more="<wsman:SelectorSet/>"),
         Fault(INVALID, has=("s:Detail/wsman:SelectorSet",))),
    Case("DSP0226 R5.2-2", "an unknown header that must be understood is named", header('s:mustUnderstand="true"'),
         Fault("s:MustUnderstand", status=500, says=('qname="p:Odd"', 'xmlns:p="urn:x"'))),
    Case("DSP0226 R5.2-2", "mustUnderstand may be written 1", header('s:mustUnderstand="1"'),
         Fault("s:MustUnderstand", status=500, has=("s:Header/s:NotUnderstood",))),
    Case("SOAP 1.2 part 1 5.2.3", "a header with mustUnderstand false is ignored", header('s:mustUnderstand="false"'),
         ANSWERED),
    Case("SOAP 1.2 part 1 5.2.3", "a header without mustUnderstand is ignored", header(""), ANSWERED),
    Case("SOAP 1.2 part 1 2.2", "a header for another role is none of ours",
         header('s:mustUnderstand="true" s:role="http://example.com/role/proxy"'), ANSWERED),
    Case("DSP0226 5.2", "every header that the service knows may have to be understood",
         get(more=f'<wsman:MaxEnvelopeSize s:mustUnderstand="true">51200</wsman:MaxEnvelopeSize>'
                  f'<wsman:OperationTimeout s:mustUnderstand="true">PT60S</wsman:OperationTimeout>'
                  f'<wsman:Locale s:mustUnderstand="true" xml:lang="en-US"/>'
                  f'<wsman:OptionSet s:mustUnderstand="true"/>'
                  f'<wsa:From s:mustUnderstand="true">{ELSEWHERE}</wsa:From>'), ANSWERED),
    Case("DSP0226 13.1", "an URI of over 2048 bytes is refused",
         edited(get(), (f">{soap.ANONYMOUS}</wsa:To>", f">http://{'a' * 2048}/</wsa:To>")),
         Fault(INVALID, has=("s:Detail/wsa:To",))),
    Case("DSP0226 annex A", "headers of another version of WS-Addressing are none",
         edited(get(), (f'xmlns:wsa="{soap.WSA}"', 'xmlns:wsa="http://www.w3.org/2005/08/addressing"'),
                (' s:mustUnderstand="true"', "")), Fault(REQUIRED, has=("s:Detail/wsa:To",))),
]

SERVICE_KEYS = (("SystemCreationClassName", "CIM_ComputerSystem"), ("SystemName", "localhost"),
                ("CreationClassName", "AMT_RemoteEncryptionService"), ("Name", "Remote Encryption Service"))

RESOURCES = [
    Case("DSP0226 5.1.2.1", "wsman:ResourceURI is required", get(None), UNREACHABLE),
    Case("DSP0226 5.1.2.1", "an unknown ResourceURI", get(soap.CIM + "CIM_NoSuchClass"), UNREACHABLE),
    Case("DSP0226 5.1.2.1", "an empty ResourceURI",
         edited(get(), (f">{soap.SERVICE}</wsman:ResourceURI>", "></wsman:ResourceURI>")), UNREACHABLE),
    Case("DSP0226 13.7", "a ResourceURI is compared with its case", get(soap.SERVICE.lower()), UNREACHABLE),
    Case("DSP0227 R6-1", "\"all classes\" cannot be had by Get", get(ALL_CLASSES),
         Fault("wsa:ActionNotSupported", "ActionMismatch", has=("s:Detail/wsa:Action",))),
    Case("DSP0227 6", "a base class cannot be had by Get", get(soap.CIM + "CIM_Job", selectors={"InstanceID": "{job}"}),
         Fault("wsa:ActionNotSupported", "ActionMismatch")),
    Case("DSP0226 5.1.2.2", "a singleton needs no selectors", get(), ANSWERED),
    Case("DSP0226 5.1.2.2", "a singleton is found by its keys", selected(*SERVICE_KEYS, resource=soap.SERVICE), ANSWERED),
    Case("DSP0226 5.1.2.2", "some of the keys are not enough", selected(*SERVICE_KEYS[:2], resource=soap.SERVICE),
         selectors("InsufficientSelectors")),
    Case("DSP0226 5.1.2.2", "keys that name no instance",
         selected(*SERVICE_KEYS[:3], ("Name", "Another"), resource=soap.SERVICE), UNREACHABLE),
    Case("DSP0226 5.1.2.2", "no selectors where the class has many instances", get(soap.JOB),
         selectors("InsufficientSelectors")),
    Case("DSP0226 5.1.2.2", "a selector that is no key",
         get(soap.JOB, selectors={"InstanceID": "{job}", "Other": "x"}), selectors("UnexpectedSelectors")),
    Case("DSP0226 R5.1.2.2-4", "the same selector twice", selected(("InstanceID", "{job}"), ("InstanceID", "{job}")),
         selectors("DuplicateSelectors")),
    Case("DSP0226 R5.1.2.2-4", "the same selector twice, in another case",
         selected(("InstanceID", "{job}"), ("instanceid", "{job}")), selectors("DuplicateSelectors")),
    Case("DSP0226 R5.1.2.2-1", "selector names are compared without their case", selected(("INSTANCEID", "{job}")),
         Result(texts={"job:InstanceID": "{job}"})),
    Case("DSP0227 5.3", "the selector __cimnamespace is accepted",
         selected(("InstanceID", "{job}"), ("__cimnamespace", "root/cimv2")), Result(texts={"job:InstanceID": "{job}"})),
    Case("DSP0226 5.1.2.2", "a reference where the key is a text",
         selected(("InstanceID", endpoint(soap.JOB, InstanceID="{job}"))), selectors("TypeMismatch")),
    Case("DSP0226 5.1.2.2", "a text where the key is a reference",
         selected(("OwnedElement", "{job}"), ("OwningElement", "x"), resource=OWNING), selectors("TypeMismatch")),
    Case("DSP0226 5.1.2.2", "an instance that does not exist", get_job("amtunlock:" + "a" * 26), UNREACHABLE),
    Case("DSP0226 5.1.2.2", "a key that no instance can have", get_job("nobody:7"), UNREACHABLE),
    Case("interface: another caller's job", "is answered like a job that never was", get_job("{foreign}"), UNREACHABLE),
    Case("DSP0227 5.3", "an association is found by the references to its ends",
         selected(("OwningElement", endpoint(soap.SERVICE)), ("OwnedElement", endpoint(soap.JOB, InstanceID="{job}")),
                  resource=OWNING), Result(has=("owning:CIM_OwningJobElement",))),
    Case("DSP0227 5.3", "an association whose end does not exist",
         selected(("AffectedElement", endpoint(soap.SERVICE)),
                  ("AffectingElement", endpoint(soap.JOB, InstanceID="amtunlock:" + "a" * 26)), resource=AFFECTED),
         UNREACHABLE),
    Case("interface: another caller's job", "has no association either",
         selected(("OwningElement", endpoint(soap.SERVICE)), ("OwnedElement", endpoint(soap.JOB, InstanceID="{foreign}")),
                  resource=OWNING), UNREACHABLE),
]

# What clients really send, seen by tests/interop
HABITS = [
    Case("DSP0226 5.1.2.2", "an empty SelectorSet is none (wsl)",
         get(more="<wsman:SelectorSet>\n    </wsman:SelectorSet>"), ANSWERED),
    Case("SOAP 1.2 part 1 5.2.3", "mustUnderstand of no namespace on a known header means nothing (pywinrm, Go)",
         edited(get(), ("s:mustUnderstand=", "mustUnderstand="),
                ("<wsa:ReplyTo><wsa:Address>", '<wsa:ReplyTo><wsa:Address mustUnderstand="true">')), ANSWERED),
    Case("SOAP 1.2 part 1 5.2.3", "mustUnderstand of no namespace on an unknown header means nothing", header('mustUnderstand="true"'),
         ANSWERED),
    Case("SOAP 1.2 part 1 5", "the envelope's namespace as the default one (wsman-messages)",
         edited(get(), ("<s:", "<"), ("</s:", "</"), ("<Envelope ", f'<Envelope xmlns="{soap.S}" ')), ANSWERED),
]

CASES = HEADERS + RESOURCES + HABITS
