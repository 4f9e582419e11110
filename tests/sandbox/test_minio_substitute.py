"""The S3 server that stands in for MinIO, held to recordings of MinIO: it may differ only as fidelity.toml says."""

from __future__ import annotations

import base64
import contextlib
import email.utils
import hmac
import io
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import minio
import minio_recording
import pytest
import urllib3
from minio.commonconfig import CopySource, Tags
from minio.credentials import StaticProvider
from minio.deleteobjects import DeleteObject
from minio.error import MinioAdminException
from minio.versioningconfig import VersioningConfig
from minio_recording import Exchange
from serving import until

from helpers.core import catalogue
from helpers.sandbox import builds, mirror

USER, PASSWORD = "runbook-user", "not-a-real-password"
#: of all loopback the address of this process alone: nobody else takes a port there between two starts
HERE = f"127.{os.getpid() >> 16 | 64}.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
PORTS = itertools.count(19002)
QUIET = urllib3.Retry(0, redirect=False)
STATED = mirror.fidelity()["minio"]

#: Each sentence of fidelity.toml, and what it excuses: patterns searched in "case | difference".
#: A difference that none excuses fails, and so does a pattern that excuses nothing any more.
ALLOWED = {
    "its Server header says what it is, and the ids in its errors are new each time": [
        r"^every answer \| server: versitygw/1\.8\.0 \(substitute for MinIO\)",
        r"^every answer \| HostId",
    ],
    "no MinIO Browser: its addresses show a page that says so": [r"browser \| title"],
    "of the admin API (mc admin) it has users and their policies only: no groups, no state of the server, no metrics; "
    "a policy is read more strictly": [
        r"metrics(/cluster)? \| body",
        r"^admin: info \| status: 501",
    ],
    "one directory only, no erasure coding": [r"^start: several directories"],
    "one region (us-east-1, or MINIO_REGION_NAME): requests and buckets of another are refused": [
        r"^make_bucket location=eu-west-1 .* \| PUT /rec-eu: status: 400",
        r"^make_bucket location=eu-west-1",
        r"^list_buckets one \| .*Bucket: \[''\], MinIO \['', ''\]",
        r"^list_buckets one \| .*Bucket/Name: \['rec-bucket'\], MinIO \['rec-bucket', 'rec-eu'\]",
    ],
    "signature version 2 is refused": [r"^signature version 2"],
    "lists have another owner, times in whole seconds, no empty elements and a bucket's region more": [
        r"^list_.*/(Owner|Owner/ID|Owner/DisplayName): ",
        r"^list_.*/(CreationDate|LastModified): ",
        r"^list_.*/(Prefix|Marker|Delimiter): \[\], MinIO \[''\]",
        r"^list_.*/EncodingType: \[''\]",
        r"^list_.*/BucketRegion: \[.+\], MinIO \[\]",
    ],
    "a bucket policy comes back as it was written, as text/plain; a malformed one is refused in other words": [
        r"^get_bucket_policy \| .*: (header content-type|body )",
        r"^set_bucket_policy malformed .*Error/Message",
    ],
    "checksums beyond MD5 are made, verified and answered": [
        r": header x-amz-checksum-",
        r"^list_objects .*/(ChecksumAlgorithm|ChecksumType): \[.+\], MinIO \[\]",
    ],
    "deleting many objects at once always lists what was deleted; "
    "that answer and a copy's have no namespace, and a copy's no ETag header": [
        r"^remove_objects .*: body ",
        r"^copy_object .*: body .*CopyObjectResult",
        r"^copy_object .*: header etag: None",
    ],
    "its log is shorter, never JSON, and says that it is a substitute": [
        r"^start: .* \| prints: This is a substitute",
        r"^start: .* \| does not print: (Browser Access:|http://|Object API|<five SDK links>)",
        r"^start: .* \| does not print: (API: SYSTEM|Time: |DeploymentID: |\d: cmd/)",
        r"^start: json log",
        r"^start: bad address \| prints",
    ],
}


