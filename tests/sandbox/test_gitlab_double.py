"""GitLab's stand-in against tests/recordings/gitlab-13.12.md, row by row: what was read of the real one, not recorded.

The package's files run as plain processes on loopback, below a folder of the test; no sandbox.
"""

from __future__ import annotations

import base64
import fcntl
import functools
import gzip
import http.client
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from facts import Facts
from gitlab_server import RECIPE, Server
from serving import until

from helpers.core import catalogue
from helpers.core.paths import REPO, home
from helpers.core.waiting import wait
from helpers.sandbox import mirror

CALLS = REPO / "tests/recordings/gitlab-13.12-calls.md"
CLIENT = Path(__file__).with_name("gitlab-client.txt")
PASSWORD, TOKEN = "not-a-real-password", "token-string-here123"
FACTS = Facts("gitlab-13.12.md")
row = FACTS.row


class Host(Server):
    """A folder as a host's root, with the package's files run from the repository."""

    def __init__(self, root):
        super().__init__(root)
        self.root, self.rb = root, root / "etc/gitlab/gitlab.rb"

    ctl = functools.partialmethod(Server.run, "ctl")
    rails = functools.partialmethod(Server.run, "rails", "runner")

    def install(self, **env):
        done = self.ctl("package", EXTERNAL_URL=self.url, **env)
        if done.returncode == 0:
            self.wait()
        return done

    def wait(self):
        return until(self.url, lambda: [requests.get(self.url + "/-/health", timeout=30)])[0]

    def api(self, method, path, token=TOKEN, **more):
        headers = {"PRIVATE-TOKEN": token} if token else {}
        return requests.request(method, self.url + "/api/v4" + path, headers=headers, timeout=30, **more)

    def git(self, *argv, ok=True):
        who = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "credential.helper="]
        env = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(self.root)}
        done = subprocess.run(["git", *who, *argv], env=env, capture_output=True, text=True, timeout=60)
        assert not ok or done.returncode == 0, done.stderr
        return done

    def remote(self, name, password, path="root/demo"):
        return self.url.replace("://", f"://{name}:{password}@") + f"/{path}.git"


@pytest.fixture
def bare(tmp_path):
    """A host on which nothing is installed yet."""
    host = Host(tmp_path)
    yield host
    host.end()


CHANGE = "u = User.find_by_username('root')\nu.password = '{}'\nu.password_confirmation = '{}'\nu.save!\n"
MAKE = "token = User.find_by_username('root').personal_access_tokens.create(scopes: [:api], name: 'runbook'"


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """GitLab as a chapter leaves it: root's password, a token, a project with one commit."""
    host = Host(tmp_path_factory.mktemp("gitlab"))
    assert host.install(GITLAB_ROOT_PASSWORD=PASSWORD).returncode == 0
    done = host.rails(f"{MAKE}, expires_at: 30.days.from_now)\ntoken.set_token('{TOKEN}')\ntoken.save!")
    assert (done.returncode, done.stderr) == (0, "")
    assert host.api("POST", "/projects", json={"name": "demo", "initialize_with_readme": True}).status_code == 201
    yield host
    host.end()


def test_every_row_has_a_test():
    assert FACTS.untested == set() and len(FACTS.rows) > 40


# -- the package and its commands ------------------------------------------------------------------------


@row("no EXTERNAL_URL", "gitlab-rails before a reconfigure", "status, runit not running")
def test_installed_without_an_address(bare):
    done = bare.ctl("package")
    assert done.returncode == 0 and "not been configured yet; skipping the upgrade script." in done.stdout
    assert "external_url 'http://gitlab.example.com'" in bare.rb.read_text()
    done = bare.rails("puts 1")
    assert done.returncode == 1 and "error: could not load" in done.stdout and "gitlab-ctl reconfigure" in done.stdout


@row("EXTERNAL_URL", "reconfigure", "status", "stop and start", "status, one down", "puma down")
def test_installed_with_an_address(bare):
    done = bare.ctl("package", EXTERNAL_URL=bare.url.partition("://")[2])
    assert done.returncode == 0 and f"GitLab should be available at {bare.url}" in done.stdout
    assert "gitlab Reconfigured!" in done.stdout.splitlines()
    assert bare.rb.stat().st_mode & 0o777 == 0o600
    bare.wait()
    done = bare.ctl("status")
    lines = done.stdout.splitlines()
    names = [line.split()[1].rstrip(":") for line in lines]
    assert done.returncode == 0 and len(lines) == 15 and names == sorted(names)
    assert all(re.fullmatch(r"run: [\w-]+: \(pid \d+\) \d+s; run: log: \(pid \d+\) \d+s", line) for line in lines)
    assert re.fullmatch(r"ok: down: puma: \ds, normally up\n", bare.ctl("stop", "puma").stdout)
    done = bare.ctl("status")
    assert done.returncode == 3 and re.search(r"^down: puma: \d+s, normally up; run: log:", done.stdout, re.M)
    answer = requests.get(bare.url + "/-/health", timeout=30)
    assert answer.status_code == 502 and "GitLab is not responding (502)" in answer.text
    assert re.fullmatch(r"ok: run: puma: \(pid \d+\) \ds\n", bare.ctl("start", "puma").stdout)
    assert bare.ctl("status").returncode == 0
    bare.end()
    done = bare.ctl("status")
    while done.returncode < 60:  # the supervisor is ending
        done = bare.ctl("status")
    assert "fail: puma: runsv not running" in done.stdout.splitlines()


