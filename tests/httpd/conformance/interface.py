# SPDX-License-Identifier: Apache-2.0
"""The Manageability Interface itself: what its methods take, refuse and answer."""

import re

from amtu_stack import soap
from rules import (Case, Fault, Http, Result, UNREACHABLE, element, get, get_job, job_method, parameter, reference)

JOB_ID = re.compile("amtunlock:[a-z2-7]{26}")
SELECTOR = "p:Job/wsa:ReferenceParameters/wsman:SelectorSet/wsman:Selector[@Name='InstanceID']"
STARTED = Result(texts={SELECTOR: JOB_ID, "p:ReturnValue": "4096"})
UNKNOWN = "{unknown}"


def returned(value):
    return Result(texts={"job:ReturnValue": str(value)})


def unlock(inside, **more):
    return soap.method("UnlockSystems", inside, **more)


def state(inside, job="{job}"):
    return job_method("RequestStateChange", inside, job)


def unlocked(inside):
    return soap.method("GetUnlockedSystems", inside)


UNLOCK = [
    Case("interface: UnlockSystems", "a request starts a job", soap.unlock([UNKNOWN]), STARTED),
    Case("interface: UnlockSystems", "any one name of the parameter will do", soap.unlock([UNKNOWN], element="hostNames"),
         STARTED),
    Case("interface: UnlockSystems", "two names of the parameter",
         unlock(element("systems", UNKNOWN) + element("hosts", UNKNOWN)), parameter("InvalidName")),
    Case("interface: UnlockSystems", "a parameter outside the class's namespace",
         unlock(f'<q:systems xmlns:q="urn:q">{UNKNOWN}</q:systems>'), parameter("InvalidName")),
    Case("interface: UnlockSystems", "an input of another method",
         soap.request(soap.SERVICE, soap.SERVICE + "/UnlockSystems", f'<p:LockSystems_INPUT xmlns:p="{soap.SERVICE}"/>'),
         parameter("InvalidName")),
    Case("interface: UnlockSystems", "an input in no namespace",
         soap.request(soap.SERVICE, soap.SERVICE + "/UnlockSystems", "<UnlockSystems_INPUT><systems>a</systems>"
                                                                     "</UnlockSystems_INPUT>"), parameter("InvalidName")),
    Case("interface: small things", "an empty body", soap.request(soap.SERVICE, soap.SERVICE + "/UnlockSystems"),
         parameter("MissingValues")),
    Case("interface: small things", "an empty input", unlock(""), parameter("MissingValues")),
    Case("interface: UnlockSystems", "an empty name", soap.unlock([UNKNOWN, ""]), parameter("InvalidValue", "name 2")),
    Case("interface: UnlockSystems", "a name over 253 characters", soap.unlock(["a." * 126 + "aa"]),
         parameter("InvalidValue", "253")),
    Case("interface: UnlockSystems", "a name of 253 characters", soap.unlock(["a." * 126 + "a"]), STARTED),
    *(Case("interface: small things", f"\"{name}\" is no name", soap.unlock([name]), parameter("InvalidValue"))
      for name in ("a b", "a..b", ".", "a/b", "a" * 64, "pc-1.example:16993", "*", "[::1", "ä.example")),
    *(Case("interface: small things", f"\"{name}\" is a name", soap.unlock([name]), STARTED)
      for name in ("under_score.example", "x-1.example.", "192.0.2.77", "2001:db8::1", " blank.example ")),
    Case("interface: UnlockSystems", "PowerShell's System.String[] is explained", soap.unlock(["System.String[]"]),
         parameter("InvalidValue", "-FilePath")),
    Case("interface: UnlockSystems", "an element in a name", unlock(element("systems", "<a>x</a>")),
         parameter("InvalidValue")),
    Case("interface: UnlockSystems", "more names than MaxSystemsPerRequest", soap.unlock(["a.x", "a.x", "b.x", "c.x"]),
         parameter("InvalidValue", "MaxSystemsPerRequest is 3"), path="/few"),
    Case("interface: UnlockSystems", "as many names as MaxSystemsPerRequest", soap.unlock(["a.x", "b.x", "c.x"]),
         Result(texts={SELECTOR: JOB_ID}), path="/few"),
    Case("interface: UnlockSystems", "AMTUnlockJobStarted 0", soap.unlock([UNKNOWN]), Result(texts={"p:ReturnValue": "0"}),
         path="/few"),
    Case("interface: UnlockSystems", "the same request again is the same job",
         soap.unlock(["{unknown}"], message="uuid:{uuid}"), Result(texts={SELECTOR: "{first_job}"}),
         first=(soap.unlock(["{unknown}"], message="uuid:{uuid}"),)),
    Case("interface: small things", "order, case and repeats make no other request",
         soap.unlock(["b.EXAMPLE", "{unknown}", "B.example."], message="uuid:{uuid}"),
         Result(texts={SELECTOR: "{first_job}"}), first=(soap.unlock(["{unknown}", "b.example"], message="uuid:{uuid}"),)),
    Case("interface: UnlockSystems", "the same MessageID with other systems is another job",
         soap.unlock(["other.example"], message="uuid:{uuid}"), Result(unlike={SELECTOR: "{first_job}"}),
         first=(soap.unlock(["{unknown}"], message="uuid:{uuid}"),)),
    Case("interface: UnlockSystems", "a MessageID that is no UUID repeats nothing", soap.unlock(["{unknown}"], message="7"),
         Result(unlike={SELECTOR: "{first_job}"}), first=(soap.unlock(["{unknown}"], message="7"),)),
]

