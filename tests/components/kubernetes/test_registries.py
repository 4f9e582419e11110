"""Registries that answer for others, a login to Docker Hub, and the pause image: on containerd's own settings."""

import tomllib

import pytest
import stand_in

from helpers.components.kubernetes import registries
from helpers.components.kubernetes.kube import Kube
from helpers.components.kubernetes.registries import Registries, why_bad_mirrors, why_no_pod, with_registries
from helpers.core.errors import RunbookError
from helpers.core.paths import REPO

TEMPLATE = (REPO / "setup/sandbox/substitutes/microk8s/snap/default-args/containerd-template.toml").read_text()
PASSWORD = "dckr_pat_made-up"
#: as containerd's CRI plugin words it
NO_PAUSE = (
    "Failed to create pod sandbox: rpc error: code = Unknown desc = "
    'failed to get sandbox image "k8s.gcr.io/pause:3.1": '
    'failed to pull image "k8s.gcr.io/pause:3.1": failed to pull and unpack image "k8s.gcr.io/pause:3.1": '
    'failed to resolve reference "k8s.gcr.io/pause:3.1": '
    'failed to do request: Head "https://k8s.gcr.io/v2/pause/manifests/3.1": dial tcp: lookup k8s.gcr.io: no such host'
)


def cri(text):
    return tomllib.loads(text)["plugins"]["io.containerd.grpc.v1.cri"]["registry"]


@pytest.mark.parametrize("mirrors", [[], [("k8s.gcr.io", "registry.k8s.io")], [("docker.io", "http://10.0.0.9:5000")]])
@pytest.mark.parametrize("login", [None, ("user", PASSWORD)])
def test_settings_are_sound_made_once_and_taken_away_to_the_byte(mirrors, login):
    text = with_registries(TEMPLATE, mirrors, login)
    found = cri(text)
    for registry, mirror in mirrors:
        first, itself = found["mirrors"][registry]["endpoint"]
        assert first.endswith(mirror) and itself == "https://" + registry.replace("docker.io", "registry-1.docker.io")
    assert found["mirrors"]["localhost:32000"] == {"endpoint": ["http://localhost:32000"]}
    if login:
        auth = found["configs"]["registry-1.docker.io"]["auth"]
        assert auth == {"username": "user", "password": PASSWORD}
    assert with_registries(text, mirrors, login) == text
    assert with_registries(text, []) == TEMPLATE


@pytest.mark.parametrize(
    "mirror, asked",
    [
        ("harbor.corp/hub", "https://harbor.corp/v2/hub"),
        ("https://harbor.corp/hub/", "https://harbor.corp/v2/hub"),
        ("http://10.0.0.9:5000/a/b", "http://10.0.0.9:5000/v2/a/b"),
        ("harbor.corp/v2/hub", "https://harbor.corp/v2/hub"),
        ("harbor.corp/v2", "https://harbor.corp"),
        ("harbor.corp/v2hub", "https://harbor.corp/v2/v2hub"),
        ("harbor.corp/", "https://harbor.corp"),
    ],
)
def test_a_mirror_with_a_path_is_asked_below_v2(mirror, asked):
    """containerd 1.3.7 adds /v2 where the path is empty alone (vendor/github.com/containerd/cri, image_pull.go)."""
    found = cri(with_registries(TEMPLATE, [("docker.io", mirror)]))["mirrors"]["docker.io"]["endpoint"]
    assert found == [asked, "https://registry-1.docker.io"]


@pytest.fixture
def node(monkeypatch, own_home):
    """A function: Registries on a host whose template is .text; .put is what was written, .ran all scripts."""

    def make(**how):
        mode = how.pop("mode", "install")

        def answer(script, stdin):
            made.ran.append(script)
            if script.startswith("stat -c"):
                return "660 root:microk8s\n" + made.text
            if "sha256sum -c --quiet" in script:
                made.put = made.text = stdin.decode()
            return made.answer(script)

        made = Registries(Kube(stand_in.chapter(monkeypatch, "kubernetes", answer, mode)), **how)
        made.text, made.put, made.ran, made.answer = TEMPLATE, None, [], lambda script: ""
        return made

    return make


def test_without_a_choice_nothing_is_touched(node):
    one = node()
    assert one.chosen().probe() is None and one.why_no_password() is None


