# SPDX-License-Identifier: Apache-2.0
"""What real boot chains show on a serial port, as scripts (tests/consoles): each ends as it says of itself, however AMT cuts
the text into messages."""

import pytest

from consoles import Consoles, cases, pending
from redirected import passphrases

CASES, LATE = list(cases(late=False)), list(cases(late=True))


def played(request, name, parameters, late=False):
    one = Consoles(name, [tuple(case.values) for case in parameters], late)
    request.addfinalizer(one.rig.down)
    return one.play()


@pytest.fixture(name="consoles", scope="module")
def _consoles(request):
    return played(request, "consoles", CASES)


@pytest.fixture(name="late", scope="module")
def _late(request):
    return played(request, "consoles-late", LATE, late=True)


@pytest.mark.parametrize("name,cut", CASES)
def test_console(consoles, name, cut):
    consoles.check(name, cut)


@pytest.mark.parametrize("name,cut", LATE)
def test_a_passphrase_that_comes_late(late, name, cut):
    """What stood on the console when it was asked for may be gone when it is there."""
    late.check(name, cut)


def test_a_right_passphrase_is_never_called_wrong(consoles):
    """Of all PCs: where each line that was typed did fit, the verdict is not wrong-passphrase."""
    fitted = {script.system for (name, _), script in consoles.scripts.items() if name not in pending()
              and (answers := passphrases(consoles.rig, script.system)) and all(answers)}
    assert len(fitted) > len(CASES) // 4
    assert not {system for system in fitted if consoles.results[system] == "wrong-passphrase"}


def test_no_passphrase_is_written_down(consoles):
    """Not even of the consoles that echo it."""
    secrets = consoles.passphrases()
    assert len(secrets) >= len(CASES)
    for file in (consoles.worker.log, consoles.worker.folder / "audit.jsonl"):
        text = file.read_text()
        assert text and not [secret for secret in secrets if secret in text], file
