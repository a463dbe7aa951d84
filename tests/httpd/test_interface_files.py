# SPDX-License-Identifier: Apache-2.0
"""The MOF and the WSDL are served, say the same, and are true to what the service answers."""

import re

import pytest
from amtu_stack import soap
from interface_files import MOF, WSDL, Value, read_mof, read_wsdl, uri

PLACE = "/wsman-schema/"
CLASSES = read_mof(MOF.read_text(encoding="utf-8"))
WSDL_CLASSES, OPERATIONS = read_wsdl(WSDL.read_text(encoding="utf-8"))
CONCRETE = [name for name, one in CLASSES.items() if not one.abstract]
METHODS = [(name, method) for name in CONCRETE for method in CLASSES[name].methods]
DIGITS, TRUTH = r"\d+", "true|false"
TEXTS = {"string": ".*", "uint16": DIGITS, "uint32": DIGITS, "boolean": TRUTH}
CIM_TIMES = {"Datetime": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "Interval": r"P(\d+D)?(T(\d+H)?(\d+M)?(\d+S)?)?",
             "CIM_DateTime": r"\d{14}\.\d{6}:000"}
# What an instance or an answer may do without.
OPTIONAL = {"ProbableCauseDescription", "unlockedSystems", "failedSystems"}


# ---- served ---------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("file, kind", [(MOF, "text/plain"), (WSDL, "text/xml")], ids=["MOF", "WSDL"])
def test_served_as_it_is(stack, file, kind):
    answer = stack.console().send(b"", path=PLACE + file.name, method="GET")
    assert (answer.status, answer.body) == (200, file.read_bytes())
    assert answer.headers["content-type"].startswith(kind)
    assert stack.console().send(b"", path=PLACE + file.name, method="HEAD").status == 200


@pytest.mark.parametrize("name, method, status", [
    ("", "GET", 404), ("AMT_RemoteEncryptionService", "GET", 404), ("..%2f..%2fetc%2fpasswd", "GET", 404),
    (MOF.name, "POST", 405), (WSDL.name, "DELETE", 405)])
def test_nothing_else_is_served(stack, name, method, status):
    assert stack.console().send(b"", path=PLACE + name, method=method).status == status


# ---- the same -------------------------------------------------------------------------------------------------

def shape(values):
    """Names, types and directions; whether something is required matters for what is sent."""
    return {name: (one.type, one.array, one.direction, one.direction == "In" and one.required)
            for name, one in values.items()}


def differences(mof, wsdl):
    for name in sorted(set(concrete(mof)) | wsdl.keys()):
        if name not in mof or name not in wsdl:
            yield f"{name} is in one of them"
            continue
        if shape(mof[name].properties) != shape(wsdl[name].properties):
            yield f"properties of {name}"
        if {method: shape(one) for method, one in mof[name].methods.items()} != \
                {method: shape(one) for method, one in wsdl[name].methods.items()}:
            yield f"methods of {name}"


def concrete(classes):
    return [name for name, one in classes.items() if not one.abstract]


def test_mof_and_wsdl_say_the_same():
    assert list(differences(CLASSES, WSDL_CLASSES)) == []
    assert len(CONCRETE) == 5 and len(METHODS) == 4


@pytest.mark.parametrize("old, new", [("uint32 MaxSystems", "uint16 MaxSystems"), ("string systems[]", "string systems"),
                                      ("MaxSystemsPerRequest;", "MostSystems;"), ("uint32 GetErrors", "uint32 GetError"),
                                      ("[In, Description(\"How many", "[Out, Description(\"How many"),
                                      ("class CIM_Error ", "class CIM_Fault ")])
def test_a_difference_is_found(old, new):
    text = MOF.read_text(encoding="utf-8")
    assert old in text
    assert list(differences(read_mof(text.replace(old, new)), WSDL_CLASSES))


def test_the_dispatch_table_has_these_methods_and_no_other():
    source = (MOF.parent / "classes.c").read_text(encoding="utf-8")
    prefix = {"SERVICE": "AMT_RemoteEncryptionService", "JOB": "CIM_ConcreteJob"}
    served = {(prefix[name], method) for name, method in re.findall(r'(\w+)_URI "/(\w+)"', source)}
    assert served == set(METHODS)
    assert set(OPERATIONS) == {f"{uri(name)}/{method}" for name, method in METHODS}
    for action, (sent, answered) in OPERATIONS.items():
        method = action.rpartition("/")[2]
        assert (sent.partition(":")[2], answered.partition(":")[2]) == (method + "_INPUT", method + "_OUTPUT")


# ---- true -----------------------------------------------------------------------------------------------------

def local(element):
    return element.tag.rpartition("}")[2]


def check_value(element, declared):
    """What an element holds is of its declared type."""
    if element.get(f"{{{soap.XSI}}}nil") == "true":
        assert not len(element) and not element.text
    elif declared.type == "datetime":
        (inside,) = element
        assert re.fullmatch(CIM_TIMES[local(inside)], inside.text)
    elif declared.type == "REF":
        assert [local(one) for one in element] == ["Address", "ReferenceParameters"]
    elif declared.type == "EmbeddedInstance":
        check(list(element), CLASSES["CIM_Error"].properties, uri("CIM_Error"))
    else:
        assert re.fullmatch(TEXTS[declared.type], element.text or "", re.S), f"{local(element)}: {element.text}"