def test_a_login_is_written_once_and_its_password_is_in_no_command(node, monkeypatch):
    one = node(user="me", mirrors=["k8s.gcr.io=registry.k8s.io"])
    assert "RUNBOOK_SECRET_DOCKER_HUB" in one.why_no_password()
    monkeypatch.setenv("RUNBOOK_SECRET_DOCKER_HUB", PASSWORD)
    assert one.why_no_password() is None
    action = one.chosen()
    assert "other registries" in action.probe()
    action.apply()
    assert PASSWORD in one.put and not any(PASSWORD in script for script in one.ran)
    assert any("restart snap.microk8s.daemon-containerd" in script for script in one.ran)
    assert any("660" in script and "root:microk8s" in script for script in one.ran), "its owner and mode stay"
    monkeypatch.delenv("RUNBOOK_SECRET_DOCKER_HUB")
    assert action.probe() is None, "a later run knows the password"


def test_a_password_that_is_not_known_is_never_made_up(node):
    one = node(user="me", mode="verify")
    with pytest.raises(RunbookError, match="log in to Docker Hub"):
        one.chosen().probe()
    assert one.ch.secrets.names() == []


def test_a_node_that_is_not_ready_says_why_its_pods_do_not_start(bash):
    answers = f"""case "$*" in *"get node"*) echo False ;; *"get events"*) cat <<'END'
{NO_PAUSE}
END
;; esac"""
    code, said = bash(registries.READY_OR_WHY, answers)
    assert (code, said) == (1, "the node is not Ready: False; its pods do not start: " + NO_PAUSE)
    assert bash(registries.READY_OR_WHY, "echo True") == (0, "")


def test_a_first_install_with_mirrors_waits_as_for_any_new_node_and_says_what_keeps_it(node, monkeypatch):
    """Calico's images come meanwhile, by the registries that were just written: they may be the wrong ones."""
    one, waits = node(mirrors=["k8s.gcr.io=registry.k8s.io"]), {}

    def ask(what, ready, *how, **more):
        failed, timeout, do = how
        waits.update(more, timeout=timeout)
        return registries_wait(ready, do)

    one.answer = lambda script: (1, f"the node is not Ready: False; {NO_PAUSE}", "") if "get node" in script else ""
    monkeypatch.setattr(one.ch, "wait", ask)
    with pytest.raises(RunbookError) as e:
        one.chosen().apply()
    assert waits["timeout"] == 300 and waits["stands"] is not None and registries.READY_OR_WHY in one.ran
    assert "no such host" in e.value.saw


@pytest.mark.parametrize("text", ["k8s.gcr.io", "=x", "a=", "a b=c"])
def test_a_mirror_of_another_form_is_refused(text):
    assert text in why_bad_mirrors([text, "k8s.gcr.io=registry.k8s.io"])
    assert why_bad_mirrors(["k8s.gcr.io=registry.k8s.io", "docker.io=http://10.0.0.9:5000"]) is None


def test_a_registry_that_gives_no_pause_image_is_named(node, monkeypatch):
    one = node()

    def answer(script):
        if script.startswith("sed "):
            return "k8s.gcr.io/pause:3.1\n"
        return NO_PAUSE if "get events" in script else "Pending" if "get pod" in script else ""

    one.answer = answer
    monkeypatch.setattr(one.ch, "wait", lambda what, ready, do, timeout=300: registries_wait(ready, do))
    with pytest.raises(RunbookError) as e:
        one.pause().apply()
    assert e.value.saw.startswith("the registry k8s.gcr.io gives no k8s.gcr.io/pause:3.1: failed to do request")
    assert "no such host" in e.value.saw and "registry.k8s.io" in e.value.do
    assert "delete pod runbook-pause" in one.ran[-1]


def registries_wait(ready, do):
    """The chapter's wait, but for a second."""
    from helpers.core.waiting import wait

    return wait("it", ready, timeout=0.1, do=do)


def test_an_event_of_something_else_is_not_the_pause_images():
    assert why_no_pod("k8s.gcr.io/pause:3.1", "failed to set up network") is None
    assert why_no_pod("k8s.gcr.io/pause:3.1", "") is None


def test_the_probe_looks_for_the_image_that_the_settings_name(bash, tmp_path, monkeypatch):
    template = tmp_path / "containerd-template.toml"
    template.write_text(TEMPLATE)
    probe = Registries(type("Kube", (), {"ch": None})()).pause().probe.replace(registries.TEMPLATE, str(template))
    assert bash(probe, "echo k8s.gcr.io/pause:3.1") == (0, "")
    assert bash(probe, "echo k8s.gcr.io/pause:3.10") == (
        1,
        "the node has no image k8s.gcr.io/pause:3.1, which each pod needs",
    )
