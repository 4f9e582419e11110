"""Programs of the catalogue on the operator's machine: fetched, verified, unpacked below home("bin"), and run."""

from __future__ import annotations

import hashlib
import io
import os
import platform
import shutil
import ssl
import subprocess
import tarfile
import time
import zipfile
from typing import Any, Callable, Iterator

import httpx

from helpers.core.actions import Action
from helpers.core.catalogue import Artifact
from helpers.core.errors import BadInput, CommandFailed, OutOfReach, RunbookError
from helpers.core.files import write_whole
from helpers.core.http import through, trusted
from helpers.core.paths import home
from helpers.core.secrets import Masker

_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_HERE = "this machine"
_UNKNOWN = "CERTIFICATE_VERIFY_FAILED"
_UNKNOWN_AUTHORITY = (
    "Its certificate is of an authority that this machine does not know, as behind a company's proxy: put that one's "
    "certificate into the system's store, or name its file in SSL_CERT_FILE. "
)
_PASSING = (408, 429, 500, 502, 503, 504)
#: seconds before a file is asked for again, where the server names none
_PAUSES = (1.0, 4.0)
#: seconds; a server may ask for more
_LONGEST_PAUSE = 60.0
#: bytes a second, and for how many seconds: a file that comes more slowly is given up, as by scripts/fetch.sh
_SLOWEST, _SLOW_FOR = 1024, 30.0


def platform_of_this_machine() -> tuple[str, str]:
    """(os, arch) as release files name them: ("linux", "amd64"), ("darwin", "arm64") ..."""
    return platform.system().lower(), _MACHINES.get(platform.machine().lower(), platform.machine().lower())