@row("gitlab.rb present", "prometheus_monitoring off")
def test_a_gitlab_rb_that_is_there(bare):
    bare.rb.parent.mkdir(parents=True)
    bare.rb.write_text("# mine\nexternal_url 'http://old'\nprometheus_monitoring['enable'] = false\n")
    assert bare.install().returncode == 0
    assert bare.rb.read_text() == f"# mine\nexternal_url '{bare.url}'\nprometheus_monitoring['enable'] = false\n"
    assert not re.search("exporter|prometheus", bare.ctl("status").stdout)


def test_a_password_in_gitlab_rb_is_kept_nowhere_else(bare):
    bare.rb.parent.mkdir(parents=True)
    bare.rb.write_text(f"external_url '{bare.url}'\ngitlab_rails['initial_root_password'] = '{PASSWORD}'\n")
    assert bare.install().returncode == 0
    assert bare.git("ls-remote", bare.remote("root", PASSWORD, "root/no"), ok=False).stderr.count("not found")
    holds = [p for p in bare.root.rglob("*") if p.is_file() and PASSWORD.encode() in p.read_bytes()]
    # The migration's log has it in plain text, as that of 13.12 has.
    assert [p for p in holds if p != bare.rb and "gitlab-rails-db-migrate" not in p.name] == []


@row("reconfigure, failing", "root password too short")
def test_a_short_password(bare):
    done = bare.install(GITLAB_ROOT_PASSWORD="short")
    assert done.returncode == 1 and "Reconfigured" not in done.stdout
    assert done.stderr.startswith("There was an error running gitlab-ctl reconfigure:\n\n")
    assert "Could not create the default administrator account:" in done.stderr


@row("root password")
def test_the_roots_password_is_set_once(host, bare):
    assert host.ctl("reconfigure", GITLAB_ROOT_PASSWORD="another-password").returncode == 0
    host.wait()
    assert host.git("ls-remote", host.remote("root", PASSWORD)).returncode == 0
    assert host.git("ls-remote", host.remote("root", "another-password"), ok=False).returncode == 128
    assert "sets root's password" in bare.install().stdout
    assert bare.git("ls-remote", bare.remote("root", ""), ok=False).returncode == 128
    assert not (bare.root / "etc/gitlab/initial_root_password").exists()


@row("the first project")
def test_the_first_start_makes_a_project_of_gitlabs_own(host):
    def found():
        return host.api("GET", "/projects?search=monitoring").json()

    (project,) = found()
    assert re.fullmatch(r"gitlab-instance-[0-9a-f]{8}/monitoring", project["path_with_namespace"])
    assert (project["name_with_namespace"], project["visibility"]) == ("GitLab Instance / Monitoring", "internal")
    assert project["namespace"]["kind"] == "group" and "owner" not in project
    place = f"/projects/{project['id']}/repository"
    assert [c["title"] for c in host.api("GET", place + "/commits").json()] == ["Initial commit"]
    assert host.api("GET", place + "/files/README.md?ref=master").status_code == 200
    assert host.api("GET", "/projects?search=monitoring", None).json() == []
    assert host.ctl("reconfigure").returncode == 0
    host.wait()
    assert found() == [project]


@row("uninstall")
def test_uninstall_leaves_a_copy_of_the_settings_and_takes_a_folder_of_others(bare):
    assert bare.install().returncode == 0
    (bare.root / "tmp/opt/theirs").mkdir(parents=True)
    done = bare.ctl("uninstall")
    (copy,) = (bare.root / "root").iterdir()
    assert done.returncode == 0 and re.fullmatch(r"gitlab-cleanse-\d{4}-\d\d-\d\dT\d\d:\d\d", copy.name)
    assert done.stdout.endswith(f"Your config files have been backed up to {copy}.\n")
    assert {p.name for p in copy.iterdir()} == {"gitlab.rb", "gitlab-secrets.json"}
    assert not (bare.root / "tmp/opt").exists() and "run: puma" not in bare.ctl("status").stdout


