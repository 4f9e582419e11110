"""Label Studio on the target: installed by pip, its user and token, its project, storages, tasks and annotations."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import shlex
import urllib.parse
import xml.etree.ElementTree

import httpx

from helpers.components.pachyderm import dataset
from helpers.core import actions, catalogue
from helpers.core.actions import Action, packages
from helpers.core.errors import RunbookError, Unmet
from helpers.core.paths import SETUP

UNIT, USER = "label-studio", "label-studio"
VENV, DATA, SETTINGS = "/opt/label-studio", "/var/lib/label-studio", "/etc/default/label-studio"
DATABASE = "labelstudio"  # on PostgreSQL: the database and its role
TOKEN, PASSWORD = "label-studio-token", "label-studio-password"
_PICTURES = r"(?i).*\.(png|jpe?g|gif|bmp|webp)$"

# uv fetches in parallel, which makes a minute into a quarter; it reads none of pip's settings, so they are handed on. Where
# it does not run, or fails, pip itself installs. Nothing here resolves versions: the list names every package.
_INSTALL = r"""umask 022
rm -f {venv}/installed
{python} -m venv --clear {venv}
cat > {venv}/requirements.txt
uv() {{
  case "{tool}" in uv*) ;; *) return 1;; esac
  rm -rf {venv}/.uv; trap 'rm -rf {venv}/.uv' EXIT
  {venv}/bin/pip install -q --disable-pip-version-check --no-cache-dir --target {venv}/.uv "{tool}" || return 1
  eval "$({venv}/bin/python - << 'END'
import ast, shlex, subprocess, sys
names = {{"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "find-links": "UV_FIND_LINKS", "cert": "SSL_CERT_FILE", "proxy": "ALL_PROXY",
         "trusted-host": "UV_INSECURE_HOST", "no-index": "UV_NO_INDEX"}}
lines = subprocess.run([sys.executable, "-m", "pip", "config", "list"], stdout=subprocess.PIPE, universal_newlines=True).stdout.splitlines()
for line in sorted(lines, key=lambda l: l.startswith(":env:")):
    key, _, value = line.partition("=")
    name = names.get(key.rpartition(".")[2])
    if name and key.partition(".")[0] in ("global", "install", ":env:"):
        words = ast.literal_eval(value).split()
        print("export {{}}={{}}".format(name, shlex.quote(("," if name == "UV_FIND_LINKS" else " ").join(words))))
END
)" || return 1
  UV_SYSTEM_CERTS=true {venv}/.uv/bin/uv pip install --no-cache --no-deps --python {venv}/bin/python -r {venv}/requirements.txt
}}
case "{tool}" in pip*) {venv}/bin/pip install -q --disable-pip-version-check --no-cache-dir "{tool}";; esac
uv || {{ echo "with pip"; {venv}/bin/pip install --disable-pip-version-check --no-cache-dir --no-compile --no-deps --prefer-binary -r {venv}/requirements.txt; }}
[ -x {venv}/bin/label-studio ]
echo {mark} > {venv}/installed"""

_UNIT = """[Unit]
Description=Label Studio
Documentation=https://labelstud.io
Wants=network-online.target
After=network-online.target postgresql.service

[Service]
User={user}
Group={user}
EnvironmentFile={settings}
WorkingDirectory={data}
# When its port is busy, Label Studio takes the next free one and says so in its log only.
ExecStartPre=/bin/sh -c 'if ss -Hltn "sport = :{port}" | grep -q .; then echo "port {port} is busy"; exit 1; fi'
ExecStart={venv}/bin/label-studio start --no-browser --internal-host {listen} --port {port}
Restart=always
RestartSec=2
TimeoutStopSec=20
NoNewPrivileges=true
PrivateTmp=true
ProtectSystem=full
ProtectHome=true