# --- the program -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def binary() -> Path:
    """RUNBOOK_MINIO_BIN, else what the sandbox's mirror serves, built when it is not there yet."""
    if given := os.environ.get("RUNBOOK_MINIO_BIN"):
        return Path(given)
    return builds.build("minio", print) / "out" / catalogue.load()["minio"].path


class Server:
    """The program on a loopback port over a directory, until stop() or the end of the with block."""

    def __init__(self, binary: Path, data: Path, env: dict | None = None, **popen):
        self.port = next(PORTS)
        self.address = f"{HERE}:{self.port}"
        self.url = "http://" + self.address
        self.command = [str(binary), "server", "--address", self.address, str(data)]
        self.env = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(data.parent),
            **(env or {"MINIO_ROOT_USER": USER, "MINIO_ROOT_PASSWORD": PASSWORD}),
        }
        self.popen = popen

    def __enter__(self) -> Server:
        self.process = subprocess.Popen(
            self.command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **self.popen
        )
        until("it to be live", self.live, lambda: self.process.poll() is not None and self.process.communicate()[0])
        return self

    def live(self) -> bool:
        try:
            return urllib3.request("GET", self.url + "/minio/health/live", retries=QUIET).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def stop(self, how: int = signal.SIGTERM) -> tuple[int, str]:
        """Exit code and everything it printed."""
        self.process.send_signal(how)
        printed, _ = self.process.communicate(timeout=120)
        return self.process.returncode, printed

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop(signal.SIGKILL)

    def client(self, user: str | None = USER, password: str | None = PASSWORD, **options) -> minio.Minio:
        return minio.Minio(self.address, user, password, secure=False, **options)

    def admin(self, user: str = USER, password: str = PASSWORD, **options) -> minio.MinioAdmin:
        key = StaticProvider(user, password)
        return minio.MinioAdmin(endpoint=self.address, credentials=key, region="us-east-1", secure=False, **options)

    def raw(self, method: str, path: str, **headers) -> urllib3.BaseHTTPResponse:
        return urllib3.request(method, self.url + path, headers=headers, retries=QUIET)


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory):
    with Server(binary, tmp_path_factory.mktemp("minio") / "data") as running:
        yield running


# --- replay of the wire transcript -----------------------------------------------------------------------------------


class Wire(urllib3.PoolManager):
    """Writes down what goes over the wire."""

    def __init__(self):
        super().__init__(retries=QUIET)
        self.seen: list[Exchange] = []

    def urlopen(self, method, url, redirect=True, **kw):
        answer = super().urlopen(method, url, redirect=redirect, **{**kw, "preload_content": True})
        path = urllib3.util.parse_url(url).path or "/"
        self.seen.append(Exchange(method, path, answer.status, dict(answer.headers), answer.data.decode()))
        return answer


