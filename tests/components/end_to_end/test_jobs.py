"""The pipeline's jobs as GitLab runs them: real processes, with servers of the test at the network's edge."""

import io
import json
import os
import subprocess
import sys
import tarfile
from urllib.parse import parse_qsl, urlsplit

import certificates
import pytest
from serving import serving

from helpers.components.end_to_end.cluster import FOLDER

COMMIT = "0123456789abcdef0123456789abcdef01234567"
DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def job(tmp_path):
    """job(script, **environment) -> (exit code, all that it said), in a copy of the repository."""
    for path in FOLDER.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            (tmp_path / path.relative_to(FOLDER)).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path.relative_to(FOLDER)).write_bytes(path.read_bytes())
    (tmp_path / "data.json").write_text("{}")

    def run(script, **environment):
        env = {"PATH": os.environ["PATH"], "CI_COMMIT_SHA": COMMIT, **environment}
        done = subprocess.run(
            [sys.executable, script], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=30
        )
        return done.returncode, done.stdout + done.stderr

    run.folder = tmp_path
    return run


def master(ends, log=("trained on 40 pictures\n",), pace=200):
    """A master of Determined's whose only command ends so. answer.made: what was asked for.

    log: the text of each of its events; of these `pace` more are there at each asking, and the last 200 are kept, as
    0.15.3 does (master/internal/command/events.go).
    """
    events = [{"seq": n, "log_event": "[id] || " + text} for n, text in enumerate(log)]
    told = 0

    def answer(asked):
        nonlocal told
        if asked.path == "/api/v1/auth/login":
            good = asked.json() == {"username": "clothes", "password": "not-a-password"}
            return (200, {"token": "a-token"}) if good else (401, {"error": {"error": "wrong"}})
        if asked.path == "/api/v1/commands":
            answer.made = asked.json()
            return 200, {"command": {"id": "t-1"}}
        if asked.path.startswith("/commands/t-1/events"):
            after = int(dict(parse_qsl(urlsplit(asked.path).query)).get("greater_than_id", -1))
            return 200, [e for e in events[max(0, told - 200) : told] if e["seq"] > after]
        if asked.path == "/commands/t-1":
            told = min(told + pace, len(events))
            return 200, {"state": "TERMINATED" if told == len(events) else "RUNNING", "exit_status": ends}
        return 200, {}

    return answer


ADDRESSES = {
    "DETERMINED_USER": "clothes",
    "DETERMINED_PASSWORD": "not-a-password",
    "PACHYDERM_S3": "http://pachd",
    "MINIO_URL": "http://10.0.1.1:9000",
    "MINIO_BUCKET": "clothes",
    "TASK_SECRET": "clothes-minio",
}


def test_training_ends_as_the_task_does_and_shows_its_log(job):
    answer = master("command exited successfully")
    with serving(answer) as web:
        code, said = job("ci/train_in_determined.py", DETERMINED_URL=web.url, **ADDRESSES)
    assert code == 0, said
    assert "Determined's task t-1" in said and "  trained on 40 pictures" in said and "not-a-password" not in said
    assert answer.made["config"]["description"] == f"clothes {COMMIT}"
    assert sorted(f["path"] for f in answer.made["files"]) == ["data.json", "model.py", "settings.json", "train.py"]


def test_an_answer_of_the_masters_that_is_lost_is_asked_for_again(job):
    answer, lost = master("command exited successfully"), ["/commands/t-1", "/commands/t-1/events?greater_than_id=-1"]

    def losing(asked):
        if asked.path in lost:
            return lost.remove(asked.path)
        return answer(asked)

    with serving(losing) as web:
        code, said = job("ci/train_in_determined.py", DETERMINED_URL=web.url, **ADDRESSES)
    assert code == 0 and said.count("no answer") == 2 and said.count("trained on 40 pictures") == 1 and not lost, said


def test_each_line_of_a_long_task_is_shown_once_and_each_line_of_an_event_by_itself(job):
    lines = [f"epoch {n}\nof 500\n" for n in range(500)]
    with serving(master("command exited successfully", lines, pace=180)) as web:
        code, said = job("ci/train_in_determined.py", DETERMINED_URL=web.url, **ADDRESSES)
    assert code == 0, said
    shown = said.splitlines()[1:]
    assert shown == [line for n in range(500) for line in (f"  epoch {n}", "  of 500")]


