# SPDX-License-Identifier: Apache-2.0
"""UnlockSystems and GetUnlockedSystems: each row of what may come in, and what is answered."""

import uuid

import pytest
from amtu_stack import soap
from conftest import assert_fault

MISSING = ("wsman:InvalidParameter", "MissingValues")
INVALID = ("wsman:InvalidParameter", "InvalidValue")


def job_count(redis):
    return len(redis.call("KEYS", "{amtu}:job:*"))


def errors(console, job):
    """{name: (code, message, action)} of GetErrors."""
    answer = console.send(soap.method("GetErrors", resource=soap.JOB, selectors={"InstanceID": job}))
    assert answer.status == 200, answer
    found = {}
    for error in answer.root.iterfind(f".//{{{soap.JOB}}}Errors"):
        said = {one.tag.rpartition("}")[2]: one.text for one in error}
        found[said["ErrorSource"]] = (said["MessageID"], said["Message"], said["RecommendedActions"])
    return found


# ---- the service ------------------------------------------------------------------------------------------


def test_get_the_service(console, stack):
    answer = console.send(soap.get(soap.SERVICE))
    assert answer.status == 200
    assert answer.text("p:MaxSystemsPerRequest") == str(stack.httpd.settings.max_systems)
    assert answer.text("p:EnabledState") == "2"
    assert answer.text("p:Started") == "true"
    for name in ("Name", "ElementName", "CreationClassName", "SystemName", "SystemCreationClassName"):
        assert answer.text(f"p:{name}"), name


def test_get_the_service_by_its_keys(console):
    names = ("Name", "CreationClassName", "SystemName", "SystemCreationClassName")
    first = console.send(soap.get(soap.SERVICE))
    keys = {name: first.text(f"p:{name}") for name in names}
    assert console.send(soap.get(soap.SERVICE, selectors=keys)).text("p:Name") == keys["Name"]
    wrong = console.send(soap.get(soap.SERVICE, selectors={**keys, "Name": "other"}))
    assert wrong.fault == ("wsa:DestinationUnreachable", "InvalidResourceURI")


# ---- names that are refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("body, expected", [
    ([], MISSING), ([""], INVALID), (["pc-1.example", ""], INVALID), (["x" * 254], INVALID),
    (["not a name"], INVALID), (["a..b"], INVALID), (["a$b.example"], INVALID), (["a_b\u00e9.example"], INVALID),
    (["256.1.1.1.1:80"], INVALID), (["System.String[]"], INVALID), (["System.Object[]"], INVALID),
], ids=["none", "empty", "one empty", "too long", "blanks", "two dots", "a sign", "not ASCII", "port", "String[]",
        "Object[]"])
def test_bad_names(console, redis, body, expected):
    before = job_count(redis)
    answer = console.send(soap.unlock(body))
    assert_fault(answer, *expected)
    assert job_count(redis) == before, "a refused request makes no job"


def test_powershells_array_is_explained(console):
    assert "array" in console.send(soap.unlock(["System.String[]"])).reason


def test_too_many_names(console, redis, stack):
    most = stack.httpd.settings.max_systems
    before = job_count(redis)
    answer = console.send(soap.unlock([f"pc-{number}.example" for number in range(most + 1)]))
    assert_fault(answer, *INVALID)
    assert str(most) in answer.reason
    assert job_count(redis) == before


def test_as_many_names_as_are_allowed(console, stack):
    names = [f"pc-{number}.example" for number in range(stack.httpd.settings.max_systems)]
    job = console.unlock(names)
    assert console.results(job) == ([], names)


def test_two_parameters(console):
    answer = console.send(soap.method("UnlockSystems", "<p:a>x.example</p:a><p:b>y.example</p:b>"))
    assert_fault(answer, "wsman:InvalidParameter", "InvalidName")


@pytest.mark.parametrize("element", ["systems", "Systems", "SystemNames", "x"])
def test_any_parameter_name(console, element):
    """Intel never published one."""
    assert console.results(console.unlock(["unknown.example"], element=element)) == ([], ["unknown.example"])


# ---- the main job -----------------------------------------------------------------------------------------


