# SPDX-License-Identifier: Apache-2.0
"""Control headers of WS-Management (DSP0226 clause 6), WS-Transfer (7), Identify (11)."""

import codecs

from amtu_stack import soap
from rules import (MICROSOFT, WSE, Case, Fault, Http, Result, UNREACHABLE, enumerate_, get, get_job, job_method,
                   unsupported)

ANSWERED = Result(has=("p:AMT_RemoteEncryptionService",))
INVALID = "wsa:InvalidMessageInformationHeader"


def timeout(text):
    return get(more=f"<wsman:OperationTimeout>{text}</wsman:OperationTimeout>")


def size(text, body=get):
    return body(more=f'<wsman:MaxEnvelopeSize s:mustUnderstand="true">{text}</wsman:MaxEnvelopeSize>')


def large(**more):
    return soap.method("GetUnlockedSystems", "<p:InstanceID>{large}</p:InstanceID>", **more)


def locale(header="wsman:Locale", language="de-DE", must="true"):
    return get(more=f'<{header} xmlns:m="{MICROSOFT}" xml:lang="{language}" s:mustUnderstand="{must}"/>')


def options(must, comply):
    return get(more=f'<wsman:OptionSet{must}><wsman:Option Name="Odd"{comply}>1</wsman:Option></wsman:OptionSet>')


MUST, COMPLY = ' s:mustUnderstand="true"', ' MustComply="true"'

HEADERS = [
    *(Case("DSP0226 6.1", f"OperationTimeout {text} is taken", timeout(text), ANSWERED)
      for text in ("PT60S", "PT60.000S", "P1DT2H")),
    *(Case("DSP0226 6.1", f"OperationTimeout {text} is none", timeout(text), Fault(INVALID, "OperationTimeout"))
      for text in ("soon", "60", "PT", "-PT5S", "PT0S")),
    Case("DSP0226 R6.2-4", "MaxEnvelopeSize below 8192", size(8191), Fault("wsman:EncodingLimit", "MinimumEnvelopeLimit")),
    Case("DSP0226 R6.2-4", "MaxEnvelopeSize 0", size(0), Fault("wsman:EncodingLimit", "MinimumEnvelopeLimit")),
    Case("DSP0226 6.2", "MaxEnvelopeSize 8192 is taken", size(8192), ANSWERED),
    Case("DSP0226 6.2", "a huge MaxEnvelopeSize is taken", size(18446744073709551615), ANSWERED),
    *(Case("DSP0226 6.2", f"MaxEnvelopeSize {text} is none", size(text), Fault(INVALID)) for text in ("-1", "much", "")),
    Case("DSP0226 R6.2-2", "an answer over MaxEnvelopeSize", size(8192, large),
         Fault("wsman:EncodingLimit", "MaxEnvelopeSize")),
    Case("DSP0226 R13.1-3", "without MaxEnvelopeSize nothing over 32767 bytes is sent", large(),
         Fault("wsman:EncodingLimit", "MaxEnvelopeSize"), content_type="application/soap+xml;charset=UTF-16",
         encoding="utf-16-le", mark=codecs.BOM_UTF16_LE),
    Case("DSP0226 6.2", "a large MaxEnvelopeSize lets the same answer through", size(153600, large),
         Result(counts={"p:failedSystems": 100})),
    Case("DSP0226 R6.3-1", "Locale is a hint", locale(must="false"), ANSWERED),
    Case("DSP0226 R6.3-2", "Locale that must be understood", locale(), unsupported("Locale")),
    Case("DSP0226 6.3", "English that must be understood", locale(language="en-GB"), ANSWERED),
    Case("MS-WSMV 2.2.4", "DataLocale is a hint", locale("m:DataLocale", must="false"), ANSWERED),
    Case("MS-WSMV 2.2.4", "DataLocale that must be understood", locale("m:DataLocale"), unsupported("DataLocale")),
    Case("MS-WSMV 2.2.4", "headers of Windows' clients are of no effect",
         get(more=f'<m:SessionId xmlns:m="{MICROSOFT}" s:mustUnderstand="false">uuid:1</m:SessionId>'
                  f'<m:OperationID xmlns:m="{MICROSOFT}" s:mustUnderstand="false">uuid:2</m:OperationID>'
                  f'<m:SequenceId xmlns:m="{MICROSOFT}" s:mustUnderstand="false">1</m:SequenceId>'
                  f'<m:ActivityId xmlns:m="{MICROSOFT}" s:mustUnderstand="true">uuid:3</m:ActivityId>'), ANSWERED),
    Case("DSP0226 6.4", "an option that must be complied with", options(MUST, COMPLY),
         Fault("wsman:InvalidOptions", "InvalidName", says=("Odd",))),
    Case("DSP0226 6.4", "an option that need not be complied with", options(MUST, ""), ANSWERED),
    Case("DSP0226 R6.4-3", "an OptionSet that need not be understood", options("", COMPLY), ANSWERED),
    Case("DSP0226 6.4", "options of an Enumerate are judged alike",
         enumerate_(more=f'<wsman:OptionSet{MUST}><wsman:Option Name="a"{COMPLY}/></wsman:OptionSet>'),
         Fault("wsman:InvalidOptions", "InvalidName")),
    Case("DSP0226 6.5", "RequestEPR is optional", get(more="<wsman:RequestEPR/>"), ANSWERED),
    Case("DSP0226 6.5", "RequestEPR that must be understood", get(more='<wsman:RequestEPR s:mustUnderstand="true"/>'),
         Fault("s:MustUnderstand", status=500, says=("RequestEPR",))),
]


