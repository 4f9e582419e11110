"""GitLab's package: the key, the release, the ports, what its settings say, and what is refused at the door."""

import os
import socket
import subprocess

import pytest
import stand_in
from serving import serving

from helpers.components.gitlab import settings
from helpers.components.gitlab.account import Account
from helpers.components.gitlab.client import GitLab
from helpers.components.gitlab.layout import KEY, LOGS, PLACES, SCRIPTS, USERS, things
from helpers.components.gitlab.package import Package, other_is_away, why_bad_release
from helpers.components.gitlab.proofs import Proofs
from helpers.core import catalogue, notebooks
from helpers.core.errors import RunbookError, Unmet
from helpers.core.listening import LISTENING
from helpers.core.shell import script
from helpers.core.ssh import free_port
from tests.certificates import self_signed

RELEASE = "ID=ubuntu\nVERSION_CODENAME=focal\n"


def run(text, stdin="", **env):
    """(exit code, what it printed) of a script as a host runs it."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text], input=stdin, capture_output=True, text=True, env={**os.environ, **env}
    )
    return done.returncode, (done.stdout + done.stderr).strip()


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    """(an armored public key, its fingerprint), made by gpg."""
    home = tmp_path_factory.mktemp("gpg")
    home.chmod(0o700)
    gpg = ["gpg", "--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""]
    subprocess.run([*gpg, "--quick-generate-key", "packages@example.org", "rsa2048", "sign"], check=True)
    text = subprocess.run([*gpg, "--armor", "--export"], capture_output=True, text=True, check=True).stdout
    listed = subprocess.run([*gpg, "--with-colons", "--list-keys"], capture_output=True, text=True, check=True).stdout
    yield text, next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
    subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)


class Fetching:
    """A host whose key file and whose answer to `fetch` are these texts."""

    def __init__(self, there="", served=""):
        self.there, self.served, self.written = there, served, None

    def __call__(self, text, stdin):
        if text.startswith(f"cat {KEY}"):
            return self.there
        if "os-release" in text:
            return "ubuntu/focal\n"
        if KEY in text:  # put
            self.written = stdin
            return ""
        return self.served


def package(monkeypatch, host, **fields):
    ch = stand_in.chapter(monkeypatch, "gitlab", host, mode="install")
    artifact = catalogue.load()["gitlab-ce"]
    artifact.__dict__.update(fields)
    return Package(ch, artifact, "http://10.0.0.6")


def test_the_key_is_taken_when_it_is_the_one_we_know(monkeypatch, own_home, key):
    text, fingerprint = key
    host = Fetching(served=text)
    action = package(monkeypatch, host, fingerprint=fingerprint).key()
    assert action.probe() == f"{KEY} is not there"
    action.apply()
    assert host.written == text.encode()
    host.there = text
    assert action.probe() is None


@pytest.mark.parametrize("served", ["theirs", "both", "<html>404</html>", "cut"])
def test_another_key_is_never_written(monkeypatch, own_home, key, served):
    text, fingerprint = key
    wanted = "0" * 40 if served == "theirs" else fingerprint
    texts = {"theirs": text, "both": text + text, "cut": text[: len(text) // 2]}
    host = Fetching(served=texts.get(served, served))
    action = package(monkeypatch, host, fingerprint=wanted).key()
    with pytest.raises(RunbookError, match="take the key at") as e:
        action.apply()
    assert host.written is None and wanted in e.value.do and e.value.entry == "gl-key"
    host.there = host.served
    assert action.probe() is not None, "nor taken for ours when it lies there"


def test_the_catalogue_has_the_publishers_fingerprint():
    known = catalogue.load()
    for name in ("gitlab-ce", "gitlab-ee"):
        assert known[name].fingerprint == "F6403F6544A38863DAA0B6E03F01618A51312F3F"


def test_apt_takes_the_pinned_version_from_that_repository_alone(monkeypatch, own_home):
    made, written = package(monkeypatch, Fetching(), url="http://mirror/gitlab-ce"), []
    made.ch.host.put = lambda content, *_: written.append(content.decode())
    _, source, pin = made.repository()
    assert source.shown and pin.shown
    source.apply()
    assert written == [f"deb [signed-by={KEY}] http://mirror/gitlab-ce/ubuntu/focal focal main\n"]
    assert "/etc/apt/sources.list.d/" in source.path and "/etc/apt/preferences.d/" in pin.path


@pytest.mark.parametrize("release", ["focal", "ubuntu/", "ubuntu/20.04", "fedora/34", "ubuntu/focal; id", "/focal"])
def test_a_release_that_is_none_is_refused(release):
    assert "is not ubuntu/" in why_bad_release(release)


def test_a_release_and_none_are_taken():
    assert why_bad_release("") is why_bad_release("ubuntu/focal") is why_bad_release("debian/buster") is None


INDEX = "Package: gitlab-ce\nVersion: 13.12.14-ce.0\n\nPackage: gitlab-ce\nVersion: {}\n\n"


@pytest.mark.parametrize(
    "version, says", [("13.12.15-ce.0", None), ("15.0.0-ce.0", "no gitlab-ce 13.12.15-ce.0 for ubuntu focal")]
)
def test_the_repository_is_asked_for_the_version(monkeypatch, own_home, version, says):
    import gzip

    content = gzip.compress(INDEX.format(version).encode())
    index = "/ubuntu/focal/dists/focal/main/binary-amd64/Packages.gz"
    with serving(lambda request: (200, content) if request.path == index else (404, "")) as web:
        code, said = run(package(monkeypatch, Fetching(), url=web.url).is_offered())
        assert (code, said) == ((0, "") if says is None else (1, says))
        other = package(monkeypatch, Fetching(), url=web.url)
        other.codename = "noble"
        code, said = run(other.is_offered())
        assert code == 1 and "nothing for ubuntu noble" in said and "does not answer" in said


def test_what_installs_and_removes_it_is_whole_and_has_the_password_on_standard_input_alone(monkeypatch, own_home):
    ran = []
    made = package(monkeypatch, Fetching())
    action, password = made.installed(), made.ch.secret("gitlab-root").reveal()
    made.ch.host.run = lambda text, stdin=None, **_: ran.append((text, stdin))
    action.apply()
    made.runs().apply()
    for text, stdin in ran:
        assert stdin == password + "\n" and password not in text
    for text in (ran[0][0], action.undo, action.probe, made.runs().probe):
        assert subprocess.run(["bash", "-n", "-c", text], capture_output=True).stderr == b""
    first = ran[0][0]
    assert first.index("export GITLAB_ROOT_PASSWORD") < first.index("dpkg --configure"), (
        "what was cut off starts it, too"
    )
    assert first.index("apt-get -s") < first.index("install gitlab-ce=13.12.15-ce.0"), "noted before it comes"
    assert "userdel git" in action.undo and "purge" in action.undo
    assert action.undo.index("--purge") < action.undo.index("dpkg --configure"), "remove, too"
    assert "[r]unsvdir -P /opt/gitlab" in action.absent


def test_remove_purges_no_package_that_was_there_before(monkeypatch, own_home):
    made = package(monkeypatch, Fetching())
    assert "dpkg --force-remove-reinstreq --purge" in made.installed().undo
    made.ch.own.was_before = lambda thing: thing == "package gitlab-ce"
    assert "dpkg --force-remove-reinstreq --purge" not in made.installed().undo


@pytest.mark.parametrize(
    "found, says",
    [
        ("", None),
        ("ii  13.12.15-ce.0", None),
        ("ii  13.1.0-ce.0", None),
        ("rc  15.0.0-ce.0", None),
        ("ii  14.0.0-ce.0", "which is newer"),
        ("ii  12.10.14-ce.0", "before 13.12 comes 13.0"),
    ],
)
def test_a_gitlab_that_cannot_become_this_version_is_refused(monkeypatch, own_home, program, found, says):
    program("dpkg-query", f"printf %s '{found}'")
    code, said = run(package(monkeypatch, Fetching()).can_follow())
    assert (code == 0) == (says is None) and (says is None or says in said)


def test_the_other_edition_is_asked_for(program):
    program("dpkg-query", 'for last; do :; done; [ "$last" != gitlab-ee ] || echo "ii "')
    editions = {"ce": "gitlab-ce", "ee": "gitlab-ee"}
    assert run(other_is_away("gitlab-ce", editions)) == (1, "gitlab-ee is installed")
    assert run(other_is_away("gitlab-ee", editions))[0] == 0


def test_a_port_is_free_gitlabs_or_somebodys(tmp_path):
    import socket
    import sys

    ask = script(SCRIPTS / "port_is_ours.sh", port := free_port())
    assert run(ask) == (0, "")
    with socket.socket() as s:
        s.bind(("127.0.0.1", port))
        s.listen()
        code, said = run(ask)
        assert code == 1 and f"port {port} is held by process {os.getpid()}" in said
    ours = tmp_path / "opt/gitlab/embedded/server.py"
    ours.parent.mkdir(parents=True)
    ours.write_text("import socket,sys\ns = socket.socket(); s.bind(('127.0.0.1', int(sys.argv[1]))); s.listen()\n"
                    "print('up', flush=True); sys.stdin.read()\n")  # fmt: skip
    with subprocess.Popen([sys.executable, ours, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        assert run(ask) == (0, "")
        child.stdin.close()


def test_too_little_memory_is_told():
    assert run(script(SCRIPTS / "memory.sh", 1))[0] == 0
    code, said = run(script(SCRIPTS / "memory.sh", 4000))
    assert code == 1 and "it has " in said and " MiB" in said


def test_the_password_is_put_out_of_the_logs_and_in_no_argument(tmp_path):
    log = tmp_path / "gitlab-rails" / "migrate.log"
    log.parent.mkdir()
    log.write_text("password: s3cr$t/w.rd\nother\n")
    text = (SCRIPTS / "logs.sh").read_text().replace(LOGS, str(tmp_path)).replace("/var/log/apt/term.log", "/none")
    assert run("set -- \n" + text, "s3cr$t/w.rd\n") == (1, str(log))
    assert run("set -- \n" + text, "another\n") == (0, "")
    assert run("set -- blank\n" + text, "s3cr$t/w.rd\n") == (0, "")
    assert log.read_text() == "password: *****\nother\n"
    assert '-e "$word"' not in text, "an argument is seen by everybody on the host"


# -- its settings --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["10.0.0.5", "ftp://h", "http://", "http://h/gitlab", "http://u:p@h", "http://h:0", "http://h:99999", "http://h?x=1",
     "http://a_b"],
)  # fmt: skip
def test_an_address_that_gitlab_cannot_have_is_refused(url):
    assert settings.why_bad_url(url)


@pytest.mark.parametrize("url, port", [("http://10.0.0.5", 80), ("http://h:8929/", 8929), ("https://git.example", 443)])
def test_an_address_and_its_port(url, port):
    assert settings.why_bad_url(url) is None and settings.port_of(url) == port


def test_https_needs_a_certificate_that_fits_its_key(tmp_path):
    pair = {name: [str(path) for path in self_signed(tmp_path, name=name)] for name in ("a", "b")}
    url = "https://git.example"
    assert settings.why_bad_certificate(url, *pair["a"]) is None
    assert "needs a certificate" in settings.why_bad_certificate(url, pair["a"][0], "")
    assert "mismatch" in settings.why_bad_certificate(url, pair["a"][0], pair["b"][1]).lower()
    assert "No such file" in settings.why_bad_certificate(url, "/none", "/none")
    assert "has no certificate" in settings.why_bad_certificate("http://h", *pair["a"])
    assert settings.why_bad_certificate("http://h", "", "") is None


def test_a_port_of_gitlabs_that_answers_beside_its_own_is_named(elsewhere, monkeypatch, own_home):
    """Its status page on 8060, for one, which nginx has on every address unless it is told."""

    def prove(target, ours):
        said = {LISTENING: f"{port} nginx\n{second} nginx\n", script(SCRIPTS / "port_is_ours.sh", second): ours}
        ch = stand_in.chapter(monkeypatch, "gitlab", lambda script, _: said[script], target=target)
        return Proofs(Account(GitLab(ch, "http://git.example"))).nothing_else_answers(port)

    with socket.create_server((elsewhere, 0)) as own, socket.create_server((elsewhere, 0)) as other:
        port, second = own.getsockname()[1], other.getsockname()[1]
        with pytest.raises(Unmet) as e:
            prove(f"ssh://{elsewhere}", "")
        assert e.value.saw == f"open, too: {second}"
        others = prove(f"ssh://{elsewhere}", (1, "", ""))
        assert others is None, "a port of others is no matter of this chapter"
        assert prove("local", "").startswith("left out")


@pytest.mark.parametrize("monitoring, more", [(False, []), (True, [3000, 9090, 9093, 9094, 9100, 9121, 9168, 9187])])
def test_each_port_that_gitlab_will_take_is_asked_for(monitoring, more):
    found = settings.ports("http://h:8929", 8091, monitoring)
    assert sorted(found) == sorted([8929, 8091, 8060, 8082, 9229, 9236, *more])
    text = notebooks.find("gitlab").path.read_text()
    assert "for port in settings.ports(url, puma_port, monitoring):" in text
    table = " ".join(row[0] for row in notebooks.find("gitlab").tables["ports"])
    assert [port for port in found if str(port) not in table and port != 8929] == []


def test_no_port_of_gitlabs_is_one_of_another_chapter():
    text = settings.text("http://10.0.0.5", 8091, 2, 10, False)
    assert "external_url 'http://10.0.0.5'\n" in text and "puma['port'] = 8091\n" in text
    assert "prometheus_monitoring['enable'] = false\n" in text and "grafana['enable'] = false\n" in text
    assert 'nginx[\'status\'] = { "listen_addresses" => ["127.0.0.1"] }\n' in text, "else 8060 is on every address"
    gossip = '"cluster.listen-address" => "127.0.0.1:9094"'
    assert f"alertmanager['flags'] = {{ {gossip} }}\n" in text, "else 9094 is, where it monitors"
    assert "password" not in text


def test_what_is_looked_for_before_anything_is_touched():
    found = things()
    assert {f"place {p}" for p in PLACES} | {f"user {u}" for u in USERS} <= set(found)
    assert "package gitlab-ce" in found and "package gitlab-ee" in found
