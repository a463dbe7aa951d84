#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""python3-requests with its plug-ins for Kerberos or NTLM: requests_client.py kerberos|ntlm"""

import os
import sys
import uuid
import xml.etree.ElementTree as tree

import course
import requests
from course import JOB, S, WSMAN

WSA = "http://schemas.xmlsoap.org/ws/2004/08/addressing"
CONTENT = {"Content-Type": "application/soap+xml;charset=UTF-8"}


def authentication(mechanism):
    if mechanism == "kerberos":
        from requests_kerberos import REQUIRED, HTTPKerberosAuth
        return HTTPKerberosAuth(mutual_authentication=REQUIRED)
    from requests_ntlm import HttpNtlmAuth
    return HttpNtlmAuth(os.environ["AMTU_NTLM_USER"], os.environ["AMTU_NTLM_PASSWORD"])


class Client:
    def __init__(self, mechanism):
        self.url = os.environ["AMTU_URL"]
        self.session = requests.Session()
        self.session.auth = authentication(mechanism)
        self.session.verify = os.environ["AMTU_CA"]

    def post(self, text):
        answer = self.session.post(self.url, data=text, headers=CONTENT)
        return course.parse(answer.status_code, answer.content)

    def identify(self):
        return self.post(course.IDENTIFY)

    def ask(self, resource, action, element=None, arguments=(), namespace=None, selectors=None):
        envelope = tree.Element(f"{{{S}}}Envelope")
        header = tree.SubElement(envelope, f"{{{S}}}Header")
        for name, text in ((f"{{{WSA}}}To", self.url), (f"{{{WSA}}}Action", action), (f"{{{WSMAN}}}ResourceURI", resource),
                           (f"{{{WSA}}}MessageID", f"urn:uuid:{uuid.uuid4()}")):
            tree.SubElement(header, name, {f"{{{S}}}mustUnderstand": "1"}).text = text
        tree.SubElement(tree.SubElement(header, f"{{{WSA}}}ReplyTo"), f"{{{WSA}}}Address").text = f"{WSA}/role/anonymous"
        if resource == JOB:
            chosen = tree.SubElement(header, f"{{{WSMAN}}}SelectorSet")
            for name, value in selectors.items():
                tree.SubElement(chosen, f"{{{WSMAN}}}Selector", Name=name).text = value
        body = tree.SubElement(envelope, f"{{{S}}}Body")
        if element:
            sent = tree.SubElement(body, f"{{{namespace or resource}}}{element}")
            for name, value in arguments:
                tree.SubElement(sent, f"{{{namespace or resource}}}{name}").text = value
        return self.post(tree.tostring(envelope))


if __name__ == "__main__":
    client = Client(sys.argv[1])
    course.run(client.ask, client.identify)
