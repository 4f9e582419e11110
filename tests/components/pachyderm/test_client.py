"""Pachyderm's client on a real gRPC connection: a pachd that answers, one that fails, one that is silent, and none."""

import subprocess
import sys
import time

import pachd
import pytest
import stand_in
from pachd import pfs

from helpers.components.pachyderm.client import Client, NotFound, Pachyderm
from helpers.core.errors import RunbookError
from helpers.core.paths import REPO

from python_pachyderm.proto.version.versionpb import version_pb2  # isort: skip - the client sets gRPC's environment


@pytest.fixture
def ch(monkeypatch, own_home):
    return stand_in.chapter(monkeypatch, "pachyderm", lambda script, stdin: "10.152.183.7\n")


def test_a_call_to_nobody_ends_in_words():
    client = Client("127.0.0.1", 1)
    for call in (client.list_repo, lambda: list(client.list_commit("fmnist"))):
        with pytest.raises(RunbookError) as e:
            call()
        assert e.value.saw == "pachd does not answer" and "logs" in e.value.do and e.value.entry == "pach-down"
    assert e.value.what == "ask pachd: ListCommitStream"


def test_what_pachd_does_not_find_is_an_error_of_its_own():
    missing = 'pipeline "outline" not found'
    with pachd.running(InspectPipeline=missing, ListRepo="disk full\nand more") as port:
        client = Client("127.0.0.1", port)
        with pytest.raises(NotFound) as e:
            client.inspect_pipeline("outline")
        assert e.value.saw == missing and e.value.entry is None
        with pytest.raises(RunbookError) as e:
            client.list_repo()
        assert not isinstance(e.value, NotFound) and e.value.saw == "disk full"


def test_after_a_call_that_did_not_end_the_next_ones_are_given_half_the_time():
    silent = [True]

    def answer(request):
        if silent[0]:
            time.sleep(1)
        return version_pb2.Version(major=1, minor=13, micro=2)

    with pachd.running(GetVersion=answer) as port:
        client = Client("127.0.0.1", port)
        client.patience = 0.2
        with pytest.raises(RunbookError, match="GetVersion") as e:
            client.get_remote_version()
        assert e.value.saw == "pachd gives no answer within 0.2 s: does its etcd run?" and client.patience == 30
        silent[0] = False
        assert client.get_remote_version().minor == 13 and client.patience == 60


def test_a_stream_that_answers_again_has_the_whole_time_back():
    with pachd.running(ListCommitStream=[pfs.CommitInfo()]) as port:
        client = Client("127.0.0.1", port)
        client.patience = 10
        assert len(list(client.list_commit("fmnist"))) == 1 and client.patience == 60


def test_the_version_is_that_of_the_pachd_that_answers(ch):
    with pachd.asked(ch, GetVersion=version_pb2.Version(major=1, minor=13, micro=2)) as pach:
        assert pach.version() == "1.13.2"
    assert pach.version() == "", "it is away"


def test_the_service_is_reached_at_its_cluster_address(ch):
    pach = Pachyderm(ch)
    assert pach.s3_url() == "http://10.152.183.7:30600" and pach.way(30650) == ("10.152.183.7", 30650)
    assert pach.s3 is pach.s3


@pytest.mark.parametrize("module", ["client", "pipelines", "proofs"])
def test_whichever_module_comes_first_grpc_is_imported_with_our_settings(module):
    seen = f"""
import os, sys
class Watch:
    def find_spec(self, name, *rest):
        if name == "grpc":
            print(os.environ.get("NO_GRPC_PROXY"))
sys.meta_path.insert(0, Watch())
import helpers.components.pachyderm.{module}
"""
    clean = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPO)}
    done = subprocess.run([sys.executable, "-c", seen], env=clean, capture_output=True, text=True, check=True)
    assert done.stdout == "127.0.0.1,localhost\n"
