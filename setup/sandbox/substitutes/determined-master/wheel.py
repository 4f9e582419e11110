#!/usr/bin/env python3
"""Make what stands for the harness's wheel: wheel.py FOLDER. Of the real one's size packed, without what it can do."""

import pathlib
import random
import sys
import zipfile

NAME = "determined-0.15.3"
FILES = {
    "determined/__init__.py": b'__version__ = "0.15.3"  # a stand-in of the sandbox: no harness\n',
    # Bytes that do not pack: the master's ConfigMap has room for as many files as beside the real wheel.
    "determined/size.bin": random.Random(0).randbytes(345_000),
    NAME + ".dist-info/METADATA": b"Metadata-Version: 2.1\nName: determined\nVersion: 0.15.3\n",
    NAME + ".dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: sandbox\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}
RECORD = NAME + ".dist-info/RECORD"

lines = "".join(f"{name},,\n" for name in [*FILES, RECORD])
with zipfile.ZipFile(pathlib.Path(sys.argv[1]) / f"{NAME}-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
    for name, content in {**FILES, RECORD: lines.encode()}.items():
        wheel.writestr(zipfile.ZipInfo(name, (2021, 4, 1, 0, 0, 0)), content)
