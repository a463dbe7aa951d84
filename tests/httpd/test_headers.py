# SPDX-License-Identifier: Apache-2.0
"""What is wrong with an envelope's headers, and the fault that says so (DSP0226 14)."""

import pytest
from amtu_stack import soap
from conftest import assert_fault

SIZE = '<wsman:MaxEnvelopeSize s:mustUnderstand="true">{}</wsman:MaxEnvelopeSize>'
TIMEOUT = "<wsman:OperationTimeout>{}</wsman:OperationTimeout>"


def without(element):
    """The headers of a Get, less one."""
    import re
    headers = soap.header(soap.SERVICE, soap.GET)
    return soap.envelope(re.sub(f"<{element}[ >].*?</{element}>", "", headers))


@pytest.mark.parametrize("element", ["wsa:Action", "wsa:To", "wsa:MessageID", "wsa:ReplyTo"])
def test_missing_header_is_named(console, element):
    answer = console.send(without(element))
    assert_fault(answer, "wsa:MessageInformationHeaderRequired")
    assert element.partition(":")[2] in answer.body.decode()


def test_missing_resource(console):
    assert_fault(console.send(soap.get(None)), "wsa:DestinationUnreachable", "InvalidResourceURI")


def test_unknown_resource(console):
    assert_fault(console.send(soap.get(soap.CIM + "CIM_NoSuchClass")), "wsa:DestinationUnreachable",
                 "InvalidResourceURI")


def test_unknown_action_of_a_known_resource(console):
    answer = console.send(soap.request(soap.SERVICE, soap.SERVICE + "/LockSystems"))
    assert answer.fault[0] == "wsa:ActionNotSupported"
    assert answer.status == 400
    assert "LockSystems" in answer.body.decode()


def test_put_is_not_supported(console):
    answer = console.send(soap.request(soap.SERVICE, soap.WXF + "/Put"))
    assert answer.fault[0] == "wsa:ActionNotSupported"


def test_header_that_must_be_understood(console):
    headers = soap.header(soap.SERVICE, soap.GET, more='<x:Odd xmlns:x="urn:x" s:mustUnderstand="1"/>')
    answer = console.send(soap.envelope(headers))
    assert_fault(answer, "s:MustUnderstand", status=500)
    assert "Odd" in answer.find("s:NotUnderstood").get("qname")


def test_header_that_may_be_ignored(console):
    headers = soap.header(soap.SERVICE, soap.GET, more='<x:Odd xmlns:x="urn:x" s:mustUnderstand="false"/>')
    assert console.send(soap.envelope(headers)).status == 200


def test_reply_to_somewhere_else(console):
    envelope = soap.get(soap.SERVICE).replace(
        f"<wsa:ReplyTo><wsa:Address>{soap.ANONYMOUS}", "<wsa:ReplyTo><wsa:Address>http://elsewhere.example/")
    assert_fault(console.send(envelope), "wsman:UnsupportedFeature", "AddressingMode")


def test_envelope_size_below_the_least(console):
    answer = console.send(soap.get(soap.SERVICE, more=SIZE.format(8191)))
    assert_fault(answer, "wsman:EncodingLimit", "MinimumEnvelopeLimit")


def test_envelope_size_that_is_enough(console):
    assert console.send(soap.get(soap.SERVICE, more=SIZE.format(8192))).status == 200


def test_answer_over_the_callers_envelope_size(console, names):
    """1,000 times the same unknown long name would be answered in more than the 8 KiB that the caller takes."""
    long = [f"{'x' * 60}.{'y' * 60}.{number}.example" for number in range(100)]
    job = console.unlock(long)
    answer = console.send(soap.unlocked(job, more=""))
    assert answer.status == 200
    small = console.send(soap.method("GetUnlockedSystems", f"<p:InstanceID>{job}</p:InstanceID>",
                                     more=SIZE.format(8192)))
    assert_fault(small, "wsman:EncodingLimit", "MaxEnvelopeSize")


@pytest.mark.parametrize("text", ["soon", "PT", "-PT5S", "60"])
def test_operation_timeout_that_is_none(console, text):
    answer = console.send(soap.get(soap.SERVICE, more=TIMEOUT.format(text)))
    assert answer.fault[0] == "wsa:InvalidMessageInformationHeader"
    assert answer.status == 400


@pytest.mark.parametrize("text", ["PT60S", "PT60.000S", "P1DT2H"])
def test_operation_timeout(console, text):
    assert console.send(soap.get(soap.SERVICE, more=TIMEOUT.format(text))).status == 200


def test_answer_relates_to_the_request(console):
    message = soap.message_id()
    answer = console.send(soap.get(soap.SERVICE, message=message))
    assert answer.text("s:Header/wsa:RelatesTo") == message
    assert answer.text("s:Header/wsa:MessageID") not in (None, message)
    assert answer.text("s:Header/wsa:Action") == soap.GET + "Response"


@pytest.mark.parametrize("selectors", [
    {"InstanceID": "a", "Other": "b"}, {"Other": "b"}], ids=["superfluous", "wrong"])
def test_selectors_that_are_no_keys(console, selectors):
    answer = console.send(soap.get(soap.JOB, selectors=selectors))
    assert answer.fault[0] == "wsman:InvalidSelectors"
    assert answer.fault[1] in ("UnexpectedSelectors", "InsufficientSelectors")


def test_job_without_selectors(console):
    assert_fault(console.send(soap.get(soap.JOB)), "wsman:InvalidSelectors", "InsufficientSelectors")


def test_duplicate_selector(console):
    envelope = soap.get_job("a").replace("</wsman:SelectorSet>",
                                         '<wsman:Selector Name="instanceid">b</wsman:Selector></wsman:SelectorSet>')
    assert_fault(console.send(envelope), "wsman:InvalidSelectors", "DuplicateSelectors")


def test_option_that_must_be_obeyed(console):
    options = ('<wsman:OptionSet s:mustUnderstand="true"><wsman:Option Name="Odd" MustComply="true">1</wsman:Option>'
               "</wsman:OptionSet>")
    answer = console.send(soap.get(soap.SERVICE, more=options))
    assert answer.fault[0] == "wsman:InvalidOptions"


def test_fragment_of_an_instance(console):
    fragment = '<wsman:FragmentTransfer s:mustUnderstand="true">Name</wsman:FragmentTransfer>'
    answer = console.send(soap.get(soap.SERVICE, more=fragment))
    assert_fault(answer, "wsman:UnsupportedFeature", "FragmentLevelAccess")
