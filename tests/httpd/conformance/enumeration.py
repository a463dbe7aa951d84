# SPDX-License-Identifier: Apache-2.0
"""WS-Enumeration as WS-Management wants it (DSP0226 clause 8)."""

import re

from amtu_stack import soap
from rules import (NO_CONTEXT, OPTIMIZED, SCHEMA, Case, Fault, Result, enumerate_, everything, mode, pull, release,
                   unsupported)

ESTIMATE = "<wsman:RequestTotalItemsCountEstimate/>"
CONTEXT = re.compile(r"\S+")
REFERENCE = "wsa:EndpointReference/wsa:ReferenceParameters/wsman:ResourceURI"
BAD_EXPIRES = Fault("wsen:InvalidExpirationTime")
WQL = "http://schemas.microsoft.com/wbem/wsman/1/WQL"


def most(count):
    return f"<wsen:MaxElements>{count}</wsen:MaxElements>"


def expires(text):
    return enumerate_(inside=f"<wsen:Expires>{text}</wsen:Expires>")


ENUMERATE = [
    Case("DSP0226 8.2.1", "Enumerate gives a context and nothing else", enumerate_(),
         Result(texts={"wsen:EnumerateResponse/wsen:EnumerationContext": CONTEXT},
                lacks=("wsman:Items", "wsman:EndOfSequence"))),
    Case("DSP0226 8.2.3", "optimized enumeration answers at once", enumerate_(soap.SERVICE, OPTIMIZED),
         Result(counts={"wsman:Items/p:AMT_RemoteEncryptionService": 1}, has=("wsman:EndOfSequence",),
                texts={"wsen:EnumerationContext": ""})),
    Case("DSP0226 8.2.3", "optimized enumeration without MaxElements gives one item", enumerate_(inside=OPTIMIZED),
         Result(counts={"wsman:Items/job:CIM_ConcreteJob": 1}, lacks=("wsman:EndOfSequence",))),
    Case("DSP0226 R8.2.3-5", "what did not fit is left to a context", enumerate_(inside=OPTIMIZED),
         Result(texts={"wsen:EnumerationContext": CONTEXT})),
    Case("DSP0226 8.2.3", "MaxElements of an optimized enumeration bounds its items",
         enumerate_(inside=OPTIMIZED + "<wsman:MaxElements>2</wsman:MaxElements>"),
         Result(counts={"wsman:Items/job:CIM_ConcreteJob": 2})),
    Case("DSP0226 8.7", "EnumerateEPR gives references", everything(inside=mode("EnumerateEPR")),
         Result(counts={"wsman:Items/wsa:EndpointReference": (3, 10000)}, lacks=("job:CIM_ConcreteJob",),
                texts={f"wsman:Items/{REFERENCE}": re.compile(re.escape(soap.JOB))})),
    Case("DSP0226 8.7", "EnumerateObjectAndEPR gives pairs", everything(inside=mode("EnumerateObjectAndEPR")),
         Result(counts={"wsman:Items/wsman:Item/job:CIM_ConcreteJob": (3, 10000),
                        "wsman:Items/wsman:Item/wsa:EndpointReference": (3, 10000)})),
    Case("DSP0226 8.7", "an unknown mode", enumerate_(inside=mode("EnumerateNames")), unsupported("EnumerationMode")),
    Case("DSP0226 8.2.1", "Expires is granted and repeated", expires("PT2M"), Result(texts={"wsen:Expires": "PT2M"})),
    Case("DSP0226 8.2.1", "Expires is cut to an hour", expires("P7D"), Result(texts={"wsen:Expires": "PT1H"})),
    *(Case("DSP0226 8.2.1", f"Expires {text} is no time to come", expires(text), BAD_EXPIRES)
      for text in ("PT0S", "-PT5S", "soon", "")),
    Case("DSP0226 8.2.1", "Expires as a date is not supported", expires("2036-01-01T00:00:00Z"),
         Fault("wsen:UnsupportedExpirationType")),
    Case("DSP0226 8.2.1", "EndTo: there is no channel to tell of an end",
         enumerate_(inside=f"<wsen:EndTo><wsa:Address>{soap.ANONYMOUS}</wsa:Address></wsen:EndTo>"),
         unsupported("AddressingMode")),
    Case("DSP0226 8.3", "a filter without a dialect", enumerate_(inside="<wsen:Filter>//a</wsen:Filter>"),
         Fault("wsen:FilteringNotSupported")),
    Case("DSP0226 8.3", "a filter of a known dialect",
         enumerate_(inside=f'<wsman:Filter Dialect="{WQL}">select * from CIM_Job</wsman:Filter>'),
         Fault("wsen:FilteringNotSupported")),
    Case("DSP0226 8.3", "a filter of an unknown dialect",
         enumerate_(inside='<wsman:Filter Dialect="urn:mine">x</wsman:Filter>'),
         Fault("wsen:FilterDialectRequestedUnavailable")),
    Case("DSP0226 8.3", "two filters", enumerate_(inside="<wsen:Filter>a</wsen:Filter><wsman:Filter>a</wsman:Filter>"),
         Fault("wsen:CannotProcessFilter")),
    Case("DSP0226 8.2.2", "an estimate where it is asked for", enumerate_(soap.SERVICE, OPTIMIZED, more=ESTIMATE),
         Result(texts={"s:Header/wsman:TotalItemsCountEstimate": "1"})),
    Case("DSP0226 8.2.2", "no estimate where it is not", enumerate_(soap.SERVICE, OPTIMIZED),
         Result(lacks=("wsman:TotalItemsCountEstimate",))),
    Case("DSP0226 8.2.3", "MaxElements 0",
         enumerate_(inside=OPTIMIZED + "<wsman:MaxElements>0</wsman:MaxElements>"), SCHEMA),
    Case("DSP0226 8.2.1", "a body that is no Enumerate", soap.request(soap.JOB, soap.ENUMERATE, "<wsen:Pull/>"), SCHEMA),
    Case("DSP0226 8.2.1", "an empty body", soap.request(soap.JOB, soap.ENUMERATE), SCHEMA),
    Case("interface: CIM_ConcreteJob", "an enumeration holds the caller's own jobs only",
         everything(), Result(texts={"job:Owner": re.compile("console2@AMTU.TEST")}),
         first=(soap.unlock(["mine.example"]),), who="console2"),
    Case("interface: who may", "a caller has so many contexts, and no more", enumerate_(), Fault("wsman:QuotaLimit"),
         first=(enumerate_(), enumerate_()), path="/few"),
]

