"""Label Studio as programs and people talk to it: through SSH, with our token or our password, and only with ours."""

from __future__ import annotations

import contextlib
import json

import httpx

from helpers.components.label_studio.layout import SCRIPTS, UNIT, VENV
from helpers.core.errors import Unmet
from helpers.core.shell import script

#: names of secrets
TOKEN, PASSWORD = "label-studio-token", "label-studio-password"


class NotLetIn(Unmet):
    """The server answers, and refuses this user or password."""

    final = True


class LabelStudio:
    """One Label Studio on the chapter's target.

    port, listen: of its web server on the host.  admin: its user, an e-mail address.  token: which kind programs use:
    jwt (a personal access token, 1.20 and later), legacy, or auto.
    """

    def __init__(self, ch, version, *, port, listen, admin, token="auto"):  # noqa: PLR0913 - its keywords are its face
        self.ch, self.version, self.port, self.listen, self.admin = ch, version, port, listen, admin
        self.old = version.startswith("1.0.")
        self.token_kind = token if token != "auto" else "legacy" if self.old else "jwt"
        self.password = ch.secret(PASSWORD)
        self._local, self._api, self._access = None, None, None
        ch.forgets(TOKEN)

    def why_no_such_token(self):
        """None when the version has this kind of token, else why not."""
        return f"{self.version} has legacy tokens only" if self.old and self.token_kind == "jwt" else None

    def away(self):
        """For remove: is it gone from the host, and all that was in it? One that is down is not."""
        return self.ch.host.ask(f"[ ! -e {VENV} ]").ok

    def port_is_ours(self):
        """A probe: nothing listens on the port, or Label Studio does."""
        return script(SCRIPTS / "port_is_ours.sh", self.port, UNIT)

    def http(self):
        """A client without any login. Unmet when another program has the port: it gets no password of ours."""
        if self._local is None:
            ok, seen = self.ch.host.ask(self.port_is_ours())
            if not ok:
                saw = f"another program has port {self.port}: {seen}"
                raise Unmet(f"Label Studio on port {self.port}", saw, "ls-port")
            loopback = self.listen in ("0.0.0.0", "127.0.0.1", "localhost")
            self._local = self.ch.forward(self.port, "127.0.0.1" if loopback else self.listen)
        base = f"http://127.0.0.1:{self._local}"
        return httpx.Client(base_url=base, timeout=120, headers={"Referer": base + "/"}, trust_env=False)

    @contextlib.contextmanager
    def talk(self):
        """A client without any login, for a `with`. Unmet when Label Studio does not answer."""
        with self.http() as client:
            try:
                yield client
            except httpx.TransportError as e:
                raise self._silent(e) from e

    def _silent(self, error):
        saw = f"Label Studio does not answer on port {self.port} ({type(error).__name__})"
        return Unmet("an answer of Label Studio", saw, "ls-unit")

    def why_unhealthy(self):
        """None when GET /health/ says UP, else why not. Unmet when there is no answer."""
        with self.talk() as client:
            said = client.get("/health/")
        up = said.status_code == 200 and said.json().get("status") == "UP"
        return None if up else f"GET /health/ answered {said.status_code}"

    def session(self, password=None):
        """A client that logged in as a person does, for contextlib.closing. NotLetIn when it is refused."""
        client = self.http()
        try:
            client.get("/user/login/").raise_for_status()
        except httpx.HTTPError as e:
            client.close()
            raise self._silent(e) from e
        form = {
            "email": self.admin,
            "password": password or self.password.reveal(),
            "csrfmiddlewaretoken": client.cookies.get("csrftoken", ""),
        }
        said = client.post("/user/login/", data=form)
        if said.status_code != 302 or "login" in said.headers["location"]:
            client.close()
            saw = f"its user or password is refused (status {said.status_code})"
            raise NotLetIn(f"{self.admin} is let in", saw)
        client.headers["X-CSRFToken"] = client.cookies.get("csrftoken", "")
        return client

    def api(self, method, path, content=None, timeout=120):
        """The answer's JSON (None when empty). content: sent as JSON. Unmet with the server's words when it refuses."""
        try:
            said = self._request(method, path, content, timeout)
            if said.status_code == 401 and self.token_kind == "jwt":  # an access token lives five minutes
                self.forget_access()
                said = self._request(method, path, content, timeout)
        except httpx.TransportError as e:
            raise self._silent(e) from e
        if said.status_code >= 400:
            entry = "ls-token" if said.status_code == 401 else None
            raise Unmet(f"{method} {path} is taken", f"{said.status_code}: {_words(said)}", entry)
        return said.json() if said.content else None

    def token_is_taken(self):
        """Unmet when the API does not take our token, the secret label-studio-token."""
        self.api("GET", "/api/current-user/whoami")

    def keep_token(self, value):
        """This is our token from now on."""
        self.ch.secrets.keep(TOKEN, value)
        self.ch.masker.add(value)
        self.forget_access()

    def forget_access(self):
        """The short-lived token is no good any more."""
        self._access = None

    def _request(self, method, path, content, timeout):
        if self._api is None:
            self._api = self.http()
        bearer = {"Authorization": self._bearer()}
        return self._api.request(method, path, headers=bearer, json=content, timeout=timeout)

    def _bearer(self):
        secret = self.ch.secrets.find(TOKEN)
        if secret is None:
            raise Unmet("a token", "no token is known here: install has not made one for this target", "ls-token")
        self.ch.masker.add(secret.reveal())
        if self.token_kind == "legacy":
            return "Token " + secret.reveal()
        if self._access is None:
            self._access = self._new_access(secret)
            self.ch.masker.add(self._access)
        return "Bearer " + self._access

    def _new_access(self, secret):
        with self.talk() as client:
            said = client.post("/api/token/refresh/", json={"refresh": secret.reveal()})
        if said.status_code == 401:
            raise Unmet("our token is taken", "401: {}".format(said.json().get("detail", "refused")), "ls-token")
        return said.raise_for_status().json()["access"]


def _words(said):
    """An error answer in one line."""
    try:
        content = said.json()
    except ValueError:
        return said.reason_phrase
    if isinstance(content, dict):
        content = content.get("validation_errors") or content.get("detail") or content
    return (content if isinstance(content, str) else json.dumps(content))[:300]