def replay(server: Server) -> dict[str, list[Exchange]]:
    """What the substitute answers to the recorded calls, by the heading of each case."""
    wire = Wire()
    client = server.client(http_client=wire)
    stranger = server.client(None, None, http_client=wire)
    bucket, hello = "rec-bucket", "dir/hello.txt"
    policy = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": ["*"]},
                "Action": ["s3:GetObject"],
                "Resource": ["arn:aws:s3:::rec-bucket/dir/*"],
            }
        ],
    }

    def put(where, key=hello):
        return client.put_object(
            where, key, io.BytesIO(b"hello world\n"), 12, content_type="text/plain", metadata={"colour": "red"}
        )

    def presigned(method="GET", key=hello, *, seconds=2, change=lambda url: url, wait=0.0, body=None):  # noqa: PLR0913 - how one address is made and used
        url = change(client.get_presigned_url(method, bucket, key, expires=timedelta(seconds=seconds)))
        time.sleep(wait)
        return wire.urlopen(method, url, body=body)

    calls = {
        "list_buckets wrong secret key": lambda: server.client(USER, "wrong-password", http_client=wire).list_buckets(),
        "list_buckets unknown access key": lambda: server.client("nobody", PASSWORD, http_client=wire).list_buckets(),
        "list_buckets anonymous": lambda: stranger.list_buckets(),
        "list_buckets empty": lambda: client.list_buckets(),
        "make_bucket(rec-bucket)": lambda: client.make_bucket(bucket),
        "make_bucket(rec-bucket) again: already owned": lambda: client.make_bucket(bucket),
        "make_bucket location=eu-west-1 (server region unset)": lambda: client.make_bucket(
            "rec-eu", location="eu-west-1"
        ),
        "list_buckets one": lambda: client.list_buckets(),
        "bucket_exists yes": lambda: client.bucket_exists(bucket),
        "bucket_exists no": lambda: client.bucket_exists("nope-bucket"),
        "put_object hello.txt": lambda: put(bucket),
        "put_object no such bucket": lambda: put("nope-bucket"),
        "stat_object": lambda: client.stat_object(bucket, hello),
        "get_object": lambda: client.get_object(bucket, hello),
        "get_object offset=6 length=5": lambda: client.get_object(bucket, hello, 6, 5),
        "get_object range beyond end": lambda: client.get_object(bucket, hello, 100, 5),
        "get_object no such key": lambda: client.get_object(bucket, "missing"),
        "get_object no such bucket": lambda: client.get_object("nope-bucket", hello),
        "stat_object no such key (HEAD)": lambda: client.stat_object(bucket, "missing"),
        "stat_object no such bucket (HEAD)": lambda: client.stat_object("nope-bucket", hello),
        "list_objects v2 recursive": lambda: list(client.list_objects(bucket, recursive=True)),
        "list_objects v2 delimiter": lambda: list(client.list_objects(bucket)),
        "list_objects v1": lambda: list(client.list_objects(bucket, recursive=True, use_api_v1=True)),
        "list_objects no such bucket": lambda: list(client.list_objects("nope-bucket")),
        "get_bucket_policy none": lambda: client.get_bucket_policy(bucket),
        "set_bucket_policy": lambda: client.set_bucket_policy(bucket, json.dumps(policy)),
        "get_bucket_policy": lambda: client.get_bucket_policy(bucket),
        "anonymous get_object allowed by policy": lambda: stranger.get_object(bucket, hello),
        "anonymous get_object outside policy": lambda: stranger.get_object(bucket, "other"),
        "anonymous list_objects": lambda: list(stranger.list_objects(bucket)),
        "set_bucket_policy malformed": lambda: client.set_bucket_policy(
            bucket, '{"Version":"2012-10-17","Statement":[{"Effect":"Maybe"}]}'
        ),
        "delete_bucket_policy": lambda: client.delete_bucket_policy(bucket),
        "presigned GET": lambda: presigned(),
        "presigned GET tampered signature": lambda: presigned(
            change=lambda url: url[:-1] + ("0" if url[-1] != "0" else "1")
        ),
        "presigned GET expired (2 s)": lambda: presigned(wait=3.1),
        "presigned PUT": lambda: presigned("PUT", "up.txt", seconds=604800, body=b"uploaded"),
        "copy_object": lambda: client.copy_object(bucket, "copy.txt", CopySource(bucket, hello)),
        "remove_bucket not empty": lambda: client.remove_bucket(bucket),
        "remove_object": lambda: client.remove_object(bucket, hello),
        "remove_object missing key (still 204)": lambda: client.remove_object(bucket, hello),
        "remove_objects (multi delete)": lambda: list(
            client.remove_objects(bucket, [DeleteObject(k) for k in ("up.txt", "copy.txt", "ghost")])
        ),
        "remove_bucket": lambda: client.remove_bucket(bucket),
        "remove_bucket no such bucket": lambda: client.remove_bucket(bucket),
        "make_bucket bad name client side": lambda: client.make_bucket("Bad_Name"),
        "enable versioning on erasure-less (FS) backend": lambda: (
            client.make_bucket("rec-v"),
            client.set_bucket_versioning("rec-v", VersioningConfig("Enabled")),
        ),
        "cleanup": lambda: client.remove_bucket("rec-v"),
    }
    transcript = {}
    for case, call in calls.items():
        wire.seen = transcript[case] = []
        with contextlib.suppress(minio.error.S3Error, ValueError):  # what was refused is on the wire
            call()
    return transcript


