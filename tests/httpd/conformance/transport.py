# SPDX-License-Identifier: Apache-2.0
"""HTTP, encodings and SOAP itself (DSP0226 clause 13), and which of several faults is told first."""

import codecs

from amtu_stack import soap
from rules import SCHEMA, Case, Fault, Http, Result, edited, get, selected, selectors, unsupported, without

ANSWERED = Result(has=("p:AMT_RemoteEncryptionService",))
UTF16 = "application/soap+xml;charset=UTF-16"
CHARSET = Fault("wsman:EncodingLimit", "CharacterSet")
TOO_LARGE = Fault("wsman:EncodingLimit", "ServiceEnvelopeLimit", 413)
MISMATCH = Fault("s:VersionMismatch", status=500, has=("s:Header/s:Upgrade/s:SupportedEnvelope",))
DEPTH = "<a>" * 40 + "</a>" * 40

ENCODINGS = [
    Case("DSP0226 R13.1-5", "UTF-8 is answered in UTF-8", get(), ANSWERED),
    Case("DSP0226 R13.1-5", "UTF-8 with a byte order mark", get(), ANSWERED, mark=codecs.BOM_UTF8),
    Case("DSP0226 R13.1-5", "UTF-16, little endian, with a byte order mark", get(), ANSWERED, content_type=UTF16,
         encoding="utf-16-le", mark=codecs.BOM_UTF16_LE),
    Case("DSP0226 R13.1-5", "UTF-16, big endian, with a byte order mark", get(), ANSWERED, content_type=UTF16,
         encoding="utf-16-be", mark=codecs.BOM_UTF16_BE),
    Case("DSP0226 R13.1-5", "UTF-16 without a byte order mark", get(), ANSWERED, content_type=UTF16, encoding="utf-16-le"),
    Case("DSP0226 R13.1-5", "faults come in the caller's encoding too", without("wsa:To"),
         Fault("wsa:MessageInformationHeaderRequired"), content_type=UTF16, encoding="utf-16-le",
         mark=codecs.BOM_UTF16_LE),
    Case("DSP0226 R13.1-5", "a charset in quotes", get(), ANSWERED, content_type='application/soap+xml; charset="utf-8"'),
    Case("DSP0226 R13.1-5", "no charset", get(), ANSWERED, content_type="application/soap+xml"),
    Case("DSP0226 R13.1-5", "a charset that is not read", get(), CHARSET,
         content_type="application/soap+xml;charset=EBCDIC-INT"),
    Case("DSP0226 R13.1-5", "bytes that are not in the charset", get().encode().replace(b"uuid:", b"uuid:\xc3\x28"), CHARSET),
    Case("DSP0226 R13.1-5", "half a character of UTF-16", get().encode("utf-16-le") + b"\x00", CHARSET, content_type=UTF16,
         encoding="utf-16-le"),
]

HTTP = [
    Case("DSP0226 13.1", "text/xml is refused, with a fault", get(), Http(415, {"content-type": "application/soap+xml"}),
         content_type="text/xml"),
    Case("interface: who asks", "encrypted messages are refused", get(), Fault("wsman:UnsupportedFeature", status=415, says=("HTTPS",)),
         content_type='multipart/encrypted;protocol="application/HTTP-SPNEGO-session-encrypted";boundary="Encrypted Boundary"'),
    Case("interface: limits", "GET", b"", Http(405, {"allow": "POST"}), method="GET"),
    Case("interface: limits", "HEAD", b"", Http(405, {"allow": "POST"}), method="HEAD"),
    Case("interface: limits", "PUT of SOAP is refused with a fault", get(),
         Http(405, {"allow": "POST", "content-type": "application/soap+xml"}), method="PUT"),
    Case("MS-WSMV 3.1.4", "an authenticated empty request is answered by an empty answer", b"", Http(200, empty=True)),
    Case("DSP0226 13.5", "a body over the service's limit", edited(get(), ("<s:Body>", "<s:Body>" + " " * 200 * 1024)),
         TOO_LARGE),
    Case("DSP0226 13.5", "a body at the limit of 8 KiB of this place", edited(get(), ("<s:Body>", "<s:Body>" + " " * 8192)),
         TOO_LARGE, path="/small"),
]

