# SPDX-License-Identifier: Apache-2.0
"""Identify: always answered; vendor data only for authenticated callers."""

from amtu_stack import soap


def test_known_caller_reads_vendor_and_version(console):
    answer = console.send(soap.IDENTIFY)
    assert answer.status == 200
    assert answer.text("wsmid:ProtocolVersion") == soap.WSMAN
    assert answer.text("wsmid:ProductVendor")
    assert answer.text("wsmid:ProductVersion")


def test_identify_over_plain_http(console):
    assert console.send(soap.IDENTIFY, tls=False).text("wsmid:ProtocolVersion") == soap.WSMAN


def test_anonymous_caller_reads_the_protocol_only(stack):
    from amtu_stack.console import Console
    answer = Console(stack.httpd).send(soap.IDENTIFY, path="/wsman-anon/identify")
    assert answer.status == 200
    assert answer.text("wsmid:ProtocolVersion") == soap.WSMAN
    assert not answer.text("wsmid:ProductVendor")
    assert not answer.text("wsmid:ProductVersion")


def test_authenticated_empty_post_is_a_probe(console):
    """WinRM clients authenticate with an empty POST before they send anything."""
    answer = console.send(b"")
    assert (answer.status, answer.body) == (200, b"")


def test_without_a_ticket_httpd_asks_for_one(stack):
    from amtu_stack.console import Console
    answer = Console(stack.httpd).send(soap.IDENTIFY)
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Negotiate")


def test_utf16_is_answered_in_utf16(console):
    for encoding, mark in (("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff")):
        answer = console.send(mark + soap.IDENTIFY.encode(encoding), content_type="application/soap+xml;charset=UTF-16")
        assert answer.status == 200
        assert answer.body.startswith(mark)
        assert soap.WSMAN in answer.body[2:].decode(encoding)
        assert "utf-16" in answer.headers["content-type"].lower()