def wire_differences(server) -> list[str]:
    found = []
    recorded, seen = minio_recording.exchanges(), replay(server)
    for exchanges in (recorded, seen):
        exchanges["presigned PUT"][0].headers.pop(
            "etag", exchanges["presigned PUT"][0].headers.pop("ETag", None)
        )  # of what, was not written down
    assert list(recorded) == list(seen), "every recorded case is replayed, in the same order"
    for case, exchanges in recorded.items():
        assert [e.asked for e in exchanges] == [e.asked for e in seen[case]], f"{case}: the client asked something else"
        for a, b in zip(exchanges, seen[case], strict=True):
            found += [f"{case} | {a.asked}: {d}" for d in minio_recording.differences(a, b)]
    return found


# --- the recording's first chapter: browser and health --------------------------------------------------------------

BROWSER = {"User-Agent": "Mozilla/5.0"}
HEALTH = [f"/minio/health/{name}" for name in ("live", "ready", "cluster")]
PAGE = {"status": 200, "type": "text/html", "title": "MinIO Browser", "cache-control": "no-store"}
DISABLED = {
    "status": 403,
    "Code": "AllAccessDisabled",
    "Message": "All access to this bucket has been disabled.",
    "RequestId": None,
}

#: Request, and what of the answer was written down. None: an empty element.
SAID = [
    *(("GET", path, {}, {"status": 200, "body": ""}) for path in HEALTH),
    *(("HEAD", path, {}, {"status": 200, "body": ""}) for path in HEALTH),
    ("POST", "/minio/health/live", {}, {"status": 400, "Code": "BadRequest"}),
    ("GET", "/", BROWSER, {"status": 307, "location": "/minio/", "type": "text/html"}),
    ("GET", "/some-bucket", BROWSER, {"status": 307, "location": "/minio/some-bucket", "body": ""}),
    *(
        ("GET", path, BROWSER, PAGE)
        for path in (
            "/minio/",
            "/minio/login",
            "/minio/health/nosuch",
            "/minio/prometheus/metrics",
            "/minio/admin/v3/info",
        )
    ),
    ("GET", "/", {}, {"status": 403, "Code": "AccessDenied", "Message": "Access Denied."}),
    ("GET", "/nosuch", {}, {"status": 403, "Code": "AccessDenied", "BucketName": "nosuch"}),
    ("HEAD", "/nosuch", {}, {"status": 403, "body": ""}),
    *(("GET", path, {}, DISABLED) for path in ("/minio/", "/minio/login", "/minio/health/nosuch")),
    *(
        ("GET", path, {}, {"status": 403, "body": ""})
        for path in ("/minio/prometheus/metrics", "/minio/v2/metrics/cluster")
    ),
    ("GET", "/minio/admin/v3/info", {}, {"status": 403, "type": "application/json"}),
]


def facts(answer) -> dict:
    """An answer's parts, flat: status, headers, and an XML error's elements or a page's title."""
    body = answer.data.decode()
    found = {"status": answer.status, "body": body, "type": answer.headers.get("content-type", "").split(";")[0]}
    found |= {name.lower(): value for name, value in answer.headers.items()}
    if body.startswith("<?xml"):
        found |= {element.tag: element.text for element in ElementTree.fromstring(body)}
    if title := re.search("<title>(.*?)</title>", body):
        found["title"] = title[1]
    return found


