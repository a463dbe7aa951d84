# SPDX-License-Identifier: Apache-2.0
"""Envelopes that went wrong: the seeds of the conformance list, changed as a tree, as text and as bytes.

An envelope is known by the campaign's seed and its number: mutant(seed, number, ...) makes it again.
"""

import random
import xml.etree.ElementTree as tree
from copy import deepcopy as copy
from dataclasses import dataclass

from amtu_stack import soap

SELDOM = 18  # against 2: envelopes whose text or bytes are changed, too; most of these are refused before they are read
SMALL = 96 * 1024  # bytes; what is larger than the service reads is another test's matter
SOAP_TYPE = "application/soap+xml"

NUMBERS = ("0", "1", "-1", "00", "+1", "2147483647", "2147483648", "4294967296", "9223372036854775807",
           "18446744073709551616", "1e9", "0x10", "NaN", " 7 ")
TIMES = ("PT0S", "PT60S", "-PT5S", "P", "PT", "P1Y", "PT0.0000001S", "PT99999999999999999999S", "2036-01-01T00:00:00Z",
         "P1DT2H3M4.5S")
NAMES = ("a.example", "System.String[]", "x" * 64, "a." * 126 + "a", "a." * 127, ".", "..", "[::1]", "::1", "192.0.2.1",
         "1.2.3.4.5", "%2e", "a b", "a\tb", "a\nb", "ä.example", "xn--a.example", "a|b", "*", "{amtu}:job", "\u202e.example",
         "\U0001f600.example", "\ud7ff", "&amp;", "<a>", "]]>", "%n%s%x", "../../etc/passwd", "")
KEYS = ("amtunlock:" + "a" * 26, "amtunlock:" + "a" * 25, "amtunlock:" + "A" * 26, "amtunlock:", "Remote Encryption Service",
        "root/cimv2", soap.ANONYMOUS, soap.SERVICE, soap.JOB, "http://schemas.dmtf.org/wbem/wscim/1/*", soap.GET,
        soap.ENUMERATE, soap.PULL, soap.RELEASE, soap.DELETE, soap.SERVICE + "/UnlockSystems",
        soap.SERVICE + "/GetUnlockedSystems", soap.JOB + "/GetErrors", soap.JOB + "/RequestStateChange", "true", "false",
        "EnumerateEPR", "EnumerateObjectAndEPR", "ExcludeSubClassProperties", "None", "s:Envelope", "p:x", ":", "x:y:z")
LONG = ("x" * 3000, "é" * 2000, "\U0001f600" * 900, " " * 4000, "1" * 2500)
SPACES = (*soap.NAMESPACES.values(), soap.S11, soap.XSI, "urn:x", "", "http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd",
          "http://www.w3.org/2005/08/addressing", "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd")
ATTRIBUTES = ((f"{{{soap.S}}}mustUnderstand", ("0", "1", "true", "false", "yes", "")), (f"{{{soap.XSI}}}nil", ("true", "1", "x")),
              (f"{{{soap.S}}}role", ("urn:x", soap.S + "/role/next", "")), ("Name", NAMES + KEYS),
              ("MustComply", ("true", "1", "x")), ("Dialect", ("urn:x", "http://schemas.microsoft.com/wbem/wsman/1/WQL")),
              ("{http://www.w3.org/XML/1998/namespace}lang", ("de-DE", "en", "", "x" * 300)),
              (f"{{{soap.S}}}encodingStyle", ("urn:x",)), ("id", ("a",)))


@dataclass
class Mutant:
    """What is sent."""

    body: bytes
    content_type: str
    chunked: bool
    what: list  # the names of the changes


# ---- as a tree ------------------------------------------------------------------------------------------------

def places(root):
    """(parent, index, element) of every element but the root."""
    return [(parent, index, child) for parent in root.iter() for index, child in enumerate(parent)]


def delete(dice, root, _others):
    parent, _, child = dice.choice(places(root))
    parent.remove(child)


def repeat(dice, root, _others):
    parent, index, child = dice.choice(places(root))
    for _ in range(dice.choice((1, 1, 2, 30))):
        parent.insert(index, copy(child))


def move(dice, root, _others):
    parent, _, child = dice.choice(places(root))
    parent.remove(child)
    target = dice.choice(list(root.iter()))
    target.insert(dice.randint(0, len(target)), child)