@row("unknown command", "reconfigure with an argument")
def test_wrong_commands(bare):
    done = bare.ctl("nonsense")
    assert done.returncode == 1 and done.stdout.startswith("I don't know that command.\n")
    done = bare.ctl("reconfigure", "now")
    assert done.returncode == 2 and "does not accept any arguments" in done.stderr


@row("gitlab-rails runner, an exception", "token in the console")
def test_the_console(host):
    for code, word in (
        ("system('id')", "does not run: system('id')"),
        ("token.save!", "undefined"),
        (f"{MAKE.replace(':api', ':nonsense')})", "can only contain available scopes"),
        (f"{MAKE.replace(':api', '')})", "can't be blank"),
    ):
        done = host.rails(code)
        assert done.returncode == 1 and word in done.stderr and not done.stdout
    value = host.rails(f"{MAKE}); puts token.token").stdout.strip()
    first = MAKE.replace("create(", "first_or_create(")
    for new in ("a-value-of-our-own-1", TOKEN):  # always the same token
        assert host.rails(f"{first})\ntoken.set_token('{new}')\ntoken.save!\nputs token.token").stdout.strip() == new
        assert host.api("GET", "/user", new).status_code == 200
    assert host.api("GET", "/user", "a-value-of-our-own-1").status_code == 401
    assert re.fullmatch(r"[\w-]{20}", value) and host.api("GET", "/user", value).json()["username"] == "root"
    kept = (host.root / "var/opt/gitlab/double/store.sqlite").read_bytes()
    assert value.encode() not in kept and TOKEN.encode() not in kept and PASSWORD.encode() not in kept


@row("password in the console")
def test_a_password_is_set_in_the_console(host):
    def asks(password):
        url = host.url + "/root/none.git/info/refs?service=git-upload-pack"
        return requests.get(url, auth=("root", password), timeout=30).status_code

    for first, second, word in ((PASSWORD + "2", "other", "doesn't match"), ("short", "short", "too short")):
        done = host.rails(CHANGE.format(first, second))
        assert done.returncode == 1 and word in done.stderr and asks(PASSWORD) == 404
    for password, old in ((PASSWORD + "2", PASSWORD), (PASSWORD, PASSWORD + "2")):
        assert host.rails(CHANGE.format(password, password)).returncode == 0
        assert asks(password) == 404 and asks(old) == 401


def test_ruby_that_is_no_literal_is_refused(bare):
    bare.rb.parent.mkdir(parents=True)
    bare.rb.write_text(f"external_url '{bare.url}'\npuma['worker_processes'] = `nproc`.to_i\n")
    done = bare.ctl("reconfigure")
    assert done.returncode == 1 and "`nproc`" in done.stderr


# -- health ----------------------------------------------------------------------------------------------


@row("GET /-/health", "GET /-/readiness", "GET /-/liveness")
def test_health(host):
    answer = requests.get(host.url + "/-/health", timeout=30)
    assert (answer.status_code, answer.text, answer.headers["Content-Type"]) == (200, "GitLab OK", "text/plain")
    assert requests.get(host.url + "/-/liveness", timeout=30).json() == {"status": "ok"}
    ready = requests.get(host.url + "/-/readiness", timeout=30)
    assert ready.json() == {"status": "ok", "master_check": [{"status": "ok"}]}
    host.ctl("stop", "postgresql")
    ready = requests.get(host.url + "/-/readiness?all=1", timeout=30)
    assert ready.status_code == 503 and ready.json()["status"] == "failed"
    assert ready.json()["db_check"][0]["status"] == "failed" and ready.json()["gitaly_check"] == [{"status": "ok"}]
    assert requests.get(host.url + "/-/health", timeout=30).text == "GitLab OK"
    assert host.api("GET", "/version").status_code == 500
    host.ctl("start", "postgresql")


def status_at(host, address, asked_from="127.0.0.1"):
    """What nginx's status page answers there; None where nothing listens."""
    client = http.client.HTTPConnection(address, host.ports[0], timeout=30, source_address=(asked_from, 0))
    try:
        client.request("GET", "/nginx_status")
        return client.getresponse().status
    except ConnectionRefusedError:
        return None
    finally:
        client.close()


@row("nginx's own status")
def test_nginx_shows_its_status_on_every_address_unless_it_is_told(bare):
    bare.install()
    assert (status_at(bare, "127.0.0.1"), status_at(bare, "127.0.0.2", "127.0.0.3")) == (200, 403)
    with open(bare.rb, "a") as file:
        file.write("""nginx['status'] = { "listen_addresses" => ["127.0.0.1"] }\n""")
    assert bare.ctl("reconfigure").returncode == 0
    bare.wait()
    assert (status_at(bare, "127.0.0.1"), status_at(bare, "127.0.0.2")) == (200, None)


