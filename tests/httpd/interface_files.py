# SPDX-License-Identifier: Apache-2.0
"""Reads the MOF and the WSDL of the interface into one shape, so that they can be compared with each other and with
what the service answers. Understands as much of both languages as those files use, and fails on the rest."""

import re
import xml.etree.ElementTree as tree
from dataclasses import dataclass, field

from amtu_stack import soap
from amtu_stack.places import REPOSITORY

FOLDER = REPOSITORY / "mod_amtunlock" / "manageability"
MOF, WSDL = FOLDER / "AMT_RemoteEncryptionService.mof", FOLDER / "AMT_RemoteEncryptionService.wsdl"

XSD = "{http://www.w3.org/2001/XMLSchema}"
WSDL_NS = "{http://schemas.xmlsoap.org/wsdl/}"
COMMON = "http://schemas.dmtf.org/wbem/wscim/1/common"
# CIM type to the type that DSP0230 gives it on the wire
WIRE = {"string": "cimString", "uint16": "cimUnsignedShort", "uint32": "cimUnsignedInt", "boolean": "cimBoolean",
        "datetime": "cimDateTime", "REF": "cimReference", "EmbeddedInstance": "embedded"}


@dataclass
class Value:
    """A property or a parameter: its CIM type ("REF" for references, "EmbeddedInstance"), and whether it is an array."""

    type: str
    array: bool = False
    direction: str = ""  # of a parameter: In, Out
    required: bool = False


@dataclass
class Class:
    name: str
    parent: str | None = None
    abstract: bool = False
    properties: dict = field(default_factory=dict)
    methods: dict = field(default_factory=dict)  # name: {parameter: Value}


def uri(name):
    return (soap.INTEL if name.startswith("AMT_") else soap.CIM) + name


# ---- MOF ------------------------------------------------------------------------------------------------------

TOKEN = re.compile(r'\s+|//[^\n]*|("(?:[^"\\]|\\.)*"|[A-Za-z_]\w*|\d+|[\[\]{}();:,])')


class Reader:
    def __init__(self, text):
        self.tokens, at = [], 0
        while at < len(text):
            found = TOKEN.match(text, at)
            assert found, f"not MOF: {text[at:at + 40]!r}"
            self.tokens += [found[1]] if found[1] else []
            at = found.end()
        self.at = 0

    def peek(self):
        return self.tokens[self.at] if self.at < len(self.tokens) else None

    def take(self, expected=None):
        token = self.tokens[self.at]
        assert expected in (None, token), f"{expected} expected, not {token}"
        self.at += 1
        return token

    def qualifiers(self):
        """The names of the qualifiers in brackets; their values are read over."""
        names, depth = set(), 0
        if self.peek() != "[":
            return names
        while True:
            token = self.take()
            depth += {"[": 1, "(": 1, "{": 1, "]": -1, ")": -1, "}": -1}.get(token, 0)
            if depth == 0:
                return names
            if depth == 1 and token[0].isalpha():
                names.add(token)

    def value(self, qualifiers):
        """TYPE [REF] NAME [[]] as (name, Value)."""
        kind = self.take()
        if self.peek() == "REF":
            kind = self.take()
        kind = "EmbeddedInstance" if "EmbeddedInstance" in qualifiers else kind
        assert kind in WIRE, kind
        name, array = self.take(), self.peek() == "["
        if array:
            self.take("["), self.take("]")
        return name, Value(kind, array, "Out" if "Out" in qualifiers else "In" if "In" in qualifiers else "",
                           "Required" in qualifiers)

    def parameters(self):
        found = {}
        self.take("(")
        while self.peek() != ")":
            name, value = self.value(self.qualifiers())
            assert value.direction, f"{name} is neither In nor Out"
            found[name] = value
            if self.peek() == ",":
                self.take()
        self.take(")")
        return found

    def declaration(self):
        made = Class("", abstract="Abstract" in self.qualifiers())
        self.take("class")
        made.name = self.take()
        if self.peek() == ":":
            self.take()
            made.parent = self.take()
        self.take("{")
        while self.peek() != "}":
            name, value = self.value(self.qualifiers())
            if self.peek() == "(":
                assert (value.type, value.array) == ("uint32", False), f"{name} returns an uint32"
                made.methods[name] = {**self.parameters(), "ReturnValue": Value("uint32", direction="Out")}
            else:
                made.properties[name] = value
            self.take(";")
        self.take("}"), self.take(";")
        return made


def read_mof(text):
    """{class name: Class}, each with what it inherits."""
    reader, classes = Reader(text), {}
    while reader.peek():
        made = reader.declaration()
        if made.parent:
            above = classes[made.parent]  # a parent comes first
            made.properties = {**above.properties, **made.properties}
            made.methods = {**above.methods, **made.methods}
        classes[made.name] = made
    return classes


# ---- WSDL -----------------------------------------------------------------------------------------------------

def wire_type(name):
    """The CIM type behind the type of an element."""
    prefix, _, local = name.partition(":")
    found = [cim for cim, wire in WIRE.items() if wire == local and prefix == "cim"]
    return found[0] if found else "EmbeddedInstance"


def values(parent):
    found = {}
    for one in parent.iterfind(f"{XSD}complexType/{XSD}sequence/{XSD}element"):
        found[one.get("name")] = Value(wire_type(one.get("type")), one.get("maxOccurs") == "unbounded",
                                       required=one.get("minOccurs") != "0")
    return found


def read_wsdl(text):
    """({class name: Class}, {action URI: (input element, output element)})"""
    root = tree.fromstring(text)
    classes = {}
    for schema in root.iter(f"{XSD}schema"):
        if schema.get("targetNamespace") in (COMMON, soap.WSA):
            continue
        name = schema.get("targetNamespace").rpartition("/")[2]
        made = classes[name] = Class(name)
        assert schema.get("targetNamespace") == uri(name) and schema.get("elementFormDefault") == "qualified"
        for element in schema.iterfind(f"{XSD}element"):
            method, _, kind = element.get("name").rpartition("_")
            if kind in ("INPUT", "OUTPUT"):
                parameters = made.methods.setdefault(method, {})
                for parameter, value in values(element).items():
                    value.direction = "In" if kind == "INPUT" else "Out"
                    assert parameter not in parameters
                    parameters[parameter] = value
            else:
                assert element.get("name") == name
                made.properties = values(element)
        for kind in schema.iterfind(f"{XSD}complexType"):  # of an embedded instance
            made.properties = values(tree.fromstring(f"<a>{tree.tostring(kind, 'unicode')}</a>"))
    return classes, read_operations(root)


def read_operations(root):
    elements = {message.get("name"): message.find(f"{WSDL_NS}part").get("element")
                for message in root.iterfind(f"{WSDL_NS}message")}
    action = "{http://schemas.xmlsoap.org/ws/2004/08/addressing}Action"
    found = {}
    for operation in root.iterfind(f"{WSDL_NS}portType/{WSDL_NS}operation"):
        sent, answered = operation.find(f"{WSDL_NS}input"), operation.find(f"{WSDL_NS}output")
        assert answered.get(action) == sent.get(action) + "Response"
        found[sent.get(action)] = tuple(elements[one.get("message").rpartition(":")[2]] for one in (sent, answered))
    return found
