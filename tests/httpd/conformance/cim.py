# SPDX-License-Identifier: Apache-2.0
"""CIM over WS-Management: classes above ours (DSP0227), and how instances are written (DSP0230)."""

import re

from amtu_stack import soap
from rules import (AFFECTED, ALL_CLASSES, OWNING, Case, Fault, Result, everything, get, get_job, job_method, mode,
                   polymorphism)

NOT_SUPPORTED = Fault("wsmb:PolymorphismModeNotSupported")
ITEMS = "wsen:EnumerateResponse/wsman:Items"


def base(name, inside=""):
    return everything(soap.CIM + name, inside)



SERVICE, JOB = f"{ITEMS}/p:AMT_RemoteEncryptionService", f"{ITEMS}/job:CIM_ConcreteJob"
EXCLUDE, INCLUDE, NONE = (polymorphism(name) for name in (
    "ExcludeSubClassProperties", "IncludeSubClassProperties", "None"))
BINARY = re.compile("true|false")


def seen_as(name, *properties):
    """Instances in the element and the namespace of the base class, with its properties and no other."""
    uri = "{%s%s}" % (soap.CIM, name)
    return Result(has=tuple(f"{ITEMS}/{uri}{name}/{uri}{one}" for one in properties),
                  lacks=(SERVICE, JOB, f"{ITEMS}/{uri}{name}/{uri}JobState", f"{ITEMS}/{uri}{name}/{uri}MaxSystemsPerRequest"))


CLASSES = [
    *(Case("DSP0227 8.1", f"an enumeration of {name} holds the service", base(name), Result(has=(SERVICE,), lacks=(JOB,)))
      for name in ("CIM_Service", "CIM_EnabledLogicalElement")),
    Case("DSP0227 8.1", "an enumeration of CIM_Job holds the jobs", base("CIM_Job"), Result(has=(JOB,), lacks=(SERVICE,))),
    *(Case("DSP0227 8.1", f"an enumeration of {name} holds both", base(name), Result(has=(SERVICE, JOB)))
      for name in ("CIM_LogicalElement", "CIM_ManagedSystemElement", "CIM_ManagedElement")),
    Case("DSP0227 5.2", "an enumeration of all classes holds associations too", everything(ALL_CLASSES),
         Result(has=(SERVICE, JOB, f"{ITEMS}/owning:CIM_OwningJobElement", f"{ITEMS}/affected:CIM_AffectedJobElement"))),
    Case("DSP0227 R8.1-4", "IncludeSubClassProperties is what happens anyway", base("CIM_Job", INCLUDE), Result(has=(JOB,))),
    Case("DSP0227 8.1", "ExcludeSubClassProperties: jobs as CIM_Job", base("CIM_Job", EXCLUDE),
         seen_as("CIM_Job", "PercentComplete", "Owner", "InstanceID")),
    Case("DSP0227 8.1", "ExcludeSubClassProperties: the service as CIM_Service", base("CIM_Service", EXCLUDE),
         seen_as("CIM_Service", "Started", "Name", "ElementName")),
    Case("DSP0227 8.1", "ExcludeSubClassProperties: all as CIM_ManagedElement", base("CIM_ManagedElement", EXCLUDE),
         seen_as("CIM_ManagedElement", "ElementName", "InstanceID")),
    Case("DSP0227 8.1", "ExcludeSubClassProperties: a reference keeps the instance's own class",
         base("CIM_Job", EXCLUDE + mode("EnumerateObjectAndEPR")),
         Result(has=(f"{ITEMS}/wsman:Item/{{{soap.CIM}CIM_Job}}CIM_Job",),
                texts={f"{ITEMS}/wsman:Item/wsa:EndpointReference//wsman:ResourceURI": re.compile(re.escape(soap.JOB))})),
    Case("DSP0227 8.1", "ExcludeSubClassProperties of the class itself leaves nothing out", everything(soap.JOB, EXCLUDE),
         Result(has=(f"{JOB}/job:JobState",))),
    Case("DSP0227 8.1", "None: a base class has no instances of its own", base("CIM_Job", NONE),
         Result(has=("wsman:EndOfSequence",), lacks=(f"{ITEMS}/*",))),
    Case("DSP0227 8.1", "None: the class itself has all of its own", everything(soap.SERVICE, NONE),
         Result(has=(SERVICE,))),
    Case("DSP0227 8.1", "an unknown PolymorphismMode", base("CIM_Job", polymorphism("Sideways")), NOT_SUPPORTED),
    *(Case("DSP0227 R8.1-6", f"all classes have no {name}", everything(ALL_CLASSES, polymorphism(name)), NOT_SUPPORTED)
      for name in ("ExcludeSubClassProperties", "None")),
    Case("interface: resources", "CIM_OwningJobElement leads from the service to each job", everything(OWNING),
         Result(texts={"owning:OwnedElement/wsa:ReferenceParameters/wsman:ResourceURI": re.compile(re.escape(soap.JOB)),
                       "owning:OwningElement/wsa:ReferenceParameters/wsman:ResourceURI": re.compile(re.escape(soap.SERVICE))})),
    Case("interface: resources", "CIM_AffectedJobElement leads from each job to the service", everything(AFFECTED),
         Result(texts={"affected:AffectingElement/wsa:ReferenceParameters/wsman:ResourceURI": re.compile(re.escape(soap.JOB)),
                       "affected:AffectedElement/wsa:ReferenceParameters/wsman:ResourceURI": re.compile(re.escape(soap.SERVICE)),
                       "affected:ElementEffects": re.compile("1")})),
    Case("DSP0227 5.3", "the reference to an association holds references", everything(OWNING, mode("EnumerateEPR")),
         Result(has=("wsman:Selector[@Name='OwnedElement']/wsa:EndpointReference/wsa:ReferenceParameters/wsman:SelectorSet",
                     "wsman:Selector[@Name='OwningElement']/wsa:EndpointReference/wsa:Address"))),
]

