"""The origin's images against those of the node and of pods: on what containerd and kubectl print."""

import pytest
import stand_in

from helpers.components.kubernetes.served_images import ServedImages
from helpers.core.catalogue import image_name, load
from helpers.core.errors import RunbookError
from helpers.core.target import Target

REAL, DOUBLE, REAL_ID, DOUBLE_ID = ("sha256:" + letter * 64 for letter in "abcd")
MASTER = "docker.io/determinedai/determined-master:0.15.3"

# A node whose images and pods lie in files; a pod that is deleted comes back with what the mirror serves.
NODE = """cd {folder}
case "$*" in
  "ctr images ls") echo "REF TYPE DIGEST SIZE PLATFORMS LABELS"; cat images ;;
  "ctr images ls -q") cut -d' ' -f1 images ;;
  "ctr images rm "*) echo "rm $4" >> done; grep -v "^$4 " images > new || true; mv new images ;;
  "kubectl get pods -A "*) cat pods ;;
  "kubectl delete pod "*) echo "delete $6/$4" >> done; cp after pods ;;
  *) echo "$*: not known" >&2; exit 1 ;;
esac
"""


@pytest.fixture
def node(tmp_path, bash):
    """A function: run a script on that node, (exit code, what it said); .images, .pods, .after are its files."""

    def run(script):
        return bash(script, NODE.format(folder=tmp_path))

    def has(**files):
        for name, text in files.items():
            (tmp_path / name).write_text(text)

    has(images="", pods="", after="", done="")
    run.has, run.done = has, lambda: (tmp_path / "done").read_text().splitlines()
    return run


def images(digest, own, name=MASTER):
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    repository = name.rpartition(":")[0]
    return "".join(f"{ref} {kind} {digest} 1.0 MiB linux/amd64 -\n" for ref in (name, f"{repository}@{digest}", own))


def pod(digest, image=MASTER, space="determined", controlled="true", ready="true"):
    repository = image_name(image).rpartition(":")[0]
    runs = f"has main {ready} {repository}@{digest} 2026-11-27T05:00:00Z\n" if digest else "has main false  \n"
    return f"pod {space} master-1 {'Running' if digest else 'Pending'} {controlled}\nasks main {image}\n{runs}"


@pytest.fixture
def served(monkeypatch, own_home):
    """ServedImages of chapter 08 in a sandbox, whose mirror serves the real master."""
    ch = stand_in.chapter(monkeypatch, "determined", lambda script, stdin: "", mode="install")
    master = load()["determined-master"]
    master.images = {MASTER: [REAL, REAL_ID]}
    ch.artifacts["determined-master"] = master
    ch.host.target = Target.parse("sandbox:one")
    return ServedImages(ch, "determined")


@pytest.mark.parametrize(
    "there, says",
    [
        ("", ""),
        (images(REAL, REAL_ID), ""),
        (images(DOUBLE, REAL_ID), ""),  # another manifest, the same image: it was packed anew
        (images(DOUBLE, DOUBLE_ID, "docker.io/determinedai/determined-master:0.15.2"), ""),
        (images(DOUBLE, DOUBLE_ID), MASTER + " on the node is another image than the origin serves"),
    ],
)
def test_an_older_image_of_the_same_name_on_the_node_is_named(node, served, there, says):
    node.has(images=there)
    assert node(served._script("no_others")) == (int(bool(says)), says)


@pytest.mark.parametrize(
    "pods, says",
    [
        (pod(REAL), ""),
        (pod(DOUBLE), f"pod determined/master-1 runs another {MASTER} than the origin serves"),
        (pod(DOUBLE, "determinedai/determined-master:0.15.3"), f"pod determined/master-1 runs another {MASTER}"),
        (pod(DOUBLE, space="strangers"), ""),
        (pod(DOUBLE, controlled=""), ""),  # a task of a user's: nobody would make it again
        (pod(DOUBLE, "example.org/another:0.15.3"), ""),
        (pod(""), ""),
    ],
)
def test_a_pod_that_runs_another_image_is_named_whatever_the_tag_says(node, served, pods, says):
    node.has(images=images(REAL, REAL_ID), pods=pods)
    code, said = node(served._script("no_others", "determined"))
    assert code == int(bool(says)) and said.startswith(says)


def test_what_is_another_image_is_forgotten_and_its_pod_made_again(node, served):
    other = "docker.io/library/busybox:1.35.0"
    node.has(images=images(DOUBLE, DOUBLE_ID) + images(DOUBLE, DOUBLE_ID, other), pods=pod(DOUBLE), after=pod(REAL))
    assert node(served._script("pull_anew", "determined")) == (0, "")
    assert node.done() == [f"rm {MASTER}", "delete determined/master-1"]
    assert node(served._script("no_others", "determined")) == (0, "")
    assert node(served._script("pull_anew", "determined")) == (0, "") and len(node.done()) == 2


def test_a_pod_that_is_made_again_is_waited_for(node, served):
    late = f"pod determined/master-1 is not ready with {MASTER}"
    for pods in (pod(""), pod(REAL, ready="false")):
        node.has(pods=pods)
        assert node(served._script("no_others late", "determined")) == (1, late)
        assert node(served._script("no_others", "determined")) == (0, "")
    node.has(pods=pod(REAL))
    assert node(served._script("no_others late", "determined")) == (0, "")


def test_a_node_that_does_not_answer_proves_nothing(bash, served):
    for broken in ("exit 1", '[ "$1" = kubectl ] && exit 1; exit 0'):
        code, said = bash(served._script("no_others", "determined"), broken)
        assert code and said == "cannot tell which images there are"
        assert bash(served._script("pull_anew", "determined"), broken)[0]


def test_the_steps_end_in_words_where_it_stays_so(monkeypatch, served):
    said = []
    monkeypatch.setattr(served.ch, "step", lambda title, action: said.append((title, action)))
    served.before()
    served.after()
    assert [title for title, _ in said] == [
        "no image on the node is another one than the origin's",
        "the pods run the origin's images",
    ]
    monkeypatch.setattr(served.ch.host, "run", lambda *_a, **_k: (_ for _ in ()).throw(RunbookError("pull")))
    with pytest.raises(RunbookError):
        said[1][1].apply()


def test_elsewhere_than_in_a_sandbox_nothing_is_compared(monkeypatch, served):
    served.ch.host.target = Target.parse("local")
    elsewhere, skipped = ServedImages(served.ch, "determined"), []
    monkeypatch.setattr(served.ch, "skip", lambda *words: skipped.append(words))
    elsewhere.before()
    elsewhere.after()
    assert len(skipped) == 1 and "tell no digests" in skipped[0][1]