@row("Alertmanager's gossip")
def test_alertmanager_opens_a_port_on_every_address_unless_it_is_told(bare):
    def is_open(address):
        with socket.socket() as asking:
            return asking.connect_ex((address, bare.ports[1])) == 0

    def told(address):
        with open(bare.rb, "a") as file:
            file.write(f"alertmanager['flags'] = {{ 'cluster.listen-address' => '{address}' }}\n")
        assert bare.ctl("reconfigure").returncode == 0
        wait("the port", lambda: is_open("127.0.0.1"), timeout=60, every=0.1)

    bare.install()
    wait("the port", lambda: is_open("127.0.0.2"), timeout=60, every=0.1)
    told("")
    assert is_open("127.0.0.2"), "an empty one is left out of its command line"
    told(f"127.0.0.1:{bare.ports[1]}")
    assert not is_open("127.0.0.2")


@row("sign-up page")
@pytest.mark.parametrize("is_open", [True, False])
def test_the_page_to_sign_up_has_its_form_whether_that_is_open_or_not(host, is_open):
    assert host.api("PUT", "/application/settings", json={"signup_enabled": is_open}).status_code == 200
    said = requests.get(host.url + "/users/sign_up", timeout=30)
    assert said.status_code == 200 and 'name="new_user[username]"' in said.text


@row("GET /-/health, not on the allow-list")
def test_health_for_others(bare):
    bare.rb.parent.mkdir(parents=True)
    bare.rb.write_text(f"external_url '{bare.url}'\ngitlab_rails['monitoring_whitelist'] = [\n  '10.9.8.0/24'\n]\n")
    bare.install()
    answer = requests.get(bare.url + "/-/health", timeout=30)
    assert (answer.status_code, answer.text, answer.headers["Content-Type"]) == (404, "", "text/plain")
    assert requests.get(bare.url + "/-/readiness", timeout=30).status_code == 404


# -- who asks --------------------------------------------------------------------------------------------


@row("no token", "unknown token", "revoked token", "expired token", "scope too small", "not an admin", "Bearer")
def test_who_may(host):
    plain = (401, {"message": "401 Unauthorized"})

    def said(path, token=None, method="GET", **more):
        answer = host.api(method, path, token, **more)
        return answer.status_code, answer.json()

    assert said("/user") == plain and said("/projects", "nonsense") == plain
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert requests.get(host.url + "/api/v4/user", headers=bearer, timeout=30).status_code == 200
    assert (
        requests.get(host.url + "/api/v4/user", headers={"Authorization": "Bearer short"}, timeout=30).json()
        == plain[1]
    )
    new = {"name": "x", "scopes": ["api"], "expires_at": "2021-01-01"}
    old = host.api("POST", "/users/1/personal_access_tokens", json=new).json()["token"]
    answer = host.api("GET", "/user", old)
    assert answer.json() == {
        "error": "invalid_token",
        "error_description": "Token is expired. You can either do re-authorization or token refresh.",
    }
    gone = host.api("POST", "/users/1/personal_access_tokens", json={"name": "x", "scopes": ["api"]}).json()
    assert host.api("DELETE", f"/personal_access_tokens/{gone['id']}").status_code == 204
    answer = host.api("GET", "/user", gone["token"])
    assert answer.status_code == 401 and "Token was revoked." in answer.json()["error_description"]
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    small = host.api("POST", "/users/1/personal_access_tokens", json={"name": "x", "scopes": ["read_api"]}).json()
    assert said("/user", small["token"])[0] == 200
    status, body = said("/projects", small["token"], "POST", json={"name": "no"})
    assert (status, body["error"], body["scope"]) == (403, "insufficient_scope", "api")
    person = {"email": "p@example.org", "name": "P", "username": "person", "password": "long-enough"}
    number = host.api("POST", "/users", json=person).json()["id"]
    own = {"name": "x", "scopes": ["api"]}
    other = host.api("POST", f"/users/{number}/personal_access_tokens", json=own).json()["token"]
    assert said("/application/settings", other) == (403, {"message": "403 Forbidden"})
    assert said("/projects/root%2Fdemo", other) == (404, {"message": "404 Project Not Found"})


@row("unknown path", "wrong method", "/api/v3")
def test_addresses_that_are_not_there(host):
    assert host.api("GET", "/nonsense").json() == {"error": "404 Not Found"}
    answer = host.api("DELETE", "/version")
    assert (answer.status_code, answer.json()) == (405, {"error": "405 Not Allowed"})
    answer = requests.get(host.url + "/api/v3/user", timeout=30)
    assert (answer.status_code, answer.json()["error"]) == (410, "API V3 is no longer supported. Use API V4 instead.")