PULL = [
    Case("DSP0226 8.4", "Pull without MaxElements gives one item", pull(),
         Result(counts={"wsen:PullResponse/wsen:Items/job:CIM_ConcreteJob": 1},
                texts={"wsen:EnumerationContext": "{context}"}, lacks=("wsen:EndOfSequence",))),
    Case("DSP0226 8.4", "MaxElements bounds the items", pull(inside=most(2)),
         Result(counts={"wsen:Items/job:CIM_ConcreteJob": 2})),
    Case("DSP0226 8.4", "the last Pull says that it is the last", pull("{service_context}", most(10), soap.SERVICE),
         Result(counts={"wsen:Items/p:AMT_RemoteEncryptionService": 1}, has=("wsen:EndOfSequence",),
                lacks=("wsen:EnumerationContext",))),
    Case("DSP0226 8.4", "a context ends with its last item", pull("{service_context}", resource=soap.SERVICE), NO_CONTEXT,
         first=(pull("{service_context}", resource=soap.SERVICE),)),
    Case("DSP0226 8.4", "MaxTime that is enough", pull(inside="<wsen:MaxTime>PT5S</wsen:MaxTime>"),
         Result(counts={"job:CIM_ConcreteJob": 1})),
    *(Case("DSP0226 8.4", f"MaxTime {text} is none", pull(inside=f"<wsen:MaxTime>{text}</wsen:MaxTime>"), SCHEMA)
      for text in ("soon", "-PT1S")),
    *(Case("DSP0226 8.4", f"MaxElements {text} is none", pull(inside=most(text)), SCHEMA) for text in ("0", "-1", "many")),
    Case("DSP0226 8.4", "a refused Pull costs no item", pull(), Result(counts={"job:CIM_ConcreteJob": 1}),
         first=(pull(inside=most(0)),), first_refused=True),
    Case("DSP0226 8.4", "MaxCharacters bounds the items",
         pull(inside=most(1000) + "<wsen:MaxCharacters>4096</wsen:MaxCharacters>"),
         Result(counts={"job:CIM_ConcreteJob": 1})),
    Case("DSP0226 8.4", "MaxCharacters 0", pull(inside="<wsen:MaxCharacters>0</wsen:MaxCharacters>"), SCHEMA),
    Case("DSP0226 8.4", "MaxEnvelopeSize bounds the items instead of being exceeded",
         pull(inside=most(1000), more="<wsman:MaxEnvelopeSize>8192</wsman:MaxEnvelopeSize>"),
         Result(counts={"job:CIM_ConcreteJob": (1, 3)}, lacks=("wsen:EndOfSequence",))),
    Case("DSP0226 8.2.2", "an estimate for Pull is not known", pull(more=ESTIMATE),
         Result(has=("s:Header/wsman:TotalItemsCountEstimate[@xsi:nil='true']",))),
    Case("DSP0226 8.7", "the mode of the Enumerate holds for its Pulls", pull("{reference_context}"),
         Result(counts={"wsen:Items/wsa:EndpointReference": 1}, lacks=("job:CIM_ConcreteJob",))),
    Case("DSP0226 8.4", "a context that never was", pull("uuid:none"), NO_CONTEXT),
    Case("DSP0226 8.4", "no context", pull(""), NO_CONTEXT),
    Case("DSP0226 8.1", "a context belongs to its resource", pull(resource=soap.SERVICE), NO_CONTEXT),
    Case("DSP0226 8.1", "... and to its base class", pull(resource=soap.CIM + "CIM_Job"), NO_CONTEXT),
    Case("DSP0226 R8.1-6", "a context belongs to its caller", pull("{foreign_context}"), NO_CONTEXT),
    Case("DSP0226 8.4", "a body that is no Pull", soap.request(soap.JOB, soap.PULL, "<wsen:Enumerate/>"), SCHEMA),
    Case("DSP0226 8.5", "Release has an empty answer", release(), Result(lacks=("s:Body/*",))),
    Case("DSP0226 8.5", "a released context is gone", pull(), NO_CONTEXT, first=(release(),)),
    Case("DSP0226 8.5", "a context is released once", release(), NO_CONTEXT, first=(release(),)),
    Case("DSP0226 R8.1-6", "another caller's context cannot be released", release("{foreign_context}"), NO_CONTEXT),
    Case("DSP0226 8.5", "a body that is no Release", soap.request(soap.JOB, soap.RELEASE, "<wsen:Pull/>"), SCHEMA),
]

CASES = ENUMERATE + PULL
