#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the Python program of docs/consoles.md as it stands, with the real python3-requests-kerberos."""

import os
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[3] / "docs" / "consoles.md"
(PROGRAM,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.S | re.M)

page = {"__name__": "page"}
exec(compile(PROGRAM, str(PAGE), "exec"), page)
for name, systems in zip(("unlocked", "failed"),
                         page["Unlock"](os.environ["AMTU_URL"], os.environ["AMTU_CA"]).unlock(os.environ["AMTU_SYSTEMS"].split())):
    print(name, " ".join(systems), sep="\t")
