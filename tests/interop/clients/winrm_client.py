#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""pywinrm: its headers, and its transport. winrm_client.py kerberos|ntlm [--plain]

--plain: over plain HTTP, where it encrypts its messages itself as Windows does; told is how that is refused.
"""

import os
import sys
import warnings

import course
import xmltodict
from winrm.exceptions import WinRMTransportError
from winrm.protocol import Protocol


class Client:
    def __init__(self, mechanism, url):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what Debian's plug-ins do not know
            self.protocol = Protocol(url, transport=mechanism, ca_trust_path=os.environ["AMTU_CA"],
                                     username=os.environ["AMTU_NTLM_USER"] if mechanism == "ntlm" else None,
                                     password=os.environ["AMTU_NTLM_PASSWORD"] if mechanism == "ntlm" else None)

    def post(self, text):
        try:
            return course.parse(200, self.protocol.transport.send_message(text))
        except WinRMTransportError as problem:
            return course.parse(problem.code, problem.response_text)

    def identify(self):
        return self.post(course.IDENTIFY)

    def ask(self, resource, action, element=None, arguments=(), namespace=None, selectors=None):
        envelope = self.protocol._get_soap_header(action=action, resource_uri=resource)
        if selectors:
            envelope["env:Header"]["w:SelectorSet"] = {
                "w:Selector": [{"@Name": name, "#text": value} for name, value in selectors.items()]}
        body = envelope.setdefault("env:Body", {})
        if element:
            body[f"c:{element}"] = {"@xmlns:c": namespace or resource}
            for name, value in arguments:
                body[f"c:{element}"].setdefault(f"c:{name}", []).append(value)
        return self.post(xmltodict.unparse({"env:Envelope": envelope}))


def main(mechanism, plain=None):
    client = Client(mechanism, os.environ["AMTU_URL_HTTP" if plain else "AMTU_URL"])
    if not plain:
        return course.run(client.ask, client.identify)
    try:
        client.protocol.transport.send_message(course.IDENTIFY)
    except WinRMTransportError as problem:
        course.tell("refused", str(problem.code))
        return None
    raise RuntimeError("encrypted messages were taken")


if __name__ == "__main__":
    main(*sys.argv[1:])
