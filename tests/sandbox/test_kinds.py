"""Hosts of many kinds: each has what it claims, asked over SSH, and chapters say on it what the book's page says.

One kind in every run of the tests; all of them with `./runbook test --kinds`.
"""

import os
import re
import socket
import subprocess

import pytest

from helpers.command import hosts
from helpers.core import notebooks
from helpers.core.errors import BadInput, RunbookError
from helpers.core.host import Host
from helpers.core.paths import REPO
from helpers.core.shell import quoted
from helpers.sandbox import Sandbox, kinds, needs

NAME = "kind" + os.environ.get("RUNBOOK_TEST_SANDBOX", "test")[:12]
SAMPLE = ["ubuntu"]
CHOSEN = list(kinds.known()) if os.environ.get("RUNBOOK_KINDS") == "all" else SAMPLE
SNAP = REPO / "setup/sandbox/substitutes/microk8s/guest/usr/bin/snap"

_lacks = needs.sandbox_lacks()


def on_each(test):
    """A test of every kind that is chosen; the host of one is there until all its tests are through."""
    needs_a_host = pytest.mark.skipif(bool(_lacks), reason="this machine cannot host a sandbox: ./runbook doctor")
    return needs_a_host(pytest.mark.parametrize("made", CHOSEN, indirect=True)(test))


def only(made, kind):
    if made.kind.name != kind:
        pytest.skip(f"of {kind} alone")


#: kind: {what it claims: (asked on the host, what the answer has)}; in this order: a fresh host's first minute is short
CLAIMS = {
    "ubuntu": {
        "apt-daily holds the lists' lock": (
            "sudo apt-get -qq update 2>&1; true",
            r"Could not get lock /var/lib/apt/lists/lock. It is held by process \d+ \(apt-get\)",
        ),
        "and dpkg's": ("sudo dpkg --configure -a 2>&1; true", "dpkg frontend lock was locked by another process"),
        "cloud-init is at work": ("cloud-init status; true", "status: running"),
        "its resolver is systemd's stub": (
            "readlink -f /etc/resolv.conf; cat /etc/resolv.conf",
            r"(?s)^/run/systemd/resolve/stub-resolv.conf.*^nameserver 127.0.0.53$",
        ),
        "which knows the world": ("getent hosts deb.debian.org", r"\w"),
        "and the host's own name, which stands nowhere else": (
            "getent ahostsv4 $(hostname); grep -c $(hostname) /etc/hosts; true",
            r"(?s)10\.99\.\d+\.2.*^0$",
        ),
        "a cloud named it": ("hostname", r"^ip-10-99-\d+-2$"),
        "ufw is there, and off": ("sudo ufw status", "Status: inactive"),
        "its user's shell is fish": ("getent passwd ubuntu", "/usr/bin/fish$"),
        "it does not lie about what it is": ("cat /etc/os-release", r'PRETTY_NAME="Debian GNU/Linux 12'),
    },
    "corporate": {
        "packets to the outside vanish": (
            "curl -sS --noproxy '*' -m 4 http://deb.debian.org/ 2>&1; true",
            "timed out|Could not resolve",
        ),
        "a login knows the proxy": ("env", r"(?s)http_proxy=http://10\.99\.\d+\.1:3128"),
        "so does sudo": ("sudo env", r"https_proxy=http://10\.99\.\d+\.1:3128"),
        "and the proxy leads out": (
            "curl -sS -o /dev/null -w '%{http_code}' http://deb.debian.org/debian/dists/bookworm/InRelease",
            "^200$",
        ),
        "also for apt": ("sudo apt-get -q update 2>&1", "Reading package lists"),
        "sshd listens on 2222, not on 22": ("ss -Hltn 'sport = :22 or sport = :2222'", r"^LISTEN.*:2222 "),
        "it forwards nothing": ("sudo sshd -T", "(?m)^allowtcpforwarding no$"),
        "the company's CA is trusted": (
            "openssl verify /usr/local/share/ca-certificates/company.crt",
            "company.crt: OK",
        ),
    },
    "crowded": {
        "it has started, and nothing failed": ("systemctl is-system-running --wait", "^running$"),
        "others have Kubernetes' ports": ("sudo ss -Hltnp 'sport = :16443 or sport = :10250'", r"(?s)python3.*python3"),
        "Docker runs": (
            "sudo docker info --format '{{.ServerVersion}}'; ip -4 addr show docker0",
            r"(?s)^\d+\..*inet ",
        ),
        "two PostgreSQL clusters run": ("pg_lsclusters -h", r"(?s)main +5432 online.*shop +5433 online"),
        "an apt source is gone": (
            "sudo apt-get -q update 2>&1; true",
            "vendor stable Release' does not have a Release",
        ),
        "it is in a LAN of 10.0.0.0/16": ("ip -4 route show 10.0.0.0/16", "dev host0"),
        "its user's shell is zsh": ("getent passwd ubuntu", "/usr/bin/zsh$"),
    },
    "old": {
        "it has started, and nothing failed": ("systemctl is-system-running --wait", "^running$"),
        "it is Debian 11": ("cat /etc/os-release", 'VERSION_ID="11"'),
        "with cgroup v1": ("stat -fc %T /sys/fs/cgroup", "^tmpfs$|^cgroup2fs$"),
    },
    "new": {
        "it has started, and nothing failed": ("systemctl is-system-running --wait", "^running$"),
        "it is Debian 13": ("cat /etc/os-release", 'VERSION_ID="13"'),
        "with cgroup v2 and nothing else": (
            "stat -fc %T /sys/fs/cgroup; grep -c ' - cgroup ' /proc/self/mountinfo; true",
            "^cgroup2fs\n0$",
        ),
    },
}


