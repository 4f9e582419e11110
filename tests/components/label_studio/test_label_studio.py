"""Label Studio without one: labelling configs, its list of packages, its settings, tokens against a small server, and a real browser."""

import http.server
import json
import re
import threading

import pytest
from packaging.requirements import Requirement

from helpers.components.label_studio import browser
from helpers.components.label_studio import project as label_studio
from helpers.components.label_studio.pages import _size
from helpers.components.label_studio.project import LabelStudio, answer, chosen, config_problem, default_config
from helpers.components.pachyderm import dataset
from helpers.core import catalogue
from helpers.core.errors import Unmet
from helpers.core.host import Probe
from helpers.core.secrets import Masker, SecretStore

CONFIG = '<View><Image name="i" value="$image"/><Choices name="c" toName="i"><Choice value="a"/><Choice value="b"/></Choices></View>'


# -- labelling configs -----------------------------------------------------------------------------


def test_the_default_config_asks_for_the_ten_classes():
    text = default_config()
    assert config_problem(text) is None
    assert [chosen(answer(text, n)) for n in (0, 9, -1)] == [["T-shirt/top"], ["Ankle boot"], ["Ankle boot"]]
    assert tuple(chosen(answer(text, n))[0] for n in range(10)) == dataset.LABELS
    assert answer(text, 3)[0]["to_name"] == "image" and answer(text, 3)[0]["from_name"] == "class"


@pytest.mark.parametrize(
    "text, says",
    [
        ("<View><Image", "it is no XML"),
        ("<Image name='i' value='$i'/>", "outermost tag is <Image>"),
        ("<View><Choices name='c' toName='i'><Choice value='a'/></Choices></View>", "no tag shows data"),
        ("<View><Image name='i' value='$image'/></View>", "no tag labels anything"),
        (CONFIG.replace('toName="i"', 'toName="j"'), "<Choices> labels 'j'"),
        (CONFIG.replace('name="c" ', ""), "<Choices> has no name"),
        (CONFIG.replace("<Choices", '<Text name="t" value="$text"/><Choices'), "$image and $text"),
    ],
)
def test_what_is_wrong_with_a_config_is_said(text, says):
    assert says in config_problem(text)


def test_a_config_without_choices_is_answered_with_nothing():
    boxes = '<View><Image name="i" value="$image"/><RectangleLabels name="r" toName="i"><Label value="cat"/></RectangleLabels></View>'
    assert config_problem(boxes) is None and answer(boxes, 0) == [] and chosen([]) == []


def test_configs_are_the_same_but_for_white_space():
    assert label_studio._same(CONFIG, CONFIG.replace("><", ">\n  <") + "\n") and not label_studio._same(
        CONFIG, CONFIG.replace('"b"', '"B"')
    )


# -- versions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["label-studio", "label-studio-2021"])
def test_every_package_is_pinned_once_for_each_python(name):
    artifact = catalogue.load()[name]
    lines = (label_studio.SETUP / "label-studio-setup" / (artifact.version + ".txt")).read_text().splitlines()
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


@pytest.mark.parametrize(
    "version, fits",
    [
        ((3, 6), True),
        ((3, 8), True),
        ((3, 9), False),
        ((3, 10), True),
        ((3, 13), True),
        ((3, 14), False),
        ((3, 5), False),
        ((0, 0), False),
    ],
)
def test_which_pythons_fit(version, fits):
    why = LabelStudio.wrong_python(version)
    assert (why is None) is fits
    assert fits or version == (0, 0) or "3.6 to 3.8" in why and "3.10 to 3.13" in why


# -- against a small server ------------------------------------------------------------------------


class Server(http.server.BaseHTTPRequestHandler):
    """Knows one refresh token; its access tokens are good for one request each, to see that new ones are fetched."""

    good, handed, revoked = set(), 0, False

    def _say(self, code, content):
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        cls = type(self)
        if cls.revoked:
            return self._say(401, {"detail": "Token is blacklisted"})
        cls.handed += 1
        cls.good.add(f"access-{cls.handed}")
        self._say(200, {"access": f"access-{cls.handed}"})

    def do_GET(self):
        kind, _, value = self.headers.get("Authorization", " ").partition(" ")
        if kind == "Token" and value == "0123456789abcdef" or kind == "Bearer" and value in self.good:
            self.good.discard(value)
            return self._say(
                400 if "bad" in self.path else 200,
                {"validation_errors": {"title": ["is taken"]}} if "bad" in self.path else {"path": self.path},
            )
        self._say(401, {"detail": "Invalid token."})

    def log_message(self, *a):
        pass


class StandIn:
    """As much of a chapter as a client needs."""

    def __init__(self, port):
        self.secrets, self.masker, self._secret_names, self.port = SecretStore("here"), Masker(), [], port
        self.forgets = self._secret_names.append
        self.host, self.busy = self, ""

    def probe(self, scripts):
        return {key: Probe(not self.busy, self.busy) for key in scripts}

    def secret(self, name, mine=True):
        return self.secrets.get(name)

    def forward(self, port, address):
        return self.port


