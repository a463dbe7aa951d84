# SPDX-License-Identifier: Apache-2.0
"""As much of an LDAP server as mod_authnz_ldap needs: every bind succeeds, and entries have attributes."""

import socketserver
import threading

BIND, BOUND, UNBIND, SEARCH, ENTRY, DONE = 0x60, 0x61, 0x42, 0x63, 0x64, 0x65
SEQUENCE, SET, INTEGER, OCTETS, ENUMERATED = 0x30, 0x31, 2, 4, 10


def ber(tag, *contents):
    body = b"".join(contents)
    length = bytes([len(body)]) if len(body) < 128 else bytes([0x82]) + len(body).to_bytes(2, "big")
    return bytes([tag]) + length + body


def octets(text):
    return ber(OCTETS, text.encode())


def result(tag):
    """Success, with nothing to add."""
    return ber(tag, ber(ENUMERATED, b"\0"), octets(""), octets(""))


def read_element(stream):
    """(tag, contents) of the next element, or (None, b"") at the end."""
    head = stream.read(2)
    if len(head) < 2:
        return None, b""
    length = head[1]
    if length & 0x80:
        length = int.from_bytes(stream.read(length & 0x7f), "big")
    return head[0], stream.read(length)


class Connection(socketserver.StreamRequestHandler):
    def handle(self):
        while True:
            _, message = read_element(self.rfile)
            if not message:
                return
            number, operation = message[:2 + message[1]], message[2 + message[1]:]
            if operation[0] == UNBIND:
                return
            for answer in self.answers(operation):
                self.wfile.write(ber(SEQUENCE, number, answer))

    def answers(self, operation):
        if operation[0] == BIND:
            return [result(BOUND)]
        return [*self.entries(operation), result(DONE)]

    def entries(self, operation):
        """The entries whose key is in the filter."""
        for key, attributes in self.server.people.items():
            if octets(key) in operation:
                listed = [ber(SEQUENCE, octets(name), ber(SET, *(octets(value) for value in values)))
                          for name, values in attributes.items()]
                yield ber(ENTRY, octets(f"uid={key},dc=fleet"), ber(SEQUENCE, *listed))


class LdapServer(socketserver.ThreadingTCPServer):
    """people: {what is searched for: {attribute: [values]}}; on a free port of 127.0.0.1."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, people):
        super().__init__(("127.0.0.1", 0), Connection)
        self.people = people
        self.port = self.server_address[1]

    def __enter__(self):
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exception):
        self.shutdown()
        self.server_close()
