# SPDX-License-Identifier: Apache-2.0
"""Bytes that are no request: a clear fault each, quickly, and the same child serves the next request."""

import gzip
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from amtu_stack import soap
from amtu_stack.console import CONTENT_TYPE, Console
from conftest import assert_fault

QUICKLY, TRIES = 1.0, 3  # seconds
UTF16 = "application/soap+xml;charset=UTF-16"
SCHEMA = ("wsman:SchemaValidationError", None, 400)
CHARSET = ("wsman:EncodingLimit", "CharacterSet", 400)
LIMIT = ("wsman:EncodingLimit", "ServiceEnvelopeLimit", 413)
BODY = soap.get(soap.SERVICE)
# Enough attributes to keep libxml2 busy for seconds, in a body that is not too large for itself.
MANY = " ".join(f"a{number}='1'" for number in range(30000))
BRACKETS = " ".join(f"a{number}=\">\"" for number in range(13000))


def with_attributes(attributes):
    return f"<s:Envelope xmlns:s='{soap.S}'><s:Body><x {attributes}/></s:Body></s:Envelope>"


BAD = {
    "garbage": (b"\x00\x01\x02\xff\xfe garbage \x80" * 50, SCHEMA),
    "text": (b"hello", SCHEMA),
    "white space": (b"   \r\n  ", SCHEMA),
    "truncated": (BODY[:len(BODY) // 2], SCHEMA),
    "two roots": (BODY + BODY, SCHEMA),
    "no envelope": ("<a/>", None),
    "doctype": ('<!DOCTYPE s:Envelope [<!ENTITY a "b">]>' + BODY, SCHEMA),
    "entity bomb": ('<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;">]>' + BODY, SCHEMA),
    "undeclared prefix": (BODY.replace("xmlns:wsa=", "xmlns:other="), SCHEMA),
    "invalid UTF-8": (BODY.encode().replace(b"uuid:", b"uuid:\xc3\x28"), CHARSET),
    "200 KiB": (BODY.replace("<s:Body>", "<s:Body>" + " " * 200 * 1024), LIMIT),
    "30,000 attributes": (with_attributes(MANY), None),
    "attributes in 64 KiB": (with_attributes(" ".join(f"a{n}=''" for n in range(5000))), None),
    "brackets in quotes": (with_attributes(BRACKETS), None),
    "brackets in 64 KiB": (with_attributes(" ".join(f"a{n}=\">\"" for n in range(5000))), None),
    "depth": ("<s:Envelope xmlns:s='%s'><s:Body>%s%s</s:Body></s:Envelope>" % (soap.S, "<a>" * 200, "</a>" * 200),
              None),
    "a tag over 4 KiB": (with_attributes(f"a='{'b' * 5000}'"), None),
    "65 attributes": (with_attributes(" ".join(f"a{n}=''" for n in range(65))), None),
    "SOAP 1.1": (BODY.replace(soap.S, soap.S11), ("s:VersionMismatch", None, 500)),
    "SOAP 1.3": (BODY.replace(soap.S, "http://www.w3.org/2033/05/soap-envelope"), ("s:VersionMismatch", None, 500)),
    "two bodies": (BODY.replace("<s:Body>", "<s:Body/><s:Body>"), None),
}


def send_quickly(console, bodies, **how):
    """The answers, of which the first comes quickly. A busy machine may be slow at one time; a slow parser is each time."""
    for _ in range(TRIES):
        answers = console.send_all(bodies, **how)
        if answers[0].seconds < QUICKLY:
            return answers
    raise AssertionError(answers[0])


@pytest.mark.parametrize("name", BAD)
def test_bad_bytes(console, name):
    body, expected = BAD[name]
    bad, good = send_quickly(console, [body, soap.IDENTIFY])
    assert bad.fault, bad
    assert 400 <= bad.status <= 500
    if expected:
        subcode, detail, status = expected
        assert_fault(bad, subcode, detail, status)
    assert good.text("wsmid:ProtocolVersion") == soap.WSMAN, "the same connection, so the same child, goes on"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["attributes in 64 KiB", "brackets in 64 KiB", "doctype", "depth", "truncated"])
def test_bad_bytes_in_utf16(console, name, encoding):
    mark = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}[encoding]
    (bad,) = send_quickly(console, [mark + BAD[name][0].encode(encoding)], content_type=UTF16)
    assert bad.fault
    assert bad.body.startswith(mark), "a fault too comes in the caller's encoding"
    assert console.send(soap.IDENTIFY).status == 200


