"""The service's settings and unit, and a host where its process listens, or another's does."""

import re
import subprocess
import sys

import pytest

from helpers.components.label_studio.gateway import Gateway
from helpers.components.label_studio.program import Program
from helpers.components.label_studio.service import Service
from helpers.components.pachyderm.client import Pachyderm
from helpers.components.postgres import Postgres
from helpers.core import catalogue
from helpers.core.errors import RunbookError


def service(make, name="label-studio", postgres=None, answer=lambda script, stdin: ""):
    ls = make(name, answer=answer)
    program = Program(ls.ch, catalogue.load()[name], "python3")
    return Service(ls, program, Gateway(Pachyderm(ls.ch)), postgres and Postgres(ls.ch, postgres))


def cluster(script, stdin):
    return "10.152.183.7" if "get service pachd" in script else ""


@pytest.mark.parametrize("name, marks", [("label-studio", []), ("label-studio-2021", ["label-studio-key"])])
def test_settings_hold_marks_and_no_secret(make, name, marks):
    s = service(make, name, 5433, cluster)
    text = s.settings()
    assert re.findall(r"\{\{secret:([a-z-]+)\}\}", text) == [*marks, "postgres-labelstudio"]
    assert not any(value in text for value in s.ch.secrets.values())
    assert "LABEL_STUDIO_S3_ENDPOINT=http://10.152.183.7:30600\n" in text and "POSTGRE_PORT=5433\n" in text
    assert "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK=true\n" in text and "COLLECT_ANALYTICS=false\n" in text
    for line in text.splitlines():  # systemd and a shell read it alike
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9_]+=([\w.:/-]*|'[^']*')", line), line


def test_settings_can_be_written_before_pachyderm_is_there(make):
    s = service(make, answer=lambda script, stdin: (1, "", "not found"))
    assert "LABEL_STUDIO_S3_ENDPOINT=http://pachyderm-is-not-there\n" in s.settings()


def test_the_unit_refuses_a_busy_port_and_listens_where_it_was_told(make):
    s = service(make)
    port = s.ls.port
    assert f"--internal-host 127.0.0.1 --port {port}\n" in s.unit() and f'"sport = :{port}"' in s.unit()
    assert "$" not in s.unit() and "EnvironmentFile=/etc/default/label-studio\n" in s.unit()


def test_remove_drops_its_database_and_role(make):
    action = service(make, postgres=5433).database()
    assert "labelstudio" in action.undo and "labelstudio" in action.absent and action.undo.count("5433") == 2


def test_the_key_of_1_0_1_lies_beside_its_python(make):
    said = service(make, "label-studio-2021", answer=lambda script, stdin: "3 8\n").own_key()
    assert said.path == "/opt/label-studio/lib/python3.8/site-packages/runbook_settings.py"


IS_ACTIVE, AS_THE_USER = 'echo "$*"; [ "$*" != "-q is-active resting" ]', 'shift 3; exec "$@"'


@pytest.mark.parametrize(
    "lines, says",
    [
        ("SECRET_KEY=abc$\n", ""),
        ("A=1\nSECRET_KEY=$abc\nSECRET_KEY=abc\n", ""),  # the last one counts
        ("SECRET_KEY=abc\n\nSECRET_KEY=$abc\n", "begins with a dollar sign"),
        ("", "no SECRET_KEY is in "),
        (None, "no SECRET_KEY is in "),
    ],
)
def test_a_key_that_it_cannot_read_is_followed_by_one_that_it_can(on_host, tmp_path, lines, says):
    """django-environ takes what begins with $ for a variable's name: a token was refused after the first restart."""
    env = tmp_path / ".env"
    if lines is not None:
        env.write_text(lines)
    code, said = on_host("has_key.sh", env)
    assert (code, bool(said)) == ((1, True) if says else (0, False)) and says in said
    if says:
        programs = {"systemctl": IS_ACTIVE, "runuser": AS_THE_USER}
        assert on_host("make_key.sh", env, "ls", "resting", **programs) == (0, "-q is-active resting\n")
        assert on_host("has_key.sh", env) == (0, "")
        first, key = env.read_text().rsplit("\nSECRET_KEY=", 1)
        assert first == (lines or "") and re.fullmatch("[0-9a-f]{64}\n", key)
        _, said = on_host("make_key.sh", env, "ls", "running", **programs)
        assert said.endswith("restart running\n") and env.read_text().rsplit("=", 1)[1] != key
    if lines is None:
        assert env.stat().st_mode & 0o777 == 0o600


def test_a_later_version_has_its_key_before_its_first_start(make):
    key = service(make).own_key()
    assert (
        "/var/lib/label-studio/.env" in key.probe
        and "/var/lib/label-studio/.env label-studio label-studio" in key.apply
    )


