"""A Seldon on a real chapter, with what kubectl would say."""

import json
import subprocess

import pytest
from stand_in import chapter

from helpers.components.kubernetes.probes import NOT_INSTALLED
from helpers.components.minio import S3
from helpers.components.seldon.serving import Seldon
from helpers.components.seldon.store import ModelStore
from helpers.core import catalogue
from helpers.core.secrets import Secret


@pytest.fixture
def made(monkeypatch):
    """made({how a kubectl call begins: its answer}, port): a Seldon; MinIO and the gateway are both at this port.

    An answer is what -o json shows, or an error's text. A command that is not named there is run here.
    """

    def make(kubectl=None, port=9):
        def answer(script, stdin):
            if script == NOT_INSTALLED:
                return 1, "", ""
            for start, said in (kubectl or {}).items():
                if script.startswith("microk8s kubectl " + start):
                    return (1, "", said) if isinstance(said, str) else json.dumps(said) if said else ""
            done = subprocess.run(["bash", "-c", script], input=stdin or b"", capture_output=True)
            return done.returncode, done.stdout.decode(), done.stderr.decode()

        ch, secret = chapter(monkeypatch, "seldon", answer), Secret("minio-root", "very-secret-key")
        store = ModelStore(S3(ch, port, "runbook", secret), "models", "10.0.1.1:9000", secret)
        seldon = Seldon(ch, store, catalogue.load()["python"].entry["image"])
        seldon.gateway._local = "127.0.0.1", port
        return seldon

    return make