def raw_differences(server) -> list[str]:
    found = []
    for method, path, headers, said in SAID:
        seen = facts(server.raw(method, path, **headers))
        browser = ", browser" if headers else ""
        found += [
            f"{method} {path}{browser} | {name}: {seen.get(name)!r}, MinIO {value!r}"
            for name, value in said.items()
            if seen.get(name) != value
        ]
    every = facts(server.raw("GET", "/minio/health/live"))
    found += [
        f"every answer | {name}: {every.get(name)}, MinIO {value}"
        for name, value in minio_recording.ON_EVERY_ANSWER.items()
        if every.get(name) != value
    ]
    first, second = (facts(server.raw("GET", "/nosuch")) for _ in range(2))
    if first["HostId"] != second["HostId"]:
        found.append("every answer | HostId: a new one each time, MinIO the deployment's")
    return found


# --- how it starts and ends ------------------------------------------------------------------------------------------

FLAGS = ("--address", "--certs-dir", "--quiet", "--anonymous", "--json", "--help")


class Start:
    """The program started in one of the recorded ways: it ends by itself, or is stopped after its `last` line."""

    def __init__(self, *args, env=None, uid=None, stop=signal.SIGINT, last="Endpoint: "):
        self.args, self.env, self.uid, self.stop, self.last = args, env, uid, stop, last

    def run(self, binary, home: Path) -> tuple[int, str]:
        env = (
            {"PATH": "/usr/bin:/bin", "HOME": str(home), "MINIO_ROOT_USER": USER, "MINIO_ROOT_PASSWORD": PASSWORD}
            if self.env is None
            else self.env
        )
        with tempfile.NamedTemporaryFile() as out, tempfile.NamedTemporaryFile() as errors:
            printed = Path(out.name)
            process = subprocess.Popen([str(binary), *self.args], env=env, user=self.uid, stdout=out, stderr=errors)
            until(self.last, lambda: process.poll() is not None or self.last in printed.read_text())
            process.send_signal(self.stop)
            code = process.wait(timeout=60)
            assert Path(errors.name).read_text() == ""
            return code, printed.read_text()


def start_differences(binary, server) -> list[str]:
    base = Path("/var/tmp") / f"minio-starts-{os.getpid()}"
    base.mkdir(mode=0o755)
    try:
        return _start_differences(binary, server, base)
    finally:
        subprocess.run(["rm", "-rf", str(base)], check=True)


