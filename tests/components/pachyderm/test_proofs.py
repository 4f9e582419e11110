"""Chapter 07's proofs of data and pipelines, on a pachd that holds these files."""

import contextlib

import pachd
import pytest
import stand_in

from helpers.components.pachyderm import dataset
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
