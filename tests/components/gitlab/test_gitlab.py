"""GitLab's steps and proofs, with python-gitlab and git against its stand-in, and on answers of another kind."""

import contextlib
import datetime
import re
import socket
import ssl
import subprocess
import threading

import gitlab as python_gitlab
import pytest
from serving import serving

from helpers.components.gitlab.account import Account
from helpers.components.gitlab.client import GitLab
from helpers.components.gitlab.layout import PASSWORD, PROOF, TOKEN
from helpers.components.gitlab.proofs import Proofs
from helpers.core.errors import RunbookError, Unmet
from helpers.core.paths import REPO
from helpers.core.secrets import Secret, SecretStore
from tests.certificates import self_signed


def test_every_step_holds_once_it_was_applied(account, git):
    for action in (account.token(), account.settings(), account.proof_project(), git.answering()):
        assert action.probe() is None


def test_every_proof_holds_on_a_server_that_is_as_it_should_be(account):
    prove = Proofs(account)
    assert prove.version_is("13.12.15-ce.0") == "13.12.15"
    for proof in (
        prove.password_is_ours,
        prove.wrong_password_is_refused,
        prove.wrong_token_is_refused,
        prove.strangers_cannot_sign_up,
        prove.strangers_see_nothing,
        prove.kept,
    ):
        proof()


def test_the_listener_is_named_as_gitlabs_own(server, git):
    port = server.url.rpartition(":")[2]
    said = subprocess.run(["ss", "-Hltnp", f"sport = :{port}"], capture_output=True, text=True, check=True).stdout
    assert '(("nginx",' in said


def test_a_commit_is_pushed_and_cloned_and_nothing_of_it_stays(account, git):
    assert Proofs(account).pushed_and_cloned().startswith("commit ")
    there = git.api().http_get("/projects", per_page=100, owned=True, search=PROOF)
    assert [p["path_with_namespace"] for p in there] == [f"root/{PROOF}"]


def test_what_was_written_survives_a_restart(account):
    Proofs(account).survives_restart()


def test_no_process_of_git_has_the_token_in_its_arguments(account, git, program, tmp_path):
    seen = tmp_path / "seen"
    program("git", f'echo "$@" >> {seen}\nenv | grep -c RUNBOOK_GIT_PASSWORD >> {seen}')
    git.git(tmp_path, "push", git.remote("root/x"))
    said = seen.read_text()
    assert git.token() not in said and "://root@127.0.0.1:" in said and said.endswith("1\n")


# -- the token -------------------------------------------------------------------------------------------


def test_a_token_that_ends_soon_is_made_anew_and_the_old_one_is_revoked(git):
    Account(git, days=5).token().apply()
    old, action = git.token(), Account(git).token()
    assert "it ends on" in action.probe()
    action.apply()
    assert action.probe() is None and git.token() != old
    assert len(git.tokens()) == 1 and git.api(old).private_token == old
    with pytest.raises(python_gitlab.GitlabAuthenticationError):
        git.api(old).http_get("/user")
    ends = datetime.date.fromisoformat(git.tokens()[0]["expires_at"])
    assert 363 <= (ends - datetime.date.today()).days <= 366


def test_a_token_that_was_revoked_is_told_and_mended(account, git):
    git.api().http_delete(f"/personal_access_tokens/{git.tokens()[0]['id']}")
    assert account.token().probe() == "the API refuses our token: 401"
    account.token().apply()
    assert account.token().probe() is None


def test_a_token_of_this_name_of_somebody_elses_is_neither_ours_nor_revoked(account, git):
    person = {"email": "ann@example.org", "name": "Ann", "username": "ann", "password": "long-enough", "admin": True}
    number = git.api().http_post("/users", post_data=person)["id"]
    theirs = git.api().http_post(
        f"/users/{number}/personal_access_tokens", post_data={"name": TOKEN, "scopes": ["api"]}
    )
    try:
        assert account.token().probe() is None, "hers never ends, and that is no matter of ours"
        account.token().apply()
        assert git.api(theirs["token"]).http_get("/user")["username"] == "ann"
    finally:
        git.api().http_delete(f"/users/{number}")


def test_our_token_is_found_behind_a_hundred_others(account, git):
    me, api = git.api().http_get("/user")["id"], git.api()
    before = len(api.http_get("/personal_access_tokens", per_page=100))
    for number in range(101 - before):
        api.http_post(f"/users/{me}/personal_access_tokens", post_data={"name": f"n{number}", "scopes": ["api"]})
    old = git.token()
    account.token().apply()
    assert account.token().probe() is None and len(git.tokens()) == 1
    with pytest.raises(python_gitlab.GitlabAuthenticationError):
        git.api(old).http_get("/user")


def test_no_list_is_asked_by_the_links_to_its_next_page():
    """They have GitLab's own address, which only its host and the cluster need to reach."""
    texts = {path.name: path.read_text() for path in (REPO / "helpers").rglob("*.py")}
    assert [name for name, text in texts.items() if re.search(r"http_list\(|\ball=True", text)] == []


