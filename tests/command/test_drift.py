"""Six changes by hand, as a drift report names them: a chapter's own words for what a server says, before and now."""

import json

import nbformat.v4 as v4
import stand_in

from helpers.command import drift, drift_report
from helpers.command.drift import Change, ChapterDrift
from helpers.components.kubernetes import workloads
from helpers.components.kubernetes.kube import Kube
from helpers.components.minio import policy_words
from helpers.components.seldon.serving import CRD, Seldon
from helpers.core import show, state


def output(text, markup):
    return v4.new_output("display_data", {"text/plain": text, "text/html": f'<div class="runbook">{markup}</div>'})


def table(headers, rows):
    return output(*show.table(headers, rows))


def line(state, title, note=""):
    return output(*show.line(state, title, note))


def verdict(*results):
    """The table at a chapter's end."""
    rows, states = [("step", title, "") for _, title in results], [state for state, _ in results]
    return output(*show.table(("", "what", "seen"), rows, states))


def report(before, now, failed=False):
    """The drift of a chapter of two cells, its steps and its verdict. before, now: the outputs of each."""
    cells = [v4.new_code_cell("ch.step()", outputs=before[0]), v4.new_code_cell("ch.verdict()", outputs=before[1])]
    results = [
        {"cell": number, "now": outputs, "differs": _compared(before[number]) != _compared(outputs), "error": ""}
        for number, outputs in enumerate(now)
    ]
    if failed:
        results[1].update(error="error  verify: 1 of 1 do not hold", ename="Verdict")
    found = ChapterDrift(id="x", number="05", title="x", target="local", since="run 1")
    return drift.compare(found, v4.new_notebook(cells=[v4.new_markdown_cell("## Steps"), *cells]), results)


def _compared(outputs):
    """As nbval compares them: both forms of each."""
    return [drift.sanitized(each["data"][kind]) for each in outputs for kind in ("text/plain", "text/html")]


def words(change: Change):
    """Its lines, with one space where a table has many."""
    return [" ".join(text.split()) for text in change.lines()]


GOOD = [verdict(("ok", "it runs"))]


def named(before, now):
    """What of one table is named, where all still holds; nothing else may be."""
    found = report(([before], GOOD), ([now], GOOD))
    assert found.state == "drift" and found.holds and len(found.changes) == 1
    assert [c.where for c in found.changes] == ["Steps, cell 0"]
    return words(found.changes[0])


def policies(policy):
    return table(("bucket", "its policy lets in"), [("detai", "nobody"), ("models", policy_words(policy))])


def test_a_buckets_policy():
    read = {"Effect": "Allow", "Principal": {"AWS": ["*"]}, "Resource": ["arn:aws:s3:::models/*"]}
    sorted_, other = (dict(read, Action=actions) for actions in (["s3:GetObject", "s3:PutObject"], ["s3:PutObject"]))
    opened = {"Version": "2012-10-17", "Statement": [sorted_]}
    assert named(policies({}), policies(opened)) == [
        "- models nobody",
        "+ models Allow *: s3:GetObject, s3:PutObject on models/*",
    ]
    assert policy_words(opened) == policy_words(
        {"Statement": dict(sorted_, Action=sorted_["Action"][::-1], Principal="*")}
    )
    assert policy_words(opened) != policy_words({"Statement": other})
    only = dict(read, Action="s3:*", Condition={"IpAddress": {"aws:SourceIp": "10.1.0.0/16"}})
    assert policy_words({"Statement": only}).endswith(' if {"IpAddress": {"aws:SourceIp": "10.1.0.0/16"}}')


def deployments(monkeypatch, pods):
    said = f"Deployment|seldon-system/manager|{pods}|seldon-system/||\nDeployment|models/flowers|1|models/||\n"
    kube = Kube(stand_in.chapter(monkeypatch, "seldon", lambda script, stdin: said))
    return table(("Deployment", "pods wanted"), workloads.wanted(kube, "seldon-system", "models"))