VALUES = [
    Case("DSP0230 7", "an instance is an element of its class in the class's namespace", get(),
         Result(has=("s:Body/p:AMT_RemoteEncryptionService/p:MaxSystemsPerRequest",))),
    Case("DSP0230 7", "a boolean is true or false", get(), Result(texts={"p:Started": BINARY})),
    Case("DSP0230 7", "an enumeration is written as its number", get(), Result(texts={"p:EnabledState": "2"})),
    Case("DSP0230 7", "an array is a repeated element", get_job(), Result(texts={"job:OperationalStatus": ["17", "6"]})),
    Case("DSP0230 7", "NULL is xsi:nil", get_job("{pending}"),
         Result(has=("job:ErrorCode[@xsi:nil='true']", "job:ErrorDescription[@xsi:nil='true']"))),
    Case("DSP0230 7", "a date is a cim:Datetime", get_job(),
         Result(texts={"job:TimeSubmitted/cim:Datetime": re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")})),
    Case("DSP0230 7", "an interval with a CIM form of its own is a cim:CIM_DateTime", get_job(),
         Result(texts={"job:TimeBeforeRemoval/cim:CIM_DateTime": "00000000003000.000000:000"})),
    Case("DSP0230 7", "a reference is the content of an endpoint reference, not wrapped", soap.unlock(["{unknown}"]),
         Result(has=("p:Job/wsa:Address", "p:Job/wsa:ReferenceParameters/wsman:SelectorSet/wsman:Selector"),
                lacks=("p:Job/wsa:EndpointReference",))),
    Case("DSP0230 8", "a method's output is METHOD_OUTPUT in the class's namespace", job_method("GetErrors"),
         Result(has=("s:Body/job:GetErrors_OUTPUT/job:ReturnValue",))),
    Case("DSP0230 8", "the action of a method's answer", job_method("GetErrors"),
         Result(action=soap.JOB + "/GetErrorsResponse")),
    Case("DSP0230 7", "an embedded instance's properties are in its own namespace", job_method("GetErrors"),
         Result(has=("job:Errors/error:Message", "job:Errors/error:MessageID"))),
]

CASES = CLASSES + VALUES