# -- REST ------------------------------------------------------------------------------------------------


@row("pagination")
def test_pages(host):
    for number in range(3):
        host.api("POST", "/projects", json={"name": f"paged{number}"})
    answer = host.api("GET", "/projects?search=paged&per_page=2")
    told = {name: answer.headers["X-" + name] for name in ("Total", "Total-Pages", "Page", "Per-Page", "Next-Page")}
    assert told == {"Total": "3", "Total-Pages": "2", "Page": "1", "Per-Page": "2", "Next-Page": "2"}
    assert answer.headers["X-Prev-Page"] == "" and len(answer.json()) == 2
    assert re.findall(r'rel="(\w+)"', answer.headers["Link"]) == ["next", "first", "last"]
    assert f"<{host.url}/api/v4/projects?search=paged&" in answer.headers["Link"]
    assert host.api("GET", "/projects?page=99").json() == []
    assert host.api("GET", "/projects?per_page=500").headers["X-Per-Page"] == "100"
    answer = host.api("GET", "/projects?per_page=0")
    assert (answer.status_code, answer.json()) == (400, {"error": "per_page does not have a valid value"})


@row("GET /version", "application settings", "outbound allow-list")
def test_settings(host):
    assert host.api("GET", "/version").json()["version"] == "13.12.15"
    said = host.api("PUT", "/application/settings", json={"signup_enabled": False})
    assert said.json()["signup_enabled"] is False and "runners_registration_token" not in said.json()
    assert "Register" not in requests.get(host.url + "/users/sign_in", timeout=30).text
    raw = {"outbound_local_requests_allowlist_raw": "10.0.0.1, host.example:443;10.1.0.0/16"}
    shown = host.api("PUT", "/application/settings", json=raw).json()["outbound_local_requests_allowlist_raw"]
    assert shown == "10.0.0.1\nhost.example:443\n10.1.0.0/16"
    said = host.api("PUT", "/application/settings", json={"outbound_local_requests_whitelist": ["10.0.0.1"]})
    assert said.status_code == 400 and said.json()["error"].endswith("at least one parameter must be provided")


@row("instance variables", "variable refused", "maskable", "project variables")
def test_variables(host):
    place = "/admin/ci/variables"
    assert host.api("GET", f"{place}/A").json() == {"message": "404 InstanceVariable Not Found"}
    said = host.api("POST", place, json={"key": "A", "value": "some~value", "masked": True})
    body = {"variable_type": "env_var", "key": "A", "value": "some~value", "protected": False, "masked": True}
    assert (said.status_code, said.json()) == (201, body)
    for given, told in (
        ({"key": "A", "value": "b"}, {"message": {"key": ["(A) has already been taken"]}}),
        ({"key": "A-B", "value": "b"}, {"message": {"key": ["can contain only letters, digits and '_'."]}}),
        ({"key": "B", "value": "short", "masked": True}, {"message": {"value": ["is invalid"]}}),
        ({"key": "B", "value": "has a blank", "masked": True}, {"message": {"value": ["is invalid"]}}),
        ({"key": "B", "value": "two-lines\n", "masked": True}, {"message": {"value": ["is invalid"]}}),
        ({}, {"error": "key is missing, value is missing"}),
    ):
        said = host.api("POST", place, json=given)
        assert (said.status_code, said.json()) == (400, told)
    assert host.api("PUT", f"{place}/A", json={"protected": True}).json() == {**body, "protected": True}
    assert [v["key"] for v in host.api("GET", place).json()] == ["A"]
    assert host.api("DELETE", f"{place}/A").status_code == 204
    own = "/projects/root%2Fdemo/variables"
    assert host.api("POST", own, json={"key": "A", "value": "b"}).json()["environment_scope"] == "*"
    assert host.api("GET", f"{own}/B").json() == {"message": "404 Variable Not Found"}


@row("users", "personal access tokens", "tokens of others")
def test_users(host):
    person = {"email": "u@example.org", "name": "U", "username": "user", "password": "long-enough"}
    made = host.api("POST", "/users", json=person)
    assert made.status_code == 201
    said = host.api("POST", "/users", json={**person, "username": "other"})
    assert (said.status_code, said.json()) == (409, {"message": "Email has already been taken"})
    said = host.api("POST", "/users", json={**person, "email": "o@example.org"})
    assert (said.status_code, said.json()) == (409, {"message": "Username has already been taken"})
    assert host.api("GET", "/users", None).status_code == 403
    for query, there in (("search=u@example.org", True), ("search=USE", True), ("search=example.org", False),
                         ("search=user&blocked=true", False), ("search=user&active=true", True)):  # fmt: skip
        found = [u["username"] for u in host.api("GET", "/users?" + query).json()]
        assert ("user" in found) is there, query
    place = f"/users/{made.json()['id']}/personal_access_tokens"
    token = host.api("POST", place, json={"name": "x", "scopes": ["api"]}).json()
    listed = host.api("GET", f"/personal_access_tokens?user_id={made.json()['id']}").json()
    assert len(token["token"]) == 20 and "token" not in listed[0] and listed[0]["id"] == token["id"]
    assert host.api("DELETE", f"/personal_access_tokens/{token['id']}").status_code == 204
    every = {t["id"]: t for t in host.api("GET", "/personal_access_tokens?per_page=100").json()}
    assert every[token["id"]]["revoked"] is True and 1 in {t["user_id"] for t in every.values()}