@pytest.mark.parametrize("name", ["30,000 attributes", "brackets in quotes", "200 KiB"])
def test_too_many_bytes_in_utf16(console, name):
    (bad,) = send_quickly(console, [BAD[name][0].encode("utf-16")], content_type=UTF16)
    assert (bad.fault, bad.status) == (LIMIT[:2], LIMIT[2])


WSA_2005 = "http://www.w3.org/2005/08/addressing"
WSMAN_2005 = "http://schemas.xmlsoap.org/ws/2005/06/management"
XML = '<?xml version="1.0" encoding="utf-8"?>'
REQUIRED = ("wsa:MessageInformationHeaderRequired", None, 400)
MISTAKES = {
    "an empty line before the declaration": ("\r\n" + XML + BODY, SCHEMA, "must be the very first of the envelope"),
    "blanks before the declaration": ("  " + XML + BODY, SCHEMA, "must be the very first of the envelope"),
    "a declaration inside": (BODY.replace("<s:Body>", XML + "<s:Body>"), SCHEMA, "must be the very first"),
    "another instruction": (XML + '<?xml-stylesheet href="x"?>' + BODY, SCHEMA,
                            "SOAP allows no processing instruction in an envelope."),
    "a NUL behind the end": (BODY + "\0", SCHEMA, "a NUL character, perhaps behind its end"),
    "WS-Addressing 2005/08": (BODY.replace(soap.WSA, WSA_2005), REQUIRED,
                              f"in the namespace {WSA_2005}; WS-Management has it in {soap.WSA}."),
    "the anonymous address of 2005/08": (
        BODY.replace(f"<wsa:ReplyTo><wsa:Address>{soap.ANONYMOUS}", f"<wsa:ReplyTo><wsa:Address>{WSA_2005}/anonymous"),
        ("wsman:UnsupportedFeature", "AddressingMode", 400), f"must be the anonymous address, {soap.ANONYMOUS}."),
    "WS-Management of 2005": (BODY.replace(soap.WSMAN, WSMAN_2005), ("s:MustUnderstand", None, 500),
                              f"in the namespace {WSMAN_2005}; WS-Management has it in {soap.WSMAN}."),
    "WS-Management of 2005, not urgent": (
        BODY.replace(soap.WSMAN, WSMAN_2005).replace('<wsman:ResourceURI s:mustUnderstand="true">',
                                                     "<wsman:ResourceURI>"),
        ("wsa:DestinationUnreachable", "InvalidResourceURI", 400), f"in the namespace {WSMAN_2005};"),
    "SOAP 1.1": (BODY.replace(soap.S, soap.S11), ("s:VersionMismatch", None, 500), "The envelope is SOAP 1.1"),
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("name", MISTAKES)
def test_what_is_wrong_is_said(console, name, encoding):
    body, expected, words = MISTAKES[name]
    content_type = UTF16 if encoding == "utf-16" else CONTENT_TYPE
    bad = console.send(body.encode(encoding), content_type=content_type)
    assert_fault(bad, *expected)
    assert words in bad.reason


def test_blanks_without_a_declaration_are_fine(console):
    assert console.send("\r\n  " + BODY + "\r\n").status == 200


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "GZIP, gzip"])
def test_a_packed_body(console, coding):
    packed = gzip.compress(BODY.encode())
    refused = console.send(packed, more=["-H", f"Content-Encoding: {coding}"])
    assert_fault(refused, "wsman:UnsupportedFeature", status=415)
    assert refused.reason == f"Content-Encoding {coding} is not understood here: send the body as it is"
    assert refused.headers["accept-encoding"] == "identity"


def test_a_body_that_is_not_packed_may_say_so(console):
    assert console.send(BODY, more=["-H", "Content-Encoding: identity"]).status == 200


