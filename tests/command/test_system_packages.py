"""System packages of the operator's machine: asked for, noted before they come, taken back; apt is a program here."""

import os
import shutil
import subprocess
import sys

import pytest

from helpers.command import system_packages
from helpers.core.errors import RunbookError
from helpers.core.paths import REPO

APT_GET = """#!/bin/sh
echo "$@" >> {log}
case " $* " in
  *" -s install "*) printf 'Inst new-a (1.0 Debian)\\nInst old [1.0] (2.0 Debian)\\nInst new-b (1.0 Debian)\\n' ;;
  *" -s purge "*) for p; do case $p in new-*) echo "Purg $p [1.0]" ;; esac; done ;;
  *" install "*) cat {note} > {log}.noted ;;
esac
"""
ASK = "from helpers.command import system_packages as p; p.install(['new-a'], print)"


@pytest.fixture
def machine(tmp_path, program, monkeypatch):
    """This machine with an apt of its own; nobody has said yes, and there is no terminal."""
    home = tmp_path / "home"
    for name, text in {
        "apt-get": APT_GET.format(log=tmp_path / "asked", note=home / "packages"),
        "dpkg": "",
        "dpkg-query": 'case "$*" in *Abbrev*) exit 1 ;; *Suggests*) echo "editor:, new-b" ;; esac',
    }.items():
        program(name, text)
    monkeypatch.setenv("RUNBOOK_HOME", str(home))
    for name in system_packages.YES:
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def asked_of_apt(machine):
    log = machine / "asked"
    return log.read_text().splitlines() if log.exists() else []


def test_without_a_terminal_and_a_yes_nothing_is_installed(machine):
    with pytest.raises(RunbookError) as e:
        system_packages.install(["new-a", "btrfs-progs"], pytest.fail)
    assert "new-a btrfs-progs" in e.value.what and "RUNBOOK_YES=1" in e.value.do and "apt-get install" in e.value.do
    assert asked_of_apt(machine) == [] and not system_packages.noted()


@pytest.mark.parametrize("answer, comes", [("n", False), ("y", True), ("", True)])
def test_a_person_is_asked(machine, answer, comes):
    ours, theirs = os.openpty()
    os.write(ours, (answer + "\n").encode())
    argv, env = [sys.executable, "-c", ASK], dict(os.environ, PYTHONPATH=str(REPO))
    done = subprocess.run(argv, env=env, stdin=theirs, capture_output=True, text=True, timeout=60)
    assert "This machine lacks new-a. Install them" in done.stderr
    assert (done.returncode == 0) is comes and bool(asked_of_apt(machine)) is comes


@pytest.mark.parametrize("name", system_packages.YES)
def test_what_comes_is_noted_before_it_does_and_what_was_here_is_not(machine, monkeypatch, name):
    monkeypatch.setenv(name, "true")
    said = []
    system_packages.install(["new-a"], said.append)
    assert said == ["installing with apt-get: new-a"] and "new-a" in (machine / "asked.noted").read_text()
    assert system_packages.noted() == ["new-a", "new-b"]
    system_packages.install(["new-a"], said.append)
    assert system_packages.noted() == ["new-a", "new-b"], "each once"
    monkeypatch.setenv(name, "false")
    with pytest.raises(RunbookError):
        system_packages.install(["new-a"], said.append)


def test_exactly_these_are_taken_back_but_for_what_another_one_suggests(machine, monkeypatch):
    monkeypatch.setenv("RUNBOOK_YES", "1")
    system_packages.install(["new-a"], str)
    query = machine / "programs/dpkg-query"
    query.write_text(query.read_text().replace("exit 1", 'case "$*" in *new-b) echo "ii " ;; esac'))
    said = []
    system_packages.take_back(said.append)
    purged = [line.split()[-1] for line in asked_of_apt(machine) if " purge " in line and not line.startswith("-s")]
    assert purged == ["new-a"]
    assert said == ["taken back: new-a", "left, since other packages need or suggest them: new-b"]
    assert system_packages.noted() == ["new-b"]


def test_where_nothing_was_installed_nothing_is_purged(machine):
    said = []
    system_packages.take_back(said.append)
    assert "nothing to take back" in said[0] and asked_of_apt(machine) == []


def the_script(machine, *words, **variables):
    """`runbook` of a repository of the test's own, with an environment beside it."""
    folder = machine / "repository"
    (folder / "setup").mkdir(parents=True)
    for file in ("runbook", "requirements.txt", "setup/constraints.txt"):
        shutil.copy(REPO / file, folder / file)
    env = dict(os.environ, RUNBOOK_VENV=str(machine / "venv"), **variables)
    argv = [str(folder / "runbook"), *words]
    return subprocess.run(argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "words, yes, comes", [("up", "", False), ("up", "1", True), ("up --yes", "", True), ("test", "", True)]
)
def test_pythons_package_comes_by_the_same_rule(machine, program, words, yes, comes):
    """The script `runbook`, as root on a machine without python3-venv."""
    program("python3", '[ "$1" = -c ]')
    program("id", "echo 0")
    done = the_script(machine, *words.split(), RUNBOOK_YES=yes)
    assert (
        done.returncode
        and ("python3-venv" in done.stderr)
        and system_packages.noted() == (["new-a", "new-b"] if comes else [])
    )
    assert any(" install python3-venv" in line and "-s" not in line for line in asked_of_apt(machine)) is comes


#: python3, and the environment that it makes: pip and uv, each with a line in a log
PYTHON = """#!/bin/sh
[ "$1 $2" = "-m venv" ] || exit 0
mkdir -p "$3/bin"
cat > "$3/bin/python" << 'P'
#!/bin/sh
case "$*" in
  *uv_settings.py) echo "export UV_DEFAULT_INDEX=http://own" ;;
  "-c "*) dirname "$0" ;;
  *" pip "*" uv") echo uv by pip >> "$TOLD"; exit "$PIP_HAS_NO_UV" ;;
  *" pip "*) echo all by pip >> "$TOLD"; exit "$PIP_FAILS" ;;
  *) echo "runs $*${PYTHONDONTWRITEBYTECODE:-}" >> "$TOLD" ;;
esac
P
printf '#!/bin/sh\necho "all by uv $UV_DEFAULT_INDEX" >> "$TOLD"; exit "$UV_FAILS"\n' > "$3/bin/uv"
chmod +x "$3/bin/python" "$3/bin/uv"
"""


@pytest.mark.parametrize(
    "broken, told",
    [
        ([], ["uv by pip", "all by uv http://own", "runs -m helpers --help"]),
        (["PIP_HAS_NO_UV"], ["uv by pip", "all by pip", "runs -m helpers --help"]),
        (["UV_FAILS"], ["uv by pip", "all by uv http://own", "all by pip", "runs -m helpers --help"]),
        (["UV_FAILS", "PIP_FAILS"], ["uv by pip", "all by uv http://own", "all by pip"]),
    ],
)
def test_what_the_runbook_needs_comes_by_uv_with_pips_settings_else_by_pip(machine, program, broken, told):
    program("python3", PYTHON)
    env = dict.fromkeys(["PIP_HAS_NO_UV", "UV_FAILS", "PIP_FAILS"], "0") | dict.fromkeys(broken, "1")
    done = the_script(machine, "--help", TOLD=str(machine / "told"), PYTHONDONTWRITEBYTECODE="1", **env)
    assert (machine / "told").read_text().splitlines() == told, done.stderr
    assert done.returncode == (2 if "PIP_FAILS" in broken else 0)
    assert ("could not be installed" in done.stderr) is ("PIP_FAILS" in broken)
