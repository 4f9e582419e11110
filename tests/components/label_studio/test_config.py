"""Labelling configs: the default one, what is wrong with others, and answers to them."""

import pytest

from helpers.components.label_studio import config
from helpers.components.label_studio.config import answer, chosen, default_config, why_wrong
from helpers.components.pachyderm import dataset

CONFIG = (
    '<View><Image name="i" value="$image"/>'
    '<Choices name="c" toName="i"><Choice value="a"/><Choice value="b"/></Choices></View>'
)


def test_the_default_config_asks_for_the_ten_classes():
    text = config.read("")
    assert text == default_config() and why_wrong(text) is None and config.why_unusable("") is None
    assert [chosen(answer(text, n)) for n in (0, 9, -1)] == [["T-shirt/top"], ["Ankle boot"], ["Ankle boot"]]
    assert tuple(chosen(answer(text, n))[0] for n in range(10)) == dataset.LABELS
    assert answer(text, 3)[0]["to_name"] == "image" and answer(text, 3)[0]["from_name"] == "class"


@pytest.mark.parametrize(
    "text, says",
    [
        ("<View><Image", "it is no XML"),
        ("<Image name='i' value='$i'/>", "outermost tag is <Image>"),
        ("<View><Choices name='c' toName='i'><Choice value='a'/></Choices></View>", "no tag shows data"),
        ("<View><Image name='i' value='$image'/></View>", "no tag labels anything"),
        (CONFIG.replace('toName="i"', 'toName="j"'), "<Choices> labels 'j'"),
        (CONFIG.replace('name="c" ', ""), "<Choices> has no name"),
        (CONFIG.replace("<Choices", '<Text name="t" value="$text"/><Choices'), "$image and $text"),
    ],
)
def test_what_is_wrong_with_a_config_is_said(text, says, tmp_path):
    (tmp_path / "config.xml").write_text(text)
    assert says in why_wrong(text) and says in config.why_unusable(str(tmp_path / "config.xml"))


def test_a_file_that_is_not_there_is_said_and_stops_no_removal(tmp_path):
    path = str(tmp_path / "away.xml")
    assert config.why_unusable(path) == f"there is no file {path} on this machine"
    assert config.read(path) == "" and answer(config.read(path), 0) == []


def test_a_file_that_is_no_text_is_no_config(tmp_path):
    (tmp_path / "picture.png").write_bytes(dataset.files().popitem()[1])
    assert "it is no XML" in config.why_unusable(str(tmp_path / "picture.png"))


def test_a_config_without_choices_is_answered_with_nothing():
    boxes = CONFIG.replace("Choices", "RectangleLabels").replace("Choice ", "Label ")
    assert why_wrong(boxes) is None and answer(boxes, 0) == [] and chosen([]) == []


def test_configs_are_the_same_but_for_white_space():
    assert config.same(CONFIG, CONFIG.replace("><", ">\n  <") + "\n")
    assert not config.same(CONFIG, CONFIG.replace('"b"', '"B"'))