@pytest.fixture
def client(own_home):
    """make(artifact, api_access) -> a LabelStudio whose port leads to the small server."""
    kind = type("Handler", (Server,), {"good": set()})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def make(name="label-studio", api_access="auto"):
        ls = LabelStudio(
            StandIn(server.server_port), catalogue.load()[name], "python3", 8080, "127.0.0.1", "a@b", api_access, None
        )
        ls.server, ls.handler = server, kind
        return ls

    yield make
    server.shutdown()
    server.server_close()


def test_a_personal_access_token_is_changed_for_short_lived_ones(client):
    ls = client()
    ls.ch.secrets.keep("label-studio-token", "the-refresh-token")
    assert ls.kind == "jwt" and [ls.api("GET", p)["path"] for p in ("/api/a", "/api/b")] == ["/api/a", "/api/b"]
    assert ls.handler.handed == 2, "the first one was used up, so a second was fetched"
    assert {"the-refresh-token", "access-1", "access-2"} <= ls.ch.masker._forms
    ls._access, ls.handler.revoked = None, True
    with pytest.raises(Unmet) as e:
        ls.api("GET", "/api/a")
    assert e.value.seen == "401: Token is blacklisted" and e.value.entry == "ls-token"


def test_a_legacy_token_goes_as_it_is(client):
    ls = client("label-studio-2021")
    assert ls.kind == "legacy" and ls.wrong_kind() is None and client("label-studio-2021", "jwt").wrong_kind()
    with pytest.raises(Unmet) as e:
        ls.api("GET", "/api/a")
    assert "no token is known here" in e.value.seen, "none is made up in its place"
    ls.ch.secrets.keep("label-studio-token", "fedcba9876543210")
    with pytest.raises(Unmet) as e:
        ls.api("GET", "/api/a")
    assert e.value.entry == "ls-token" and "401: Invalid token." in e.value.seen
    ls.ch.secrets.keep("label-studio-token", "0123456789abcdef")
    assert ls.api("GET", "/api/a") == {"path": "/api/a"} and ls.handler.handed == 0
    with pytest.raises(Unmet) as e:
        ls.api("GET", "/api/bad")
    assert e.value.seen == '400: {"title": ["is taken"]}' and e.value.entry is None


def test_a_server_that_is_away_is_named_so_by_everything(client):
    ls = client("label-studio-2021")
    ls.ch.secrets.keep("label-studio-token", "0123456789abcdef")
    ls.server.shutdown()
    ls.server.server_close()
    for call in (
        ls.token_is_taken,
        ls.session,
        ls.wrong_password_is_refused,
        ls.wrong_token_is_refused,
        ls.strangers_cannot_sign_up,
        ls.answers().probe,
    ):
        with pytest.raises(Unmet) as e:
            call()
        assert e.value.entry == "ls-unit" and "does not answer on port 8080" in e.value.seen


def test_another_program_on_its_port_gets_no_password(client):
    ls = client("label-studio-2021")
    ls.ch.secrets.keep("label-studio-token", "0123456789abcdef")
    ls.ch.busy = '(("python3",pid=1)) listens there'
    for call in (ls.token_is_taken, ls.session, ls.wrong_token_is_refused):
        with pytest.raises(Unmet) as e:
            call()
        assert (
            e.value.entry == "ls-port" and "another program has port 8080" in e.value.seen and "python3" in e.value.seen
        )
    assert ls.handler.handed == 0


def test_settings_hold_marks_and_no_secret(client):
    class Pachyderm:
        def s3_url(self):
            return "http://10.152.183.7:30600"

    for name, marks in (("label-studio", []), ("label-studio-2021", ["label-studio-key"])):
        ls = client(name)
        ls.pach, ls.postgres = Pachyderm(), type("Postgres", (), {"port": 5433})()
        text = ls.settings()
        assert re.findall(r"\{\{secret:([a-z-]+)\}\}", text) == marks + ["postgres-labelstudio"]
        assert not any(value in text for value in ls.ch.secrets.values())
        assert "LABEL_STUDIO_S3_ENDPOINT=http://10.152.183.7:30600\n" in text and "POSTGRE_PORT=5433\n" in text
        assert "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK=true\n" in text and "COLLECT_ANALYTICS=false\n" in text
        for line in text.splitlines():  # systemd and a shell read it alike
            assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9_]+=([\w.:/-]*|'[^']*')", line), line
        assert "--internal-host 127.0.0.1 --port 8080" in ls.unit() and "sport = :8080" in ls.unit()


# -- a browser -------------------------------------------------------------------------------------


@pytest.mark.skipif(bool(browser.lacks()), reason=str(browser.lacks()))
def test_a_picture_counts_only_when_it_loaded(tmp_path):
    path, content = sorted(dataset.files().items())[0]
    (tmp_path / "there.png").write_bytes(content)
    (tmp_path / "page.html").write_text(
        "<title>A page</title><p>some words</p><img src=there.png style='width:200px'><img src=not-there.png>"
    )
    assert _size(content) == (28, 28) and _size(b"text") is None
    with browser.Browser("a host") as b:
        b.driver.get((tmp_path / "page.html").as_uri())
        assert b.wait("a picture", b.images, timeout=20) == [(28, 28, 200)]
        assert b.screenshot()[:8] == b"\x89PNG\r\n\x1a\n"
        with pytest.raises(Exception) as e:
            b.wait("a second picture", lambda: len(b.images()) > 1, timeout=1)
        assert "the page A page says: some words" in str(e.value)