def test_the_token_goes_on_standard_input_and_into_the_secrets_alone(git, server, monkeypatch):
    asked = []
    monkeypatch.setattr(server, "answer", None)
    original = server.run
    monkeypatch.setattr(server, "run", lambda *a, **k: asked.append((a, k)) or original(*a, **k))
    git.ch.host.run = lambda script, stdin=None, **_: (
        asked.append((script, stdin)) or original("rails", "runner", "-", stdin=stdin)
    )
    Account(git).token().apply()
    value = git.token()
    assert [script for script, stdin in asked if value in str(script)] == []
    assert git.ch.masker.mask(f"x {value} y") == "x ***** y"
    assert TOKEN in git.ch._installed._mine, "remove forgets it"


# -- root's password -------------------------------------------------------------------------------------


def test_a_root_with_another_password_gets_ours(git, server, monkeypatch):
    """As after `up --take-over`: GitLab's database has the password of who installed it."""
    assert git.why_other_password() is None
    sent, was = [], git.password
    monkeypatch.setattr(server, "run", lambda *a, _run=server.run, **k: sent.append((a, k)) or _run(*a, **k))
    git.password = Secret(PASSWORD, "another-not-real-password")
    action = Account(git).password()
    assert action.probe() == "root's password is another one"
    action.apply()
    assert action.probe() is None
    ((words, how),) = sent
    assert "another-not-real" not in str(words) and "another-not-real" in how["stdin"]
    git.password = was
    action.apply()


def test_a_server_that_is_down_has_no_other_password(git):
    with serving(lambda request: (502, "")) as web, pytest.raises(Unmet) as e:
        GitLab(git.ch, web.url).why_other_password()
    assert e.value.entry == "gl-502"


# -- what is not as it should be -----------------------------------------------------------------------------


def test_settings_that_were_changed_by_hand_are_named_and_set_again(account, git):
    git.api().http_put("/application/settings", post_data={"signup_enabled": True})
    assert account.why_other_settings() == "signup_enabled is true"
    with pytest.raises(Unmet, match="sign-up is closed"):
        Proofs(account).strangers_cannot_sign_up()
    account.settings().apply()
    assert account.why_other_settings() is None


def test_the_kept_file_is_written_again_when_it_was_changed_or_deleted(account, git):
    project = git.api().projects.get(f"root/{PROOF}")
    file = project.files.get("README.md", ref="master")
    file.content = "another text"
    file.save(branch="master", commit_message="by hand")
    assert account.why_not_kept() == f"README.md of root/{PROOF} has another text"
    account.proof_project().apply()
    assert account.why_not_kept() is None
    project.files.delete("README.md", branch="master", commit_message="by hand")
    assert "404" in account.why_not_kept()
    account.proof_project().apply()
    assert account.why_not_kept() is None


def test_remove_names_the_projects_of_others(account, git):
    assert account.why_others_projects() is None
    project = git.api().projects.create({"name": "precious"})
    try:
        assert account.why_others_projects() == "there: root/precious"
    finally:
        project.delete()


def test_remove_names_gitlabs_own_project_once_somebody_used_it(account, git):
    (made,) = git.api().projects.list(search="monitoring")
    aside = {"file_path": "a", "branch": "aside", "start_branch": "master", "content": "a", "commit_message": "a"}
    git.api().http_post(f"/projects/{made.id}/repository/files/a", post_data=aside)
    try:
        assert account.why_others_projects() == f"there: {made.path_with_namespace}"
    finally:
        made.branches.delete("aside")
    assert account.why_others_projects() is None


OWN = "gitlab-instance-0123abcd/monitoring"


@pytest.mark.parametrize("path", [OWN, OWN + "-2", OWN.replace("0123abcd", "platform"), "root/monitoring"])
@pytest.mark.parametrize("used", [None, "repository/commits", "issues", "merge_requests"])
def test_a_project_is_gitlabs_own_by_its_name_and_by_having_nothing_of_anybodys(git, path, used):
    project = {"id": 1, "path_with_namespace": path}
    there = {f"/api/v4/projects/1/{used}": [{}, {}], "/api/v4/projects": [project]}
    there["/api/v4/user"] = {"id": 1, "is_admin": True}
    there["/api/v4/personal_access_tokens"] = [{"name": TOKEN, "active": True, "expires_at": "2999-01-01"}]
    with serving(lambda request: (200, there.get(request.path.partition("?")[0], []))) as web:
        git.ch.secrets.keep(TOKEN, "0123456789abcdef0123")
        said = Account(GitLab(git.ch, web.url)).why_others_projects()
    assert said == (None if path == OWN and not used else f"there: {path}")