def _start_differences(binary, server, base: Path) -> list[str]:
    recorded = minio_recording.starts()
    program = base / "minio"  # where any user can run it
    program.write_bytes(binary.read_bytes())
    program.chmod(0o755)
    home = base / "home"
    home.mkdir()
    readonly = base / "ro"
    readonly.mkdir(mode=0o755)
    (base / "afile").write_text("")
    (base / "own").mkdir()
    os.chown(base / "own", 65534, 65534)
    address = f"{HERE}:{next(PORTS)}"
    here = ("server", "--address", address)
    path = {"PATH": "/usr/bin:/bin", "HOME": str(home)}

    def keys(user=None, password=None, names=("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD")):
        return path | {name: value for name, value in zip(names, (user, password), strict=True) if value is not None}

    data = str(base / "data")
    ways = {
        "busy port": Start("server", "--address", server.address, data),
        "default credentials": Start(*here, data, env=path, last="Detected default credentials"),
        "short password": Start(*here, data, env=keys("someone", "short")),
        "short user": Start(*here, data, env=keys("ab", PASSWORD)),
        "only user set": Start(*here, data, env=keys("someone")),
        "deprecated ACCESS_KEY/SECRET_KEY": Start(
            *here, data, env=keys(USER, PASSWORD, ("MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"))
        ),
        "no dir argument": Start(*here),
        "bad address": Start("server", "--address", "nonsense", data),
        "console-address flag (newer versions)": Start(*here, "--console-address", ":9001", data),
        "changed root password on an existing data dir": Start(*here, data, env=keys(USER, PASSWORD + "-2")),
        "data directory not writable (uid 65534, dir root:root 0755)": Start(*here, str(readonly), uid=65534),
        "data directory missing, parent not writable (uid 65534)": Start(*here, str(readonly / "sub"), uid=65534),
        "data path is a regular file": Start(*here, str(base / "afile")),
        "json log": Start(*here, "--json", data),
        "ok as 65534": Start(*here, str(base / "own"), uid=65534),
    }
    ways |= other_pairs(here, base / "sealed", keys)
    assert set(ways) == set(recorded), "every recorded start is replayed"
    found = []
    for name, way in ways.items():
        said, (code, printed) = recorded[name], way.run(program, home)
        # 124 is what `timeout -s INT` made of a server that ran until it was stopped.
        if code != (0 if said.code == 124 else said.code):
            found.append(f"start: {name} | exit: {code}, MinIO {said.code}")
        printed = printed.replace(address, "127.0.0.1:19001").replace(str(base), "/var/tmp/run")
        text, usage, rest = printed.partition("NAME:")
        if usage and all(flag in rest for flag in FLAGS):
            printed = f"{text}<usage text: FLAGS {' '.join(FLAGS)}>\n"
        ours, theirs = ([line.strip() for line in text.splitlines() if line.strip()] for text in (printed, said.stdout))
        found += [f"start: {name} | prints: {line}" for line in ours if line not in theirs]
        found += [f"start: {name} | does not print: {line}" for line in theirs if line not in ours]

    for how, word in ((signal.SIGTERM, "TERMINATED"), (signal.SIGINT, "INTERRUPT")):
        code, printed = Start(*here, data, stop=how).run(program, home)
        if (code, printed.splitlines()[-1]) != (0, f"Exiting on signal: {word}"):
            found.append(f"stop: {how.name} | exit {code}, {printed!r}")
    code, printed = Start(*here, data, env={}).run(program, home)
    if (code, printed) != (1, "ERROR config-dir option must be provided: Invalid arguments specified\n"):
        found.append(f"start: no HOME | exit {code}, {printed!r}")
    return found


def other_pairs(here, data: Path, keys) -> dict[str, Start]:
    """One data directory under one root pair after the other, in the recording's order."""
    first, second, third = (USER, PASSWORD), (USER, PASSWORD + "-2"), ("other-root", PASSWORD + "-3")
    former = ("MINIO_ROOT_USER_OLD", "MINIO_ROOT_PASSWORD_OLD")
    deprecated = ("MINIO_ACCESS_KEY_OLD", "MINIO_SECRET_KEY_OLD")
    wrong = keys(USER, PASSWORD + "-0", former)
    ways = {
        "a first pair, with a former one that nothing is sealed by": keys(*first) | wrong,
        "another password, and a former pair that is wrong": keys(*second) | wrong,
        "another password without a former pair, after that": keys(*second),
        "another password with the former pair, after that": keys(*second) | keys(*first, former),
        "the former pair is still there": keys(*second) | keys(*first, former),
        "another user and password, the former pair by its deprecated names": keys(*third) | keys(*second, deprecated),
        "the former pair taken out": keys(*third),
        "half a former pair": keys(*third) | keys(USER, names=former),
        "a former password that is short": keys(*third) | keys(USER, "short", former),
        "sealed, and no pair": keys(),
    }
    return {name: Start(*here, str(data), env=env) for name, env in ways.items()}


# --- not in the recording, known from MinIO's documentation and source ----------------------------------------------