@pytest.mark.alone
def test_unlock(console, switched_off, stack):
    """The answer comes at once, the results are correct, and each PC is powered on once."""
    names = switched_off
    marks = len(stack.fleet.events())
    answer = console.send(soap.unlock(names))
    assert answer.status == 200
    assert answer.text("p:ReturnValue") == "4096"
    assert answer.text("p:Job/wsa:Address") == soap.ANONYMOUS
    assert answer.text("p:Job/wsa:ReferenceParameters/wsman:ResourceURI") == soap.JOB
    assert answer.job.startswith("amtunlock:")
    assert answer.seconds < 0.5
    done = console.wait(answer.job)
    assert (done["JobState"], done["PercentComplete"]) == ("7", "100")
    assert done["JobStatus"] == f"{len(names)} of {len(names)} unlocked"
    assert console.results(answer.job) == (names, [])
    powered = [event["system"] for event in stack.fleet.events()[marks:] if event["event"] == "power"]
    assert sorted(powered) == sorted(names), "one power request a PC"


def test_by_address(console, switched_off, stack):
    address = stack.fleet.systems()[0]["address"]
    job = console.unlock([address])
    console.wait(job)
    assert console.results(job) == ([address], [])


def test_the_same_system_by_several_spellings(console, switched_off, stack):
    row = stack.fleet.systems()[1]
    spellings = [row["fqdn"], row["fqdn"].upper(), row["fqdn"] + ".", row["address"]]
    marks = len(stack.fleet.events())
    job = console.unlock(spellings)
    console.wait(job)
    assert console.results(job) == (spellings, []), "every spelling is answered as it was written"
    assert [event["event"] for event in stack.fleet.events()[marks:]].count("power") == 1


def test_unknown_and_forbidden_look_alike(console2, stack):
    """A name outside the caller's scope gives the same error as one that does not exist."""
    inside, outside = [row["fqdn"] for row in stack.fleet.systems()[:2]]
    job = console2.unlock([inside, outside, "unknown.example"])
    unlocked, failed = console2.results(job)
    assert set(failed) >= {outside, "unknown.example"}, "known at once"
    console2.wait(job)
    assert console2.results(job) == ([inside], [outside, "unknown.example"])
    said = errors(console2, job)
    assert said[outside] == said["unknown.example"]
    assert said[outside][0] == "not-available"


def test_job_of_unknown_names_is_complete_at_once(console):
    job = console.unlock(["unknown.example"])
    properties = console.job(job)
    assert properties["JobState"] == "7"
    assert errors(console, job)["unknown.example"][0] == "not-available"


def test_second_job_joins_the_first(console, console2, switched_off, stack):
    name = switched_off[0]
    marks = len(stack.fleet.events())
    jobs = [console.unlock([name]), console2.unlock([name])]
    for caller, job in zip((console, console2), jobs):
        caller.wait(job)
        assert caller.results(job) == ([name], [])
    assert [event["event"] for event in stack.fleet.events()[marks:]].count("power") == 1


# ---- repeated requests ------------------------------------------------------------------------------------


def test_repeated_message_is_the_same_job(console):
    message = f"uuid:{uuid.uuid4()}"
    first = console.unlock(["a.example", "b.example"], message=message)
    assert console.unlock(["a.example", "b.example"], message=message) == first


@pytest.mark.logs("its MessageID is that of an earlier request for other systems")
def test_message_id_of_another_request(console):
    message = f"uuid:{uuid.uuid4()}"
    first = console.unlock(["a.example"], message=message)
    assert console.unlock(["b.example"], message=message) != first


def test_message_id_of_another_caller(console, console2):
    message = f"uuid:{uuid.uuid4()}"
    assert console.unlock(["a.example"], message=message) != console2.unlock(["a.example"], message=message)


@pytest.mark.logs("its MessageID is no UUID")
def test_message_id_that_is_no_uuid(console):
    """Intel's Go library counts 0, 1, 2: never a repeat."""
    assert console.unlock(["a.example"], message="0") != console.unlock(["a.example"], message="0")


# ---- GetUnlockedSystems -----------------------------------------------------------------------------------


