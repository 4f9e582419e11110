"""What is in an image that a recipe made."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path

from helpers.sandbox import builds, registry


def unpacked(recipe: str, name: str, folder: Path) -> tuple[Path, dict]:
    """The files of the image whose name has `name` in it, in a new folder, and its configuration.

    The recipe is built when it is not yet.
    """
    folder.mkdir(parents=True)
    archive = next(path for path, image in registry.images(builds.build(recipe, print) / "out") if name in image)
    with tarfile.open(archive) as tar:
        listing = json.load(tar.extractfile("manifest.json"))[0]
        config = json.load(tar.extractfile(listing["Config"]))["config"]
        for layer in listing["Layers"]:
            subprocess.run(
                ["tar", "-xpf", "-", "-C", folder, "--numeric-owner"], input=tar.extractfile(layer).read(), check=True
            )
    for mount in ("proc", "dev", "run"):
        (folder / mount).mkdir(exist_ok=True)
    return folder, config
