"""Tokens, passwords and a busy port, against a small server on a real chapter."""

import re

import pytest

from helpers.components.label_studio.account import Account
from helpers.components.label_studio.annotations import Annotations
from helpers.components.label_studio.client import NotLetIn
from helpers.components.label_studio.project import Project
from helpers.components.label_studio.proofs import Proofs
from helpers.core.errors import Unmet


def prove(ls):
    """The proofs that need no project."""
    project = Project(ls, None, title="t", config="", source="master.a", labels="master.b")
    return Proofs(Annotations(project), None)


def test_a_personal_access_token_is_changed_for_short_lived_ones(known):
    ls = known
    assert ls.token_kind == "jwt"
    assert [ls.api("GET", p)["path"] for p in ("/api/a", "/api/b")] == ["/api/a", "/api/b"]
    assert ls.server.handed == 2, "the first one was used up, so a second was fetched"
    assert all(map(ls.ch.masker.holds_secret, ("the-refresh-token", "access-1", "access-2")))
    ls.forget_access()
    ls.server.revoked = True
    with pytest.raises(Unmet) as e:
        ls.api("GET", "/api/a")
    assert e.value.saw == "401: Token is blacklisted" and e.value.entry == "ls-token"


def test_a_legacy_token_goes_as_it_is(make):
    ls = make("label-studio-2021")
    assert ls.token_kind == "legacy" and ls.why_no_such_token() is None
    assert make("label-studio-2021", "jwt").why_no_such_token() == "1.0.1 has legacy tokens only"
    with pytest.raises(Unmet) as e:
        ls.api("GET", "/api/a")
    assert "no token is known here" in e.value.saw, "none is made up in its place"
    ls.ch.secrets.keep("label-studio-token", "fedcba9876543210")
    with pytest.raises(Unmet) as e:
        ls.api("GET", "/api/a")
    assert e.value.entry == "ls-token" and "401: Invalid token." in e.value.saw
    ls.keep_token("0123456789abcdef")
    assert ls.api("GET", "/api/a") == {"path": "/api/a"} and ls.server.handed == 0
    ls.server.routes["GET", "/api/bad"] = lambda _: (400, {"validation_errors": {"title": ["is taken"]}})
    with pytest.raises(Unmet) as e:
        ls.api("GET", "/api/bad")
    assert e.value.saw == '400: {"title": ["is taken"]}' and e.value.entry is None


def test_a_server_that_is_away_is_named_so_by_everything(make, serve):
    ls = make("label-studio-2021")
    ls.ch.secrets.keep("label-studio-token", "0123456789abcdef")
    serve.stop()
    for call in (
        ls.token_is_taken,
        ls.session,
        prove(ls).wrong_password_is_refused,
        prove(ls).wrong_token_is_refused,
        prove(ls).strangers_cannot_sign_up,
        ls.why_unhealthy,
        Account(ls).token().probe,
    ):
        with pytest.raises(Unmet) as e:
            call()
        assert e.value.entry == "ls-unit" and "does not answer on port" in e.value.saw


def test_another_program_on_its_port_gets_no_password(make):
    ls = make("label-studio-2021", answer=lambda script, stdin: (1, '(("python3",pid=1)) listens there', ""))
    ls.ch.secrets.keep("label-studio-token", "0123456789abcdef")
    for call in (ls.token_is_taken, ls.session, prove(ls).wrong_token_is_refused):
        with pytest.raises(Unmet) as e:
            call()
        assert e.value.entry == "ls-port" and "another program has port" in e.value.saw and "python3" in e.value.saw
    assert ls.server.handed == 0 and ls.server.asked == []


def test_only_our_password_lets_in(make):
    ls = make()
    ls.session().close()
    with pytest.raises(NotLetIn) as e:
        ls.session("not-the-password")
    assert e.value.saw == "its user or password is refused (status 200)"
    prove(ls).wrong_password_is_refused()
    ls.server.password = "not-the-password"
    with pytest.raises(Unmet) as e:
        prove(ls).wrong_password_is_refused()
    assert e.value.saw == "it was let in"


@pytest.mark.parametrize("enabled, switched", [(True, [False]), (False, [])])
def test_a_new_personal_token_takes_the_place_of_the_old_one(make, enabled, switched):
    ls = make()
    routes, known = ls.server.routes, []
    routes["GET", "/api/jwt/settings"] = {"legacy_api_tokens_enabled": enabled, "api_token_ttl_days": 30}
    routes["POST", "/api/token/"] = lambda _: (409, {}) if not known else (200, {"token": "the-new-one"})
    routes["GET", "/api/token/"] = [{"token": "the-old-one"}]
    routes["POST", "/api/token/blacklist/"] = lambda content: (known.append(content["refresh"]) or 200, {})
    Account(ls).token().apply()
    assert known == ["the-old-one"] and ls.ch.secrets.find("label-studio-token").reveal() == "the-new-one"
    sent = [content for path, content in ls.server.sent("POST") if path == "/api/jwt/settings"]
    assert [content["legacy_api_tokens_enabled"] for content in sent] == switched
    assert all(content["api_token_ttl_days"] == 30 for content in sent), "its other settings stay"


@pytest.mark.parametrize("name, deleted", [("label-studio-2021", [2, 3]), ("label-studio", [])])
def test_a_user_is_made_and_what_1_0_1_makes_beside_goes(make, name, deleted):
    """tests/recordings/label-studio-1.0.md: a title that is there makes no user."""
    scripts = []

    def host(script, stdin):
        if "reset_password" in script:
            scripts.append(script.splitlines()[0])
            ls.server.password = stdin.strip()
        return ""

    ls = make(name, answer=host)
    empty = {"label_config": "<View></View>", "task_number": 0}
    rows = [("fmnist", {}), ("runbook", {}), ("runbook 0123abcd", {}), ("runbook", {"task_number": 1})]
    rows += [("runbook", {"label_config": "<View>a</View>"}), ("runbook of Ann", {}), (None, {})]
    listed = [{**empty, "id": i, "title": title, **other} for i, (title, other) in enumerate(rows, 1)]
    ls.server.routes["GET", "/api/projects/"] = listed
    for _ in range(2):
        ls.server.password = ""
        Account(ls).user().apply()
    assert ls.server.sent("DELETE") == [(f"/api/projects/{i}/", None) for i in deleted * 2]
    titles = [re.fullmatch(".* (.*)", re.sub("'runbook (.{8})'$", r"\1", script))[1] for script in scripts]
    assert len(set(titles)) == (2 if deleted else 1), "a title of its own each time"
    assert all(re.fullmatch("[0-9a-f]{8}" if deleted else "''", title) for title in titles)


def test_a_sign_up_that_is_open_is_told_and_no_account_is_made(make):
    ls = make()
    prove(ls).strangers_cannot_sign_up()
    ls.server.sign_up_is_open = True
    with pytest.raises(Unmet) as e:
        prove(ls).strangers_cannot_sign_up()
    assert e.value.expected == "403 for a stranger's sign-up" and ls.server.accounts == []