NAMES = ("one.example", "two.example", "three.example")
LATEST = soap.unlock(NAMES, message="uuid:{uuid}")

RESULTS = [
    Case("interface: GetUnlockedSystems", "by InstanceID", soap.unlocked("{job}"),
         Result(texts={"p:failedSystems": "{job_name}", "p:ReturnValue": "0"}, lacks=("p:unlockedSystems",))),
    Case("interface: GetUnlockedSystems", "by reference",
         unlocked(f"<p:Job>{reference(soap.JOB, InstanceID='{job}')}</p:Job>"),
         Result(texts={"p:failedSystems": "{job_name}"})),
    Case("interface: GetUnlockedSystems", "by a wrapped reference",
         unlocked(f"<p:Job><wsa:EndpointReference>{reference(soap.JOB, InstanceID='{job}')}</wsa:EndpointReference></p:Job>"),
         Result(texts={"p:failedSystems": "{job_name}"})),
    Case("interface: GetUnlockedSystems", "without input: the caller's latest job", soap.unlocked(),
         Result(texts={"p:failedSystems": list(NAMES)}), first=(LATEST,)),
    Case("DSP0230 8", "a method without input may come with an empty body",
         soap.request(soap.SERVICE, soap.SERVICE + "/GetUnlockedSystems"), Result(texts={"p:failedSystems": list(NAMES)}),
         first=(LATEST,)),
    Case("interface: GetUnlockedSystems", "names come back as they were spelt", soap.unlocked(),
         Result(texts={"p:failedSystems": ["One.EXAMPLE", "one.example."]}),
         first=(soap.unlock(["One.EXAMPLE", "one.example."], message="uuid:{uuid}"),)),
    Case("interface: small things", "First and Count choose a window",
         unlocked(element("First", 1) + element("Count", 1)), Result(texts={"p:failedSystems": "two.example"}),
         first=(LATEST,)),
    Case("interface: small things", "a window behind the end is empty", unlocked(element("First", 3)),
         Result(lacks=("p:failedSystems",), texts={"p:ReturnValue": "0"}), first=(LATEST,)),
    *(Case("interface: small things", f"First {text} is none", unlocked(element("First", text)), parameter("InvalidValue"))
      for text in ("-1", "x", "99999999999999999999")),
    Case("interface: GetUnlockedSystems", "an unknown parameter", unlocked(element("Jobs", "x")), parameter("InvalidName")),
    Case("interface: GetUnlockedSystems", "a parameter twice",
         unlocked(element("InstanceID", "{job}") + element("InstanceID", "{job}")), parameter("InvalidName")),
    Case("interface: GetUnlockedSystems", "a reference to something else",
         unlocked(f"<p:Job>{reference(soap.SERVICE, Name='x')}</p:Job>"), parameter("InvalidValue")),
    Case("interface: GetUnlockedSystems", "two different jobs",
         unlocked(f"<p:Job>{reference(soap.JOB, InstanceID='{job}')}</p:Job>" + element("InstanceID", "{fresh}")),
         parameter("InvalidValue")),
    Case("interface: another caller's job", "has no results for others", soap.unlocked("{foreign}"), UNREACHABLE),
    Case("interface: small things", "a malformed InstanceID is no job", soap.unlocked("amtunlock:short"), UNREACHABLE),
]