def shuffle(dice, root, _others):
    parent = dice.choice([one for one in root.iter() if len(one)])
    children = list(parent)
    dice.shuffle(children)
    parent[:] = children


def graft(dice, root, others):
    """A piece of another envelope."""
    _, _, piece = dice.choice(places(dice.choice(others)()))
    target = dice.choice(list(root.iter()))
    target.insert(dice.randint(0, len(target)), copy(piece))


def swap_part(dice, root, others):
    """Header of one, body of another."""
    other = dice.choice(others)()
    if len(root) and len(other):
        root[dice.randrange(len(root))] = copy(other[dice.randrange(len(other))])


def rename(dice, root, _others):
    element = dice.choice(list(root.iter()))
    names = [one.tag.rpartition("}")[2] for one in root.iter()] + ["Envelope", "Body", "Header", "Fault", "x"]
    space = element.tag.rpartition("}")[0] + "}" if "}" in element.tag else ""
    element.tag = space + dice.choice(names)


def respace(dice, root, _others):
    element = dice.choice(list(root.iter()))
    space = dice.choice(SPACES)
    element.tag = (f"{{{space}}}" if space else "") + element.tag.rpartition("}")[2]


def retext(dice, root, _others):
    element = dice.choice(list(root.iter()))
    element.text = dice.choice(dice.choice((NUMBERS, TIMES, NAMES, KEYS, LONG)))


def retext_leaf(dice, root, _others):
    element = dice.choice([one for one in root.iter() if not len(one)])
    element.text = dice.choice(dice.choice((NUMBERS, TIMES, NAMES, KEYS)))


def tail(dice, root, _others):
    dice.choice(list(root.iter())[1:]).tail = dice.choice(("text", " ", "\n\n", "7"))


def attribute(dice, root, _others):
    name, values = dice.choice(ATTRIBUTES)
    dice.choice(list(root.iter())).set(name, dice.choice(values))


def attributes(dice, root, _others):
    element = dice.choice(list(root.iter()))
    for number in range(dice.choice((10, 62, 70, 200))):
        element.set(f"a{number}", dice.choice(("", ">", "'")))


def unattribute(dice, root, _others):
    dice.choice(list(root.iter())).attrib.clear()


def deepen(dice, root, _others):
    parent, index, child = dice.choice(places(root))
    parent.remove(child)
    for _ in range(dice.choice((1, 5, 25, 40, 300))):
        around = tree.Element(child.tag if dice.random() < 0.5 else "x")
        around.append(child)
        child = around
    parent.insert(index, child)


def widen(dice, root, _others):
    target = dice.choice(list(root.iter()))
    piece = dice.choice(places(root))[2]
    for _ in range(dice.choice((50, 200))):
        target.append(copy(piece) if len(tree.tostring(piece)) < 200 else tree.Element("x"))


TREE = (delete, delete, repeat, move, shuffle, graft, graft, swap_part, rename, respace, retext, retext_leaf, retext_leaf,
        tail, attribute, attribute, attributes, unattribute, deepen, widen)


# ---- as text --------------------------------------------------------------------------------------------------

def between(dice, text, piece):
    """Puts a piece in front of or behind some tag."""
    ends = [at for at, sign in enumerate(text) if sign in "<>"]
    at = dice.choice(ends or [0])
    at += text[at:at + 1] == ">"
    return text[:at] + piece + text[at:]


def marked_up(dice, text):
    return between(dice, text, dice.choice((
        "<!-- -->", "<!---->", "<!-- > -- -->", "<![CDATA[x]]>", "<![CDATA[<a>]]>", "<?pi x?>", "<!x>", "&#x41;", "&#0;", "&#xD800;",
        "&amp;", "&lt;", "&undefined;", "&#x10FFFF;", "]]>", "<", ">", "</s:Body>", "<s:Body/>", "\x0b", "\ufffe", "\x85")))


def doctyped(dice, text):
    return dice.choice(('<!DOCTYPE a>', '<!DOCTYPE a [<!ENTITY b "c">]>', '<!DOCTYPE a SYSTEM "file:///etc/passwd">')) + text


