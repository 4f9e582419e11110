"""The command line as a process: every bad input is a clear error before anything is touched."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import forked
import pytest
from serving import until

from helpers.command import main as cli
from helpers.command import record
from helpers.core.paths import REPO

HELD = "ssh://me@held.example"  # the fake ssh below hangs there
MAC = "ssh://me@mac.example"  # and there uname says Darwin


class Command:
    """`python -m helpers ...` with a home, runs and a PATH of its own; `ssh` there notes that it was started."""

    def __init__(self, folder):
        self.home, self.runs, self.log, self.folder = folder / "home", folder / "runs", folder / "ssh.log", folder
        bin = folder / "bin"
        bin.mkdir()
        (bin / "uname").write_text("#!/bin/sh\necho Darwin\n")
        # The process boundary: an ssh that runs the command here, on a machine that calls itself something else.
        (bin / "ssh").write_text(
            """#!/bin/sh
case "$*" in
    "-G "*) exec {ssh} "$@";;  # a question to ssh itself: nobody is reached
esac
echo "$*" >> {log}
case "$*" in
    *held.example*) exec sleep 60;;
    *mac.example*) case "$*" in *" -O "*|"-O "*|*"-M "*) exit 0;; esac
        for last; do :; done; PATH={bin}:$PATH exec sh -c "$last";;