def check(elements, declared, namespace):
    """These elements are the declared ones: all of them, no other, each of its type, repeated only where arrays."""
    names = [local(one) for one in elements]
    assert declared.keys() - OPTIONAL <= set(names) <= declared.keys()
    assert [name for name in names if names.count(name) > 1 and not declared[name].array] == []
    for one in elements:
        assert one.tag == f"{{{namespace}}}{local(one)}"
        check_value(one, declared[local(one)])


def instances(console, resource, mode=""):
    inside = ('<wsen:Enumerate xmlns:wsmb="http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd"><wsman:OptimizeEnumeration/>'
              f"<wsman:MaxElements>10000</wsman:MaxElements>{mode}</wsen:Enumerate>")
    answer = console.send(soap.request(resource, soap.ENUMERATE, inside,
                                       more="<wsman:MaxEnvelopeSize>10000000</wsman:MaxEnvelopeSize>"))
    assert answer.status == 200, answer
    return list(answer.find("wsman:Items"))


@pytest.fixture
def job(console):
    """Has ended."""
    return console.unlock(["unknown.example"])


def test_a_new_job_is_as_declared(console, names):
    """Times that have not come and errors that have not happened are nil."""
    answer = console.send(soap.get_job(console.unlock(names[:1])))
    check(list(answer.find("job:CIM_ConcreteJob")), CLASSES["CIM_ConcreteJob"].properties, soap.JOB)


@pytest.mark.parametrize("name", [name for name in CONCRETE if name != "CIM_Error"])
def test_instances_are_as_declared(console, job, name):
    found = instances(console, uri(name))
    assert found
    for one in found:
        assert one.tag == f"{{{uri(name)}}}{name}"
        check(list(one), CLASSES[name].properties, uri(name))


def above(name):
    while CLASSES[name].parent:
        name = CLASSES[name].parent
        yield name


@pytest.mark.parametrize("base", sorted({base for name in CONCRETE for base in above(name)}))
def test_base_classes_are_as_declared(console, job, base):
    """Every class above can be enumerated, and its properties are those that the classes below inherit."""
    found = instances(console, uri(base), "<wsmb:PolymorphismMode>ExcludeSubClassProperties</wsmb:PolymorphismMode>")
    assert found
    for one in found:
        assert one.tag == f"{{{uri(base)}}}{base}"
        check(list(one), CLASSES[base].properties, uri(base))


INPUTS = {"systems": "<p:systems>unknown.example</p:systems>", "RequestedState": "<p:RequestedState>4</p:RequestedState>",
          "InstanceID": "<p:InstanceID>{job}</p:InstanceID>", "First": "<p:First>0</p:First>", "Count": "<p:Count>1</p:Count>",
          "TimeoutPeriod": '<p:TimeoutPeriod xmlns:xsi="%s" xsi:nil="true"/>' % soap.XSI,
          "Job": f"<p:Job><wsa:Address>{soap.ANONYMOUS}</wsa:Address><wsa:ReferenceParameters><wsman:ResourceURI>{soap.JOB}"
                 '</wsman:ResourceURI><wsman:SelectorSet><wsman:Selector Name="InstanceID">{job}</wsman:Selector>'
                 "</wsman:SelectorSet></wsa:ReferenceParameters></p:Job>"}


@pytest.mark.parametrize("name, method", METHODS)
def test_methods_are_as_declared(console, job, name, method):
    """Called with every parameter that is declared, and with the required ones alone."""
    declared = CLASSES[name].methods[method]
    outputs = {parameter: one for parameter, one in declared.items() if one.direction == "Out"}
    chosen = {"InstanceID": job} if name == "CIM_ConcreteJob" else None
    inputs = [parameter for parameter, one in declared.items() if one.direction == "In"]
    for given in (inputs, [parameter for parameter in inputs if declared[parameter].required]):
        body = "".join(INPUTS[parameter] for parameter in given).replace("{job}", job)
        answer = console.send(soap.method(method, body, resource=uri(name), selectors=chosen))
        assert answer.status == 200, answer
        (output,) = answer.find("s:Body")
        assert output.tag == f"{{{uri(name)}}}{method}_OUTPUT"
        check(list(output), outputs, uri(name))


@pytest.mark.parametrize("parameter", ["systems", "RequestedState"])
def test_required_parameters_are_required(console, job, parameter):
    (name, method), = [(name, method) for name, method in METHODS if parameter in CLASSES[name].methods[method]]
    assert CLASSES[name].methods[method][parameter].required
    chosen = {"InstanceID": job} if name == "CIM_ConcreteJob" else None
    assert console.send(soap.method(method, resource=uri(name), selectors=chosen)).fault == \
        ("wsman:InvalidParameter", "MissingValues")


def test_a_wrong_declaration_is_found(console):
    instance = list(instances(console, soap.SERVICE)[0])
    declared = CLASSES["AMT_RemoteEncryptionService"].properties
    for wrong in ({**declared, "Other": Value("string")}, {name: declared[name] for name in list(declared)[1:]},
                  {**declared, "Name": Value("uint32")}, {**declared, "Started": Value("datetime")}):
        with pytest.raises((AssertionError, ValueError)):
            check(instance, wrong, soap.SERVICE)
