# SPDX-License-Identifier: Apache-2.0
"""Client certificates of a stack's CA."""

from amtu_stack.process import run


def make_certificate(stack, pem, subject, names=""):
    """A client certificate of the stack's CA, with its key in the same file; the file."""
    tls = stack.httpd.root / "tls"
    key, request, more = (pem.with_suffix(f".{kind}") for kind in ("key", "csr", "ext"))
    more.write_text(f"extendedKeyUsage=clientAuth\n{'subjectAltName=' + names if names else ''}\n")
    run("a client's key", ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                           "-subj", subject, "-keyout", key, "-out", request])
    run("a client's certificate", ["openssl", "x509", "-req", "-in", request, "-CA", tls / "ca.pem", "-CAkey",
                                   tls / "ca.key", "-CAcreateserial", "-days", "1", "-extfile", more, "-out", pem])
    pem.write_text(pem.read_text() + key.read_text())
    return pem