esac
exec {ssh} "$@"
""".format(log=self.log, bin=bin, ssh=shutil.which("ssh"))
        )
        for program in bin.iterdir():
            program.chmod(0o755)
        self.env = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "NO_COLOR")}
        self.env.update(
            RUNBOOK_HOME=str(self.home),
            RUNBOOK_RUNS=str(self.runs),
            PATH=str(bin) + os.pathsep + self.env["PATH"],
            PYTHONPATH=str(REPO),
        )

    def argv(self, *words):
        return [sys.executable, "-m", "helpers", *words]

    def __call__(self, *words, code, **kw):
        """Run it; returns (stdout, stderr) of a run that ended with this code, in plain text, without a traceback."""
        done = forked.helpers(*words, env=dict(self.env, **kw), cwd=self.folder)
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        assert "Traceback" not in said and "\x1b" not in said and len(said.splitlines()) < 60
        return done.stdout, done.stderr

    def refuses(self, *words, code=2, reached=False):
        """An error with something to do next, and nothing touched: no run folder, no sandbox, no connection."""
        out, err = self(*words, code=code)
        assert out == "", "nothing was begun"
        lines = err.splitlines()
        assert lines[0].startswith("error  ") and any(line.startswith("do     ") for line in lines), err
        assert not self.runs.exists() or list(self.runs.iterdir()) == self.kept, "no run was recorded"
        assert not (self.home / "sandbox").exists() and not (self.home / "secrets").exists()
        if not reached:
            assert not self.log.exists(), "no connection was tried"
        return err

    @property
    def kept(self):
        return []


def test_what_a_run_imports_makes_no_grammar():
    """jsonschema from 4.25 on makes one by Lark at its import, 1.5 s of a processor: see constraints.txt."""
    look = "import sys; from helpers.command import execution; execution._papermill(); print('lark' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, cwd=REPO, check=True)
    assert done.stdout == "False\n"


@pytest.fixture
def runbook(tmp_path):
    return Command(tmp_path)


# -- bad input ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words, says",
    [
        (["--only", "mino"], ["'mino'", "Did you mean minio?"]),
        (["--from", "77"], ["'77'", "Chapters: requirements, network"]),
        (["--until", "postgress"], ["'postgress'", "Did you mean postgres?"]),
        (["--from", "postgres", "--until", "minio"], ["none is left"]),
        (["-p", "mino.port=9"], ["'mino'", "Did you mean minio?"]),
        (["-p", "minio.prt=9"], ["'prt'", "chapter minio", "Did you mean port?"]),
        (["-p", "bukets=[a]"], ["'bukets'", "Did you mean buckets?"]),
        (["-p", "minio.port=many"], ["port", "a whole number, not str", "For example: port = 9000"]),
        (["-p", "minio.buckets=detai"], ["buckets", "a list, not str"]),
        (["-p", "network.include=1"], ["include", "true or false, not int"]),
        (["-p", "minio.port=[1"], ["port", "a whole number"]),
        (["-p", "minio.port=0"], ["1 to 65535"]),
        (["-p", "postgres.port=65536"], ["1 to 65535"]),
        (["-p", "requirements.platform_ports=[80, 70000]"], ["1 to 65535"]),
        (["-p", "postgres.allow_cidr=10.0.0.0/40"], ["allow_cidr", "10.0.0.0/40"]),
        (["-p", "minio.data_dir=/srv/$(id)"], ["data_dir", "only letters, digits"]),
        (["-p", "minio.port"], ["no = in it", "-p CHAPTER.PARAMETER=VALUE"]),
        (["-p", "target=local"], ["--target"]),
        (["--mode", "instal"], ["'instal'", "install, verify, plan, remove"]),
        (["--target", "ubuntu@10.0.0.5"], ["ssh://user@host[:port]"]),
        (["--target", "ssh://u@h:99999"], ["ssh://user@host[:port]"]),
        (["--target", "ssh://u:hunter2@h"], ["a password in the address", "ssh-copy-id"]),
        (["--target", "sandbox:Not A Name"], ["lower case letters"]),
        (["--target", "incluster"], ["in mode install", "from the operator's machine"]),
        (["--target", "incluster", "--mode", "verify"], ["this is no pod of a cluster", "notebook --verify"]),
    ],
    ids=" ".join,
)
def test_up_refuses(runbook, words, says):
    said = runbook.refuses("up", *words)
    for text in says:
        assert text in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "content, says",
    [
        ("target: [sandbox", ["platform.yaml", "line 1"]),
        ("a: b: c", ["platform.yaml"]),
        (b"\xff\xfe\x00", ["platform.yaml"]),
        ("!!python/object:os.system {}", ["platform.yaml"]),
        ("- a list", ["not known there: list"]),
        ("targets: local\n1: 2", ["not known there: 1, targets", "target, mode, parameters"]),
        ("chapters: {minio: 9000}", ["chapters.minio is not a map"]),
        ("chapters: [minio]", ["must be maps"]),
        ("chapters: {mino: {port: 1}}", ["Did you mean minio?"]),
        ("chapters: {minio: {port: '9000'}}", ["a whole number, not str"]),
        ("chapters: {minio: {mode: verify}}", ["--mode"]),
        ("parameters: {1: 2}", ["no such parameter"]),
        # The target's name is wrong, too: where a key given twice passes, nothing is installed.
        (
            "chapters:\n  minio:\n    port: 1\n    data_dir: /x\n    port: 2\ntarget: nowhere",
            ["port is given twice, in lines 3 and 5"],
        ),
        ("target: nowhere\nchapters: {minio: {port: 1}, minio: {port: 2}}", ["minio is given twice"]),
        ("chapters: {minio: {port: 1}, '05': {port: 2}}", ["chapter minio is given twice, as minio and as 05"]),
        ("mode: verify\nmode: remove\ntarget: nowhere", ["mode is given twice, in lines 1 and 2"]),
        ("mode: destroy", ["'destroy'", "no such mode"]),
        ("target: 10.0.0.5", ["ssh://user@host"]),
        ("target: {a: 1}", ["ssh://user@host"]),
    ],
)
def test_up_refuses_a_platform_file(runbook, content, says):
    path = runbook.folder / "platform.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    said = runbook.refuses("up", "-f", "platform.yaml")
    for text in says:
        assert text in said


@pytest.mark.parametrize(
    "words, says",
    [
        (["up", "--jobs", "-1"], "-1"),
        (["up", "--jobs", "two"], "'two'"),
        (["up", "-f", "none.yaml"], "none.yaml"),
        (["upp"], "up"),
        (["up", "--targt", "x"], "--target"),
        (["logs"], "CHAPTER"),
    ],
)
def test_options_that_are_wrong(runbook, words, says):
    _, err = runbook(*words, code=2)
    assert says in err and "--help" in err
    assert not runbook.runs.exists() and not runbook.log.exists()


@pytest.mark.parametrize(
    "words, code, says",
    [
        (["logs", "mino"], 2, "Did you mean minio?"),
        (["logs", "minio"], 1, "has not run yet"),
        (["status"], 1, "none yet"),
        (["status", "-t", "nowhere"], 2, "ssh://user@host"),
        (["regress"], 1, "none yet"),
        (["regress", "--only", "mino"], 2, "Did you mean minio?"),
        (["regress", "-t", "nowhere"], 2, "ssh://user@host"),
        (["secrets", "none"], 2, "none yet"),
        (["secrets", "-t", "nowhere"], 2, "ssh://user@host"),
        (["sandbox", "up", "--name", "A B"], 2, "lower case letters"),
        (["sandbox", "ssh", "--name", "nothere"], 1, "./runbook sandbox up"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else None,
)
def test_other_commands_refuse(runbook, words, code, says):
    _, err = runbook(*words, code=code)
    assert says in err and err.startswith("error  ") and "\ndo     " in err
    assert not runbook.runs.exists() and not runbook.log.exists()


# -- the target and its lock -----------------------------------------------------------------------------


def test_a_target_that_cannot_be_reached(runbook):
    said = runbook.refuses("up", "--target", "ssh://me@127.0.0.1:1", code=1, reached=True)
    assert "nothing listens on port 1" in said and "host   ssh://me@127.0.0.1:1" in said
    said = runbook.refuses("up", "--target", "ssh://me@no-such-host.invalid", code=1, reached=True)
    assert "no such host" in said


def test_a_target_that_is_not_linux(runbook):
    said = runbook.refuses("up", "--target", MAC, reached=True)
    assert "its system is Darwin" in said and "Linux host" in said
    asked = [a for a in runbook.log.read_text().splitlines() if "-O " not in a and "-M " not in a]
    assert len(asked) == 1 and "uname" in asked[0], "it was asked who it is, and nothing else"


def test_two_runs_at_once_on_one_target(runbook):
    first = subprocess.Popen(
        runbook.argv("up", "--target", HELD),
        env=runbook.env,
        cwd=str(runbook.folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        until("its log", runbook.log.exists, lambda: first.poll() is not None and "it ended", timeout=60)
        for words in (["up", "--target", HELD, "--mode", "verify"], ["up", "--target", HELD + ":22"]):
            said = runbook.refuses(*words, reached=True)
            assert (
                f"another run is at work there: process {first.pid}, up --mode install" in said
                and "Wait for it" in said
            )
        assert len(runbook.log.read_text().splitlines()) == 1, "only the first one connects"
        assert "nothing listens" in runbook.refuses("up", "--target", "ssh://me@127.0.0.1:1", code=1, reached=True), (
            "another target is free"
        )
        first.send_signal(signal.SIGINT)
        out = first.communicate(timeout=60)[0]
        assert first.returncode == 130 and "Traceback" not in out and "stopped" in out
    finally:
        first.kill()
        first.wait()
        first.stdout.close()
    runbook.refuses("up", "--target", MAC.replace("mac.example", "mac.example:22"), reached=True)


def test_remove_on_a_real_target_asks_first(runbook):
    out, err = runbook("up", "--target", "ssh://me@127.0.0.1:1", "--mode", "remove", code=130)
    assert "AND DATA on ssh://me@127.0.0.1:1" in out and not runbook.log.exists() and not runbook.runs.exists()


# -- the record -------------------------------------------------------------------------------------------


@pytest.fixture
def recorded(runbook, monkeypatch):
    monkeypatch.setenv("RUNBOOK_RUNS", str(runbook.runs))
    run = record.new(HELD, "install")
    run.state = "ok"
    run.chapters["minio"] = record.ChapterRun(
        id="minio",
        number="05",
        title="MinIO",
        state="ok",
        reason="with [brackets]",
        checks=[record.Check(title="a", state="ok"), record.Check(title="b", state="left out")],
    )
    run.save()
    run.publish()
    return run


@pytest.mark.parametrize(
    "spoil, saw",
    [
        (
            lambda text: json.dumps(dict(json.loads(text), format=record.FORMAT + 1)),
            f"its format is {record.FORMAT + 1}",
        ),
        (lambda text: text[:50], "Unterminated"),
        (lambda text: "[]", "no run record"),
    ],
)
@pytest.mark.parametrize("words", [["up", "--target", HELD], ["status"], ["regress"]], ids=lambda w: w[0])
def test_a_record_of_a_newer_version_or_a_broken_one(runbook, recorded, words, spoil, saw):
    path = recorded.folder / "run.json"
    path.write_text(spoil(path.read_text()))
    before = sorted(runbook.runs.rglob("*")), path.read_text()
    _, err = runbook(*words, code=2)
    assert err.startswith("error  read the run record") and saw in err and "\ndo     " in err
    assert (sorted(runbook.runs.rglob("*")), path.read_text()) == before and not runbook.log.exists()


def test_status_tells_the_last_run(runbook, recorded):
    out, _ = runbook("status", code=0)
    assert HELD in out and "05 minio" in out and "1 of 1, 1 left out" in out and "with [brackets]" in out
    recorded.state = "failed"
    recorded.save()
    runbook("status", code=1)


def test_status_as_json_is_all_that_is_printed(runbook, recorded):
    out, err = runbook("status", "--json", code=0)
    told = json.loads(out)
    (minio,) = [c for c in told["chapters"] if c["id"] == "minio"]
    assert (told["target"], told["state"], err) == (HELD, "ok", "")
    assert minio["checks"]["held"] == 1 and minio["checks"]["failed"] == [] and len(minio["checks"]["left_out"]) == 1
    assert Path(told["record"]).read_text() == (recorded.folder / "run.json").read_text()


def test_an_error_leaves_json_empty(runbook):
    out, err = runbook("status", "--json", code=1)
    assert out == "" and err.startswith("error  show the last run")
    assert runbook.refuses("up", "--json", "--only", "mino")


def test_doctor_as_json_tells_the_same_as_in_words(runbook):
    only = {"PATH": str(runbook.folder / "bin")}
    argv = runbook.argv("doctor", "--json")
    done = subprocess.run(argv, env=dict(runbook.env, **only), cwd=runbook.folder, capture_output=True, text=True)
    missing, err = json.loads(done.stdout)["missing"], done.stderr
    assert done.returncode == 1
    assert "ssh-keygen" in {lack["what"] for lack in missing} and all(lack["mend"] for lack in missing)
    assert f"{len(missing)} missing" in err


def test_what_up_did_as_json_is_all_that_is_printed(runbook):
    """A host that cannot be reached ends before any chapter; plan on this machine needs none."""
    words = ("--target", "local", "--mode", "plan", "--only", "requirements")
    out, err = runbook("up", "--json", *words, code=0, PATH=os.environ["PATH"])
    told = json.loads(out)
    assert [(c["id"], c["state"]) for c in told["chapters"]] == [("requirements", "planned")]
    assert told["mode"] == "plan" and "record" in err


def _completed(runbook, line):
    """The words that bash offers for the last one of a line, by our script, as in a shell."""
    call = Path(runbook.folder, "runbook")
    call.write_text('#!/bin/sh\nexec {} "$@"\n'.format(" ".join(runbook.argv())))
    call.chmod(0o755)
    words = line.split(" ")
    ask = (
        'source <("$1" completion bash); shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
        '_runbook_completion "$1"; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    argv = ["bash", "-c", ask, "bash", str(call), str(call), *words]
    done = subprocess.run(argv, env=runbook.env, cwd=REPO, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize(
    "line, offered", [("no", ["notebook"]), ("sandbox u", ["up"]), ("up --ta", ["--take-over", "--target"])]
)
def test_bash_completes_commands_and_options(runbook, line, offered):
    assert sorted(_completed(runbook, line)) == offered


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_call_the_program_as_it_was_typed(runbook, shell):
    out, _ = runbook("completion", shell, code=0)
    call = next(line for line in out.splitlines() if f"{shell}_complete" in line)
    assert "runbook)" not in call and "commands[runbook]" not in out
    assert ("$words[1])" if shell == "zsh" else "(commandline -opc)[1])") in call


def test_the_log_of_the_last_run(runbook, recorded):
    (recorded.folder / "logs" / "05_minio.log").write_text("12:00:00 all of it\n")
    for name in ("minio", "05", "05_minio"):
        assert runbook("logs", name, code=0)[0] == "12:00:00 all of it\n"


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/proc/sys").exists(), reason="root may write everywhere here")
def test_a_place_that_cannot_be_written_is_named(runbook):
    (runbook.folder / "file").write_text("")
    _, err = runbook(
        "up", "--target", "ssh://me@127.0.0.1:1", code=1, RUNBOOK_HOME=str(runbook.folder / "file" / "home")
    )
    assert err.startswith("error  ") and str(runbook.folder / "file") in err and "\ndo     " in err


# -- secrets, help, colours ---------------------------------------------------------------------------------


def test_a_secret_is_shown_only_by_name(runbook, monkeypatch):
    from helpers.core.secrets import SecretStore

    monkeypatch.setenv("RUNBOOK_HOME", str(runbook.home))
    value = SecretStore("sandbox").get("minio-root").reveal()
    assert runbook("secrets", code=0)[0] == "minio-root\n"
    assert runbook("secrets", "minio-root", code=0)[0] == value + "\n"
    _, err = runbook("secrets", "minio", code=2)
    assert "minio-root" in err and value not in err


def commands(group, before=()):
    yield before
    for name in group.list_commands(None) if hasattr(group, "list_commands") else ():
        yield from commands(group.get_command(None, name), (*before, name))


def test_every_command_has_help_with_examples(runbook):
    every = list(commands(cli.main))
    assert {
        ("up",),
        ("status",),
        ("logs",),
        ("sandbox", "up"),
        ("sandbox", "ssh"),
        ("book",),
        ("notebook",),
        ("test",),
        ("doctor",),
    } <= set(every)
    with ThreadPoolExecutor(2) as pool:
        texts = list(pool.map(lambda words: runbook(*words, "--help", code=0)[0], every))
    for words, text in zip(every, texts, strict=True):
        assert text.startswith("Usage: runbook"), words
        if words[:1] != ("sandbox",) or len(words) == 1:
            assert "Examples:\n" in text and "./runbook " + " ".join(words) in text, words
    assert not runbook.runs.exists()


def test_an_error_has_colours_on_a_terminal_only(runbook):
    ours, theirs = pty.openpty()
    done = subprocess.run(
        runbook.argv("up", "--only", "mino"),
        env=dict(runbook.env, TERM="xterm-256color"),
        stderr=theirs,
        stdout=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    os.close(theirs)
    said = os.read(ours, 10000).decode()
    os.close(ours)
    assert done.returncode == 2 and "\x1b[31m" in said and "Did you mean minio?" in said
    assert "\x1b" not in runbook.refuses("up", "--only", "mino")


def test_an_environment_that_somebody_else_made_is_left_as_it_is(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "precious").write_text("kept")
    done = subprocess.run(
        ["./runbook", "--help"],
        cwd=REPO,
        env=dict(os.environ, RUNBOOK_VENV=str(mine)),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2 and "was not made by this script" in done.stderr
    assert [p.name for p in mine.iterdir()] == ["precious"]