SOAP = [
    Case("SOAP 1.2 part 1 5.4.7", "SOAP 1.1", edited(get(), (soap.S, soap.S11)), MISMATCH),
    Case("SOAP 1.2 part 1 5.4.7", "SOAP of another year", edited(get(), (soap.S, "http://www.w3.org/2033/05/soap-envelope")),
         MISMATCH),
    Case("SOAP 1.2 part 1 5", "an element that is no envelope", "<a/>", SCHEMA),
    Case("SOAP 1.2 part 1 5", "a document type", '<!DOCTYPE s:Envelope [<!ENTITY a "b">]>' + get(), SCHEMA),
    Case("SOAP 1.2 part 1 5", "no Body", f'<s:Envelope xmlns:s="{soap.S}"><s:Header/></s:Envelope>', SCHEMA),
    Case("SOAP 1.2 part 1 5", "two Bodies", edited(get(), ("<s:Body>", "<s:Body/><s:Body>")), SCHEMA),
    Case("SOAP 1.2 part 1 5", "a Header behind the Body", f'<s:Envelope xmlns:s="{soap.S}"><s:Body/><s:Header/></s:Envelope>',
         SCHEMA),
    Case("DSP0226 13.1", "two elements in the Body", edited(get(), ("<s:Body>", "<s:Body><a/><b/>")), SCHEMA),
    Case("DSP0226 13.1", "an envelope cut off", get()[:400], SCHEMA),
    Case("DSP0226 13.1", "two envelopes", get() + get(), SCHEMA),
    Case("DSP0226 13.1", "a prefix that is not declared", edited(get(), ("xmlns:wsa=", "xmlns:other=")), SCHEMA),
    Case("DSP0226 13.1", "white space", "  \r\n ", SCHEMA),
    Case("DSP0226 13.1", "an XML declaration is read", '<?xml version="1.0" encoding="UTF-8"?>' + get(), ANSWERED),
    Case("DSP0226 13.1", "comments are read over", edited(get(), ("<s:Body>", "<!-- a > b --><s:Body>")), ANSWERED),
    Case("interface: limits", "elements nested too deep", edited(get(), ("<s:Body>", "<s:Body>" + DEPTH)), SCHEMA),
    Case("interface: limits", "a tag too long", edited(get(), ("<s:Body>", f'<s:Body a="{"x" * 5000}">')), SCHEMA),
    Case("interface: limits", "a tag with too many attributes",
         edited(get(), ("<s:Body>", "<s:Body " + " ".join(f'a{n}=""' for n in range(65)) + ">")), SCHEMA),
]

# Each of these has all the faults that come after it, too: the first is told.
TIMEOUT = "<wsman:OperationTimeout>soon</wsman:OperationTimeout>"
SIZE = "<wsman:MaxEnvelopeSize>1</wsman:MaxEnvelopeSize>"
ODD = '<x:Odd xmlns:x="urn:x" s:mustUnderstand="true"/>'
TWICE = (("InstanceID", "a"), ("InstanceID", "b"))
ELSEWHERE = ("<wsa:ReplyTo><wsa:Address>" + soap.ANONYMOUS, "<wsa:ReplyTo><wsa:Address>http://elsewhere.example/")


def wrong(*headers, resource=soap.CIM + "CIM_NoSuchClass", chosen=TWICE):
    return edited(selected(*chosen, resource=resource), ("</s:Header>", "".join(headers) + "</s:Header>"))


ORDER = [
    Case("order of faults", "the SOAP version before everything",
         edited(wrong(ODD, SIZE, TIMEOUT), (soap.S, soap.S11)), MISMATCH),
    Case("order of faults", "a missing header before addressing",
         edited(wrong(ODD, SIZE, TIMEOUT), ELSEWHERE, ("wsa:To", "wsa:Unto"), ('<wsa:Unto s:mustUnderstand="true">', "<wsa:Unto>")),
         Fault("wsa:MessageInformationHeaderRequired")),
    Case("order of faults", "addressing before mustUnderstand", edited(wrong(ODD, SIZE, TIMEOUT), ELSEWHERE),
         unsupported("AddressingMode")),
    Case("order of faults", "mustUnderstand before control headers", wrong(ODD, SIZE, TIMEOUT),
         Fault("s:MustUnderstand", status=500)),
    Case("order of faults", "MaxEnvelopeSize before OperationTimeout", wrong(TIMEOUT, SIZE),
         Fault("wsman:EncodingLimit", "MinimumEnvelopeLimit")),
    Case("order of faults", "OperationTimeout before selectors", wrong(TIMEOUT),
         Fault("wsa:InvalidMessageInformationHeader", "OperationTimeout")),
    Case("order of faults", "selectors given twice before the resource", wrong(), selectors("DuplicateSelectors")),
    Case("order of faults", "the resource before its selectors", wrong(chosen=(("Odd", "a"),)),
         Fault("wsa:DestinationUnreachable", "InvalidResourceURI")),
    Case("order of faults", "the action before its selectors",
         edited(wrong(resource=soap.JOB, chosen=(("Odd", "a"),)), (f">{soap.GET}<", ">urn:odd<")),
         Fault("wsa:ActionNotSupported")),
    Case("order of faults", "selectors before the body",
         soap.request(soap.JOB, soap.JOB + "/RequestStateChange", "<a/>", selectors={"Odd": "a"}),
         selectors("UnexpectedSelectors")),
    Case("order of faults", "the body last", soap.request(soap.JOB, soap.JOB + "/RequestStateChange", "<a/>",
                                                          selectors={"InstanceID": "amtunlock:" + "a" * 26}),
         Fault("wsman:InvalidParameter", "InvalidName")),
]

CASES = ENCODINGS + HTTP + SOAP + ORDER
