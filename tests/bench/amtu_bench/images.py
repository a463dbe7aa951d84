# SPDX-License-Identifier: Apache-2.0
"""One unlock image, read by many simulated firmwares at once from one worker; the simulator checks every byte."""

import hashlib
import json
import os
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from .stacks import names_of, running, said_by, unlock
from .table import Gate, Value
from .watch import Watch

MEBIBYTE = 1 << 20
READ = 32 * 1024  # bytes that the simulated firmware asks for at a time
DRIVE_MS = 20  # between two reads, as hardware on a LAN does: public reports have 1.5 MB/s of it
PACE_TOLERANCE, PACE_SPARE = 2, 2  # times and seconds: the simulator shares the processors with what is measured
# That the worker may grow by, at most, while all read: of 50 PCs, which share what it has besides, 118 to 131 were seen.
KIB_A_PC = 160


class Readers(threading.Thread):
    """What the PCs say while they read."""

    def __init__(self, stack, names, watch):
        super().__init__()
        self.log, self.names, self.watch = stack.fleet.log, set(names), watch
        self.over = threading.Event()
        self.began = self.ended = self.all_read = None  # (monotonic seconds, the workers' CPU seconds)
        self.reads, self.images = {}, {}

    def run(self):
        with open(self.log) as log:
            log.seek(0, os.SEEK_END)
            line = ""
            while not self.over.wait(0.02):
                while piece := log.readline():
                    line += piece
                    if line.endswith("\n"):
                        self._note(json.loads(line))
                        line = ""

    def _note(self, event):
        if event["system"] not in self.names or event["event"] not in ("ider-read", "image"):
            return
        now = time.monotonic(), self.watch.worker_cpu()
        if event["event"] == "ider-read":
            self.began = self.began or now
            self.reads.setdefault(event["system"], []).append(event["t"])
            if self.all_read is None and len(self.reads) == len(self.names):
                self.all_read = now
        else:
            self.images[event["system"]] = event
            self.ended = now

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *unused):
        self.over.set()
        self.join()


def served(systems, mebibytes, drive_ms, boot_seconds):
    """(Readers, Watch, gates) of a job over all PCs but the first, which was unlocked before: what it leaves is no PC's
    share."""
    with running(systems=systems + 1, method="image", boot_seconds=f"{boot_seconds}-{boot_seconds}", threads=1, boot_timeout=600,
                 image_mebibytes=mebibytes, amtsim=("--drive-ms", str(drive_ms))) as stack:
        first, *names = names_of(stack)
        unlock(stack, [first])
        with Watch(stack) as watch, Readers(stack, names, watch) as readers:
            answer = unlock(stack, names)
        wanted = (mebibytes * MEBIBYTE, hashlib.sha256((stack.places.run / "unlock.iso").read_bytes()).hexdigest(), "right")
    good = sum((one["bytes"], one["sha256"], one["checksum"]) == wanted for one in readers.images.values())
    return readers, watch, [
        Gate(f"all of the image reached {systems} PCs, and was right (pause of {drive_ms} ms)", good == systems),
        Gate("all are unlocked", len(answer["unlocked"]) == systems and not answer["failed"])]


def paced(systems, mebibytes, boot_seconds):
    """Firmware that pauses: what a PC costs in memory, most of all for the moment in which all connect."""
    readers, watch, gates = served(systems, mebibytes, DRIVE_MS, boot_seconds)
    own = mebibytes * MEBIBYTE / READ * DRIVE_MS / 1000
    slowest = max((times[-1] - times[0] for times in readers.reads.values()), default=0)
    reading = (watch.usually_grown_kib(readers.all_read[0], readers.ended[0]) if readers.all_read and readers.ended else 0) / systems
    gates += [Gate(f"the worker grew by less than {KIB_A_PC} KiB a PC while all read, not by {reading:.0f}",
                   0 < reading < KIB_A_PC),
              Gate(f"serving kept pace: the slowest PC took {slowest:.1f} s, of which {own:.1f} s were its own pauses",
                   0 < slowest < PACE_TOLERANCE * own + PACE_SPARE)]
    return {"memory": Value(watch.grown_kib() / systems), "memory-reading": Value(reading)}, gates


def unpaced(systems, mebibytes, boot_seconds):
    """Firmware that reads as fast as it is served: what a core of the worker serves."""
    readers, _, gates = served(systems, mebibytes, 0, boot_seconds)
    megabytes = systems * mebibytes * MEBIBYTE / 1e6
    cpu = readers.ended[1] - readers.began[1] if readers.ended and readers.began else 0
    gates.append(Gate("serving took time", cpu > 0))
    rate = megabytes / cpu if cpu else 0
    with tempfile.TemporaryDirectory() as folder:
        files = make_certificate(Path(folder))
        copied, asked = copy_cost(files, systems, mebibytes), bare_cost(files, systems, mebibytes)
    return {"rate": Value(rate, megabytes / copied), "asked": Value(rate, megabytes / asked)}, gates


# ---- the floors ------------------------------------------------------------------------------------------------------

def make_certificate(folder):
    files = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                    "1", "-subj", "/CN=copy", "-keyout", files[0], "-out", files[1]], check=True, capture_output=True)
    return files


def receive_all(port):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    buffer = bytearray(READ)
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port))) as stream:
        while stream.recv_into(buffer):
            pass


def bare_cost(files, systems, mebibytes):
    """CPU seconds of a bare server that is asked for as many bytes as the worker is, 32 KiB at a time."""
    key, certificate = files
    return said_by("serve", certificate, key, systems, mebibytes)["cpu"]


def copy_cost(files, systems, mebibytes):
    """CPU seconds of a process that sends as many bytes, as the worker's peers take them (TLS 1.2), and does nothing
    else; another process reads them."""
    data = memoryview(os.urandom(mebibytes * MEBIBYTE))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(*reversed(files))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        reader = os.fork()
        if reader == 0:
            try:
                receive_all(listener.getsockname()[1])
            finally:
                os._exit(0)
        with context.wrap_socket(listener.accept()[0], server_side=True) as stream:
            before = time.process_time()
            for _ in range(systems):
                stream.sendall(data)
            took = time.process_time() - before
        os.waitpid(reader, 0)
    return took
