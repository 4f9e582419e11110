"""Chapter 07's proofs of data and pipelines, on a pachd that holds these files."""

import contextlib
import json
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pachd
import pytest
import stand_in
from serving import serving

from helpers.components import minio
from helpers.components.pachyderm import dataset, proofs
from helpers.components.pachyderm.deployment import Deployment
from helpers.components.pachyderm.pipelines import Pipelines
from helpers.components.pachyderm.proofs import Proofs, _why_not_ready
from helpers.core.errors import Unmet

PICTURES = dict(list(dataset.files().items())[4:8])
OUTLINES = {path: dataset.png(dataset.outline(dataset.pixels(content))) for path, content in PICTURES.items()}
CENSUS = {"census.csv": b"0_T-shirt_top,2\n1_Trouser,2\n"}


@pytest.fixture
def prove(monkeypatch, own_home):
    """prove(answer, repository={path: content}, ...): proofs on a pachd with these files; the host says `answer`."""
    with contextlib.ExitStack() as stack:

        def make(answer="", **files):
            ch = stand_in.chapter(monkeypatch, "pachyderm", lambda script, stdin: answer)
            return Proofs(None, Pipelines(stack.enter_context(pachd.asked(ch, **pachd.holding(files)))))

        yield make


def test_files_are_read_back_whole(prove):
    assert prove(fmnist=PICTURES).reads_back("fmnist", PICTURES) == "4 files"
    path = sorted(PICTURES)[1]
    with pytest.raises(Unmet) as e:
        prove(fmnist=dict(PICTURES, **{path: b"other"})).reads_back("fmnist", PICTURES)
    assert e.value.saw == f"1 missing or other, like {path}"


class Gateway:
    """A bucket as pachd 1.13.2's S3 gateway lists it: 1000 keys at most, `marker` heeded and no other word of a page.

    pachyderm/s2 d52f35094520, bucket.go 15 and 192 to 198.
    """

    def __init__(self, files):
        self.files, self.asked = files, 0

    def answer(self, request):
        url = urlsplit(request.path)
        self.asked += 1
        found = self.files.get(unquote(url.path).split("/", 2)[-1])
        page = found or self._page(parse_qs(url.query).get("marker", [""])[0])
        return (200 if self.asked < 9 else 503), page

    def _page(self, marker):
        keys = sorted(key for key in self.files if key > marker)
        inside = "".join(f"<Contents><Key>{quote(key)}</Key><Size>1</Size></Contents>" for key in keys[:1000])
        more = f"<IsTruncated>true</IsTruncated><NextMarker>{keys[999]}</NextMarker>" if keys[1000:] else ""
        return f"<ListBucketResult><Name>master.fmnist</Name>{inside}{more}</ListBucketResult>"


def test_a_repository_of_more_than_a_page_is_read_through_s3_to_its_end(prove):
    """minio's newer list sends no marker, and had the first page again and again."""
    files, there = {f"{n:04}.png": b"%d" % n for n in range(1001)}, prove()
    with serving(Gateway(files).answer) as server:
        there.pach._s3 = minio.connect(f"127.0.0.1:{server.port}")
        assert there.through_s3("fmnist", files) == "bucket master.fmnist, 1001 objects"


def test_a_step_says_what_is_missing_in_a_repository(prove):
    repos = prove(fmnist={}).repos
    assert repos.repository("fmnist").probe() is None
    assert repos.repository("other").probe() == repos.filled("other", {}).probe() == "there is no repository other"
    first = next(iter(PICTURES))
    assert repos.filled("fmnist", PICTURES).probe() == f"4 of 4 files are missing or others, like {first}"
    assert prove(fmnist=PICTURES).repos.filled("fmnist", PICTURES).probe() is None


def test_each_picture_has_its_outline(prove):
    assert prove(fmnist=PICTURES, outline=OUTLINES).outlines("fmnist", "outline") == "4 outlines"
    for other in (PICTURES, {}):
        with pytest.raises(Unmet):
            prove(fmnist=PICTURES, outline=other).outlines("fmnist", "outline")


def test_the_census_counts_each_class(prove):
    assert prove(outline=OUTLINES, census=CENSUS).census("outline", "census") == "2 classes, 4 pictures"
    with pytest.raises(Unmet):
        prove(outline=OUTLINES, census={"census.csv": b"0_T-shirt_top,4\n"}).census("outline", "census")


def _services(*node_ports, **others):
    """What kubectl tells: pachd's Services with these ports of the host, and others by what they lead to."""
    named = {"pachd": node_ports, **others}
    items = [
        {"spec": {"selector": {"app": app}, "ports": [{"port": 650}, *({"port": 1, "nodePort": p} for p in ports)]}}
        for app, ports in named.items()
    ]
    return json.dumps({"items": [*items, {"spec": {"ports": [{"port": 1, "nodePort": 30001}]}}]})


@pytest.fixture
def shut(prove, monkeypatch):
    """shut(what `expose` says, Services, ports that answer from here): the check of ports."""

    def asked(expose, services, answer):
        there = prove(services)
        there.deployment = Deployment(there.pach, None, expose=expose)
        opened = dict.fromkeys(answer, "open")
        monkeypatch.setattr(proofs, "from_here", lambda _, ports: {port: opened.get(port, "refused") for port in ports})
        return there.is_shut()

    return asked


@pytest.mark.parametrize(
    "cluster, said",
    [
        (("cluster", _services(), []), "ports of the host: none"),
        (("cluster", _services(pipeline=[30007]), []), "ports of the host: none"),
        (
            ("node", _services(30650, 30600), [30650]),
            "30650 answers from the network, ports of the host: 30600, 30650",
        ),
        (("loadbalancer", _services(30650, 30600), []), "ports of the host: 30600, 30650"),
    ],
)
def test_no_port_of_the_host_leads_there_but_those_asked_for(shut, cluster, said):
    assert shut(*cluster) == said


@pytest.mark.parametrize(
    "cluster, saw",
    [
        (("cluster", _services(30650, 30600), []), "services lead there from 30600, 30650"),
        (("cluster", _services(etcd=[32379]), []), "services lead there from 32379"),
        (("node", _services(30650, 30600, 30656), [30650]), "services lead there from 30600, 30650, 30656"),
        (("node", _services(), []), "services lead there from none"),
        (("node", _services(30650, 30600), [30650, 32379]), "port 32379 of the host answers"),
        (("cluster", _services(), [30600]), "port 30600 of the host answers"),
    ],
)
def test_another_port_of_the_host_that_leads_there_is_named(shut, cluster, saw):
    with pytest.raises(Unmet) as e:
        shut(*cluster)
    assert e.value.saw.startswith(saw)


def test_room_on_the_disk_is_told(prove):
    assert prove().disk_is_free(10) is None
    with pytest.raises(Unmet) as e:
        prove((1, "9% free below /var", "")).disk_is_free(10)
    assert e.value.saw == "9% free below /var"


@pytest.mark.parametrize(
    "ready, wanted, why", [(1, 1, None), (0, 1, "0 of 1 workers ready"), (0, 0, "0 of 0 workers ready"), (2, 1, None)]
)
def test_all_workers_must_be_ready_and_there_must_be_one(ready, wanted, why):
    status = {"readyReplicas": ready} if ready else {}
    assert _why_not_ready({"status": status, "spec": {"replicas": wanted}}) == why
    assert _why_not_ready(None) == "no workers"