def known_differences(binary, server, folder: Path) -> list[str]:
    found = []
    drives = [str(folder / f"drive{n}") for n in range(4)]
    code, printed = Start("server", "--address", f"{HERE}:{next(PORTS)}", *drives).run(binary, folder)
    if code != 0:
        found.append(f"start: several directories | {printed}")
    when = email.utils.formatdate(usegmt=True)
    signed = base64.b64encode(hmac.digest(PASSWORD.encode(), f"GET\n\n\n{when}\n/".encode(), "sha1")).decode()
    answer = server.raw("GET", "/", Date=when, Authorization=f"AWS {USER}:{signed}")
    if answer.status != 200:
        found.append(f"signature version 2 | {answer.data.decode()}")
    return found + admin_differences(binary, folder / "users")


def admin_differences(binary, data: Path) -> list[str]:
    found = []
    with Server(binary, data) as here:
        try:
            here.admin().info()
        except MinioAdminException as e:
            found.append(f"admin: info | status: {e._code}")
    return found


# --- the verdict -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found(binary, server, tmp_path_factory) -> list[str]:
    """Every difference, as "case | difference"."""
    return (
        wire_differences(server)
        + raw_differences(server)
        + start_differences(binary, server)
        + known_differences(binary, server, tmp_path_factory.mktemp("known"))
    )


def test_differs_only_as_stated(found):
    patterns = [pattern for allowed in ALLOWED.values() for pattern in allowed]
    unknown = [d for d in found if not any(re.search(pattern, d) for pattern in patterns)]
    assert not unknown, "not in fidelity.toml:\n" + "\n".join(unknown)


@pytest.mark.parametrize("sentence", STATED["differs"])
def test_stated_difference_is_there(sentence, found):
    for pattern in ALLOWED[sentence]:
        assert any(re.search(pattern, d) for d in found), f"no longer differs: {pattern}"


def test_list_is_fidelitys():
    assert list(ALLOWED) == STATED["differs"]


# --- what a chapter relies on ----------------------------------------------------------------------------------------


