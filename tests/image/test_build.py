# SPDX-License-Identifier: Apache-2.0
"""`make image`: what it makes, twice the same, and what it says where something is missing.

The program inside is a stand-in of a few lines: what is built around it does not depend on it.
"""

import hashlib
import os
import pathlib
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[2]
BUILD = ROOT / "mod_amtunlock" / "image" / "build"
SECTOR = 2048
MARKER = b"amtunlock proof sector 0b6a4e0d-5c51-4c43-9d0e-2f6f1a7c3b95 v1.\n"
STAND_IN = "#include <openssl/evp.h>\nint main(void) { return EVP_sha256() == 0; }\n"


@pytest.fixture(scope="module", name="program")
def _program(tmp_path_factory):
    """A program that needs a shared library."""
    folder = tmp_path_factory.mktemp("program")
    (folder / "init.c").write_text(STAND_IN)
    subprocess.run(["gcc", "-o", folder / "init", folder / "init.c", "-lcrypto"], check=True, timeout=60)
    return folder / "init"


def build(program, iso, **environment):
    return subprocess.run([BUILD, program, iso], capture_output=True, text=True, timeout=600,
                          env=os.environ | environment, check=False)


@pytest.fixture(scope="module", name="images")
def _images(program, tmp_path_factory):
    """Two images, built in folders of their own: the second of a program that is touched in between, by another umask."""
    first, second = (tmp_path_factory.mktemp(name) / "unlock.iso" for name in ("first", "a-second"))
    made = build(program, first)
    assert made.returncode == 0, made.stderr
    shutil.copytree(f"{first}.debs", f"{second}.debs")
    os.utime(program, (1, 1))
    umask = os.umask(0o077)
    try:
        made = build(program, second)
    finally:
        os.umask(umask)
    assert made.returncode == 0, made.stderr
    return first, second


def test_the_same_bytes(images):
    first, second = (path.read_bytes() for path in images)
    assert hashlib.sha256(first).hexdigest() == hashlib.sha256(second).hexdigest()
    for kind in ("sha256", "packages"):
        assert pathlib.Path(f"{images[0]}.{kind}").read_text() == pathlib.Path(f"{images[1]}.{kind}").read_text()


def test_size_and_placeholder(images):
    content = images[0].read_bytes()
    assert len(content) <= 19_100_000
    sectors = [content[at:at + SECTOR] for at in range(0, len(content), SECTOR) if content.startswith(MARKER, at)]
    assert len(sectors) == 1
    assert sectors[0][64:68] == bytes([1, 0, 0, 0])
    assert hashlib.sha256(sectors[0][:2016]).digest() == sectors[0][2016:]


def test_sum_packages_and_licences(images):
    iso = images[0]
    assert pathlib.Path(f"{iso}.sha256").read_text() == f"{hashlib.sha256(iso.read_bytes()).hexdigest()}  unlock.iso\n"
    packages = dict(line.split() for line in pathlib.Path(f"{iso}.packages").read_text().splitlines())
    licences = pathlib.Path(f"{iso}.licences")
    assert {path.name for path in licences.iterdir()} == set(packages)
    assert all(path.stat().st_size > 100 for path in licences.iterdir())
    assert any(name.startswith("linux-image-") for name in packages)
    assert {"shim-signed", "grub-efi-amd64-signed", "isolinux", "libc6", "libssl3", "libgcc-s1"} <= set(packages)


def test_what_lies_in_the_initramfs(images, tmp_path):
    subprocess.run(["xorriso", "-osirrox", "on", "-indev", images[0], "-extract", "/", tmp_path / "cd"],
                   check=True, capture_output=True, timeout=60)
    archive = subprocess.run(["xz", "-dc", tmp_path / "cd/boot/initrd"], check=True, capture_output=True, timeout=60)
    names = subprocess.run(["cpio", "--list", "--quiet"], input=archive.stdout, check=True, capture_output=True,
                           timeout=60).stdout.decode().split()
    order = [name.removeprefix("modules/") for name in names if name.startswith("modules/") and name.endswith(".ko")]
    assert {"nvme.ko", "vmd.ko", "ahci.ko", "sr_mod.ko", "ata_generic.ko", "usb-storage.ko", "nd_pmem.ko", "ext4.ko"} <= set(order)
    assert any("libgcc_s.so.1" in name for name in names)
    assert not [name for name in names if "/bin/" in name or "/net/" in name or "busybox" in name]
    assert [name.name for name in (tmp_path / "cd").iterdir() if name.is_file() and name.stat().st_size == SECTOR] == \
        ["amtunlock-proof.bin"]


def package(folder, name, architecture, files):
    """A Debian package with these files: its path."""
    tree = folder / name
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(f"Package: {name}\nVersion: 1\nArchitecture: {architecture}\n"
                                         "Maintainer: nobody <nobody@example.com>\nDescription: a test\n")
    for path, content in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(content)
    subprocess.run(["dpkg-deb", "--build", tree, folder / f"{name}.deb"], check=True, capture_output=True, timeout=60)
    return folder / f"{name}.deb"


RELEASE = "lib/modules/6.1.0-1-amd64"
COPYRIGHT = {"usr/share/doc/k/copyright": "a licence"}
WRONG = [
    ("arm64", COPYRIGHT, "is for arm64: the image is for PCs with Intel AMT"),
    ("amd64", {}, "comes without its licence"),
    ("amd64", COPYRIGHT, "a folder lib/modules/VERSION of the kernel was not found"),
    ("amd64", COPYRIGHT | {"lib/modules/6.1.0-1-cloud-amd64/modules.order": ""}, "is a kernel for clouds"),
    ("amd64", COPYRIGHT | {f"{RELEASE}/modules.order": ""}, "has no boot/vmlinuz-6.1.0-1-amd64"),
    ("amd64", COPYRIGHT | {f"{RELEASE}/modules.order": "", "lib/modules/2/modules.order": ""}, "was found more than once"),
]


@pytest.mark.parametrize("architecture, files, words", WRONG)
def test_a_kernel_that_does_not_do(program, tmp_path, architecture, files, words):
    made = build(program, tmp_path / "unlock.iso", KERNEL=str(package(tmp_path, "k", architecture, files)))
    assert made.returncode == 1
    assert words in made.stderr
    assert not (tmp_path / "unlock.iso").exists()


def test_what_is_not_there(program, tmp_path):
    iso = tmp_path / "unlock.iso"
    assert "/nowhere.deb is not there" in build(program, iso, KERNEL="/nowhere.deb").stderr
    assert "is not there" in build(tmp_path / "init", iso).stderr
    assert not iso.exists()
