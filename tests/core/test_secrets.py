"""Secrets: one file that only its owner reads, one value whoever asks first, no value in any text."""

import base64
import json
import os
import re
import stat
import subprocess
import sys
import urllib.parse

import pytest

from helpers.core.actions import File
from helpers.core.errors import BadInput, RunbookError
from helpers.core.paths import REPO
from helpers.core.secrets import MASK, Masker, Secret, SecretStore


@pytest.fixture
def store(own_home):
    return SecretStore("somewhere")


def test_made_once_kept_and_told_apart(store):
    first = store.get("minio-root").reveal()
    assert (
        len(first) == 32
        and store.get("minio-root").reveal() == first == SecretStore("somewhere").get("minio-root").reveal()
    )
    assert store.get("postgres-a").reveal() != first and SecretStore("elsewhere").get("minio-root").reveal() != first
    assert store.names() == ["minio-root", "postgres-a"]


def test_only_the_owner_reads_them_whatever_the_umask(store):
    old = os.umask(0)
    try:
        store.get("a")
        store.get("b")
    finally:
        os.umask(old)
    modes = {p: stat.S_IMODE(p.stat().st_mode) for p in (store.path, store.path.parent, store.path.parent.parent)}
    assert list(modes.values()) == [0o600, 0o700, 0o700]
    assert [p.name for p in store.path.parent.iterdir()] == ["somewhere.json"], "no half-written file is left"


@pytest.mark.parametrize("which, wide, shut", [("file", 0o644, 0o600), ("folder", 0o755, 0o700)])
def test_a_wider_mode_as_after_a_restore_is_mended_with_a_word(store, capsys, which, wide, shut):
    value = store.get("a").reveal()
    path = {"file": store.path, "folder": store.path.parent}[which]
    path.chmod(wide)
    assert store.get("a").reveal() == value
    said = capsys.readouterr().err
    assert stat.S_IMODE(path.stat().st_mode) == shut and f"{path} was open to others ({wide:o})" in said
    assert store.get("a").reveal() == value and capsys.readouterr().err == "", "once"


def test_a_file_that_stays_open_to_others_is_refused(store, monkeypatch):
    store.get("a")
    store.path.chmod(0o604)

    def refused(path, mode):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chmod", refused)
    monkeypatch.setattr(type(store.path), "chmod", refused)
    with pytest.raises(RunbookError) as e:
        store.get("a")
    assert "open to others (604)" in e.value.saw and "chmod 600" in e.value.do