def cannot_tell(account):
    """Why remove cannot tell whether there are projects of others."""
    with pytest.raises(RunbookError, match="ask GitLab for its projects") as e:
        account.why_others_projects()
    return e.value.saw.partition("cannot tell: ")[2]


def test_remove_does_not_go_on_where_gitlab_cannot_be_asked(account, git):
    git.local = "http://127.0.0.1:1"
    assert cannot_tell(account) == "no answer: ConnectionError"


def test_remove_does_not_go_on_without_a_token_that_sees_all(account, git):
    """GitLab shows its public projects to who has none: an empty list would pass for no projects."""
    project = git.api().projects.create({"name": "precious"})
    try:
        kept, git.ch.secrets = git.ch.secrets, SecretStore("another")
        assert cannot_tell(account) == "there is no token yet"
        git.ch.secrets.keep(TOKEN, "0123456789abcdef0123")
        assert cannot_tell(account) == "the API refuses our token: 401"
        git.ch.secrets = kept
    finally:
        project.delete()


@pytest.mark.parametrize(
    "said, why",
    [
        ((502, "GitLab is not responding (502)"), "answered 502"),
        ((503, {"status": "failed", "master_check": [{"status": "failed", "message": "x"}]}), "answered 503"),
        ((404, ""), "not on GitLab's list"),
        (None, "no answer: ConnectionError"),
    ],
)
def test_one_that_is_not_ready_is_told_in_words(git, said, why):
    with serving(lambda request: said) as other:
        assert why in GitLab(git.ch, other.url).why_not_ready()


@pytest.mark.parametrize(
    "proof, path, said, expected",
    [
        ("wrong_password_is_refused", "/root/", (404, "not found"), "401 for a wrong password"),
        ("password_is_ours", "/root/", (401, "HTTP Basic: Access denied"), "root with our password"),
        ("wrong_token_is_refused", "/api/v4/user", (200, {"id": 1}), "401 without our token"),
        ("strangers_see_nothing", "/api/v4/projects", (200, [{"id": 1}]), "no public project"),
    ],
)
def test_a_server_that_lets_strangers_in_is_told(git, proof, path, said, expected):
    def answer(request):
        return said if request.path.startswith(path) else (200, {})

    with serving(answer) as other:
        open_one = GitLab(git.ch, other.url)
        with pytest.raises(Unmet, match=expected):
            getattr(Proofs(Account(open_one)), proof)()


@pytest.mark.parametrize(
    "said, entry",
    [
        ((502, "<html>GitLab is not responding (502)"), "gl-502"),
        ((500, {"message": "500 Internal Server Error"}), "gl-500"),
        (None, "gl-down"),
    ],
)
def test_one_that_is_down_is_no_stranger_that_gets_in(git, said, entry):
    with serving(lambda request: said) as web:
        git.ch.secrets.keep(TOKEN, "0123456789abcdef0123")
        account = Account(GitLab(git.ch, web.url))
        prove = Proofs(account)
        for proof in (
            prove.kept,
            prove.wrong_password_is_refused,
            prove.strangers_cannot_sign_up,
            account.token().probe,
        ):
            with pytest.raises(Unmet) as e:
                proof()
            assert e.value.entry == entry and "<html>" not in e.value.saw


def test_another_version_is_told(git):
    other = (200, {"version": "14.0.1-ee", "revision": "x"})
    with serving(lambda request: other) as web, pytest.raises(Unmet, match="13.12.15") as e:
        Proofs(Account(GitLab(git.ch, web.url))).version_is("13.12.15-ce.0")
    assert e.value.saw == "14.0.1-ee"


def test_by_https_the_certificate_must_be_for_its_own_name(git, tmp_path):
    certificate, key = self_signed(tmp_path, "DNS:git.example")
    with serving(lambda request: (200, {"status": "ok"})) as plain, tls(plain.port, certificate, key) as port:
        url = f"https://git.example:{port}"
        assert GitLab(git.ch, url, str(certificate)).why_not_ready() is None
        assert plain.asked[0].headers["Host"] == "git.example"
        assert "SSLError" in GitLab(git.ch, url).why_not_ready(), "nobody known vouches for it"
        other = GitLab(git.ch, f"https://other.example:{port}", str(certificate))
        assert "SSLError" in other.why_not_ready(), "it is another's certificate"


@contextlib.contextmanager
def tls(port, certificate, key):
    """A port of TLS before the one that speaks plainly."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_hand_on, args=(listening, context, port), daemon=True).start()
        yield listening.getsockname()[1]


def _hand_on(listening, context, port):
    """One request of each connection, and its answer."""
    while True:
        try:
            client = listening.accept()[0]
        except OSError:
            return
        with (
            contextlib.suppress(OSError),
            context.wrap_socket(client, server_side=True) as secured,
            socket.create_connection(("127.0.0.1", port)) as inside,
        ):
            inside.sendall(secured.recv(65536).replace(b"keep-alive", b"close"))
            while data := inside.recv(65536):
                secured.sendall(data)