@row("project", "files", "commits")
def test_projects(host):
    made = host.api("POST", "/projects", json={"name": "short lived"}).json()
    assert (made["path_with_namespace"], made["default_branch"]) == ("root/short-lived", None)
    assert host.api("POST", "/projects", json={"name": "short lived"}).status_code == 400
    place = f"/projects/{made['id']}"
    files = f"{place}/repository/files/a%2Fb.txt"
    new = {"branch": "master", "commit_message": "a", "content": "text"}
    said = host.api("POST", files, json=new)
    assert (said.status_code, said.json()) == (201, {"file_path": "a/b.txt", "branch": "master"})
    assert host.api("GET", place).json()["default_branch"] == "master"
    said = host.api("POST", files, json=new)
    assert (said.status_code, said.json()) == (400, {"message": "A file with this name already exists"})
    assert host.api("GET", files).json() == {"error": "ref is missing"}
    assert base64.b64decode(host.api("GET", files + "?ref=master").json()["content"]) == b"text"
    assert host.api("GET", files.replace("b.txt", "c") + "?ref=master").json() == {"message": "404 File Not Found"}
    actions = [{"action": "update", "file_path": "a/b.txt", "content": "new"}]
    several = {"branch": "master", "commit_message": "more", "actions": actions}
    commit = host.api("POST", f"{place}/repository/commits", json=several)
    assert commit.status_code == 201 and commit.json()["title"] == "more"
    listed = host.api("GET", f"{place}/repository/commits")
    assert [c["title"] for c in listed.json()] == ["more", "a"] and "X-Total" not in listed.headers
    aside = {"branch": "aside", "start_branch": "master", "commit_message": "aside", "actions": actions}
    assert host.api("POST", f"{place}/repository/commits", json=aside).status_code == 201
    for every, titles in (("false", ["more", "a"]), ("true", ["aside", "more", "a"])):
        listed = host.api("GET", f"{place}/repository/commits?all={every}").json()
        assert sorted(c["title"] for c in listed) == sorted(titles)
    assert host.api("GET", f"{place}/repository/commits/nonsense").json() == {"message": "404 Commit Not Found"}
    said = host.api("DELETE", place)
    assert (said.status_code, said.json()) == (202, {"message": "202 Accepted"})
    assert host.api("GET", place).json() == {"message": "404 Project Not Found"}


@row("issues", "merge requests")
def test_issues_and_no_merge_requests(host):
    made = host.api("POST", "/projects", json={"name": "talked about"}).json()
    place = f"/projects/{made['id']}/issues"
    assert host.api("GET", place).json() == []
    said = host.api("POST", place, json={})
    assert (said.status_code, said.json()) == (400, {"error": "title is missing"})
    said = [host.api("POST", place, json={"title": title}) for title in ("first", "second")]
    told = said[0].json()
    assert [each.status_code for each in said] == [201, 201]
    assert (told["iid"], told["state"], told["author"]["username"]) == (1, "opened", "root")
    assert [(each["iid"], each["title"]) for each in host.api("GET", place).json()] == [(2, "second"), (1, "first")]
    assert host.api("GET", place + "?state=closed").json() == []
    said = host.api("GET", place + "?state=open")
    assert (said.status_code, said.json()) == (400, {"error": "state does not have a valid value"})
    assert host.api("GET", f"/projects/{made['id']}/merge_requests").json() == []
    assert host.api("GET", place, None).json() == {"message": "404 Project Not Found"}
    host.api("DELETE", f"/projects/{made['id']}")