def test_version_names_the_release_and_says_what_it_is(binary):
    first, second = subprocess.run(
        [binary, "--version"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert first == "minio version RELEASE.2021-04-22T15-44-28Z"
    assert STATED["program"] in second and "substitute" in second


def test_is_one_static_file(binary):
    assert b"not a dynamic executable" in subprocess.run(["ldd", binary], capture_output=True).stderr


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_data_survives(binary, tmp_path, how):
    data, content = tmp_path / "data", os.urandom(6 * 1024 * 1024)
    with Server(binary, data) as first:
        client = first.client()
        client.make_bucket("kept")
        client.put_object(
            "kept",
            "a/b",
            io.BytesIO(content),
            len(content),
            content_type="application/x-model",
            metadata={"colour": "red"},
        )
        began = time.monotonic()
        code, _ = first.stop(how)  # with the client's connection still open
        assert code == (0 if how == signal.SIGTERM else -how) and time.monotonic() - began < 10
    with Server(binary, data) as second:
        seen = second.client().stat_object("kept", "a/b")
        assert (seen.content_type, seen.metadata["x-amz-meta-colour"]) == ("application/x-model", "red")
        assert second.client().get_object("kept", "a/b").data == content


def test_buckets_and_objects_are_plain_files(server):
    client = server.client()
    client.make_bucket("plain")
    client.put_object("plain", "folder/file.bin", io.BytesIO(b"as it is"), 8)
    assert (Path(server.command[-1]) / "plain/folder/file.bin").read_bytes() == b"as it is"


def test_large_upload_in_parts(server):
    client, content = server.client(), os.urandom(11 * 1024 * 1024)
    client.make_bucket("parts")
    written = client.put_object("parts", "large", io.BytesIO(content), -1, part_size=5 * 1024 * 1024)
    assert written.etag.endswith("-3")
    assert client.get_object("parts", "large").data == content
    assert [o.object_name for o in client.list_objects("parts", recursive=True)] == ["large"]


def test_tags(server):
    client, tags = server.client(), Tags.new_object_tags()
    client.make_bucket("tags")
    client.put_object("tags", "one", io.BytesIO(b"1"), 1)
    tags["stage"] = "trained"
    client.set_object_tags("tags", "one", tags)
    assert client.get_object_tags("tags", "one") == {"stage": "trained"}
    client.delete_object_tags("tags", "one")
    assert client.get_object_tags("tags", "one") is None


@pytest.mark.parametrize("key", ["with space", "plus+percent%41", "umlaut-ä/日本", "a=b&c", "deep/" * 20 + "end"])
def test_unusual_keys(server, key):
    client = server.client()
    if not client.bucket_exists("keys"):
        client.make_bucket("keys")
    client.put_object("keys", key, io.BytesIO(b"x"), 1)
    assert client.get_object("keys", key).data == b"x"
    assert key in [o.object_name for o in client.list_objects("keys", recursive=True)]
    client.remove_object("keys", key)


def test_presigned_addresses_need_no_key(server):
    client = server.client()
    client.make_bucket("signed")
    assert urllib3.request("PUT", client.presigned_put_object("signed", "one"), body=b"by address").status == 200
    assert urllib3.request("GET", client.presigned_get_object("signed", "one")).data == b"by address"


def test_refuses_what_today_clients_send_and_this_minio_does_not_know(server):
    """Checksum trailers, and a multi-delete with a checksum not MD5: today's boto3 does so unless told not to."""
    trailer = facts(server.raw("PUT", "/any/key", **{"X-Amz-Content-Sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}))
    assert (trailer["status"], trailer["Code"]) == (400, "XAmzContentSHA256Mismatch")
    delete = facts(server.raw("POST", "/any?delete", **{"X-Amz-Checksum-Crc32": "AAAAAA=="}))
    assert (delete["status"], delete["Code"]) == (400, "MissingContentMD5")


def test_root_names_win_over_the_deprecated_ones(binary, tmp_path):
    env = {
        "MINIO_ROOT_USER": USER,
        "MINIO_ROOT_PASSWORD": PASSWORD,
        "MINIO_ACCESS_KEY": "older",
        "MINIO_SECRET_KEY": "older-secret",
    }
    with Server(binary, tmp_path / "data", env=env) as running:
        running.client().list_buckets()
        with pytest.raises(minio.S3Error, match="InvalidAccessKeyId"):
            running.client("older", "older-secret").list_buckets()


def test_flags_may_follow_the_directory(binary, tmp_path):
    server = Server(binary, tmp_path / "data")
    program, command, flag, address, data = server.command
    server.command = [program, command, data, flag, address]
    with server:
        assert server.live()


def test_listens_only_where_told(server):
    for address in ("127.0.0.1", "127.0.0.2", "::1"):
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as other:
            assert other.connect_ex((address, server.port)) != 0


def test_runs_unprivileged_and_keeps_quiet(binary, tmp_path_factory):
    base = Path("/var/tmp") / f"minio-user-{os.getpid()}"
    (base / "data").mkdir(parents=True, mode=0o755)
    os.chown(base / "data", 65534, 65534)
    program = base / "minio"
    program.write_bytes(binary.read_bytes())
    program.chmod(0o755)
    try:
        with Server(program, base / "data", user=65534, group=65534, extra_groups=[]) as running:
            running.client().make_bucket("mine")
            with pytest.raises(minio.S3Error):
                running.client(USER, "wrong-secret").list_buckets()
            assert urllib3.request("GET", running.client().presigned_get_object("mine", "nothing")).status == 404
            code, printed = running.stop()
        assert code == 0 and len(printed.splitlines()) == 5, printed
        assert not any(secret in printed for secret in (PASSWORD, "wrong-secret", "X-Amz-Signature"))
    finally:
        subprocess.run(["rm", "-rf", str(base)], check=True)