[Install]
WantedBy=multi-user.target
"""

# 1.0.1 signs its sessions with a key that is the same in every installation: whoever knows it is any user.
_OWN_KEY = """# Written by the runbook, chapter 10. Changes made here are undone by the next install.
import os
from label_studio.core.settings.label_studio import *
SECRET_KEY = os.environ["LABEL_STUDIO_SECRET_KEY"]
"""


def default_config():
    """A labelling config for the runbook's pictures: one of Fashion-MNIST's ten classes."""
    choices = "\n".join(f'    <Choice value="{label}"/>' for label in dataset.LABELS)
    return f'<View>\n  <Image name="image" value="$image" width="280px"/>\n  <Choices name="class" toName="image" choice="single" showInline="true">\n{choices}\n  </Choices>\n</View>\n'


def config_problem(text):
    """What is wrong with a labelling config, as far as it can be told without a server; None when nothing is.

    It is one <View>; in it an object tag (<Image name="image" value="$image"/>) that shows the one piece of data that a file
    of the storage is, and control tags whose toName is an object's name.
    """
    try:
        root = xml.etree.ElementTree.fromstring(text)
    except xml.etree.ElementTree.ParseError as e:
        return f"it is no XML: {e}"
    if root.tag != "View":
        return f"its outermost tag is <{root.tag}>, not <View>"
    objects = [t for t in root.iter() if t.get("value", "").startswith("$")]
    if not objects:
        return 'no tag shows data: one needs value="$image" or the like'
    if len({t.get("value") for t in objects}) > 1:
        return "its tags want {}: a file of the storage is one piece of data".format(
            " and ".join(sorted({t.get("value") for t in objects}))
        )
    names = {t.get("name") for t in objects}
    controls = [t for t in root.iter() if t.get("toName")]
    if not controls:
        return "no tag labels anything: one needs toName"
    for tag in controls:
        missing = sorted(set(tag.get("toName").split(",")) - names)
        if missing:
            return f"<{tag.tag}> labels {missing[0]!r}, and no tag has that name"
        if not tag.get("name"):
            return f"<{tag.tag}> has no name"
    return None


def answer(config, n):
    """An annotation's result for a config: the n-th choice of its first <Choices>; [] when it has none."""
    for tag in xml.etree.ElementTree.fromstring(config).iter("Choices"):
        values = [c.get("value") for c in tag.iter("Choice") if c.get("value")]
        if values and tag.get("toName"):
            return [
                {
                    "from_name": tag.get("name"),
                    "to_name": tag.get("toName").split(",")[0],
                    "type": "choices",
                    "value": {"choices": [values[n]]},
                }
            ]
    return []


def chosen(result):
    """The choices in an annotation's result."""
    return [c for part in result for c in part.get("value", {}).get("choices", [])]