@row("branches", "deleted user")
def test_branches_and_a_deleted_user(host):
    place = "/projects/root%2Fdemo/repository/branches"
    made = host.api("POST", place, json={"branch": "feature/a", "ref": "master"})
    assert made.status_code == 201 and made.json()["default"] is False
    for given, told in (
        ({"branch": "feature/a", "ref": "master"}, {"message": "Branch already exists"}),
        ({"branch": "b", "ref": "nonsense"}, {"message": "Invalid reference name: nonsense"}),
        ({"branch": "b..c", "ref": "master"}, {"message": "The branch refname is invalid"}),
        ({}, {"error": "branch is missing, ref is missing"}),
    ):
        said = host.api("POST", place, json=given)
        assert (said.status_code, said.json()) == (400, told)
    assert host.api("DELETE", f"{place}/feature%2Fa").status_code == 204
    assert host.api("GET", f"{place}/feature%2Fa").json() == {"message": "404 Branch Not Found"}
    said = host.api("DELETE", f"{place}/master")
    assert (said.status_code, said.json()) == (405, {"message": "Cannot remove HEAD branch"})
    person = {"email": "g@example.org", "name": "G", "username": "gone", "password": "long-enough"}
    number = host.api("POST", "/users", json=person).json()["id"]
    new = {"name": "x", "scopes": ["api"]}
    token = host.api("POST", f"/users/{number}/personal_access_tokens", json=new).json()["token"]
    assert host.api("DELETE", f"/users/{number}").status_code == 204
    assert host.api("GET", "/user", token).status_code == 401


@row("registration", "verify and remove", "no job", "runners listed")
def test_runners(host):
    asked = host.rails("puts Gitlab::CurrentSettings.current_application_settings.runners_registration_token")
    registration = {"token": asked.stdout.strip(), "description": "r", "info": {"name": "gitlab-runner"}}
    assert host.api("POST", "/runners", None, json={}).json() == {"error": "token is missing"}
    assert host.api("POST", "/runners", None, json={"token": "nonsense"}).json() == {"message": "403 Forbidden"}
    said = host.api("POST", "/runners", None, json={**registration, "run_untagged": False})
    assert said.status_code == 400 and list(said.json()["message"]) == ["tags_list"]
    made = host.api("POST", "/runners", None, json=registration)
    assert made.status_code == 201 and set(made.json()) == {"id", "token"} and len(made.json()["token"]) == 20
    own = {"token": made.json()["token"]}
    said = host.api("POST", "/runners/verify", None, json=own)
    assert (said.status_code, said.text) == (200, "200")
    assert host.api("GET", "/runners").json() == []
    assert [r["status"] for r in host.api("GET", "/runners/all").json()] == ["not_connected"]
    said = host.api("POST", "/jobs/request", None, json=own)
    assert said.status_code == 204 and re.fullmatch("[0-9a-f]{32}", said.headers["X-GitLab-Last-Update"])
    listed = host.api("GET", "/runners/all")
    assert [r["status"] for r in listed.json()] == ["online"] and own["token"] not in listed.text
    assert host.api("DELETE", "/runners", None, json=own).status_code == 204
    for method, path in (("POST", "/runners/verify"), ("DELETE", "/runners"), ("POST", "/jobs/request")):
        assert host.api(method, path, None, json=own).status_code == 403


# -- git -------------------------------------------------------------------------------------------------


@row("clone and push", "git, no credentials", "git, project missing", "git, token that may only read", "force push")
def test_git(host, tmp_path):
    work = str(tmp_path / "work")
    host.git("clone", "-q", host.remote("anyone", TOKEN), work)
    (tmp_path / "work/big").write_bytes(os.urandom(3 << 20))  # more than git sends in one piece
    host.git("-C", work, "add", ".")
    host.git("-C", work, "commit", "-qm", "big")
    host.git("-C", work, "push", "-q", host.remote("root", PASSWORD), "HEAD:master")
    assert host.api("GET", "/projects/root%2Fdemo/repository/commits").json()[0]["title"] == "big"
    answer = requests.get(host.url + "/root/demo.git/info/refs?service=git-upload-pack", timeout=30)
    assert (answer.status_code, answer.text) == (401, "HTTP Basic: Access denied\n")
    assert answer.headers["Www-Authenticate"] == 'Basic realm="GitLab"'
    answer = requests.get(host.remote("root", TOKEN, "root/no") + "/info/refs?service=git-upload-pack", timeout=30)
    assert answer.status_code == 404 and answer.text.endswith("or you don't have permission to view it.")
    reader = {"name": "reader", "scopes": ["read_repository"]}
    token = host.api("POST", "/users/1/personal_access_tokens", json=reader).json()["token"]
    assert "HEAD" in host.git("ls-remote", host.remote("root", token)).stdout
    place = host.remote("root", token) + "/info/refs?service=git-receive-pack"
    answer = requests.get(place, timeout=30)
    assert (answer.status_code, answer.text) == (403, "You are not allowed to upload code.")
    host.git("-C", work, "commit", "-q", "--amend", "-m", "rewritten")
    done = host.git("-C", work, "push", "-f", host.remote("root", TOKEN), "HEAD:master", ok=False)
    assert "You are not allowed to force push code to a protected branch on this project." in done.stderr
    assert done.returncode and "pre-receive hook declined" in done.stderr