JOBS = [
    Case("interface: CIM_ConcreteJob", "a job with nothing to do is completed at once", get_job(),
         Result(texts={"job:JobState": "7", "job:PercentComplete": "100", "job:JobStatus": "0 of 1 unlocked, 1 failed",
                       "job:HealthState": "10", "job:DeleteOnCompletion": "true", "job:Owner": "console@AMTU.TEST"})),
    Case("interface: CIM_ConcreteJob", "a job that runs says so", get_job("{running}"),
         Result(texts={"job:OperationalStatus": "2", "job:HealthState": "5"})),
    Case("interface: RequestStateChange", "Terminate of an ended job", state(element("RequestedState", 4)), returned(4097)),
    Case("interface: RequestStateChange", "Terminate of a running job", state(element("RequestedState", 4), "{running}"),
         returned(0)),
    *(Case("interface: RequestStateChange", f"state {number} is not supported", state(element("RequestedState", number)),
           returned(1)) for number in (2, 3, 5, 6)),
    *(Case("interface: RequestStateChange", f"state {number} is outside the value map",
           state(element("RequestedState", number)), returned(5)) for number in (0, 7, 65535)),
    Case("interface: RequestStateChange", "a TimeoutPeriod is not supported",
         state(element("RequestedState", 4) + "<p:TimeoutPeriod><i:Interval xmlns:i="
               '"http://schemas.dmtf.org/wbem/wscim/1/common">PT5S</i:Interval></p:TimeoutPeriod>', "{running}"),
         returned(4098)),
    Case("interface: RequestStateChange", "no state", state(""), parameter("MissingValues")),
    *(Case("interface: RequestStateChange", f"{text} is no state", state(element("RequestedState", text)),
           parameter("InvalidValue")) for text in ("Terminate", "65536", "-4")),
    Case("interface: another caller's job", "cannot be terminated", state(element("RequestedState", 4), "{foreign}"),
         UNREACHABLE),
    Case("interface: GetErrors", "which system, why, and what to do", job_method("GetErrors"),
         Result(texts={"error:ErrorSource": "{job_name}", "error:MessageID": "not-available", "error:CIMStatusCode": "1",
                       "job:ReturnValue": "0"},
                has=("error:ErrorType", "error:Message", "error:PerceivedSeverity", "error:RecommendedActions"))),
    Case("interface: another caller's job", "has no errors for others", job_method("GetErrors", job="{foreign}"),
         UNREACHABLE),
    Case("interface: who may", "so many waiting jobs, and no more", soap.unlock(["{off}"]), Fault("wsman:QuotaLimit"),
         first=(soap.unlock(["{off}"], message="0"), soap.unlock(["{off}"], message="1")), path="/few"),
    Case("interface: who may", "an operator reads another's job", get_job("{foreign}"),
         Result(texts={"job:Owner": "console2@AMTU.TEST"}), path="/operator"),
    Case("interface: who may", "an operator does not change another's job",
         state(element("RequestedState", 4), "{foreign}"), Fault("wsman:AccessDenied", status=403), path="/operator"),
    Case("interface: who may", "no authentication, no answer", get(), Http(401, {"www-authenticate": "Negotiate"}),
         who="nobody"),
    Case("interface: small things", "First and Count choose a window of the errors",
         job_method("GetErrors", element("First", 0) + element("Count", 1)), Result(texts={"error:ErrorSource": "{job_name}"})),
    Case("interface: small things", "a window of errors behind the end is empty", job_method("GetErrors", element("First", 1)),
         Result(lacks=("job:Errors",), texts={"job:ReturnValue": "0"})),
    Case("interface: GetErrors", "First x is none", job_method("GetErrors", element("First", "x")), parameter("InvalidValue")),
    Case("interface: GetErrors", "an unknown parameter", job_method("GetErrors", element("Jobs", "x")),
         parameter("InvalidName")),
]

CASES = UNLOCK + RESULTS + JOBS
