"""Which version a host's Python runs, the list of packages, and the scripts that install it and ask for it."""

import os
import pwd
import re

import pytest
import stand_in
from packaging.requirements import Requirement

from helpers.components.label_studio import program
from helpers.components.label_studio.layout import SCRIPTS
from helpers.components.label_studio.program import Program, why_wrong_python
from helpers.core import catalogue
from helpers.core.errors import RunbookError
from helpers.core.scripts import uv_settings


@pytest.mark.parametrize("name", ["label-studio", "label-studio-2021"])
def test_every_package_is_pinned_once_for_each_python(name):
    artifact = catalogue.load()[name]
    lines = Program(None, artifact, "python3").packages().splitlines()
    wanted = [Requirement(line) for line in lines if line and not line.startswith("#")]
    low, high = (tuple(map(int, p.split("."))) for p in artifact.entry["pythons"])
    for minor in range(low[1], high[1] + 1):
        python = {"python_version": f"3.{minor}", "python_full_version": f"3.{minor}.0"}
        here = [r for r in wanted if not r.marker or r.marker.evaluate(python)]
        names = [re.sub(r"[-_.]+", "-", r.name).lower() for r in here]
        assert len(names) == len(set(names)), f"one is named twice for 3.{minor}"
        assert all(re.fullmatch(r"==[0-9][0-9a-z.]*", str(r.specifier)) for r in here)
        assert f"label-studio=={artifact.version}" in {str(r).split(";")[0].strip() for r in here}
        assert {"django", "djangorestframework", "boto3", "attrs"} <= set(names) and "attr" not in names


@pytest.mark.parametrize("name", ["label-studio", "label-studio-2021"])
def test_nothing_is_installed_as_root_without_a_checksum(name):
    """setup.py of old packages ran as root, of whatever file came by that name."""
    made = Program(None, catalogue.load()[name], "python3")
    pins = made.packages() + made.artifact.entry["installer"] + "\n"
    for pin, line in zip(pins.splitlines(), made.verified(pins).splitlines(), strict=True):
        hashes = line[len(pin) :].split()
        assert line.startswith(pin) and (hashes or not pin or pin.startswith("#")), pin
        assert all(re.fullmatch("--hash=sha256:[0-9a-f]{64}", each) for each in hashes)
    with pytest.raises(KeyError):
        made.verified("somebody-else==1\n")


def test_a_copy_without_the_checksums_says_where_to_install_from(monkeypatch, own_home, tmp_path):
    """As a notebook of Determined's has it: it ended in a FileNotFoundError."""
    monkeypatch.setattr(program, "_CHECKSUMS", tmp_path / "sha256.txt")
    made = Program(stand_in.chapter(monkeypatch, "label_studio", None), catalogue.load()["label-studio"], "python3")
    with pytest.raises(RunbookError, match="from your own machine"):
        made.verified("label-studio==1\n")


@pytest.mark.parametrize("version", [(3, 6), (3, 8), (3, 10), (3, 13)])
def test_pythons_that_fit(version):
    assert why_wrong_python(version) is None


@pytest.mark.parametrize("version", [(3, 5), (3, 9), (3, 14)])
def test_pythons_that_do_not_fit(version):
    why = why_wrong_python(version)
    assert "it is Python {}.{};".format(*version) in why and "3.6 to 3.8" in why and "3.10 to 3.13" in why


def test_a_python_that_is_not_there():
    assert why_wrong_python((0, 0)) == "there is no such program"


