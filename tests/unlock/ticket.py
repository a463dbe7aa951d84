# SPDX-License-Identifier: Apache-2.0
"""A Kerberos realm for a test, and tokens of a client that may choose the service's whole name: AMT's has the port in
it, which curl cannot ask for."""

import contextlib
import ctypes
import os
import socket
import subprocess
import tempfile

from amtsim import wait_for

REALM = "FLEET.TEST"

KRB5_CONF = """
[libdefaults]
  default_realm = {realm}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
[realms]
  {realm} = {{
    kdc = 127.0.0.1:{port}
  }}
[domain_realm]
  .fleet.test = {realm}
"""

KDC_CONF = """
[kdcdefaults]
  kdc_listen = ""
  kdc_tcp_listen = 127.0.0.1:{port}
[realms]
  {realm} = {{
    database_name = {folder}/principal
    key_stash_file = {folder}/stash
    supported_enctypes = aes256-cts-hmac-sha1-96:normal
  }}
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def answers(port):
    with contextlib.suppress(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False


@contextlib.contextmanager
def realm(*services):
    """The environment in which `services` have keys, and "console" has a ticket-granting ticket."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="krb5.") as folder:
        environment = {**os.environ, "KRB5_CONFIG": f"{folder}/krb5.conf", "KRB5_KDC_PROFILE": f"{folder}/kdc.conf",
                       "KRB5_KTNAME": f"FILE:{folder}/fleet.keytab", "KRB5CCNAME": f"FILE:{folder}/console.cache",
                       "KRB5RCACHENAME": f"file2:{folder}/replay"}
        for name, text in (("krb5.conf", KRB5_CONF), ("kdc.conf", KDC_CONF)):
            with open(f"{folder}/{name}", "w", encoding="ascii") as file:
                file.write(text.format(realm=REALM, port=port, folder=folder))

        def run(*command, text=""):
            subprocess.run(command, env=environment, input=text.encode(), check=True, capture_output=True)
        run("/usr/sbin/kdb5_util", "-r", REALM, "-P", "only-a-test", "create", "-s")
        commands = ["addprinc -randkey console", f"ktadd -k {folder}/console.keytab console"]
        for service in services:
            commands += [f"addprinc -randkey {service}", f"ktadd -k {folder}/fleet.keytab {service}"]
        run("/usr/sbin/kadmin.local", "-r", REALM, text="\n".join(commands) + "\n")
        kdc = subprocess.Popen(["/usr/sbin/krb5kdc", "-n", "-r", REALM], env=environment,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for("the KDC", lambda: answers(port))
            run("/usr/bin/kinit", "-k", "-t", f"{folder}/console.keytab", "console")
            yield environment
        finally:
            kdc.terminate()
            kdc.wait()


class _Buffer(ctypes.Structure):
    _fields_ = [("length", ctypes.c_size_t), ("value", ctypes.c_void_p)]


class _Oid(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint32), ("elements", ctypes.c_void_p)]


SPNEGO = bytes.fromhex("2b0601050502")
HOST_BASED_SERVICE = bytes.fromhex("2a864886f71201020104")


def token(service, host):
    """The initial SPNEGO token for service@host, in this process's Kerberos environment."""
    gss = ctypes.CDLL("libgssapi_krb5.so.2")
    minor = ctypes.c_uint32()
    name, context = ctypes.c_void_p(), ctypes.c_void_p()
    spelled = f"{service}@{host}".encode()
    mechanism = ctypes.create_string_buffer(SPNEGO, len(SPNEGO))
    kind = ctypes.create_string_buffer(HOST_BASED_SERVICE, len(HOST_BASED_SERVICE))
    text = ctypes.create_string_buffer(spelled, len(spelled))
    given = _Buffer(len(spelled), ctypes.cast(text, ctypes.c_void_p))
    made = _Buffer()
    kind_oid = _Oid(len(HOST_BASED_SERVICE), ctypes.cast(kind, ctypes.c_void_p))
    mechanism_oid = _Oid(len(SPNEGO), ctypes.cast(mechanism, ctypes.c_void_p))
    assert gss.gss_import_name(ctypes.byref(minor), ctypes.byref(given), ctypes.byref(kind_oid),
                               ctypes.byref(name)) == 0
    major = gss.gss_init_sec_context(ctypes.byref(minor), None, ctypes.byref(context), name,
                                     ctypes.byref(mechanism_oid), 0, 0, None, None, None, ctypes.byref(made), None,
                                     None)
    assert major in (0, 1), f"no token for {spelled}: {major:#x} {minor.value}"
    return ctypes.string_at(made.value, made.length)
