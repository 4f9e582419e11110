#!/usr/bin/env python3
"""Give an image's archive the signal that stops it: stopsignal.py ARCHIVE SIGNAL. Same input, same bytes."""

import hashlib
import io
import json
import os
import sys
import tarfile

archive, signal = sys.argv[1:]


def entry(name, text):
    info = tarfile.TarInfo(name)
    info.size = len(text)
    return info, io.BytesIO(text)


with tarfile.open(archive) as old, tarfile.open(archive + ".new", "w") as new:
    listing = json.load(old.extractfile("manifest.json"))
    about = json.load(old.extractfile(listing[0]["Config"]))
    for name in listing[0]["Layers"]:
        new.addfile(old.getmember(name), old.extractfile(name))
    about["config"]["StopSignal"] = signal
    text = json.dumps(about).encode()
    listing[0]["Config"] = hashlib.sha256(text).hexdigest() + ".json"
    new.addfile(*entry(listing[0]["Config"], text))
    new.addfile(*entry("manifest.json", json.dumps(listing).encode()))
os.replace(archive + ".new", archive)