def test_processes_that_ask_at_once_get_one_value(store):
    script = (
        "from helpers.core.secrets import SecretStore; s = SecretStore('somewhere'); "
        "print([s.get('n%d' % (n % 10)).reveal() for n in range(50)])"
    )
    asking = [
        subprocess.Popen([sys.executable, "-c", script], cwd=str(REPO), stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    answers = {p.communicate(timeout=60)[0] for p in asking}
    assert len(answers) == 1 and len(store.names()) == 10


def test_the_environment_wins_and_is_not_stored(store, monkeypatch):
    kept = store.get("minio-root").reveal()
    monkeypatch.setenv("RUNBOOK_SECRET_MINIO_ROOT", "given-by-a-person")
    monkeypatch.setenv("RUNBOOK_SECRET_ONLY_THERE", "another-value")
    assert (
        store.get("minio-root").reveal() == "given-by-a-person" and store.get("only-there").reveal() == "another-value"
    )
    assert {"given-by-a-person", "another-value", kept} <= set(store.values())
    assert "given" not in store.path.read_text() and store.names() == ["minio-root"]


@pytest.mark.parametrize(
    "value",
    [
        "tiny123",
        "a'; drop role x; --",
        'has"quote',
        "dollar$HOME",
        "back\\slash",
        "two words",
        "new\nline",
        "`id`aaaa",
        "ampers&nd",
        "postgres",
        "directory",
        "127.0.0.1",
        "label-studio",
        "kubernetes",
        "/usr/local/bin",
        "max_concurrency",  # in files of other kinds than code
        "pg_encoding_to_char",
    ],
)
def test_a_given_value_that_could_not_be_masked_or_quoted_is_refused_and_not_repeated(store, monkeypatch, value):
    monkeypatch.setenv("RUNBOOK_SECRET_MINIO_ROOT", value)
    with pytest.raises(BadInput) as e:
        store.get("minio-root")
    assert value not in str(e.value) and "minio-root" in e.value.what and e.value.do
    assert "RUNBOOK_SECRET_MINIO_ROOT" in e.value.saw and value not in store.values()


def test_a_variable_that_is_no_secret_takes_no_text_apart(store, monkeypatch):
    for n, value in enumerate(("http", "true", "a b", "")):
        monkeypatch.setenv(f"RUNBOOK_SECRET_X{n}", value)
    monkeypatch.setenv("RUNBOOK_SECRET_POSTGRES_A", "postgres")
    masker = Masker(store.values())
    assert not masker.holds_secret("runuser -u postgres -- psql -p 5432")
    assert masker.mask("http://127.0.0.1 is true") == "http://127.0.0.1 is true"
    assert not masker.holds_secret("curl http://127.0.0.1")
    assert store.find("x3") is None and store.names() == [], "an empty variable asks for nothing"


def test_names_are_checked(store):
    for name in ("", "Upper", "_a", "../x", "a b"):
        with pytest.raises(ValueError):
            store.get(name)


def test_forgotten_ones_are_made_anew(store):
    first = store.get("a").reveal()
    store.forget("a")
    store.forget("never-there")
    assert store.names() == [] and not store.path.exists() and store.get("a").reveal() != first
    store.forget_all()
    store.forget_all()
    assert not store.path.exists()


def test_a_broken_file_is_an_error_for_people_and_is_kept(store):
    store.get("a")
    store.path.write_text("{ half")
    with pytest.raises(RunbookError) as e:
        store.get("a")
    assert str(store.path) in e.value.saw and e.value.do and store.path.read_text() == "{ half"


def test_printing_a_secret_never_shows_it(capsys):
    secret = Secret("minio-root", "S3cretValue")
    texts = [
        repr(secret),
        str(secret),
        f"{secret}",
        f"{secret}",
        f"{secret!r}",
        repr({"a": [secret]}),
        json.dumps({"a": secret}, default=str),
    ]
    print(secret)
    assert not any("S3cretValue" in t for t in texts + [capsys.readouterr().out]) and secret.reveal() == "S3cretValue"


def test_the_mark_in_a_files_text_is_filled_only_as_it_is_sent():
    secret, sent = Secret("minio-root", "S3cretValue"), []
    text = f"PASSWORD={secret}\n"
    assert text == "PASSWORD={{secret:minio-root}}\n"
    action = File(
        text,
        "/etc/x",
        "0600",
        "root:root",
        lambda t: t.replace("{{secret:minio-root}}", secret.reveal()),
        lambda data, *_: sent.append(data),
    )
    assert "S3cretValue" not in " ".join(action.shown) + action.probe + action.undo
    action.apply()
    assert sent == [b"PASSWORD=S3cretValue\n"]


def forms(value):
    raw = value.encode()
    yield value
    yield base64.b64encode(raw).decode()
    yield urllib.parse.quote(value, safe="")
    yield urllib.parse.quote(value)
    yield "https://me:{}@host/".format(urllib.parse.quote(value, safe=""))
    # Java and Go, JavaScript, Go's userinfo, encodeURI
    for safe in ("", "/", "!*'()~", "$&+,;=~", ";/?:@&=+$,#!*'()~"):
        for text in (urllib.parse.quote(value, safe=safe), urllib.parse.quote(value, safe=safe + "*")):
            yield text
            yield re.sub("%..", lambda found: found.group().lower(), text)
    yield base64.urlsafe_b64encode(raw).decode()
    yield raw.hex()
    yield raw.hex().upper()
    for user in ("a", "ab", "abc"):  # an Authorization header: the secret starts at each place of a base64 group
        for after in ("", "\n", "xy"):
            yield base64.b64encode(f"{user}:{value}{after}".encode()).decode()


@pytest.mark.parametrize(
    "value", ["0123456789abcdef" * 2, "S3cret/with+signs", "grün✓grün", "pa;ss@word1!*", "a~b?c>d?e~f>g?h~"]
)
def test_every_form_is_masked(value):
    masker = Masker(["other-secret-value", value])
    for form in forms(value):
        shown = masker.mask(f"before {form} after")
        assert MASK in shown and shown.startswith("before ") and shown.endswith(" after")
        assert masker.holds_secret("x" + form + "x")
        core = base64.b64encode(value.encode()).decode()[: len(value) // 2]
        assert value not in shown and core not in shown
    assert masker.mask("nothing of the kind") == "nothing of the kind" and not masker.holds_secret(
        "nothing of the kind"
    )


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("width", [64, 76])
def test_base64_that_is_wrapped_is_masked_line_by_line(encode, width):
    value = "S3cret/with+signs~and?more>of-it"
    masker = Masker([value])
    core = encode(value.encode()).decode().rstrip("=")[:-1]
    for before in range(200):
        code = encode(("x" * before + ":" + value + "\nnext: line").encode()).decode()
        lines = [code[at : at + width] for at in range(0, len(code), width)]
        whole = masker.mask("\n".join(lines) + "\n")
        assert whole == "".join(masker.mask(line + "\n") for line in lines), "as a stream has it"
        left = [core[n : n + 8] for n in range(len(core) - 7) if core[n : n + 8] in whole.replace("\n", "")]
        assert MASK in whole and not left, (before, whole)
        indented = masker.mask("".join(f'    "{line}"\n' for line in lines))
        assert indented.count(MASK) == whole.count(MASK)


def test_a_long_token_over_many_lines_leaves_nothing():
    token = "".join(f"{n:04x}" for n in range(0, 65536, 257))
    code = base64.encodebytes(token.encode()).decode()
    assert re.fullmatch(r"[^\n]{0,7}(\*{5}\n?|\*{5}[^\n]{0,7}\n)+", Masker([token]).mask(code))


def test_our_own_in_capitals_are_masked_and_words_of_a_persons_are_not():
    masker = Masker(["0123456789abcdef" * 2, "kubernetes-x"])
    assert masker.mask("0123456789ABCDEF" * 2) == MASK and masker.mask("KUBERNETES-X") == "KUBERNETES-X"


def test_a_secret_inside_of_another_is_masked_whole():
    masker = Masker(["password", "password-and-more"])
    assert masker.mask("password-and-more password") == MASK + " " + MASK


def test_empty_values_mask_nothing():
    assert Masker(["", "a"]).mask("a plain text") == "a plain text"


def test_what_a_server_made_is_kept_and_asking_for_it_makes_nothing(store, monkeypatch):
    assert store.find("label-studio-token") is None and store.names() == []
    store.keep("label-studio-token", "eyJ.a.token")
    assert store.find("label-studio-token").reveal() == "eyJ.a.token" and store.names() == ["label-studio-token"]
    monkeypatch.setenv("RUNBOOK_SECRET_LABEL_STUDIO_TOKEN", "another-one")
    assert store.find("label-studio-token").reveal() == "another-one"
    store.forget("label-studio-token")
    monkeypatch.undo()
    assert store.find("label-studio-token") is None
