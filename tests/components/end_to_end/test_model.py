"""The model's repository: its own test passes, its training learns, and ten wrong labels cost what the chapter says."""

import importlib.util
import json
import subprocess
import sys

import pytest
from serving import serving

from helpers.components.end_to_end import checkpoints, delivery, labels, pictures
from helpers.components.end_to_end.cluster import FOLDER
from helpers.components.pachyderm import dataset

MODEL = checkpoints.model()


@pytest.fixture
def train(monkeypatch):
    """The module train.py, as the task runs it."""
    monkeypatch.setitem(sys.modules, "model", MODEL)
    spec = importlib.util.spec_from_file_location("runbook_clothes_train", FOLDER / "train.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def learnt(said):
    """A checkpoint that learnt each picture by the label that `said` has for it, else by its own."""
    settings = json.loads((FOLDER / "settings.json").read_text())
    there = [(path, rows) for path, _, rows in dataset.images() if path in pictures.learnt()]
    rows = [MODEL.features(MODEL.outline(picture)) for _, picture in there]
    numbers = [dataset.LABELS.index(said.get(path, labels.true_label(path))) for path, _ in there]
    weights = MODEL.train(rows, numbers, settings["epochs"], settings["rate"])
    return {"weights": weights, "temperature": settings["temperature"]}


def test_what_a_push_must_pass_passes(tmp_path):
    for name in ("model.py", "train.py", "test_model.py", "settings.json"):
        (tmp_path / name).write_text((FOLDER / name).read_text())
    done = subprocess.run([sys.executable, "-m", "unittest"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "OK" in done.stderr


def test_a_model_with_the_proofs_line_below_it_does_not_pass(tmp_path):
    for name in ("model.py", "train.py", "test_model.py", "settings.json"):
        (tmp_path / name).write_text((FOLDER / name).read_text())
    with open(tmp_path / "model.py", "a") as file:
        file.write(delivery._BREAKS)
    done = subprocess.run([sys.executable, "-m", "unittest"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode and "this model must not be served" in done.stderr


def test_a_training_that_fails_stays_until_its_words_are_seen(tmp_path):
    argv = [sys.executable, FOLDER / "train.py"]
    with subprocess.Popen(argv, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as failing:
        assert any("FileNotFoundError" in line for line in failing.stderr)
        with pytest.raises(subprocess.TimeoutExpired):
            failing.wait(1)
        failing.kill()


def test_right_labels_teach_it_all_unseen_pictures_and_ten_wrong_ones_do_not():
    assert checkpoints.right_of(learnt({})) == (20, 20)
    right, many = checkpoints.right_of(learnt(labels.wrong_labels()))
    assert many == 20 and right <= 15


def test_ten_labels_are_wrong_and_none_of_them_by_chance():
    wrong = labels.wrong_labels()
    assert len(wrong) == 10
    assert all(said != labels.true_label(path) and said in dataset.LABELS for path, said in wrong.items())


def test_no_picture_is_both_learnt_from_and_kept_back():
    kept = {path for path, _, _ in pictures.unseen()}
    assert len(kept) == 20 and len(pictures.learnt()) == 40 and not kept & set(pictures.learnt())


def test_it_sees_outlines_as_the_pipeline_draws_them(train):
    _, _, rows = dataset.images()[0]
    assert MODEL.outline(rows) == dataset.outline(rows)
    assert train.pixels(dataset.png(rows)) == rows
    assert tuple(MODEL.CLASSES) == dataset.LABELS


def test_it_is_trained_on_the_commits_that_data_json_names(train, monkeypatch):
    """Each file is asked for by its commit; a picture without a label is left out."""
    outline = dataset.png(dataset.outline(dataset.images()[0][2]))
    said = {
        "id": 1,
        "task": {"data": {"image": "s3://master.clothes/0_a/0.png"}},
        "result": [{"value": {"choices": ["T-shirt/top"]}}],
    }

    def answer(asked):
        return (200, said) if "labels" in asked.path else (200, outline)

    with serving(answer) as server:
        monkeypatch.setenv("PACHYDERM_S3", f"http://127.0.0.1:{server.port}")
        monkeypatch.setenv("REVISION", "f" * 40)
        data = {
            "pictures": {"repo": "clothes_outline", "commit": "c1", "files": ["0_a/0.png", "0_a/1.png"]},
            "labels": {"repo": "clothes_labels", "commit": "c2", "files": ["1"]},
        }
        found = train.trained(data, {"epochs": 1, "rate": 1.0, "temperature": 1.0})
        asked = [each.path for each in server.asked]
    assert asked == ["/master.clothes_labels/1?versionId=c2", "/master.clothes_outline/0_a/0.png?versionId=c1"]
    assert (found["pictures"], found["revision"], found["data"]["labels"]["commit"]) == (1, "f" * 40, "c2")