def declared(dice, text):
    return dice.choice(('<?xml version="1.0"?>', '<?xml version="1.0" encoding="UTF-16"?>', '<?xml version="1.1"?>',
                        '<?xml version="1.0" encoding="latin-1"?>', '<?xml version="1.0" encoding="UTF-8" standalone="no"?>',
                        "\n", "\ufeff")) + text


def quoted(dice, text):
    return text.replace('"', dice.choice(("'", "", '""', '"\n"')), dice.choice((1, 2, 100)))


def prefixed(dice, text):
    old = dice.choice(("s:", "wsa:", "wsman:", "wsen:", "ns0:", "ns1:", "ns2:", "xmlns:ns0", "xmlns:ns1", "xmlns"))
    return text.replace(old, dice.choice(("x:", "", "s:", "xml:", "xmlns:")), dice.choice((1, 2, 100)))


TEXT = (marked_up, marked_up, doctyped, declared, quoted, prefixed)


# ---- as bytes -------------------------------------------------------------------------------------------------

def cut(dice, data):
    return data[:dice.randrange(len(data) + 1)]


def flip(dice, data):
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 3, 20))):
        if changed:
            changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def insert(dice, data):
    at = dice.randrange(len(data) + 1)
    return data[:at] + dice.randbytes(dice.choice((1, 2, 40))) + data[at:]


def double(dice, data):
    first, last = sorted(dice.randrange(len(data) + 1) for _ in range(2))
    return data[:last] + data[first:last] + data[last:]


def drop(dice, data):
    first, last = sorted(dice.randrange(len(data) + 1) for _ in range(2))
    return data[:first] + data[min(last, first + 200):]


BYTES = (cut, flip, flip, insert, double, drop)

ENCODINGS = (("utf-8", b"", "UTF-8"),) * 20 + (
    ("utf-8", b"\xef\xbb\xbf", "UTF-8"), ("utf-16-le", b"\xff\xfe", "UTF-16"), ("utf-16-be", b"\xfe\xff", "UTF-16"),
    ("utf-16-le", b"", "UTF-16"), ("utf-16-le", b"\xfe\xff", "UTF-16"), ("utf-8", b"", "UTF-16"), ("utf-16-be", b"", "UTF-8"))


def content_type(dice, charset):
    if dice.random() < 0.9:
        return f"{SOAP_TYPE};charset={charset}"
    return dice.choice((SOAP_TYPE, f'{SOAP_TYPE}; charset="{charset}"', f"{SOAP_TYPE};charset=", f"{SOAP_TYPE};;charset={charset}",
                        f"{SOAP_TYPE};action=x;charset={charset}", f"{SOAP_TYPE};charset=latin-1", "text/xml", f'{SOAP_TYPE};charset="'))


def mutant(seed, number, seeds):
    """The envelope of this number. `seeds` are texts of good and bad envelopes."""
    dice = random.Random(f"{seed}:{number}")
    text = dice.choice(seeds)
    what = []
    try:
        root = tree.fromstring(text)
    except tree.ParseError:
        root = None
    if root is not None and len(root):
        for _ in range(dice.choice((0, 1, 1, 1, 2, 3, 6))):
            where = root if dice.random() < 0.4 or not len(root) else dice.choice(list(root))  # within Header or Body
            if places(where):
                change = dice.choice(TREE)
                others = [lambda: root] if dice.random() < 0.2 else [lambda: _parsed(dice, seeds)]
                change(dice, where, others)
                what.append(change.__name__)
        text = tree.tostring(root, encoding="unicode")
    for _ in range(dice.choice((0,) * SELDOM + (1, 2))):
        change = dice.choice(TEXT)
        text = change(dice, text)
        what.append(change.__name__)
    encoding, mark, charset = dice.choice(ENCODINGS)
    data = mark + text.encode(encoding, "surrogatepass")
    for _ in range(dice.choice((0,) * SELDOM + (1, 2))):
        change = dice.choice(BYTES)
        data = change(dice, data)
        what.append(change.__name__)
    return Mutant(data[:SMALL], content_type(dice, charset), dice.random() < 0.1, what)


def _parsed(dice, seeds):
    """Some other seed that is XML."""
    while True:
        try:
            root = tree.fromstring(dice.choice(seeds))
        except tree.ParseError:
            continue
        if len(root):
            return root