def test_latest_job_without_input(console):
    console.unlock(["first.example"])
    console.unlock(["second.example"])
    assert console.send(soap.unlocked()).texts("p:failedSystems") == ["second.example"]


def test_job_by_reference(console):
    job = console.unlock(["a.example"])
    reference = (f"<p:Job><wsa:Address>{soap.ANONYMOUS}</wsa:Address><wsa:ReferenceParameters>"
                 f"<wsman:ResourceURI>{soap.JOB}</wsman:ResourceURI><wsman:SelectorSet>"
                 f'<wsman:Selector Name="InstanceID">{job}</wsman:Selector></wsman:SelectorSet>'
                 "</wsa:ReferenceParameters></p:Job>")
    answer = console.send(soap.method("GetUnlockedSystems", reference))
    assert answer.texts("p:failedSystems") == ["a.example"]
    assert answer.text("p:ReturnValue") == "0"


def test_results_by_page(console):
    names = [f"pc-{number}.example" for number in range(10)]
    job = console.unlock(names)
    page = console.send(soap.unlocked(job, "<p:First>4</p:First><p:Count>3</p:Count>"))
    assert page.texts("p:failedSystems") == names[4:7]


def test_errors_by_page(console):
    """Also where all of them would be more than fits an answer."""
    names = [f"pc-{number}.example" for number in range(90)]
    job = {"resource": soap.JOB, "selectors": {"InstanceID": console.unlock(names)}}
    assert_fault(console.send(soap.method("GetErrors", **job)), "wsman:EncodingLimit", "MaxEnvelopeSize")
    pages = [console.send(soap.method("GetErrors", f"<p:First>{first}</p:First><p:Count>30</p:Count>", **job))
             for first in (0, 30, 60, 90)]
    assert [page.texts(f"{{{soap.CIM}CIM_Error}}ErrorSource") for page in pages] == \
        [names[:30], names[30:60], names[60:], []]
    assert {page.text("job:ReturnValue") for page in pages} == {"0"}


def test_superfluous_input_of_errors(console):
    job = {"resource": soap.JOB, "selectors": {"InstanceID": console.unlock(["a.example"])}}
    for odd, detail in (("<p:Odd>1</p:Odd>", "InvalidName"), ("<p:First>x</p:First>", "InvalidValue")):
        assert_fault(console.send(soap.method("GetErrors", odd, **job)), "wsman:InvalidParameter", detail)


def test_superfluous_input(console):
    answer = console.send(soap.unlocked(None, "<p:Odd>1</p:Odd>"))
    assert_fault(answer, "wsman:InvalidParameter", "InvalidName")


# ---- a large request --------------------------------------------------------------------------------------


def test_twenty_thousand_names_in_one_request(console, switched_off, redis):
    """It comes to Redis in parts; what is accepted is there, whole, and once."""
    name = switched_off[0]
    asked = [f"nosuch-{number:05}.example" for number in range(19_999)]
    asked.insert(12_345, name.upper())
    body = soap.unlock(asked, message=f"uuid:{uuid.uuid4()}")
    first, again = console.send_all([body, body], path="/large", seconds=60)
    assert first.text("p:ReturnValue") == "4096" and first.job == again.job, (first, again)
    assert redis.call("KEYS", "{amtu}:job:*:staged") == []
    console.wait(first.job)
    results = console.send(soap.unlocked(first.job).replace(
        "<s:Header>", "<s:Header><wsman:MaxEnvelopeSize>4000000</wsman:MaxEnvelopeSize>"))
    assert results.texts("p:unlockedSystems") == [name.upper()]
    assert results.texts("p:failedSystems") == asked[:12_345] + asked[12_346:]
    delete = soap.request(soap.JOB, soap.DELETE, selectors={"InstanceID": first.job})
    assert console.send(delete).status == 200, "else its names count against the limits of other tests"
    more = console.send(soap.unlock([*asked, "one-more.example"]), path="/large", seconds=60)
    assert more.fault == INVALID
    print(f"answered in {first.seconds:.3f} s, and again in {again.seconds:.3f} s")
