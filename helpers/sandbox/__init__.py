"""The sandbox: a disposable host on this machine, and a mirror beside it made of package registries."""

from __future__ import annotations

import contextlib
import hashlib
import re
import subprocess
import time
from collections.abc import Generator, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from helpers.core.errors import BadInput, RunbookError
from helpers.core.paths import home
from helpers.core.target import Target

from . import boot, builds, guest, kinds, machine, mirror, needs, processes, proxy, registry, rootfs, supply
from .disk import Disk, Saved, checked
from .network import Network
from .processes import Report

USER = "ubuntu"


def _silent(_text: str) -> None:
    pass


class Status(TypedDict):
    """state: running, stopped or absent. mirror: a URL, empty when it does not answer. since: ISO 8601. disk: bytes."""

    name: str
    like: str
    state: str
    address: str
    mirror: str
    since: str
    disk: int


class Sandbox:
    """A Debian host with its own address, reached by SSH as `user` with `key`; its mirror is at `mirror_url`."""

    def __init__(self, name: str = "sandbox"):
        if not re.fullmatch(r"[a-z][a-z0-9]{0,15}", name):
            raise BadInput(
                f"use a sandbox named {name!r}",
                saw="a name is up to 16 lower case letters and digits, a letter first",
                do="for example sandbox:test",
            )
        self.name, self.user = name, USER
        mark = hashlib.sha256(name.encode()).digest()
        prefix = "10.99.0" if name == "sandbox" else f"10.99.{1 + mark[0] % 250}"
        bridge = "rb-" + (name if len(name) <= 12 else mark.hex()[:8])  # a link's name has 15 characters at most
        self.dir = home() / "sandbox" / name
        self.address, self.gateway, self.network = prefix + ".2", prefix + ".1", prefix + ".0/24"
        self.key, self.known_hosts = self.dir / "id", self.dir / "known_hosts"
        self._net = Network(bridge, prefix, self.dir)
        self._disk = Disk(self.dir, Target.parse("sandbox:" + name).slug)
        self._guest = boot.Guest(self._disk, name, self.address, self._net)
        self._mirror = mirror.Mirror(self.dir, self.gateway)
        self._rehearsal = self._mirror.rehearsal
        self._registry = registry.Registry(self.dir, self.gateway)
        self._proxy = proxy.Proxy(self.dir, self.gateway)
        self._become(kinds.remembered(self.dir))
        self.mirror_url, self.registry_url = self._mirror.url, self._registry.url

    def _become(self, kind: kinds.Kind) -> None:
        self.kind = self._guest.kind = kind
        self._net.door = (kind.outside_port, self.address, kind.ssh_port) if kind.closed else None

    def missing(self) -> list[needs.Missing]:
        """What this machine lacks for a sandbox, as needs.Missing; empty when `up` can go ahead."""
        if self._disk.exists():
            return needs.sandbox_lacks(self.dir, needs.RESTART_DISK)
        cached = (home("cache") / rootfs.builder_name()).is_dir()
        return needs.sandbox_lacks(self.dir, needs.NEXT_DISK if cached else needs.SANDBOX_DISK)

    def up(
        self,
        report: Report = _silent,
        artifacts: Iterable[str] | None = None,
        upstream: bool | None = None,
        like: str | None = None,
    ) -> None:
        """Make the host, its network and its mirror, as far as they are missing.

        artifacts: the substitutes to serve, all when None.  upstream: with a rehearsal of upstream; None: as it was
        made.  like: one of kinds.known(); None: as it was made.  RunbookError when this machine cannot do it, a build
        fails or the host does not answer. A second call while another one runs waits for it.
        """
        self.begin(report, artifacts, upstream=upstream, like=like).wait()
        report(f"sandbox {self.name}: running at {self.address}")

    def begin(
        self,
        report: Report = _silent,
        artifacts: Iterable[str] | None = None,
        quiet: bool = False,
        upstream: bool | None = None,
        like: str | None = None,
    ) -> supply.Supply:
        """As up(), but return when the host answers: the rest is built behind the caller, in the order given.

        The caller ends it: wait() or stop(). Until then the sandbox is locked. quiet: only begin and end of each build.
        """
        recipes = builds.chosen(artifacts)
        with contextlib.ExitStack() as held:
            held.enter_context(self._locked(report))
            there = kinds.remembered(self.dir)  # read again: it may have been made since
            self._become(kinds.agreed(self.name, there, like, self._disk.exists()))
            coming = supply.Supply(recipes, report, quiet)
            coming.prepare = lambda: rootfs.builder(coming.tell, coming.stopped)
            coming.serve = lambda built: self._serve(built, coming)
            if self._stands(recipes) and upstream in (None, self._rehearsal.chosen):
                coming.all_served()
            else:
                self._check(recipes, upstream)
                self._make_host(recipes, report, bool(upstream))
                held.callback(coming.trim_caches)  # before the lock is given back
                leave = supply.last_of(2, held.pop_all().close)
                coming.start(leave)
                try:
                    self._boot_beside(report, coming)
                finally:
                    leave()
            self._tell_endpoint()
        return coming

    def _stands(self, recipes: dict[str, Path]) -> bool:
        return (
            self._guest.running()
            and self._installed(recipes)
            and (not self._rehearsal.chosen or self._rehearsal.holds(mirror.hosts()))
            and self._mirror.serves(self._mirror.content(recipes))
            and self._registry.stands()
            and (not self.kind.gateway or self._proxy.answers())
            and self._guest.answers()
        )

    def _check(self, recipes: dict[str, Path], upstream: bool | None) -> None:
        """Refuse what cannot go well, before anything is touched."""
        if self._disk.exists() and upstream not in (None, self._rehearsal.chosen):
            raise RunbookError(
                f"make the sandbox {self.name} {'with' if upstream else 'without'} a rehearsal of upstream",
                saw="its host was made otherwise",
                do=f"./runbook sandbox down --name {self.name} --wipe, then again; or another --name",
            )
        mirror.fidelity(recipes)
        lacks = self.missing()
        if lacks:
            raise RunbookError(
                "make a sandbox on this machine",
                saw="\n".join(f"{x.what}: {x.why}" for x in lacks),
                do="\n".join(dict.fromkeys(x.mend for x in lacks)),
            )
        self._net.check()

    def _make_host(self, recipes: dict[str, Path], report: Report, upstream: bool) -> None:
        self.dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        kinds.remember(self.dir, self.kind)
        if upstream or self._rehearsal.chosen:
            self._rehearsal.make(rootfs.builder(report), mirror.hosts())
        self._disk.prepare(report)
        guest.make(self._guest.root, report, self.kind, self._guest.values)
        self._install(recipes)
        self._net.up(self._guest.root)
        self._start_proxy(report)

    def _start_proxy(self, report: Report) -> None:
        if self.kind.gateway:
            self._proxy.start(self.kind.gateway, self._guest.values, rootfs.builder(report), report)

    def _boot_beside(self, report: Report, coming: supply.Supply) -> None:
        """Boot the host where it does not answer; a supply that is under way ends with an error."""
        try:
            if rootfs.builder_path().is_dir():  # what was built before is there when the host's programs ask for it
                coming.prepared.wait()
            if not self._answers_soon(report):
                self._boot(report)
        except BaseException:
            coming.stop()
            raise

    def _boot(self, report: Report) -> None:
        report("host: booting")
        self._guest.boot()
        self._guest.wait(report)

    def _serve(self, built: dict[str, Path], coming: supply.Supply) -> None:
        """Images first, then the index that names them: what is named is there."""
        builder = rootfs.builder(coming.tell)
        folders = [
            *(folder / "out" for folder in built.values()),
            mirror.bundle(),
        ]  # last: the real image wins its name
        self._registry.serve(builder, folders, coming.tell, coming.stopped)
        content = self._mirror.content({name: builds.RECIPES / name for name in built})
        if not self._mirror.serves(content):
            self._mirror.fill(content, built, self._registry.store.served)
        self._mirror.start(builder)

    def _locked(self, report: Report) -> contextlib.AbstractContextManager[object]:
        return rootfs.lock(f"sandbox-{self.name}", report, f"sandbox {self.name}")

    def _contents(self, recipes: dict[str, Path]) -> list[guest.Content]:
        url = "" if self._rehearsal.chosen else self.mirror_url
        return guest.contents(self._guest.root, recipes, url, self.kind)

    def _install(self, recipes: dict[str, Path]) -> None:
        """Give the host what substitutes need before any chapter."""
        for path, text, mode in self._contents(recipes):
            machine.write(path, text, mode)
        if self._rehearsal.chosen:
            self._rehearsal.into(self._guest.root)

    def _installed(self, recipes: dict[str, Path]) -> bool:
        """Not so of a host that was restored to a state from before these recipes were asked for."""
        return all(path.is_file() and path.read_text() == text for path, text, _ in self._contents(recipes))

    def _tell_endpoint(self) -> None:
        self._guest.tell_endpoint(self.mirror_url, str(self._rehearsal.authority) if self._rehearsal.chosen else "")

    def _answers_soon(self, report: Report) -> bool:
        """A running guest may be in the middle of a reboot: give it time before it is booted by force."""
        if not self._guest.running():
            return False
        try:
            return bool(self._guest.wait(report, seconds=60))
        except RunbookError:
            return False

    def down(self, wipe: bool = False, report: Report = _silent) -> None:
        """Stop host and mirror and remove what they left on this machine; wipe: the disk and its saved states, too."""
        with self._locked(report):
            if self._guest.running():
                report("host: stopping")
            self._guest.halt()
            self._mirror.stop()
            self._registry.stop()
            self._proxy.stop()
            roots = (self._guest.root, home("cache") / rootfs.builder_name())  # either has an iptables
            self._net.down(next((root for root in roots if root.is_dir()), None))
            self._disk.detach()
            processes.tidy()
            if wipe:
                report("host: removing its disk")
                (self.dir / "endpoint.json").unlink(missing_ok=True)
                self._disk.remove_image()
                self._registry.store.remove()
                rootfs.remove(self.dir)
            report(f"sandbox {self.name}: {'removed' if wipe else 'stopped'}")

    # --- saved states

    def save(self, name: str, report: Report = _silent, force: bool = False, chapters: Iterable[str] = ()) -> None:
        """Keep the host's disk and its secrets as they are now; the host goes on running.

        chapters: what the host holds, for saved(). BadInput for a name that is taken, unless force.
        """
        began = time.monotonic()
        with self._attached(f"save the sandbox as {checked(name)!r}", report):
            self._disk.save(name, list(chapters), force)
        report(f"sandbox {self.name}: saved as {name} in {time.monotonic() - began:.1f} s")

    def restore(self, name: str, report: Report = _silent) -> None:
        """Make a saved state the host's present one, secrets included, and boot it. What was not saved is lost."""
        began = time.monotonic()
        with self._attached(f"restore the sandbox to {checked(name)!r}", report):
            self._disk.stage(name)
            report("host: stopping")
            self._guest.halt(processes.KILL)  # what it would still write goes with its disk
            report(f"host: its disk becomes {name}")
            self._disk.swap()
            self._start(report)
            self._boot(report)
            self._tell_endpoint()
        report(
            f"sandbox {self.name}: restored to {name} in {time.monotonic() - began:.1f} s, running at {self.address}"
        )

    def forget(self, name: str, report: Report = _silent) -> None:
        """Delete a saved state."""
        with self._attached(f"forget the saved state {checked(name)!r}", report):
            self._disk.forget(name)
        report(f"sandbox {self.name}: {name} is forgotten")

    def saved(self, report: Report = _silent) -> list[Saved]:
        """The saved states, oldest first."""
        with self._attached("list the saved states", report):
            return self._disk.saved()

    @contextlib.contextmanager
    def _attached(self, doing: str, report: Report) -> Generator[None]:
        """The disk is there, also of a host that is stopped."""
        with self._locked(report):
            self._disk.require(doing)
            self._disk.attach(report)
            try:
                yield
            finally:
                if not self._guest.running():
                    self._disk.detach()

    def _start(self, report: Report) -> None:
        """Network, mirror and registry as the last `up` filled them."""
        builder = rootfs.builder(report)
        self._net.up(self._guest.root)
        self._start_proxy(report)
        if (self._mirror.files / "current").is_symlink():
            self._mirror.start(builder)
        if self._registry.config.is_file():
            self._registry.start(builder)

    def reboot(self, report: Report = _silent) -> None:
        """Reboot the host from inside and wait until it answers again."""
        before = self._guest.wait(report)
        report("host: rebooting")
        self._guest.run("sudo systemctl reboot")
        self._guest.wait(report, other_than=before)
        report(f"sandbox {self.name}: running at {self.address}")

    def status(self) -> Status:
        began = processes.since(self._guest.supervisor)
        state = "running" if began else "stopped" if self._disk.exists() else "absent"
        disk = subprocess.run(["du", "-sxk", str(self.dir)], capture_output=True, text=True).stdout.split()
        return {
            "name": self.name,
            "like": self.kind.name,
            "state": state,
            "address": self.address,
            "mirror": self.mirror_url if self._mirror.answers() else "",
            "since": datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds") if began else "",
            "disk": int(disk[0]) * 1024 if disk else 0,
        }

    def ssh(self, *command: str) -> list[str]:
        """The command line that logs in, or runs a command there."""
        return self._guest.ssh(*command)