def test_1_0_1_asks_nobody_for_its_newest_version(make, tmp_path):
    """tests/recordings/label-studio-1.0.md: it thinks that it has done so already, before its own settings load."""
    settings = tmp_path / "label_studio" / "core" / "settings"
    settings.mkdir(parents=True)
    (tmp_path / "label_studio" / "__init__.py").write_text("__latest_version_check_time__ = None\n")
    checked = "label_studio.__latest_version_check_time__"
    asks = f"not ({checked} and time.time() - {checked} < 60)"
    (settings / "label_studio.py").write_text(f"import time\nimport label_studio\nASKS = {asks}\n")
    own_key = service(make, "label-studio-2021", answer=lambda script, stdin: "3 8\n").own_key()
    (tmp_path / "runbook_settings.py").write_bytes(own_key.data)
    env = {"LABEL_STUDIO_SECRET_KEY": "a key", "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", "import runbook_settings as made; print(made.ASKS, made.SECRET_KEY)"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False a key\n", "")


def test_1_0_1_prints_more_than_ascii_where_the_host_has_no_locale(make):
    text = service(make, "label-studio-2021").settings()
    env = dict(line.split("=", 1) for line in text.splitlines() if line.startswith("PYTHON"))
    bare = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # as Python 3.6 has it
    prints = [sys.executable, "-c", "print(chr(0x2192))"]
    assert subprocess.run(prints, env=bare, capture_output=True).returncode == 1
    assert subprocess.run(prints, env={**env, **bare, "PYTHONPYCACHEPREFIX": ""}, capture_output=True).returncode == 0
    assert "PYTHONIOENCODING" not in service(make).settings(), "later versions stay as they are"


#: stand in for the host's: the unit's process is number 7
SYSTEMCTL = 'case "$*" in *MainPID*) echo MainPID=$PID;; *) echo inactive; exit 3;; esac'
LISTENS = """echo 'LISTEN 0 10 127.0.0.1:{} 0.0.0.0:* users:(("label-studio",pid={},fd=3))'"""


@pytest.mark.parametrize(
    "pid, listening, said",
    [
        (7, (8080, 7), (0, "")),
        (7, (8081, 7), (3, "ls listens on 127.0.0.1:8081, not on port 8080: that was busy when it started\n")),
        (7, (8080, 8), (1, "ls listens nowhere yet\n")),
        (0, (8080, 7), (1, "ls is inactive\n")),
    ],
)
def test_where_it_listens(on_host, monkeypatch, pid, listening, said):
    monkeypatch.setenv("PID", str(pid))
    assert on_host("listens.sh", "ls", 8080, systemctl=SYSTEMCTL, ss=LISTENS.format(*listening)) == said


@pytest.mark.parametrize("owner, code, says", [(7, 0, ""), (8, 1, '(("label-studio",pid=8,fd=3)) listens there\n')])
def test_whose_the_port_is(on_host, monkeypatch, owner, code, says):
    monkeypatch.setenv("PID", "7")
    said = on_host("port_is_ours.sh", 8080, "ls", systemctl=SYSTEMCTL, ss=LISTENS.format(8080, owner))
    assert said == (code, says)


ELSEWHERE = "label-studio listens on 127.0.0.1:8081, not on port 8080"


@pytest.mark.parametrize("helps", [True, False])
def test_one_that_took_another_port_is_started_again_once(make, helps):
    restarts = []

    def host(script, stdin):
        if "systemctl restart label-studio" in script:
            restarts.append(script)
            return ""
        return "" if restarts and helps else (3, ELSEWHERE + "\n", "")

    step = service(make, answer=host).listens()
    if helps:
        step.apply()
    else:
        with pytest.raises(RunbookError) as e:
            step.apply()
        assert e.value.saw == ELSEWHERE, "and waited for no longer"
    assert len(restarts) == 1


def test_a_user_whom_1_0_1_does_not_find_is_told(on_host, tmp_path):
    (tmp_path / "settings").write_text("")
    runuser = 'read -r _; case "$*" in *reset_password*) echo "User with username a@b not found";; *) echo done;; esac'
    arguments = ("make_user.sh", "a@b", "/venv", tmp_path / "settings", tmp_path, "account", "runbook 01234567")
    assert on_host(*arguments, stdin="the-password", runuser=runuser) == (1, "done\nUser with username a@b not found\n")


def test_no_word_but_of_the_password_is_no_failure(on_host, tmp_path):
    (tmp_path / "settings").write_text("")
    arguments = ("make_user.sh", "a@b", "/venv", tmp_path / "settings", tmp_path, "account", "runbook 01234567")
    assert on_host(*arguments, stdin="the-password", runuser='read -r _; echo "Password changed"')[0] == 0


def test_the_password_of_the_user_travels_on_standard_input(on_host, tmp_path):
    (tmp_path / "settings").write_text("KEY='a b'\n")
    runuser = f'read -r p; echo "$KEY|$*|$p" >> {tmp_path}/ran; echo done; echo "Password: asked"'
    arguments = ("make_user.sh", "a@b", "/venv", tmp_path / "settings", tmp_path, "account")
    assert on_host(*arguments, "runbook", stdin="the-password", runuser=runuser) == (0, "done\ndone\n")
    assert on_host(*arguments, "", stdin="the-password")[0] == 0
    line = "a b|-u account -- /venv/bin/label-studio {} --username a@b|the-password\n"
    calls = ("init runbook", "reset_password", "init", "reset_password")
    assert (tmp_path / "ran").read_text() == "".join(line.format(call) for call in calls)