class Tool:
    """One artifact of kind "tool" here. artifact: resolved; tell(text): told how the fetching goes.

    Its entry has a `url`, with {os} and {arch} in it where there is a file for each; `url_<os>` for a system whose
    file is named otherwise; `archs`, or `archs_<os>`, when there are not all; and `member`, the program's path inside
    when the file is a .tar.gz or .zip. Each version lies in a folder of its own and stays after `remove`: other
    targets use it, too.
    """

    def __init__(self, artifact: Artifact, masker: Masker | None = None, tell: Callable[[str], object] | None = None):
        self.artifact, self.masker, self.tell = artifact, masker or Masker(), tell or str
        self.name, self.version = artifact.name, artifact.version
        self.os, self.arch = platform_of_this_machine()
        if self.os == "darwin" and self.arch not in self._archs():
            self.arch = "amd64"  # Rosetta runs it
        self.url = self.artifact.url_for(self.os, self.arch)
        self.sha256 = self.artifact.sha256_for(self.os, self.arch)
        self.folder = home("bin") / f"{self.name}-{self.version}"
        self.path = self.folder / self.name

    # -- steps ---------------------------------------------------------------------------------

    def installed(self) -> Action:
        """Action: the program is here, of this version, and as it was fetched."""
        file = self.url.rpartition("/")[2]
        shown = [
            f"fetch {file}",
            "sha256sum -c" if self.sha256 else "no checksum is published for it: HTTPS alone vouches for it",
        ]
        where = f"~/.mlops-runbook/bin/{self.folder.name}/{self.name}"
        shown.append("{}install it as {}".format(f"unpack {self._member()}, " if self._member() else "", where))
        return Action(shown, self.missing, self.fetch)

    def missing(self) -> str | None:
        """None when the program is here as it was fetched; else why not."""
        try:
            source, program = (self.folder / "sha256").read_text().split()
            found = hashlib.sha256(self.path.read_bytes()).hexdigest()
        except (OSError, ValueError):
            return f"{self.name} {self.version} is not on this machine"
        if found != program or not os.access(str(self.path), os.X_OK):
            return f"{self.path} is not the file that was fetched"
        if self.sha256 and source != self.sha256:
            return f"{self.path} was fetched from elsewhere, with another checksum"
        return None

    def fetch(self) -> None:
        """Fetch, verify, unpack.

        BadInput when there is none for this machine; RunbookError when it cannot be had, or is another file.
        """
        archs = self._archs()
        if self.arch not in archs:
            do = "Run the chapter from a machine with " + " or ".join(archs) + "."
            raise BadInput(self._fetching, _HERE, "there is none", do)
        if self.artifact.origin == "mirror" and not self.sha256:
            do = "Let its index.json name the file's SHA-256 in `sums`, or take origin=upstream."
            raise RunbookError(self._fetching, _HERE, f"the mirror names no checksum for {self.url}", do)
        data = self._download()
        source = hashlib.sha256(data).hexdigest()
        if self.sha256 and source != self.sha256:
            do = "Do not use it. If the file was replaced on purpose, set its checksum in setup/catalogue.toml."
            raise RunbookError(f"verify {self.url}", _HERE, f"its SHA-256 is {source}, not {self.sha256}", do)
        program = self._unpack(data)
        self.folder.mkdir(exist_ok=True)
        write_whole(self.path, program, 0o755)
        # Last: without it the program counts as missing.
        write_whole(self.folder / "sha256", f"{source} {hashlib.sha256(program).hexdigest()}\n", 0o644)

    def _archs(self) -> list[str]:
        entry = self.artifact.entry
        return entry.get("archs_" + self.os, entry.get("archs", [self.arch]))

    @property
    def _fetching(self) -> str:
        return f"fetch {self.name} for {self.os} {self.arch}"

    def _member(self) -> str:
        return self.artifact.entry.get("member", "").format(os=self.os, arch=self.arch)

    def _download(self) -> bytes:
        """The file's content. What may pass (a busy server, a cut line) is tried again."""
        said = ""
        for pause in (*_PAUSES, None):
            asked = ""
            try:
                return self._fetched()
            except httpx.HTTPStatusError as e:
                said, asked = f"status {e.response.status_code}", e.response.headers.get("Retry-After", "")
                if e.response.status_code not in _PASSING:
                    break
            except (httpx.HTTPError, OSError) as e:
                said = f"{type(e).__name__}: {e}"
                if _UNKNOWN in said:
                    break
            if pause is not None:
                self.tell(f"fetching {self.name}: {said}, asked again soon")
                time.sleep(min(float(asked), _LONGEST_PAUSE) if asked.isdigit() else pause)
        do = "This machine must reach that address. Behind a proxy: set HTTPS_PROXY. "
        if _UNKNOWN in said:
            do = _UNKNOWN_AUTHORITY
        raise RunbookError(f"fetch {self.url}", _HERE, said, do + "Without a way out: a mirror, -p origin=http://...")

    def _fetched(self) -> bytes:
        with self._client() as client, client.stream("GET", self.url) as answer:
            if answer.status_code == 404:
                raise self._not_there()
            answer.raise_for_status()
            plain = [each.url for each in (*answer.history, answer) if each.url.scheme != "https"]
            if self.url.startswith("https:") and plain:  # also on the way: who sits there chooses where it ends
                raise httpx.UnsupportedProtocol(f"sent on to {plain[0]}, which is no HTTPS")
            return b"".join(self._parts(answer))

    def _client(self) -> httpx.Client:
        authority = self.artifact.authority
        verify = ssl.create_default_context(cafile=authority) if authority else trusted()
        settings: dict[str, Any] = {"follow_redirects": True, "timeout": 30, "verify": verify}
        if self.artifact.environment:
            return through(self.artifact.socks, **settings)
        return httpx.Client(**settings)

    def _not_there(self) -> BadInput:
        do = (
            f"If there is no {self.name} {self.version} for this system, run the chapter from Linux on x86-64; "
            f"if the address is wrong, mend the entry [{self.name}] in setup/catalogue.toml."
        )
        return BadInput(self._fetching, _HERE, f"{self.url} is not there (404)", do)

    def _parts(self, answer: httpx.Response) -> Iterator[bytes]:
        done, whole, told = 0, int(answer.headers.get("content-length", 0)), -1
        since, before = time.monotonic(), 0
        for part in answer.iter_bytes():
            yield part
            done += len(part)
            if done >> 20 > told:
                told = done >> 20
                self.tell("fetching {}: {} of {} MB".format(self.name, told, whole >> 20 or "?"))
            if time.monotonic() - since >= _SLOW_FOR:
                if done - before < _SLOWEST * _SLOW_FOR:
                    raise httpx.ReadTimeout(
                        f"{done - before} bytes in the last {_SLOW_FOR:.0f} s, of {whole or 'some'}"
                    )
                since, before = time.monotonic(), done

    def _unpack(self, data: bytes) -> bytes:
        member = self._member()
        if not member:
            return data
        try:
            if data[:2] == b"PK":
                return zipfile.ZipFile(io.BytesIO(data)).read(member)
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
                file = tar.extractfile(member)
                if file is None:
                    raise KeyError("it is no file")
                return file.read()
        except (KeyError, AttributeError, OSError, tarfile.TarError, zipfile.BadZipFile, EOFError) as e:
            do = f"See the entry [{self.name}] in setup/catalogue.toml."
            raise RunbookError(f"unpack {self.url}", _HERE, f"no {member} in it: {e}", do) from e

    # -- use -------------------------------------------------------------------------------------

    def run(
        self,
        *arguments: str,
        stdin: str | None = None,
        env: dict[str, str] | None = None,
        timeout: float = 300,
        check: bool = True,
    ) -> str:
        """Run it here; returns its standard output.

        stdin: text (secrets travel here).  env: more variables.  timeout: seconds.  check: CommandFailed when its
        exit code is not 0.
        """
        if any(self.masker.holds_secret(a) for a in arguments):
            raise ValueError("a secret in a command line: send it on stdin")
        what = "{} {}".format(self.name, " ".join(arguments[:3]))
        argv, variables = [str(self.path), *arguments], dict(os.environ, **(env or {}))
        try:
            done = subprocess.run(
                argv, input=(stdin or "").encode(), capture_output=True, env=variables, timeout=timeout
            )
        except OSError as e:
            do = "Run the chapter in install mode: it fetches the program."
            raise RunbookError(what, _HERE, str(e), do) from e
        except subprocess.TimeoutExpired as e:
            do = "Is the cluster reachable from here? Chapter 02 says how."
            raise RunbookError(what, _HERE, f"not finished after {timeout} s; stopped", do) from e
        out, err = (self.masker.mask(text.decode("utf-8", "replace")) for text in (done.stdout, done.stderr))
        if check and done.returncode:
            last = "\n".join((err.strip() or out.strip()).splitlines()[-8:])
            saw, do = f"exit code {done.returncode}\n{last}", f"Run it by hand to see more: {self.path}"
            raise CommandFailed(what, _HERE, saw, do, code=done.returncode, out=out, err=err)
        return out

    def forget(self) -> None:
        """Take this version away from this machine."""
        shutil.rmtree(str(self.folder), ignore_errors=True)


class ToolElsewhere(Tool):
    """A program of the operator's machine, for a chapter that runs in the cluster: it is not looked for here."""

    def missing(self) -> str | None:
        raise self._away()

    def run(self, *arguments: str, **how: Any) -> str:
        raise self._away()

    def _away(self) -> OutOfReach:
        return OutOfReach(f"use {self.name}", _HERE, f"needs {self.name}, which the operator's machine has")
