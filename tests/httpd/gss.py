# SPDX-License-Identifier: Apache-2.0
"""Callers whose tokens come from GSS-API itself: NTLM (gss-ntlmssp), raw or inside SPNEGO, and Kerberos."""

import base64
import ctypes
import http.client
import ssl
from ctypes import POINTER, byref, c_char, c_size_t, c_uint32, c_void_p

from amtu_stack import soap

CONTENT = "application/soap+xml;charset=UTF-8"
# How a token travels: the scheme, and whether SPNEGO is around it
WAYS = {"raw": ("NTLM", False), "raw in Negotiate": ("Negotiate", False), "SPNEGO": ("Negotiate", True)}
SPNEGO = bytes.fromhex("2b0601050502")
NTLMSSP = bytes.fromhex("2b06010401823702020a")
USER_NAME = bytes.fromhex("2a864886f71201020101")
HOST_SERVICE = bytes.fromhex("2a864886f71201020104")
COMPLETE, CONTINUE = 0, 1
INITIATE = 1


class Oid(ctypes.Structure):
    _fields_ = [("length", c_uint32), ("elements", c_void_p)]

    @classmethod
    def of(cls, octets):
        made = cls(len(octets), None)
        made.kept = ctypes.create_string_buffer(octets, len(octets))
        made.elements = ctypes.cast(made.kept, c_void_p)
        return made


class OidSet(ctypes.Structure):
    _fields_ = [("count", c_size_t), ("elements", POINTER(Oid))]

    @classmethod
    def of(cls, oid):
        made = cls(1, ctypes.pointer(oid))
        made.kept = oid
        return made


class Buffer(ctypes.Structure):
    _fields_ = [("length", c_size_t), ("value", c_void_p)]

    @classmethod
    def of(cls, octets):
        made = cls(len(octets), None)
        made.kept = (c_char * max(1, len(octets))).from_buffer_copy(octets or b"\0")
        made.value = ctypes.cast(made.kept, c_void_p)
        return made


class Refused(Exception):
    """GSS-API did not go on."""


class Handshake:
    """One log-in: step(token) gives the next token, or None where there is nothing more to say."""

    def __init__(self, mechanism):
        self.gss = ctypes.CDLL("libgssapi_krb5.so.2")
        self.context, self.credential = c_void_p(), c_void_p()
        self.target = self._name(b"HTTP@localhost", HOST_SERVICE)
        self.mechanism = Oid.of(mechanism)

    def _call(self, name, *arguments):
        minor = c_uint32()
        major = getattr(self.gss, name)(byref(minor), *arguments)
        if major not in (COMPLETE, CONTINUE):
            raise Refused(f"{name}: {major:#x}, {minor.value:#x}")
        return major

    def _name(self, text, kind):
        name = c_void_p()
        self._call("gss_import_name", byref(Buffer.of(text)), byref(Oid.of(kind)), byref(name))
        return name

    def step(self, token=b""):
        made = Buffer()
        self._call("gss_init_sec_context", self.credential, byref(self.context), self.target, byref(self.mechanism),
                   c_uint32(0), c_uint32(0), None, byref(Buffer.of(token)), None, byref(made), None, None)
        octets = ctypes.string_at(made.value, made.length) if made.length else None
        self._call("gss_release_buffer", byref(made))
        return octets

    def close(self):
        if self.context:
            self._call("gss_delete_sec_context", byref(self.context), None)
        if self.credential:
            self._call("gss_release_cred", byref(self.credential))


class Ntlm(Handshake):
    """As this user, with a password."""

    def __init__(self, user, password, inside_spnego):
        super().__init__(SPNEGO if inside_spnego else NTLMSSP)
        self._call("gss_acquire_cred_with_password", self._name(user.encode(), USER_NAME), byref(Buffer.of(password.encode())),
                   c_uint32(0), byref(OidSet.of(self.mechanism)), INITIATE, byref(self.credential), None, None)
        if inside_spnego:
            only = OidSet.of(Oid.of(NTLMSSP))
            self._call("gss_set_neg_mechs", self.credential, byref(only))


class Kerberos(Handshake):
    """With the ticket that KRB5CCNAME and KRB5_CONFIG of this process lead to."""

    def __init__(self):
        super().__init__(SPNEGO)


def authorization(token, scheme="Negotiate"):
    return f"{scheme} {base64.b64encode(token).decode()}"


class Caller:
    """One connection on which a user logs in once."""

    def __init__(self, httpd, path):
        trust = ssl.create_default_context(cafile=httpd.ca)
        self.path = path
        self.more = {}  # headers
        self.connection = http.client.HTTPSConnection("localhost", httpd.https, context=trust, timeout=10)
        self.connection.connect()
        self.connection.auto_open = 0  # a connection that the server closed is an error

    def post(self, body=b"", authorization=None, content_type=CONTENT):
        headers = {"Content-Type": content_type, **self.more, **({"Authorization": authorization} if authorization else {})}
        self.connection.request("POST", self.path, body.encode() if isinstance(body, str) else body, headers)
        answer = self.connection.getresponse()
        self.challenges = [value for name, value in answer.getheaders() if name.lower() == "www-authenticate"]
        return soap.Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read(), 0)

    def log_in(self, user, password, way="SPNEGO", body=b""):
        """With NTLM: the answer that ends the handshake. The body goes with each of its requests."""
        scheme, inside = WAYS[way]
        return Caller.shake_hands(self, Ntlm(user, password, inside), scheme, body)

    def shake_hands(self, handshake, scheme="Negotiate", body=b""):
        try:
            token, answer = handshake.step(), None
            while token:
                answer = self.post(body, authorization(token, scheme))
                said = [one.partition(" ")[2] for one in self.challenges if one.partition(" ")[0] == scheme]
                token = handshake.step(base64.b64decode(said[0])) if answer.status == 401 and said and said[0] else None
            return answer
        except Refused:  # the token was SPNEGO's "reject"
            return answer
        finally:
            handshake.close()