def test_unknown_charset(console):
    answer = console.send(BODY, content_type="application/soap+xml;charset=EBCDIC-INT")
    assert answer.fault == ("wsman:EncodingLimit", "CharacterSet")


def test_quoted_charset(console):
    assert console.send(BODY, content_type='application/soap+xml; charset="utf-8"').status == 200


@pytest.mark.parametrize("content_type, words", [
    ("text/plain", "must be application/soap+xml"), ("application/json", "must be application/soap+xml"),
    ("text/xml; charset=utf-8", "text/xml is the content type of SOAP 1.1"),
    ("multipart/encrypted;boundary=x", "use HTTPS"), ("multipart/x-multi-encrypted;boundary=x", "use HTTPS")])
def test_other_content_types(console, content_type, words):
    answer = console.send(BODY, content_type=content_type)
    assert_fault(answer, "wsman:UnsupportedFeature", status=415)
    assert words in answer.reason


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_other_methods(console, method):
    answer = console.send(b"", method=method)
    assert answer.status == 405
    assert "POST" in answer.headers["allow"]


def test_no_user(stack):
    """Where no authentication was asked for, there is no user, and nothing but Identify is answered."""
    (answer,) = send_quickly(Console(stack.httpd), [soap.unlock(["pc-00001.fleet.test"])], path="/wsman-anon/identify")
    assert_fault(answer, "wsman:AccessDenied", status=403)


def test_claimed_user_is_no_user(stack):
    """No header sets the user."""
    more = ["-H", "X-Remote-User: console@AMTU.TEST", "-H", "REMOTE_USER: console@AMTU.TEST",
            "-H", "X-Forwarded-User: console@AMTU.TEST"]
    answer = Console(stack.httpd).send(soap.get(soap.SERVICE), path="/wsman-anon/identify", more=more)
    assert_fault(answer, "wsman:AccessDenied", status=403)


def test_body_in_chunks(console):
    answer = console.send(soap.IDENTIFY, more=["-H", "Transfer-Encoding: chunked"])
    assert answer.text("wsmid:ProtocolVersion") == soap.WSMAN


def test_large_body_in_chunks(console):
    """Without a Content-Length the bytes are counted as they come."""
    answer = console.send(BAD["200 KiB"][0], more=["-H", "Transfer-Encoding: chunked"])
    assert_fault(answer, *LIMIT)


# ---- memory -----------------------------------------------------------------------------------------------------

WIDE = 10 * 1024 * 1024 - 1024  # /wide reads so many bytes
AT_A_TIME = 4


def filled(unit):
    """As many of these as there is room for; "#" becomes a number."""
    if "#" in unit:
        units = "".join(unit.replace("#", f"{number:07}") for number in range(WIDE // (len(unit) + 6)))
    else:
        units = unit * (WIDE // len(unit))
    return f"<s:Envelope xmlns:s='{soap.S}'><s:Body><x>{units}</x></s:Body></s:Envelope>"


def peak_memory(stack):
    """Kilobytes, of all children."""
    total = 0
    for pid in stack.httpd.children():
        status = Path(f"/proc/{pid}/status").read_text()
        total += int(re.search(r"VmHWM:\s+(\d+)", status)[1])
    return total


@pytest.mark.parametrize("unit", ["<a/>", "<a b='' c='' d='' e=''/>", "<a#/>", "<a xmlns='urn:#'/>", "text ",
                                  "<!-- a comment -->"])
def test_memory_follows_the_bytes(stack, unit):
    """Some at a time of what is small on the wire and large in memory."""
    body = filled(unit)
    before = peak_memory(stack)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        answers = list(pool.map(lambda _: stack.console().send(body, path="/wide"), range(AT_A_TIME)))
    grown = (peak_memory(stack) - before) * 1024
    assert all(answer.fault and answer.fault[0] != "wsman:QuotaLimit" for answer in answers), "they were read"
    assert grown < 2 * AT_A_TIME * WIDE, f"{grown / 1e6:.0f} MB for {AT_A_TIME} of {WIDE / 1e6:.0f} MB"