@pytest.mark.parametrize(
    "there, wanted, follows",
    [
        (None, "1.23.2", True),
        ("1.23.2", "1.23.2", True),
        ("1.22.0", "1.23.2", True),
        ("1.24.0", "1.23.2", False),
        ("1.0.1", "1.0.1", True),
        ("1.0.1", "1.23.2", False),
        ("1.23.2", "1.0.1", False),
    ],
)
def test_only_a_database_that_can_be_brought_up_to_date_is_followed(on_host, tmp_path, there, wanted, follows):
    packages = tmp_path / "venv/lib/python3.11/site-packages"
    (packages / "label_studio_sdk-9.9.dist-info").mkdir(parents=True)
    if there:
        (packages / f"label_studio-{there}.dist-info").mkdir()
    code, said = on_host("can_follow.sh", tmp_path / "venv", wanted)
    assert (code == 0) is follows
    assert said == ("" if follows else f"Label Studio {there} is there, and {wanted} cannot use its database\n")


WHO = pwd.getpwuid(os.getuid()).pw_name
OURS = "# Written by the runbook, chapter 10. Changes made here are undone by the next install.\n"


@pytest.fixture
def older(on_host, tmp_path, monkeypatch):
    """made_by_older.sh's answer for a thing of a host with a user of this home."""

    def ask(thing, home="{}/data", user="-", noted=""):
        kind, name = thing.format(tmp_path).split(" ")
        known = f"echo '{user}:x:9:9::{home.format(tmp_path)}:/usr/sbin/nologin'"
        where = (tmp_path / "venv", tmp_path / "settings", tmp_path / "data", user)
        for variable, value in (("KIND", kind), ("NAME", name), ("NOTED", noted)):
            monkeypatch.setenv(variable, value)
        return on_host("made_by_older.sh", *where, getent=known)[0] == 0

    return ask


