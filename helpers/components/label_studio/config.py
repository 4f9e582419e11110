"""Labelling configs: what one says, what is wrong with one, and what an answer to one looks like. Pure functions."""

from __future__ import annotations

import re
import xml.etree.ElementTree
from pathlib import Path

from helpers.components.label_studio.layout import HERE
from helpers.components.pachyderm import dataset
from helpers.core.shell import filled

_PICTURES = r"(?i).*\.(png|jpe?g|gif|bmp|webp)$"


def default_config():
    """A config for the runbook's pictures: one of Fashion-MNIST's ten classes."""
    choices = "\n".join(f'    <Choice value="{label}"/>' for label in dataset.LABELS)
    return filled(HERE / "pictures.xml", CHOICES=choices)


def read(path):
    """The config in a file of this machine; "" for the default one. A file that is not there is an empty text."""
    if not path:
        return default_config()
    return Path(path).read_text("utf-8", "replace") if Path(path).is_file() else ""


def why_unusable(path):
    """None when the config in this file (see read) can be used, else why not."""
    if path and not Path(path).is_file():
        return f"there is no file {path} on this machine"
    return why_wrong(read(path))


def why_wrong(text):
    """What is wrong with a config, as far as it can be told without a server; None when nothing is.

    It is one <View>; in it an object tag (<Image name="image" value="$image"/>) that shows the one piece of data that a
    file of the storage is, and control tags whose toName is an object's name.
    """
    try:
        root = xml.etree.ElementTree.fromstring(text)
    except xml.etree.ElementTree.ParseError as e:
        return f"it is no XML: {e}"
    if root.tag != "View":
        return f"its outermost tag is <{root.tag}>, not <View>"
    objects = [t for t in root.iter() if t.get("value", "").startswith("$")]
    return _why_shows_nothing(objects) or _why_labels_nothing(root, {t.get("name") for t in objects})


def _why_shows_nothing(objects):
    wanted = sorted({t.get("value") for t in objects})
    if not wanted:
        return 'no tag shows data: one needs value="$image" or the like'
    if len(wanted) > 1:
        return f"its tags want {' and '.join(wanted)}: a file of the storage is one piece of data"
    return None


def _why_labels_nothing(root, names):
    controls = [t for t in root.iter() if t.get("toName")]
    if not controls:
        return "no tag labels anything: one needs toName"
    for tag in controls:
        missing = sorted(set(tag.get("toName").split(",")) - names)
        if missing:
            return f"<{tag.tag}> labels {missing[0]!r}, and no tag has that name"
        if not tag.get("name"):
            return f"<{tag.tag}> has no name"
    return None


def file_pattern(config):
    """The regular expression of the files that a config can show."""
    return _PICTURES if "<Image" in config else ".*"


def same(one, other):
    """Are two configs the same but for white space between tags?"""
    return _tight(one) == _tight(other)


def _tight(config):
    return re.sub(r">\s+<", "><", config.strip())


def answer(config, n):
    """An annotation's result for a config: the n-th choice of its first <Choices>; [] when it has none, or is wrong."""
    if why_wrong(config):  # remove asks for no usable one
        return []
    for tag in xml.etree.ElementTree.fromstring(config).iter("Choices"):
        values = [c.get("value") for c in tag.iter("Choice") if c.get("value")]
        if values and tag.get("toName"):
            name, shown = tag.get("name"), tag.get("toName").split(",")[0]
            return [{"from_name": name, "to_name": shown, "type": "choices", "value": {"choices": [values[n]]}}]
    return []


def chosen(result):
    """The choices in an annotation's result."""
    return [c for part in result for c in part.get("value", {}).get("choices", [])]