# -- python-gitlab ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client():
    """A Python that has python-gitlab in the version of mid-2021: the tests' own has none."""
    folder = home("cache") / "gitlab-client"
    stamp, wanted = folder / "stamp", CLIENT.read_text() + sys.version
    with open(home("locks") / "gitlab-client", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
            pip = [folder / "bin/pip", "install", "-q", "--disable-pip-version-check", "--no-deps", "-r", CLIENT]
            subprocess.run(pip, check=True)
            stamp.write_text(wanted)
    return folder / "bin/python"


def test_python_gitlab_gets_the_answers_of_the_table(host, client):
    """CALLS is what it printed: `python gitlab_calls.py URL TOKEN REGISTRATION_TOKEN` makes the table anew."""
    script = Path(__file__).with_name("gitlab_calls.py")
    asked = host.rails("puts Gitlab::CurrentSettings.current_application_settings.runners_registration_token")
    argv = [client, script, host.url, TOKEN, asked.stdout.strip()]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    table = re.findall(r"^\| (?!call \|).* \|$", CALLS.read_text(), re.M)
    assert done.stdout.splitlines() == table


# -- the package -----------------------------------------------------------------------------------------


def recipe(script, work, *argv):
    """Run a script of a copy of the recipe; the files it makes, by their addresses."""
    out = work / "out"
    subprocess.run(["cp", "-r", f"{RECIPE}/.", work], check=True)
    env = {**os.environ, "OUT": str(out)}
    done = subprocess.run(["bash", script, *argv], cwd=work, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {str(p.relative_to(out)): p for p in out.rglob("*") if p.is_file()}


@pytest.fixture
def deb(tmp_path):
    (found,) = recipe("package.sh", tmp_path).values()
    return found


@row("links in /usr/bin")
def test_the_package_unpacks_and_makes_links(tmp_path, deb):
    root = tmp_path / "unpacked"
    assert deb.parent.name == "gitlab-ce_13.12.15-ce.0_amd64.deb"
    subprocess.run(["dpkg-deb", "-R", deb, root], check=True)
    assert (root / "opt/gitlab/embedded/double/server.py").is_file() and not (root / "usr/bin").exists()

    def maintained(name, word):
        text = (root / "DEBIAN" / name).read_text().replace("/opt/gitlab", f"{root}/opt/gitlab")
        text = text.replace("/usr/bin", f"{root}/usr/bin")
        subprocess.run(["sh", "-s", word], input=text, text=True, env=env, check=True)
        return {link.name: str(link.readlink()).replace(str(root), "") for link in (root / "usr/bin").iterdir()}

    env = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}
    for program in (root / "opt/gitlab/bin/gitlab-ctl", tmp_path / "bin/systemctl"):  # neither works on this machine
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    (root / "usr/bin").mkdir(parents=True)
    links = {f"gitlab-{name}": f"/opt/gitlab/bin/gitlab-{name}" for name in ("ctl", "rails", "redis-cli")}
    assert maintained("postinst", "configure") == links
    assert list(maintained("postrm", "remove")) == ["gitlab-redis-cli"]


@row("the repository", "the repository's key")
def test_each_release_has_a_repository_and_no_older_address_is_there(tmp_path, deb):
    files, top = recipe("repository.sh", tmp_path / "made", deb), "packages.gitlab.com"
    for release in ("ubuntu/focal", "debian/bookworm"):
        base, name = f"{top}/gitlab/gitlab-ce/{release}", release.partition("/")[2]
        assert f"Codename: {name}\n" in files[f"{base}/dists/{name}/InRelease"].read_text()
        index = gzip.decompress(files[f"{base}/dists/{name}/main/binary-amd64/Packages.gz"].read_bytes()).decode()
        package = re.search("^Filename: (pool/main/g/gitlab-ce/.*)$", index, re.M).group(1)
        assert files[f"{base}/{package}"].read_bytes() == deb.read_bytes()
    assert "PUBLIC KEY" in files[f"{top}/gpgkey/gpg.key"].read_text()
    asked = {catalogue.load()[name].key_url for name in ("gitlab-ce", "gitlab-ee")}
    assert asked == {f"https://{top}/gpgkey/gpg.key"}
    older = [name for name in files if re.search(r"gitlab\.com/gpg\.key|gitlab-ce/[^/]+/(dists|pool)/", name)]
    assert older == []


def test_it_says_what_it_is():
    said = mirror.fidelity()["gitlab-ce"]
    assert said["fidelity"] == "double" and "was not run" in said["program"]