def test_what_the_master_kept_no_more_is_said(job):
    lines = [f"epoch {n}\n" for n in range(230)]
    with serving(master("command exited successfully", lines, pace=230)) as web:
        _, said = job("ci/train_in_determined.py", DETERMINED_URL=web.url, **ADDRESSES)
    assert (
        said.splitlines()[1:3] == ["  (30 events were gone)", "  epoch 30"] and said.splitlines()[-1] == "  epoch 229"
    )


def test_no_key_stands_in_the_tasks_configuration_and_no_value_has_a_second_equals_sign(job):
    answer = master("command exited successfully")
    with serving(answer) as web:
        job("ci/train_in_determined.py", DETERMINED_URL=web.url, MINIO_SECRET_KEY="very-secret", **ADDRESSES)
    config = answer.made["config"]
    assert "very-secret" not in json.dumps(config) and "not-a-password" not in json.dumps(config)
    assert [each.count("=") for each in config["environment"]["environment_variables"]] == [1] * 6


def test_a_task_that_fails_fails_the_job(job):
    with serving(master("command failed with non-zero exit code: 1")) as web:
        code, said = job("ci/train_in_determined.py", DETERMINED_URL=web.url, **ADDRESSES)
    assert code == 1 and "it ended: command failed with non-zero exit code: 1" in said


def test_a_wrong_password_fails_the_job_in_the_masters_words(job):
    with serving(master("")) as web:
        given = dict(ADDRESSES, DETERMINED_PASSWORD="another")
        code, said = job("ci/train_in_determined.py", DETERMINED_URL=web.url, **given)
    assert code == 1 and "POST /api/v1/auth/login: 401" in said and "Traceback" not in said


def test_the_layer_has_the_model_and_its_checkpoint_and_nothing_of_when_or_who(job):
    wanted = {"/clothes/checkpoints/" + COMMIT + ".json": b'{"weights": []}'}

    def answer(asked):
        path = asked.path.partition("?")[0]
        return (200, wanted[path], {"ETag": '"x"'}) if path in wanted else (404, "")

    given = {"MINIO_BUCKET": "clothes", "MINIO_USER": "clothes", "MINIO_SECRET_KEY": "very-secret"}
    layers = []
    with serving(answer) as web:
        for _ in range(2):
            code, said = job("ci/make_layer.py", MINIO_URL=web.url, **given)
            assert code == 0, said
            layers.append((job.folder / "layer.tar").read_bytes())
    assert layers[0] == layers[1]
    with tarfile.open(fileobj=io.BytesIO(layers[0])) as tar:
        assert tar.getnames() == ["opt/model/Clothes.py", "opt/model/checkpoint.json", "opt/model/model.py"]
        assert tar.extractfile("opt/model/checkpoint.json").read() == b'{"weights": []}'


SILENT = 'Internal error occurred: failed calling webhook "v1.seldondeployment": dial tcp 10.152.183.9:443: refused'
DENIED = 'admission webhook "v1.seldondeployment" denied the request: Can\'t find container'


@pytest.mark.parametrize(
    ("refusals", "code", "sent", "says"),
    [([SILENT, SILENT], 0, 3, "served: " + COMMIT), ([DENIED], 1, 1, "the cluster does not take it: 500 admission")],
    ids=["silent", "denied"],
)
def test_a_roll_out_is_sent_again_while_a_webhook_is_silent_alone(job, refusals, code, sent, says):
    left = list(refusals)

    def answer(asked):
        if asked.method == "PATCH":
            return (500, left.pop(0)) if left else (200, "{}")
        return 200, {"meta": {"tags": {"revision": COMMIT}}}, {"Docker-Content-Digest": DIGEST}

    trusted, _ = certificates.self_signed(job.folder)
    script = job.folder / "ci/roll_out.py"
    with serving(answer) as web:
        script.write_text(script.read_text().replace("https://kubernetes.default.svc", web.url))
        given = {"PUSH_TO": web.url.removeprefix("http://") + "/clothes", "IMAGE": "here/clothes"}
        given.update(DEPLOY_CA=str(trusted), DEPLOY_TOKEN="very-secret", PREDICTIONS=web.url + "/predictions")
        ended, said = job("ci/roll_out.py", **given)
        assert (ended, [asked.method for asked in web.asked].count("PATCH")) == (code, sent), said
    assert said.count("not yet: 500 Internal error") == sent - 1 and says in said
    assert "very-secret" not in said and "Traceback" not in said