def test_a_scaled_deployment(monkeypatch, own_home):
    assert named(deployments(monkeypatch, 1), deployments(monkeypatch, 2)) == [
        "- seldon-system/manager 1",
        "+ seldon-system/manager 2",
    ]


def test_an_upgraded_package():
    old, new = (line("ok", f"found running: postgresql's package 15.{minor}-0+deb12u1") for minor in (13, 14))
    assert named(old, new) == [
        "- ✓ found running: postgresql's package 15.13-0+deb12u1",
        "+ ✓ found running: postgresql's package 15.14-0+deb12u1",
    ]


def user(monkeypatch, groups):
    said = f"minio-user:x:997:997::/srv/minio:/usr/sbin/nologin\n{groups}\n"
    ch = stand_in.chapter(monkeypatch, "minio", lambda script, stdin: said)
    return table(state.ACCOUNT, state.accounts(ch, "minio-user"))


def test_a_changed_user(monkeypatch, own_home):
    assert named(user(monkeypatch, "minio-user"), user(monkeypatch, "minio-user sudo")) == [
        "- minio-user minio-user /srv/minio /usr/sbin/nologin",
        "+ minio-user minio-user sudo /srv/minio /usr/sbin/nologin",
    ]
    other = user(monkeypatch, "sudo minio-user")
    assert report(([other], GOOD), ([user(monkeypatch, "minio-user sudo")], GOOD)).state == "same"


def served(monkeypatch, version):
    """Chapter 09's step and table, where this version of its model is served."""
    env = [{"name": "MODEL_URI", "value": f"s3://models/flowers/{version}/model.json"}]
    spec = {"componentSpecs": [{"spec": {"containers": [{"env": env}, {}]}}], "name": "default", "replicas": 1}
    live = json.dumps({"spec": {"predictors": [spec]}})

    def said(script, stdin):
        return "crd/x" if f"get crd {CRD}" in script else live

    seldon = Seldon(stand_in.chapter(monkeypatch, "seldon", said), None, "image")
    step = line(
        "ok" if version == 1 else "failed", "version 1 of the model is served", "" if version == 1 else "another"
    )
    return [step, table(("served", "weights", "pods"), seldon.served())]


def test_another_model_version_is_named_beside_the_step_that_no_longer_holds(monkeypatch, own_home):
    title = "version 1 of the model is served"
    before = (served(monkeypatch, 1), [verdict(("ok", title))])
    found = report(before, (served(monkeypatch, 2), [verdict(("failed", title))]), failed=True)
    assert (found.state, found.holds, len(found.changes)) == ("drift", False, 1)
    assert words(found.changes[0]) == [
        "- ✓ version 1 of the model is served",
        "- models/flowers/default s3://models/flowers/1/model.json 1",
        "+ ✗ version 1 of the model is served ‹another›",
        "+ models/flowers/default s3://models/flowers/2/model.json 1",
    ]
    assert "1 drift (x)" in drift_report.Report(run="1", where="x", at="", seconds=1, chapters={"x": found}).closing


def test_a_tables_order_is_named_as_that_beside_another_change_of_its_cell():
    rules = [
        table(("rule for", "role"), rows)
        for rows in ([("local", "all"), ("host", "all")], [("host", "all"), ("local", "all")])
    ]
    before, now = (
        [rule, table(("role", "may"), [("runbook", may)])] for rule, may in zip(rules, ("log in", "all"), strict=True)
    )
    other, order = report((before, GOOD), (now, GOOD)).changes
    assert (words(other), other.order) == (["- runbook log in", "+ runbook all"], False)
    assert words(order) == ["the same lines in another order:", "- host all", "+ host all"]


def test_a_tables_order():
    rules = [("local", "all", "postgres", "", "peer"), ("host", "all", "all", "127.0.0.1/32", "scram-sha-256")]
    headers = ("rule for", "database", "role", "from", "by")
    assert named(table(headers, rules), table(headers, rules[::-1])) == [
        "the same lines in another order:",
        "- host all all 127.0.0.1/32 scram-sha-256",
        "+ host all all 127.0.0.1/32 scram-sha-256",
    ]