class LabelStudio:
    """One Label Studio on the chapter's target.

    artifact: which version (catalogue).  python: the host's interpreter.  port, listen: of its web server.  admin: its
    user, an e-mail address.  token: auto, jwt (personal access token, 1.20 and later) or legacy.  pach: the Pachyderm
    (helpers.pachyderm) whose S3 gateway has the data.  postgres: a helpers.components.postgres.Postgres, or None for SQLite.
    """

    def __init__(self, ch, artifact, python, port, listen, admin, token, pach, postgres=None):
        self.ch, self.artifact, self.python, self.port, self.listen, self.admin = (
            ch,
            artifact,
            python,
            port,
            listen,
            admin,
        )
        self.pach, self.postgres, self.version = pach, postgres, artifact.version
        self.old = self.version.startswith("1.0.")
        self.kind = token if token != "auto" else "legacy" if self.old else "jwt"
        self.password = ch.secret(PASSWORD)
        self._key = ch.secret("label-studio-key") if self.old else None
        self._local, self._api, self._access, self._project = None, None, None, None
        ch.forgets(TOKEN)

    # -- which version ---------------------------------------------------------------------------

    @staticmethod
    def host_python(ch, python):
        """(major, minor) of the host's Python; (0, 0) when there is none."""
        said = ch.run(
            f"{shlex.quote(python)} -c 'import sys; print(*sys.version_info[:2])' 2>/dev/null || echo 0 0",
            quiet=True,
        ).split()
        return int(said[0]), int(said[1])

    @staticmethod
    def wrong_python(version):
        """None when a Label Studio runs on this Python; else why not."""
        known = catalogue.load()
        ranges = [
            "{0[0]} to {0[1]}".format(known[name].entry["pythons"]) for name in ("label-studio", "label-studio-2021")
        ]
        low = [
            tuple(map(int, p.split(".")))
            for name in ("label-studio-2021", "label-studio")
            for p in known[name].entry["pythons"]
        ]
        if version == (0, 0):
            return "there is no such program"
        if low[0] <= version <= low[1] or low[2] <= version <= low[3]:
            return None
        return "it is Python {}.{}; Label Studio 1.0.1 needs {}, {} needs {}".format(
            version[0], version[1], ranges[1], known["label-studio"].version, ranges[0]
        )

    def wrong_kind(self):
        """None when the version has this kind of token."""
        return f"{self.version} has legacy tokens only" if self.old and self.kind == "jwt" else None

    # -- the program -----------------------------------------------------------------------------

    def requirements(self):
        """The list of packages that is installed: all of them, each pinned."""
        return (SETUP / "label-studio-setup" / (self.version + ".txt")).read_text("utf-8")

    def no_other(self):
        """A probe: what is installed is this version, or an older one whose database it can bring up to date: 1.0's, it cannot."""
        return (
            f"v=$(ls -d {VENV}/lib/python3*/site-packages/label_studio-*.dist-info 2>/dev/null | sed 's/.*label_studio-//; s/.dist-info//' | sort -V | tail -n 1 || true)\n"
            f'case "$v" in \'\'|{self.version}) exit 0;; 1.0.*) ;; *) [ "$(printf \'%s\\n\' "$v" {self.version} | sort -V | tail -n 1)" != {self.version} ] || exit 0;; esac\n'
            f'echo "Label Studio $v is there, and {self.version} cannot use its database"; exit 1'
        )

    def venv(self):
        """Action: the package that makes Python's environments. Remove leaves it: other programs of the host may use it."""
        action = packages(["python3-venv"])
        action.undo = None
        return action

    def installed(self):
        """Action: Label Studio and all it needs, in an environment of its own."""
        listed = self.requirements()
        count = len([line for line in listed.splitlines() if re.match(r"[A-Za-z0-9]", line)])
        mark = hashlib.sha256(f"{self.python} {listed}".encode()).hexdigest()
        done = (
            f"[ \"$(cat {VENV}/installed 2>/dev/null)\" = {mark} ] || {{ echo 'Label Studio {self.version} is not in {VENV} as pinned'; exit 1; }}\n"
            f"ls -d {VENV}/lib/python3*/site-packages/label_studio-{self.version}.dist-info >/dev/null 2>&1 || {{ echo '{VENV} has lost packages'; exit 1; }}\n"
            f"{VENV}/bin/python -c pass"
        )
        script = _INSTALL.format(
            venv=VENV, python=shlex.quote(self.python), tool=self.artifact.entry["installer"], mark=mark
        )
        return Action(
            [
                f"{self.python} -m venv {VENV}",
                f"pip install --no-deps -r {VENV}/requirements.txt   (label-studio=={self.version} and what it needs: {count} packages, each pinned)",
            ],
            done,
            lambda: self.ch.host.run(script, stdin=listed, timeout=1500, what=f"install Label Studio {self.version}"),
            "rm -rf --one-file-system " + VENV,
            f"[ ! -e {VENV} ]",
        )

    # -- settings and service ----------------------------------------------------------------------

    def settings(self):
        """The text of its settings: an EnvironmentFile."""
        lines = [
            "# Written by the runbook, chapter 10. Changes made here are undone by the next install.",
            "LABEL_STUDIO_BASE_DATA_DIR=" + DATA,
            "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK=true",
            "SESSION_COOKIE_SECURE=0",
            "# The S3 gateway has no logins: any key will do, when the secret is the same word. Given here and not in a storage,",
            "# its private address is trusted, and every address that a person types in is still checked.",
            "LABEL_STUDIO_S3_ENDPOINT=" + self.s3_url(),
            "LABEL_STUDIO_AWS_ACCESS_KEY_ID=runbook",
            "LABEL_STUDIO_AWS_SECRET_ACCESS_KEY=runbook",
            "# The gateway knows S3 of before 2025, without checksums on every request.",
            "AWS_REQUEST_CHECKSUM_CALCULATION=when_required",
            "AWS_RESPONSE_CHECKSUM_VALIDATION=when_required",
            "AWS_EC2_METADATA_DISABLED=true",
            "# Nothing is reported to its makers.",
            "COLLECT_ANALYTICS=false",
            "collect_analytics=false",
            "LATEST_VERSION_CHECK=false",
            "SENTRY_DSN=",
            "FRONTEND_SENTRY_DSN=",
            "LOG_LEVEL=WARNING",
            f"PYTHONPYCACHEPREFIX={DATA}/.pycache",
        ]
        if self.old:
            lines += ["DJANGO_SETTINGS_MODULE=runbook_settings", f"LABEL_STUDIO_SECRET_KEY='{self._key}'"]
        if self.postgres:
            lines += [
                "DJANGO_DB=default",
                "POSTGRE_HOST=127.0.0.1",
                f"POSTGRE_PORT={self.postgres.port}",
                "POSTGRE_NAME=" + DATABASE,
                "POSTGRE_USER=" + DATABASE,
                "POSTGRE_PASSWORD='{}'".format(self.ch.secret("postgres-" + DATABASE)),
            ]
        return "\n".join(lines) + "\n"

    def own_key(self):
        """Action: 1.0.1 signs with a key of its own; nothing to do for later versions, which make one."""
        if not self.old:
            return Action(f"nothing to do: {self.version} makes a key of its own", "true", "true")
        return self.ch.file(
            "{}/lib/python{}.{}/site-packages/runbook_settings.py".format(
                VENV, *self.host_python(self.ch, self.python)
            ),
            _OWN_KEY,
        )

    def unit(self):
        return _UNIT.format(user=USER, settings=SETTINGS, data=DATA, port=self.port, venv=VENV, listen=self.listen)

    def port_free(self):
        """A probe: nothing listens on the port, or Label Studio does."""
        return (
            f"pid=$(systemctl show -p MainPID {UNIT} 2>/dev/null | cut -d= -f2)\n"
            f'who=$(ss -Hltnp \'sport = :{self.port}\' | grep -v "pid=${{pid:-none}}," || true); [ -z "$who" ] || {{ echo "${{who##*users:}} listens there"; exit 1; }}'
        )

    def listens(self):
        """Action: its process listens on the port that was asked for, and on no other; installing waits, also for the first start's work on the database."""
        # `systemctl start` returns before the program listens; a program that found its port busy listens on the next one.
        probe = f"""pid=$(systemctl show -p MainPID {UNIT} | cut -d= -f2); [ "${{pid:-0}}" != 0 ] || {{ echo "{UNIT} is $(systemctl is-active {UNIT} || true)"; exit 1; }}
where=$(ss -Hltnp | grep "pid=$pid," | awk '{{print $4}}' || true)
case "$where" in *:{self.port}) ;; '') echo "{UNIT} listens nowhere yet"; exit 1;; *) echo "{UNIT} listens on $where, not on port {self.port}: that was busy when it started"; exit 1;; esac"""

        def elsewhere():
            seen = self.ch.host.ask(probe).out
            return seen if "busy" in seen else None

        def apply():
            if elsewhere():  # the port is free now: it was asked before
                actions.restart(self.ch.host, UNIT)
            self.ch.wait(
                "Label Studio to listen (the first start makes its database)",
                lambda: self.ch.host.ask(probe).ok,
                failed=lambda: elsewhere() or actions.why_unit_failed(self.ch.host, UNIT),
                timeout=900,
            )

        return Action(f"wait until {UNIT} listens on port {self.port}", probe, apply)

    def answers(self):
        """Action: GET /health/ says UP."""

        def unhealthy():
            with self._talk() as client:
                said = client.get("/health/")
            return (
                None
                if said.status_code == 200 and said.json().get("status") == "UP"
                else f"GET /health/ answered {said.status_code}"
            )

        return Action(
            "wait for GET /health/",
            unhealthy,
            lambda: self.ch.wait(
                "Label Studio to answer",
                lambda: unhealthy() is None,
                failed=lambda: actions.why_unit_failed(self.ch.host, UNIT),
                timeout=120,
            ),
        )

    def database(self):
        """Action: its database and role on PostgreSQL; remove drops both."""
        made = self.postgres.database(DATABASE)
        psql = f"runuser -u postgres -- psql -p {self.postgres.port} -AtXqc "
        gone = (
            f'! command -v psql >/dev/null || [ -z "$({psql}"select 1 from pg_roles where rolname = \'{DATABASE}\'")" ]'
        )
        return Action(
            made.shown,
            made.probe,
            made.apply,
            psql + f"'drop database if exists {DATABASE}'\n" + psql + f"'drop role if exists {DATABASE}'",
            gone,
        )

    # -- its user and token ------------------------------------------------------------------------

    def user(self):
        """Action: the user exists, and its password is the secret label-studio-password."""

        def done():
            with contextlib.closing(self.session()):
                return None

        def apply():
            name = shlex.quote(self.admin)
            script = (
                "set -a; . {settings}; set +a; cd {data}; p=$(cat)\n"
                "ls_() {{ printf '%s\\n' \"$p\" | runuser -u {user} -- {venv}/bin/label-studio \"$@\" --username {name} 2>&1 | grep -v -i 'password\\|getpass' | tail -n 5; }}\n"
                "ls_ init {project}\nls_ reset_password"
            ).format(
                settings=SETTINGS, data=DATA, user=USER, venv=VENV, name=name, project="runbook" if self.old else ""
            )
            # Where there is no terminal, it reads the password from standard input.
            self.ch.host.run(
                script, stdin=self.password.reveal() + "\n", timeout=300, what="make the user " + self.admin
            )

        return Action(
            [
                f"label-studio init --username {self.admin}; label-studio reset_password --username {self.admin}   (password: secret {PASSWORD}, on standard input)"
            ],
            done,
            apply,
        )

    def http(self):
        """A client without any login, through SSH. Unmet when another program has the port: it gets no password of ours."""
        if self._local is None:
            ok, seen = self.ch.host.ask(self.port_free())
            if not ok:
                raise Unmet(
                    f"Label Studio on port {self.port}", f"another program has port {self.port}: {seen}", "ls-port"
                )
            self._local = self.ch.forward(
                self.port, "127.0.0.1" if self.listen in ("0.0.0.0", "127.0.0.1", "localhost") else self.listen
            )
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self._local}",
            timeout=60,
            headers={"Referer": f"http://127.0.0.1:{self._local}/"},
            trust_env=False,
        )

    @contextlib.contextmanager
    def _talk(self):
        """A client without any login, for a proof."""
        with self.http() as client:
            try:
                yield client
            except httpx.TransportError as e:
                raise self._silent(e)

    def _silent(self, error):
        return Unmet(
            "an answer of Label Studio",
            f"Label Studio does not answer on port {self.port} ({type(error).__name__})",
            "ls-unit",
        )

    def session(self, password=None):
        """A client that logged in as a person does. Unmet when it is not let in."""
        client = self.http()
        try:
            client.get("/user/login/").raise_for_status()
        except httpx.HTTPError as e:
            client.close()
            raise self._silent(e)
        said = client.post(
            "/user/login/",
            data={
                "email": self.admin,
                "password": password or self.password.reveal(),
                "csrfmiddlewaretoken": client.cookies.get("csrftoken", ""),
            },
        )
        if said.status_code != 302 or "login" in said.headers["location"]:
            client.close()
            raise Unmet(f"{self.admin} is let in", f"its user or password is refused (status {said.status_code})")
        client.headers["X-CSRFToken"] = client.cookies.get("csrftoken", "")
        return client

    def token(self):
        """Action: the API takes our token, the secret label-studio-token. A new one is made when it does not."""

        def apply():
            with contextlib.closing(self.session()) as client:
                value = self._new_jwt(client) if self.kind == "jwt" else self._new_legacy(client)
            self.ch.secrets.keep(TOKEN, value)
            self.ch.masker.add(value)
            self._access = None

        return Action(
            f"POST /api/token/   (a personal access token, kept as secret {TOKEN})"
            if self.kind == "jwt"
            else f"POST /api/current-user/reset-token/   (a legacy token, kept as secret {TOKEN})",
            self._token_refused,
            apply,
        )

    def _token_refused(self):
        try:
            self.token_is_taken()
        except Unmet as e:
            return e.saw
        return None

    @staticmethod
    def _new_jwt(client):
        kinds = client.get("/api/jwt/settings").raise_for_status().json()
        if kinds.get("legacy_api_tokens_enabled"):  # of an earlier install that asked for them
            client.post("/api/jwt/settings", json=dict(kinds, legacy_api_tokens_enabled=False)).raise_for_status()
        said = client.post("/api/token/", json={})
        if said.status_code == 409:  # there may be one at a time, and it is told once only
            for old in client.get("/api/token/").raise_for_status().json():
                client.post("/api/token/blacklist/", json={"refresh": old["token"]})
            said = client.post("/api/token/", json={})
        return said.raise_for_status().json()["token"]

    def _new_legacy(self, client):
        if not self.old:
            client.post(
                "/api/jwt/settings",
                json=dict(client.get("/api/jwt/settings").raise_for_status().json(), legacy_api_tokens_enabled=True),
            ).raise_for_status()
        # 1.0.1 cuts off the answer to GET /api/current-user/token.
        return client.post("/api/current-user/reset-token/").raise_for_status().json()["token"]

    def _bearer(self):
        secret = self.ch.secrets.find(TOKEN)
        if secret is None:
            raise Unmet("a token", "no token is known here: install has not made one for this target", "ls-token")
        self.ch.masker.add(secret.reveal())
        if self.kind == "legacy":
            return "Token " + secret.reveal()
        if self._access is None:
            try:
                with self.http() as client:
                    said = client.post("/api/token/refresh/", json={"refresh": secret.reveal()})
            except httpx.TransportError as e:
                raise self._silent(e)
            if said.status_code == 401:
                raise Unmet("our token is taken", "401: {}".format(said.json().get("detail", "refused")), "ls-token")
            self._access = said.raise_for_status().json()["access"]
            self.ch.masker.add(self._access)
        return "Bearer " + self._access

    def api(self, method, path, **kw):
        """The answer's JSON (None when empty). Unmet with the server's words when it refuses."""
        if self._api is None:
            self._api = self.http()
        try:
            said = self._api.request(
                method, path, headers={"Authorization": self._bearer()}, timeout=kw.pop("timeout", 60), **kw
            )
            if said.status_code == 401 and self.kind == "jwt":  # an access token lives five minutes
                self._access = None
                said = self._api.request(method, path, headers={"Authorization": self._bearer()}, timeout=60, **kw)
        except httpx.TransportError as e:
            raise self._silent(e)
        if said.status_code >= 400:
            raise Unmet(
                f"{method} {path} is taken",
                f"{said.status_code}: {_words(said)}",
                "ls-token" if said.status_code == 401 else None,
            )
        return said.json() if said.content else None

    # -- the data in Pachyderm ---------------------------------------------------------------------

    def s3_url(self):
        """The gateway's address for Label Studio; while Pachyderm is not there, a word in its place."""
        try:
            address = self.pach.s3_url()
        except RunbookError:
            address = ""
        return address if re.match(r"http://[0-9a-z]", address) else "http://pachyderm-is-not-there"

    def no_bucket(self, bucket):
        """None when the gateway has this bucket, <branch>.<repository>; else what is missing."""
        branch, _, repo = bucket.partition(".")
        try:
            names = {b.name for b in self.pach.s3.list_buckets()}
        except Exception as e:  # its client lets urllib3's, OSErrors and its own through
            return f"the S3 gateway does not answer: {type(e).__name__}"
        if bucket in names:
            return None
        branches = sorted(n.partition(".")[0] for n in names if n.partition(".")[2] == repo)
        return (
            "repository {} has no branch {} (it has {})".format(repo, branch, ", ".join(branches))
            if branches
            else f"there is no repository {repo} (or it has no branch yet)"
        )

    def keys(self, bucket):
        """The keys in a bucket that Label Studio would show."""
        self.has_bucket(bucket)
        return sorted(
            o.object_name
            for o in self.pach.s3.list_objects(bucket, recursive=True, use_api_v1=True)
            if not o.object_name.endswith("/") and re.match(self._filter(), o.object_name)
        )

    def _filter(self):
        return _PICTURES if "<Image" in getattr(self, "config", "<Image") else ".*"

    def read(self, bucket, key):
        response = self.pach.s3.get_object(bucket, key)
        try:
            return response.read()
        finally:
            response.close()
            response.release_conn()

    def target_bucket(self, bucket):
        """Action: the repository that takes the annotations, and its branch, exist; remove deletes the repository."""

        def undo():
            self.pach.client.delete_repo(bucket.partition(".")[2], force=True)

        def gone():
            return "repository {} is there".format(bucket.partition(".")[2]) if self.no_bucket(bucket) is None else None

        return Action(
            f"PUT /{bucket}   (makes the repository and its branch)",
            lambda: self.no_bucket(bucket),
            lambda: self.pach.s3.make_bucket(bucket),
            undo,
            gone,
        )

    # -- the project -------------------------------------------------------------------------------

    def project(self, title, config):
        """Action: the project exists, with this labelling config."""
        self.config, self.title = config, title

        def done():
            found = self._find_project()
            if found is None:
                return "there is no project " + title
            return None if _same(found["label_config"], config) else "its labelling config is another"

        def apply():
            found = self._find_project()
            if found is None:
                self.api("POST", "/api/projects/", json={"title": title, "label_config": config})
            else:
                self.api("PATCH", "/api/projects/{}/".format(found["id"]), json={"label_config": config})
            self._project = None

        return Action(
            f"POST /api/projects/   (title {title}, labelling config of {len(config.splitlines())} lines)", done, apply
        )

    def _find_project(self):
        said = self.api("GET", "/api/projects/?page_size=1000")
        for p in said if isinstance(said, list) else said["results"]:
            if p["title"] == self.title:
                return p
        return None

    @property
    def id(self):
        """The project's number. Unmet when it is not there."""
        if self._project is None:
            found = self._find_project()
            if found is None:
                raise Unmet("project " + self.title, "there is none")
            self._project = found["id"]
        return self._project

    def storage(self, bucket, target=False):
        """Action: a source storage (target: a target storage) of the project on this bucket, and no other."""
        path = "/api/storages/export/s3" if target else "/api/storages/s3"
        wanted = {"title": "Pachyderm " + bucket, "bucket": bucket}
        # presign: a browser does not reach the gateway, so Label Studio hands the pictures on itself.
        more = {"use_blob_urls": True, "regex_filter": self._filter(), "presign": False, "recursive_scan": True}
        wanted.update({"can_delete_objects": True} if target else more)
        if self.old:
            wanted.pop("recursive_scan", None)
            wanted.pop("can_delete_objects", None)

        def done():
            found = self.storages(target)
            if not found:
                return "the project has no {} storage".format("target" if target else "source")
            other = sorted(k for k in wanted if found[0].get(k) != wanted[k])
            return "another {} than ours".format(", ".join(other)) if other else None

        def apply():
            found = self.storages(target)
            if found:
                self.api("PATCH", "{}/{}".format(path, found[0]["id"]), json=dict(wanted, project=self.id))
            else:
                self.api("POST", path, json=dict(wanted, project=self.id))

        return Action(
            "POST {}   ({})".format(
                path,
                ", ".join(
                    f"{k}: {str(v).lower() if isinstance(v, bool) else v}" for k, v in wanted.items() if k != "title"
                ),
            ),
            done,
            apply,
        )

    def storages(self, target=False):
        return self.api("GET", "/api/storages/{}s3?project={}".format("export/" if target else "", self.id))

    def synced(self, bucket):
        """Action: each file of the bucket is a task."""

        def done():
            missing = sorted(set(self.keys(bucket)) - set(self.tasks()))
            return f"{len(missing)} files are no task yet, like {missing[0]}" if missing else None

        def apply():
            for found in self.storages():
                said = self.api("POST", "/api/storages/s3/{}/sync".format(found["id"]), timeout=600)
                if said and said.get("status") == "failed":
                    raise RunbookError(
                        "sync the source storage",
                        self.ch.host.name,
                        (said.get("traceback") or "failed").strip().split("\n")[-1],
                        "See the chapter's Troubleshooting.",
                    )
            self.ch.wait("the tasks", lambda: done() is None, timeout=120)

        return Action("POST /api/storages/s3/<id>/sync", done, apply)

    def tasks(self):
        """{key in the source bucket: task}, each with its annotations."""
        # Not by an export: that leaves a file on the host each time, and 1.0.1's leaves out tasks that were just annotated.
        found = self.api("GET", f"/api/projects/{self.id}/tasks/?page_size=1000000", timeout=300)
        tasks = {}
        for task in found:
            for value in task["data"].values():
                if isinstance(value, str) and value.startswith("s3://"):
                    tasks[urllib.parse.urlsplit(value).path.lstrip("/")] = task
        return tasks

    # -- annotations -------------------------------------------------------------------------------

    def annotate(self, task, result):
        """Make an annotation as a person's browser does; returns it."""
        return self.api(
            "POST",
            "/api/tasks/{}/annotations/".format(task["id"]),
            json={"result": result, "was_cancelled": False, "lead_time": 1.0},
        )

    def kept(self, source, target):
        """Action: the first file has the config's first label, and the target repository has that annotation."""

        def done():
            try:
                self.landed(source, target)
            except Unmet as e:
                return e.saw
            return None

        def apply():
            task = self.task(self.keys(source)[0])
            for old in task["annotations"]:
                if chosen(old["result"]) == chosen(answer(self.config, 0)):
                    self.api("DELETE", "/api/annotations/{}/".format(old["id"]))
            self.annotate(task, answer(self.config, 0))

        return Action(
            "POST /api/tasks/<id>/annotations/   (the first file: {})".format(
                ", ".join(chosen(answer(self.config, 0))) or "no label"
            ),
            done,
            apply,
        )

    def landed(self, source, target):
        """The first file's annotation is in the target repository as Label Studio has it."""
        key = self.keys(source)[0]
        wanted = chosen(answer(self.config, 0))
        ours = [a for a in self.task(key)["annotations"] if chosen(a["result"]) == wanted]
        if not ours:
            raise Unmet("{} is labelled {}".format(key, ", ".join(wanted)), "it is not")
        self._in_repository(ours[-1], target)
        return "{}: {}".format(key, ", ".join(wanted))

    def task(self, key):
        task = self.tasks().get(key)
        if task is None:
            raise Unmet("a task for " + key, "there is none")
        return task

    def _in_repository(self, annotation, target):
        """(key, content) of the object that holds this annotation. Unmet when there is none, or it differs."""
        self.has_bucket(target)
        names = [o.object_name for o in self.pach.s3.list_objects(target, recursive=True, use_api_v1=True)]
        # Its name tells its annotation's number, in one way or another.
        for name in sorted(names, key=lambda n: (re.sub(r"[^0-9]", "", n) != str(annotation["id"]), n)):
            try:
                content = json.loads(self.read(target, name).decode())
            except ValueError:
                continue
            if isinstance(content, dict) and content.get("id") == annotation["id"]:
                if content["result"] != annotation["result"] or (
                    annotation.get("task") and self._task_of(content) != annotation["task"]
                ):
                    raise Unmet(
                        "the annotation as Label Studio has it",
                        "another in {}: {}".format(name, json.dumps(content["result"])[:80]),
                    )
                return name, content
        raise Unmet("annotation {} in {}".format(annotation["id"], target), "it is not there")

    @staticmethod
    def _task_of(content):
        task = content.get("task")
        return task["id"] if isinstance(task, dict) else task

    # -- proofs ------------------------------------------------------------------------------------

    def token_is_taken(self):
        self.api("GET", "/api/current-user/whoami")

    def has_bucket(self, bucket):
        why = self.no_bucket(bucket)
        if why:
            raise Unmet(f"{bucket} in Pachyderm", why, "ls-gateway" if "gateway" in why else "ls-source")

    def wrong_token_is_refused(self):
        """No token, a made-up one of either kind: 401 for each."""
        with self._talk() as client:
            for headers in ({}, {"Authorization": "Token " + "0" * 40}, {"Authorization": "Bearer x.y.z"}):
                said = client.get("/api/projects/", headers=headers)
                if said.status_code != 401:
                    raise Unmet("401 without our token", f"{said.status_code}")

    def wrong_password_is_refused(self):
        try:
            self.session("not-the-password").close()
        except Unmet as e:
            if e.entry:
                raise
            return
        raise Unmet("refused", "it was let in")

    def strangers_cannot_sign_up(self):
        """The sign-up form makes no user without an invitation's link."""
        with self._talk() as client:
            client.get("/user/login/")
            said = client.post(
                "/user/signup/",
                data={
                    "email": "stranger@example.com",
                    "password": "a-strangers-password",
                    "csrfmiddlewaretoken": client.cookies.get("csrftoken", ""),
                },
            )
        if said.status_code != 403:
            raise Unmet("403 for a stranger's sign-up", f"{said.status_code}")

    def shows_all(self, bucket):
        """Each file of the bucket is a task. Returns how many."""
        keys, tasks = self.keys(bucket), self.tasks()
        missing = sorted(set(keys) - set(tasks))
        if missing or not keys:
            raise Unmet(
                f"{len(keys)} tasks",
                f"{len(missing)} of them missing, like {missing[0]}" if missing else "an empty bucket",
            )
        return f"{len(keys)} files, {len(tasks)} tasks"

    def picture_arrives(self, source):
        """A browser that is logged in gets the last task's file from Label Studio, byte for byte as Pachyderm has it."""
        key = self.keys(source)[-1]
        wanted = self.read(source, key)
        task = self.task(key)
        with contextlib.closing(self.session()) as client:
            said = client.get("/api/tasks/{}/".format(task["id"]))
            value = list(said.raise_for_status().json()["data"].values())[0]
            if value.startswith("data:"):
                got = base64.b64decode(value.partition(",")[2])
            else:
                if not value.startswith("/"):
                    raise Unmet("a file handed on by Label Studio", "a link elsewhere: " + value.split("?")[0])
                said = client.get(value)
                got = said.content if said.status_code == 200 else b""
        if got != wanted:
            raise Unmet(
                f"{len(wanted)} bytes of {key}",
                "{} ({} bytes)".format(f"status {said.status_code}" if not got else "others", len(got)),
            )
        return f"{key}, {len(got)} bytes"

    def annotation_lands(self, source, target):
        """Give the last file the config's last label: a new commit of the target repository holds it. It is deleted again, in both."""
        branch, _, repo = target.partition(".")
        key, before = self.keys(source)[-1], self._head(repo, branch)
        made = self.annotate(self.task(key), answer(self.config, -1))
        name = None
        try:
            name, content = self._in_repository(made, target)
            after = self._head(repo, branch)
            if after == before:
                raise Unmet("a new commit in " + repo, "the same as before")
            raw = json.loads(self.pach.client.get_file((repo, after), "/" + name).read().decode())
            if raw != content:
                raise Unmet("what the S3 gateway has", "another in commit " + after[:8])
        finally:
            self.api("DELETE", "/api/annotations/{}/".format(made["id"]))
            if name and name in {
                o.object_name for o in self.pach.s3.list_objects(target, recursive=True, use_api_v1=True)
            }:
                self.pach.s3.remove_object(target, name)  # 1.0.1 deletes nothing there
        return "{}: {}, in commit {}".format(key, ", ".join(chosen(made["result"])), after[:8])

    def _head(self, repo, branch):
        head = self.pach.client.inspect_branch(repo, branch).head
        return head.id if head else ""

    def survives(self, restart, bucket):
        restart()
        self.ch.wait(
            "Label Studio to answer again",
            lambda: self.answers().probe() is None,
            failed=lambda: actions.why_unit_failed(self.ch.host, UNIT),
            timeout=120,
        )
        self._access = None
        return self.shows_all(bucket)


def _same(a, b):
    """Are two labelling configs the same but for white space between tags?"""
    return re.sub(r">\s+<", "><", a.strip()) == re.sub(r">\s+<", "><", b.strip())


def _words(said):
    """An error answer in one line."""
    try:
        content = said.json()
    except ValueError:
        return said.reason_phrase
    found = (
        content.get("validation_errors") or content.get("detail") or content if isinstance(content, dict) else content
    )
    return (found if isinstance(found, str) else json.dumps(found))[:300]