def fragment(must):
    return get(more=f'<wsman:FragmentTransfer{must}>Name</wsman:FragmentTransfer>')


def no_action(detail="ActionMismatch", *says):
    return Fault("wsa:ActionNotSupported", detail, says=says, has=("s:Detail/wsa:Action",))


PUT = ('<p:AMT_RemoteEncryptionService xmlns:p="%s"><p:MaxSystemsPerRequest>1</p:MaxSystemsPerRequest>'
       "</p:AMT_RemoteEncryptionService>" % soap.SERVICE)

TRANSFER = [
    Case("DSP0226 7.3", "Get answers with the instance alone", get(),
         Result(counts={"s:Body/p:AMT_RemoteEncryptionService": 1}, action=soap.WXF + "/GetResponse")),
    Case("DSP0226 7.3", "Get of a job", get_job(), Result(counts={"s:Body/job:CIM_ConcreteJob": 1})),
    Case("DSP0226 R7.7-1", "a fragment is refused", fragment(MUST), unsupported("FragmentLevelAccess")),
    Case("DSP0226 R7.7-1", "a fragment is refused, also where it need not be understood", fragment(""),
         unsupported("FragmentLevelAccess")),
    Case("DSP0226 7.4", "Put: nothing can be written", soap.request(soap.SERVICE, soap.WXF + "/Put", PUT),
         no_action(None, "/Put")),
    Case("DSP0226 7.6", "Create: jobs are made by UnlockSystems", soap.request(soap.JOB, soap.WXF + "/Create", "<a/>"),
         no_action(None)),
    Case("DSP0226 7.5", "Delete of a class that has none", soap.request(soap.SERVICE, soap.DELETE), no_action()),
    Case("DSP0226 7.5", "Delete of a finished job has an empty answer",
         soap.request(soap.JOB, soap.DELETE, selectors={"InstanceID": "{fresh}"}), Result(lacks=("s:Body/*",))),
    Case("DSP0226 7.5", "what was deleted is gone", get_job("{fresh}"), UNREACHABLE,
         first=(soap.request(soap.JOB, soap.DELETE, selectors={"InstanceID": "{fresh}"}),)),
    Case("interface: small things", "Delete of a running job",
         soap.request(soap.JOB, soap.DELETE, selectors={"InstanceID": "{running}"}), Fault("wsman:Concurrency")),
    Case("interface: another caller's job", "cannot be deleted",
         soap.request(soap.JOB, soap.DELETE, selectors={"InstanceID": "{foreign}"}), UNREACHABLE),
    Case("DSP0226 5.4.5", "an unknown action of a known resource", soap.request(soap.SERVICE, soap.SERVICE + "/LockSystems"),
         no_action(None, "LockSystems")),
    Case("DSP0226 5.4.5", "an action of another class", soap.request(soap.SERVICE, soap.JOB + "/GetErrors"), no_action()),
    Case("DSP0226 10", "eventing is optional, and not offered", soap.request(soap.JOB, WSE + "/Subscribe", "<a/>"),
         no_action(None)),
    Case("DSP0226 8.8", "Renew is optional, and not offered", soap.request(soap.JOB, soap.WSEN + "/Renew", "<a/>"),
         no_action(None)),
    Case("DSP0226 8.8", "GetStatus is optional, and not offered", soap.request(soap.JOB, soap.WSEN + "/GetStatus", "<a/>"),
         no_action(None)),
    Case("DSP0226 5.4.5", "a method of a job needs its selector", soap.method("GetErrors", resource=soap.JOB),
         Fault("wsman:InvalidSelectors", "InsufficientSelectors")),
    Case("DSP0226 5.4.5", "a method of a job that is not", job_method("GetErrors", job="amtunlock:" + "a" * 26),
         UNREACHABLE),
]

IDENTIFY = [
    Case("DSP0226 11.1", "Identify says which protocol, and by whom", soap.IDENTIFY,
         Result(texts={"wsmid:ProtocolVersion": soap.WSMAN, "wsmid:ProductVendor": "mod_amtunlock"},
                has=("wsmid:ProductVersion", "wsmid:SecurityProfiles/wsmid:SecurityProfileName"),
                lacks=("s:Header/*",), action="")),
    Case("DSP0226 11.1", "Identify without authentication tells nothing of the product", soap.IDENTIFY,
         Result(texts={"wsmid:ProtocolVersion": soap.WSMAN}, action="",
                lacks=("wsmid:ProductVendor", "wsmid:ProductVersion", "wsmid:SecurityProfiles")),
         who="nobody", path="/wsman-anon/identify"),
    Case("DSP0226 11.1", "nothing but Identify is answered without authentication", get(),
         Fault("wsman:AccessDenied", status=403), who="nobody", path="/wsman-anon/identify"),
    Case("interface: small things", "under the guarded path Identify needs authentication like all else", soap.IDENTIFY,
         Http(401, {"www-authenticate": "Negotiate"}), who="nobody"),
    Case("DSP0226 R5.2-2", "Identify too must understand",
         soap.IDENTIFY.replace("<s:Header/>", '<s:Header><x:Odd xmlns:x="urn:x" s:mustUnderstand="1"/></s:Header>'),
         Fault("s:MustUnderstand", status=500)),
]

CASES = HEADERS + TRANSFER + IDENTIFY
