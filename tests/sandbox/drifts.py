"""What a hand changes on the story's platform, how it is put back, and the lines in which regress names it."""

import json
import re
from typing import NamedTuple

from minio import Minio

from helpers.command import drift_report
from helpers.components.determined.master import Determined
from helpers.core import notebooks
from helpers.core.chapter import Chapter
from helpers.core.secrets import SecretStore


class ByHand(NamedTuple):
    """do, undo: commands on the host, or functions of it. lines: as the report has them, with single spaces."""

    chapter: str
    do: object
    undo: object
    lines: tuple = ()


def _bucket(call, *words):
    def change(host):
        with host.forward(9000) as port:
            secret = SecretStore(host.target.slug).get("minio-root").reveal()
            getattr(Minio(f"127.0.0.1:{port}", "runbook", secret, secure=False), call)("models", *words)

    return change


_READ = {"Effect": "Allow", "Principal": "*", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::models/*"]}
_POLICY = json.dumps({"Version": "2012-10-17", "Statement": [_READ]})
_MANAGER = "deployment seldon-controller-manager -n seldon-system"


def _scale(pods):
    done = f"microk8s kubectl rollout status {_MANAGER} --timeout=120s >/dev/null"
    return f"microk8s kubectl scale {_MANAGER} --replicas={pods}; {done}"


_PSQL = "runuser -u postgres -- psql -qXc "

#: in seconds
QUICK = (
    ByHand(
        "minio",
        _bucket("set_bucket_policy", _POLICY),
        _bucket("delete_bucket_policy"),
        ("- models nobody", "+ models Allow *: s3:GetObject on models/*"),
    ),
    ByHand(
        "minio",
        "usermod -aG games minio-user",
        "gpasswd -d minio-user games",
        (
            "- minio-user minio-user /srv/minio /usr/sbin/nologin",
            "+ minio-user games minio-user /srv/minio /usr/sbin/nologin",
        ),
    ),
    ByHand(
        "postgres",
        _PSQL + "'alter role runbook createdb'",
        _PSQL + "'alter role runbook nocreatedb'",
        ("- runbook log in runbook", "+ runbook log in, make databases runbook"),
    ),
    ByHand(
        "seldon",
        _scale(2),
        _scale(1),
        ("- seldon-system/seldon-controller-manager 1", "+ seldon-system/seldon-controller-manager 2"),
    ),
)


_HBA = "/etc/postgresql/15/main/pg_hba.conf"
_RELOAD = "systemctl reload postgresql@15-main"
_SWAP = "/^local +all +all/ {kept = $0; next} {print} /^host +all +all +127/ {print kept}"
#: the same package, by a version of ours
_UPGRADE = """mkdir /tmp/repack; cd /tmp/repack; apt-get -qq download postgresql-15 2>/dev/null; mv *.deb old.deb
dpkg-deb -R old.deb tree; sed -i 's/^Version: .*/&+byhand1/' tree/DEBIAN/control; dpkg-deb -Znone -b tree new.deb
DEBIAN_FRONTEND=noninteractive dpkg -i new.deb >/dev/null 2>&1"""
_DOWNGRADE = "DEBIAN_FRONTEND=noninteractive dpkg -i /tmp/repack/old.deb >/dev/null 2>&1; rm -r /tmp/repack"


def _serve(version):
    at = "/spec/predictors/0/componentSpecs/0/spec/containers/0/env/0/value"
    value = f"s3://models/flowers/{version}/model.json"
    patch = json.dumps([{"op": "replace", "path": at, "value": value}])
    done = "microk8s kubectl rollout status deployment flowers-default-0-classifier -n models --timeout=180s >/dev/null"
    return f"microk8s kubectl patch seldondeployment flowers -n models --type json -p '{patch}'; sleep 5; {done}"


def _administers(yes):
    def change(host):
        n = notebooks.find("determined")
        ch = Chapter(n, n.check({"target": host.target.text, "mode": "verify"}))
        try:
            ch.host.connect()
            det = Determined(ch)
            det.ask("PATCH", "/users/operator", {"admin": yes}, det.token())
        finally:
            ch.close()
            ch.host.close()

    return change


def _no_longer(*titles):
    return tuple(sign + title for title in titles for sign in ("- ✓ ", "+ ✗ "))


#: in minutes
LONG = (
    ByHand("determined", _administers(True), _administers(False), ("- operator no yes", "+ operator yes yes")),
    ByHand(
        "postgres",
        f"cp -p {_HBA} {_HBA}.kept; awk '{_SWAP}' {_HBA}.kept > {_HBA}; {_RELOAD}",
        f"cp -p {_HBA}.kept {_HBA}; rm {_HBA}.kept; {_RELOAD}",
        (
            *_no_longer("the settings are ours"),
            "the same lines in another order:",
            "- host all all 127.0.0.1/32 scram-sha-256",
            "+ host all all 127.0.0.1/32 scram-sha-256",
        ),
    ),
    # It restarts the server, which runs with these rules then: after them.
    ByHand("postgres", _UPGRADE, _DOWNGRADE, ("- PACKAGE", "+ PACKAGE+byhand1")),
    ByHand(
        "seldon",
        _serve(2),
        _serve(1),
        (
            "- models/flowers/default s3://models/flowers/1/model.json 1",
            "+ models/flowers/default s3://models/flowers/2/model.json 1",
            *_no_longer(
                "version 1 of the model is served",
                "a prediction over REST is the model's own, by version 1",
                "a prediction over gRPC is the same",
            ),
        ),
    ),
)


def make(host, change):
    """do or undo."""
    change(host) if callable(change) else host.run(change)


def named(runs):
    """{chapter: the lines of its changes, sorted} of the last report."""
    report, _ = drift_report.read(runs / "latest" / "drift")
    said = {c.id: [line for change in c.changes for line in change.lines()] for c in report.chapters.values()}
    return {chapter: sorted(map(_words, lines)) for chapter, lines in said.items()}


def _words(line):
    """Without what varies, and whatever the package's version is."""
    line = re.sub("✓ found running: postgresql's package [^+ ]+(\\+deb[^+ ]+)?", "PACKAGE", re.sub("‹[^›]*›", "", line))
    return " ".join(line.split())


def expected(changes):
    """{chapter: the lines in which these are named, sorted}."""
    chapters = dict.fromkeys(c.chapter for c in changes)
    return {chapter: sorted(line for c in changes if c.chapter == chapter for line in c.lines) for chapter in chapters}
