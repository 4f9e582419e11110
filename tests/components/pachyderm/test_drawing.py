"""Chapter 07's picture of what is made from what."""

import xml.etree.ElementTree as ET

from helpers.components.pachyderm import drawing


def test_the_provenance_picture_goes_from_left_to_right_and_is_the_same_each_time():
    nodes = {
        "repo:fmnist": "60 files",
        "pipeline:outline": "glob /*/*",
        "repo:outline": "60 files",
        "pipeline:a<b": "",
        "repo:a<b": "1 file",
    }
    edges = [
        ("repo:fmnist", "pipeline:outline"),
        ("pipeline:outline", "repo:outline"),
        ("repo:outline", "pipeline:a<b"),
        ("repo:fmnist", "pipeline:a<b"),
        ("pipeline:a<b", "repo:a<b"),
    ]
    svg = drawing.graph(nodes, edges)
    assert svg == drawing.graph(dict(nodes), list(edges))
    root = ET.fromstring(svg)
    tag = "{http://www.w3.org/2000/svg}"
    xs = [int(r.get("x")) for r in root.findall(tag + "rect")]
    assert xs == sorted(xs) and len(set(xs)) == 5 and len(root.findall(tag + "path")) == len(edges)
    assert [t.text for t in root.findall(tag + "text")][::2] == ["fmnist", "outline", "outline", "a<b", "a<b"]
