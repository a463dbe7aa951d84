# SPDX-License-Identifier: Apache-2.0
"""A simulated PC whose host is a machine under QEMU, of which fake_qemu.py is the stand-in."""

import os
import pathlib

STAND_IN = pathlib.Path(__file__).with_name("fake_qemu.py")


def make_body(tmp_path, monkeypatch, name, passphrase):
    """A body's folder, and a PATH that has the stand-in first."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "qemu-system-x86_64").symlink_to(STAND_IN)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    body = tmp_path / name
    body.mkdir()
    for file, text in (("kernel", ""), ("initrd", ""), ("disk", ""), ("accelerator", "tcg\n"), ("passphrase", passphrase)):
        (body / file).write_text(text)
    return body


def machines(sim):
    """The pids of its children."""
    pid = sim.process.pid
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