def put(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


@pytest.mark.parametrize(
    "files, ours",
    [
        ({"venv/bin/python": "", "venv/lib/x": "", "venv/pyvenv.cfg": "", "venv/.uv/bin/uv": ""}, True),
        ({"venv/installed": "0" * 64 + "\n", "venv/data_file": ""}, True),
        ({"venv/requirements.txt": "# Label Studio 1.0.1 and what it needs, for\n", "venv/data_file": ""}, True),
        ({"venv/docker-compose.yml": "", "venv/mydata/label_studio.sqlite3": ""}, False),
        ({"venv/pyvenv.cfg": "", "venv/mydata/label_studio.sqlite3": ""}, False),
        ({"venv/requirements.txt": "django\n", "venv/manage.py": ""}, False),
        ({"settings": "PORT=80\n", "venv/installed": "0" * 64 + "\n"}, False),
    ],
)
def test_an_environment_of_an_older_runbook_is_known_by_what_is_in_it(older, tmp_path, files, ours):
    put(tmp_path, files)
    assert older("folder {}/venv") is ours
    assert not older("folder {}/venv", noted="yes")
    assert not (older("folder {}/venv", home="/home/label-studio") and "settings" not in files)


def test_data_of_an_older_runbook_are_its_users(older, tmp_path):
    put(tmp_path, {"settings": OURS, "data/label_studio.sqlite3": ""})
    assert older("folder {}/data", user=WHO) and not older("folder {}/data", user="label-studio")
    assert older("user label-studio") and older("file {}/settings")
    put(tmp_path, {"settings": "PORT=80\n"})
    assert not older("folder {}/data", user=WHO) and not older("user label-studio")


def test_an_install_leaves_what_is_known_as_ours(install, older, tmp_path):
    install("uv==1", PIP_BROKEN="yes")
    (tmp_path / "venv/requirements.txt").write_text("")
    assert older("folder {}/venv"), "it was cut off"


def test_an_install_that_is_not_whole_is_no_install(on_host, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to("/bin/true")
    packages = tmp_path / "lib/python3.11/site-packages"
    packages.mkdir(parents=True)
    ask = ("is_installed.sh", tmp_path, "1.23.2", "the-mark")
    assert on_host(*ask) == (1, f"Label Studio 1.23.2 is not in {tmp_path} as pinned\n")
    (tmp_path / "installed").write_text("the-mark\n")
    assert on_host(*ask) == (1, f"{tmp_path} has lost packages\n")
    (packages / "label_studio-1.23.2.dist-info").mkdir()
    assert on_host(*ask) == (0, "")
    (tmp_path / "bin/python").unlink()
    assert on_host(*ask)[0] != 0, "its Python is gone"


#: stands in for a host's Python: `-m venv` makes an environment whose pip says what it was asked to install
PYTHON = r"""
[ "$1" = -c ] && { echo "export UV_INDEX='http://a b'"; exit; }
venv=${!#}; mkdir -p "$venv/bin"; cp "$0" "$venv/bin/python"
cat > "$venv/bin/pip" << 'END'
#!/bin/bash
[ -z "$PIP_BROKEN" ] || exit 1
here=$(dirname "$0")
while [ $# -gt 0 ]; do
  case $1 in
    --target)
      mkdir -p "$2/bin"
      printf '#!/bin/bash\necho uv $UV_INDEX; exit $UV_EXIT\n' > "$2/bin/uv"
      chmod +x "$2/bin/uv";;
    -r)
      list=$(cat "$2")
      case $2:$list in /dev/stdin:uv*) ;; /dev/stdin:*) echo "an installer, $list" ;; *) echo "pip $list" ;; esac ;;
  esac
  shift
done
END
printf '#!/bin/bash\n' > "$venv/bin/label-studio"; chmod +x "$venv/bin/"*
"""


@pytest.fixture
def install(on_host, tmp_path, monkeypatch):
    """install(tool, **variables of its stand-ins) -> (exit code, output) of an install into tmp_path/venv."""

    def run(tool, **variables):
        for name, value in dict({"PIP_BROKEN": "", "UV_EXIT": "0"}, **variables).items():
            monkeypatch.setenv(name, value)
        arguments = ("install.sh", tmp_path / "venv", "python3", tool, "the-mark", "uv's settings")
        return on_host(*arguments, stdin="a==1\n", python3=PYTHON)

    return run


@pytest.mark.parametrize(
    "tool, uv_exit, said",
    [
        ("uv==1", "0", "uv http://a b\n"),
        ("uv==1", "1", "uv http://a b\nwith pip\npip a==1\n"),
        ("pip==2", "0", "an installer, pip==2\nwith pip\npip a==1\n"),
    ],
)
def test_uv_installs_and_where_it_fails_pip_does(install, tmp_path, tool, uv_exit, said):
    assert install(tool, UV_EXIT=uv_exit) == (0, said)
    venv = tmp_path / "venv"
    assert (venv / "requirements.txt").read_text() == "a==1\n" and (venv / "installed").read_text() == "the-mark\n"
    assert not (venv / ".uv").exists(), "uv is taken away again"


def test_pip_and_uv_take_no_file_without_its_checksum():
    """Each call that installs: a pip without hashes would take whatever has the name and the version."""
    text = (SCRIPTS / "install.sh").read_text().replace("\\\n", " ")
    calls = [line for line in text.splitlines() if " -r " in line]
    assert len(calls) == 4 and all("--require-hashes" in line for line in calls)


def test_an_install_that_fails_leaves_no_mark(install, tmp_path):
    code, said = install("uv==1", PIP_BROKEN="yes")
    assert code != 0 and said == "with pip\n" and not (tmp_path / "venv/installed").exists()


def test_pips_settings_are_handed_on_to_uv():
    listed = [
        ":env:.index-url='https://env/simple'",
        "global.index-url='https://file/simple'",
        "global.find-links='/a /b'",
        "install.trusted-host='one two'",
        "global.timeout='60'",
        "download.cert='/not/ours'",
    ]
    assert list(uv_settings.exports("\n".join(listed))) == [
        "export UV_DEFAULT_INDEX=https://file/simple",
        "export UV_FIND_LINKS=/a,/b",
        "export UV_INSECURE_HOST='one two'",
        "export UV_DEFAULT_INDEX=https://env/simple",
    ]
