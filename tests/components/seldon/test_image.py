"""The model's image: what its tag is made of, and that a host which has it need not build it again."""

from stand_in import chapter

from helpers.components.seldon import serving
from helpers.core import catalogue


def test_the_tag_is_the_one_that_hosts_have(monkeypatch):
    """Flowers.py, requirements-model.txt and build_image.py to the byte. Who changes one on purpose changes this tag."""
    base = catalogue.load()["python"].entry["image"]
    seldon = serving.Seldon(chapter(monkeypatch, "seldon", None), None, None, base, "models", ("10.0.1.1:9000", "u", None))
    assert seldon.images.name(*seldon._image()) == "localhost:32000/flowers:6fa74240bd4a"