def ask(box, script):
    """What a script prints on the host; the login shell may be any."""
    argv = box.ssh("sh -c " + quoted(script))
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def made(request):
    """A new host of a kind."""
    box = Sandbox(NAME)
    box.down(wipe=True)
    box.up(artifacts=["minio"], like=request.param)
    yield box
    box.down(wipe=True)


@on_each
def test_a_kind_has_what_it_claims(made):
    found = {claim: ask(made, script) for claim, (script, _) in CLAIMS[made.kind.name].items()}
    wrong = {
        claim: found[claim]
        for claim, (_, has) in CLAIMS[made.kind.name].items()
        if not re.search(has, found[claim], re.M)
    }
    assert wrong == {}


@on_each
def test_the_snap_command_is_too_early_until_snapd_is_seeded(made):
    only(made, "ubuntu")
    put = made.ssh("sudo install -m 0755 /dev/stdin /usr/local/bin/snap")
    subprocess.run(put, input=SNAP.read_text(), check=True, text=True)
    assert ask(made, "test -e /var/lib/snapd/seeding && echo at it; true") == "at it", "the first minute is over"
    said = ask(made, "sudo snap install microk8s --classic 2>&1; echo $?")
    assert said.splitlines() == [
        "error: too early for operation, device not yet seeded or device model not acknowledged",
        "1",
    ]
    assert ask(made, "timeout 1 sudo snap wait system seed.loaded; echo $?") == "124"
    ask(made, "sudo rm /var/lib/snapd/seeding; sudo snap wait system seed.loaded")
    said = ask(made, "sudo snap install microk8s --classic 2>&1; sudo rm /usr/local/bin/snap")
    assert "error" in said and "too early" not in said


@on_each
def test_a_companys_host_is_reached_by_ssh_alone(made):
    only(made, "corporate")
    for port in (22, 16443):
        with pytest.raises(TimeoutError):
            socket.create_connection((made.address, port), timeout=2)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((made.gateway, 16443), timeout=2)


@on_each
def test_a_host_keeps_its_kind(made):
    made.up(artifacts=["minio"])
    assert Sandbox(NAME).kind.name == made.kind.name == made.status()["like"]
    other = next(k for k in kinds.known() if k != made.kind.name)
    with pytest.raises(BadInput) as e:
        made.up(artifacts=["minio"], like=other)
    assert f"made like {made.kind.name}" in e.value.saw and f"--wipe --name {NAME}" in e.value.do


@on_each
def test_every_character_reaches_the_host_through_its_login_shell(made):
    host, text = Host("sandbox:" + NAME), "a\\b\\\\c 'd' \"e\" $HOME `f` !! ~ * \\'\n\tg"
    try:
        assert host.run(f"cat <<'END'\n{text}\nEND", sudo=False).out == text + "\n"
    finally:
        host.close()


@on_each
def test_chapters_say_on_a_kind_what_the_page_says(made):
    recorded = hosts.load()[made.kind.name].chapters
    cheap = hosts.cheap(notebooks.load_all())
    quick = [n for n, said in recorded.items() if n in cheap or said.state == "refused"]
    found = hosts.on("sandbox:" + NAME, quick)
    assert {n: s.state for n, s in found.items()} == {n: recorded[n].state for n in found}, found


# -- without a host


def test_every_kind_is_claimed():
    assert sorted(CLAIMS) == sorted(kinds.known())


def test_a_kind_that_is_none_is_refused():
    with pytest.raises(BadInput) as e:
        kinds.kind("windows")
    assert "corporate, crowded" in e.value.do


def test_a_field_that_is_none_is_named(tmp_path):
    (tmp_path / "kind.toml").write_text('what = "x"\nsuit = "bookworm"\n')
    with pytest.raises(RunbookError) as e:
        kinds._read(tmp_path / "kind.toml")
    assert "suit" in e.value.saw and str(tmp_path) in e.value.what


@pytest.mark.parametrize(
    "there, asked, exists, becomes",
    [("", None, True, ""), ("old", None, True, "old"), ("old", "old", True, "old"), ("old", "new", False, "new")],
)
def test_which_kind_a_sandbox_becomes(there, asked, exists, becomes):
    assert kinds.agreed("test", kinds.kind(there), asked, exists).name == becomes


@pytest.mark.parametrize("sandbox, there, words", [("test", "", "without --like"), ("sandbox", "old", "made like old")])
def test_another_kind_than_there_is_refused_in_words(sandbox, there, words):
    with pytest.raises(BadInput) as e:
        kinds.agreed(sandbox, kinds.kind(there), "new", exists=True)
    assert words in e.value.saw and "--like new --name new" in e.value.do
    assert e.value.do.endswith("--wipe" + (" --name test" if sandbox == "test" else ""))
