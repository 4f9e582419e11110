"""What a chapter made or changed on the host: a note there, written before each step acts, that remove goes by.

The note is /var/lib/mlops-runbook/<chapter>.json (root's, 0600); copies/<chapter>/ beside it has what was there before
and was changed. A thing is "kind name": file, folder, place (a folder that a package fills), user, package, unit, boot
(whether a unit starts with the host), snap, alias (of a snap), member GROUP/USER, context USER/NAME (in that user's
kubeconfig), database PORT/NAME, role PORT/NAME, bucket, miniouser, namespace, object NAMESPACE/KIND/NAME, port
PORT/PROGRAM (where its program listens).
"""

from __future__ import annotations

import contextlib
import re
from typing import Any, Callable, Iterable, Mapping, NamedTuple, Sequence

from helpers.core import notes
from helpers.core.actions import Action, Probe, Work
from helpers.core.errors import BadInput, RunbookError
from helpers.core.host import Host

#: kinds whose names come from parameters: remove with others would pass by what install made
_BY_NAME = ("namespace", "database", "role", "bucket", "miniouser", "folder")
#: with these, databases go together: PostgreSQL is the chapter's own
_ALL_DATABASES = "place /var/lib/postgresql"


class Undo(NamedTuple):
    """How remove undoes an action: its work (None: it is left as it is), a probe that it is done, and words for it."""

    work: Work | None
    done: Probe | None
    words: str = "undone"


class Ownership:
    """The note of one chapter on the host, and what was seen there before it. Chapters that never ask keep none."""

    def __init__(self, host: Host, ask: Callable[[str], tuple[bool, str]], chapter: str, values: Mapping[str, Any]):
        self.host, self.ask, self.chapter, self.values = host, ask, chapter, values
        self.mode = str(values["mode"])
        self.asked = False
        self._noted: dict[
            str, str
        ] = {}  # thing -> away, empty, settings (of a package) or there: what it was before us
        self._back: set[str] = set()  # put back by a remove that was cut off
        self._ours: list[str] = []  # of an older runbook, which kept no note
        self._foreign: list[str] = []
        self._away: list[str] = []
        self._seen: Sequence[str] = ()
        self._passed: list[str] = []
        self._named: set[str] = set()  # for remove: by the steps of these parameters
        self._has_note = self._adopts = self._removing = False
        #: an older runbook, which kept no note, made what is here
        self.by_older = False

    def first_sight(self, things: Sequence[str], ours: str = "false", adopt: bool = False) -> str | None:
        """Why install must not begin: what it would make was here before, and is not in the note; None when none is.

        ours: a bash probe, with $KIND and $NAME of the thing, and $NOTED (yes: there is a note): an older runbook made
        it.  adopt: take over what was here before.
        """
        self._look(things, ours)
        self._adopts = adopt and self.mode != "remove"  # which takes nothing over any more
        if self.mode == "remove":
            return None
        if self._removing:
            return "a remove of this chapter was cut off, and put back a part of what was here before: remove it first"
        if adopt or not self._foreign:
            return None
        return "was here before: " + ", ".join(re.sub("^place ", "folder ", thing) for thing in self._foreign)

    @property
    def do(self) -> str:
        """What a person can do about what was here before."""
        return (
            "Keep it and leave this chapter out, or move it away. Or let the chapter take it over: "
            f"-p {self.chapter}.adopt=true keeps a copy of what it changes, and remove puts that back. "
            "What cannot be asked must answer first."
        )

    def was_before(self, thing: str) -> bool:
        """Was it here before the chapter was installed the first time?"""
        return self._noted.get(thing, "away") == "there" or self.is_theirs(thing)

    def why_theirs(self, *which: str) -> str | None:
        """For things that are never taken over: None when none of these, or of these kinds, is somebody's."""
        found = [thing for thing in self._foreign if {thing, thing.partition(" ")[0]}.intersection(which)]
        return "was here before: " + ", ".join(found) if found else None

    def came_back(self, thing: str) -> bool:
        """Was it here before, and has a remove that was cut off put it back? What it holds is its owner's again."""
        return thing in self._back

    def is_theirs(self, thing: str) -> bool:
        """Is it somebody's now, and not taken over?"""
        return thing in self._foreign

    def _look(self, things: Sequence[str], ours: str) -> None:
        ok, said = self.ask(self._script("look", ours, *notes.words(things)))
        lines = [line.partition(" ") for line in said.splitlines()]
        unsure = [said for word, _, said in lines if word == "unsure"]
        if unsure or not ok:
            saw = "\n".join(unsure) or said
            do = "Mend what does not answer, then run again: nothing was changed."
            raise RunbookError(f"see what chapter {self.chapter} would change", self.host.name, saw, do)
        self.asked, self._seen = True, things
        self._has_note = any(word == "noted" for word, _, _ in lines)
        self._back = {said for word, _, said in lines if word == "back"}
        self._removing = any(word == "removing" for word, _, _ in lines)
        self._noted = _noted(said)
        there = [said for word, _, said in lines if word == "there"]
        files = [thing.replace("unit ", "file /etc/systemd/system/", 1) for thing in there]
        units = [thing for thing, file in zip(there, files) if self._noted.get(file) == "away"]  # its file is ours
        inside = [thing for thing in there if self._lies_in_ours(thing)]  # an earlier note did not name it
        self._ours = [said for word, _, said in lines if word == "ours"] + units + inside
        self._foreign = [thing for thing in there if thing not in units + inside]
        # What a package or an add-on makes comes without a step of its own, and the chapter may end before its verdict.
        self._away = [said for word, _, said in lines if word in ("away", "empty") and not self._ours]
        self.by_older = bool(self._ours) and not self._has_note

    def passes(self, things: Iterable[str]) -> None:
        """A step of install comes to these, whether they are so already or not."""
        self._passed.extend(thing for thing in things if thing not in self._passed)

    def before(self, things: Iterable[str], made: Iterable[str] = ()) -> None:
        """Note these, and what is not noted yet of first sight, before a step makes or changes them.

        made: these as well, as ours.
        """
        if not self.asked:
            return
        todo = dict.fromkeys([*self._ours, *made], "made")
        if self._adopts or (self.by_older and self.mode == "remove"):
            todo.update(dict.fromkeys(self._foreign, "adopt" if self._adopts else "theirs"))
        for thing in [*things, *self._away]:
            todo.setdefault(thing, self._how(thing))
        todo = {thing: how for thing, how in todo.items() if how and thing not in self._noted}
        if todo or not self._has_note or (self._back and self.mode != "remove"):
            self._note(todo)
        self._ours, self._foreign, self._back = [], [], set()

    def _how(self, thing: str) -> str:
        """made: by an older runbook, or by what we made; adopt: whatever it is; new: it must not be there."""
        if self.by_older or self._lies_in_ours(thing):
            return "made"
        # A unit that was not looked for is one that a package brought; packages are noted when apt is asked.
        known = thing in self._seen or not thing.startswith(("unit ", "boot ", "package "))
        if self._adopts and (known or thing.startswith("package ") or self._has_packages_of_theirs()):
            return "adopt"
        return "new" if known else ""

    def _has_packages_of_theirs(self) -> bool:
        kinds = ("package ", "snap ", "place ")  # a package may have another name
        return any(was == "there" for thing, was in self._noted.items() if thing.startswith(kinds))

    def _lies_in_ours(self, thing: str) -> bool:
        made = [other.split(" ") for other, was in self._noted.items() if was != "there"]
        kinds = ("namespace",) if thing.startswith("object ") else ("folder", "place")
        return any(thing.partition(" ")[2].startswith(name + "/") for kind, name in made if kind in kinds)

    def _note(self, todo: Mapping[str, str]) -> None:
        words = [word for thing, how in todo.items() for word in (how, *notes.words([thing]))]
        what = f"note what chapter {self.chapter} makes, in {notes.STATE}"
        self._noted = _noted(self.host.run(self._script("note", self.mode, *words), quiet=True, what=what).out)
        self._has_note = True

    def settle(self, things: Iterable[str] = ()) -> None:
        """Note what no step did: what was adopted, and what is so already by a runbook that did not note it.

        things: more that an older one made, which kept no note at all.
        """
        made = [thing for thing in self._passed if self._is_as_ours(thing)]
        made += [thing for thing in things if self.by_older and thing not in self._foreign]
        if made or self._ours or (self._foreign and self._adopts) or (self._back and self.mode != "remove"):
            self.before((), made)

    def _is_as_ours(self, thing: str) -> bool:
        """Is a thing that no note has, and that is as we make it, ours? A package or a user may have been here."""
        if thing in self._noted or thing in self._foreign or thing.startswith("package "):
            return False
        # What is, or was, taken over may have been so already, all of it: then nothing of it is ours.
        adopted = self._adopts or "there" in self._noted.values()
        return self.by_older or (not adopted and thing.startswith(("file ", "object ")))

    # -- remove ------------------------------------------------------------------------------------

    def names(self, things: Iterable[str]) -> None:
        """A step of remove is of these."""
        self._named.update(things)

    def refuse_other_names(self) -> None:
        """BadInput when the note has something that still stands, and that these parameters do not name."""
        named = self._named.union(self._seen)
        named.update([f"{thing}/" for thing in named if thing.startswith("folder ")])  # as an older runbook noted it
        # A folder or a role that was here before has a copy that must come back first.
        ours = [t for t, was in self._noted.items() if was == "away" or t.startswith(("folder ", "role "))]
        others = [thing for thing in ours if thing.partition(" ")[0] in _BY_NAME and thing not in named]
        if self._noted.get(_ALL_DATABASES) == "away" and _ALL_DATABASES in named:
            others = [thing for thing in others if not thing.startswith(("database ", "role "))]
        asked = {thing: self.host.ask(self._is_undone(thing)) for thing in others}
        left = {thing: said for thing, (ok, said) in asked.items() if not ok}
        if left:
            raise BadInput(
                f"remove chapter {self.chapter}: what it made has other names than your parameters say",
                self.host.name,
                "\n".join(self._told(thing, said) for thing, said in left.items()),
                f"Nothing was removed. Give the parameters of its install{self._hint(left)}\n"
                "Where it was installed with one and then with another: save what the first one has, delete that by "
                "hand, and remove again.",
            )

    def _is_undone(self, thing: str) -> str:
        return notes.gone([thing]) if self._noted[thing] == "away" else self._script("restored", *notes.words([thing]))

    def _told(self, thing: str, said: str) -> str:
        saw = f"this chapter made {thing}; your parameters say {self._instead(thing) or 'nothing of it'}"
        return saw if said == thing + " is there" else f"{saw}. {said}"

    def _instead(self, thing: str) -> str:
        """What the present parameters name of the thing's kind."""
        kind = thing.partition(" ")[0]
        return ", ".join(sorted(t for t in self._named.union(self._seen) if t.startswith(kind + " ")))

    def _hint(self, things: Iterable[str]) -> str:
        """The parameters that have another part of these things' names, as options; empty where that is not sure."""
        found: dict[str, str] = {}
        for thing in things:
            for other in filter(None, self._instead(thing).split(", ")):
                differ = [pair for pair in zip(_parts(thing), _parts(other)) if pair[0] != pair[1]]
                names = [name for name, value in self.values.items() if len(differ) == 1 and str(value) == differ[0][1]]
                kind = thing.partition(" ")[0]
                if len(names) == 1 or kind in names:
                    found.setdefault(kind if kind in names else names[0], differ[0][0])
        return ":" + "".join(f" -p {self.chapter}.{name}={was}" for name, was in found.items()) if found else "."

    def undoing(self, action: Action) -> Undo:
        """How to undo the action, by the note."""
        things = [thing for thing in action.makes if thing in self._noted or self._lies_in_ours(thing)]
        if not self.asked or (not action.makes and self._has_note):
            return Undo(action.undo, action.absent)
        if not things:
            return Undo(None, action.absent, "left as it is: the note does not have it as ours")
        theirs = [thing for thing in things if self._noted.get(thing, "away") not in ("away", "settings")]
        if not theirs:
            return Undo(action.undo, action.absent)
        words, work, done = notes.words(theirs), action.undo, action.absent
        restore, restored = self._script("restore", *words), self._script("restored", *words)
        if _holds_theirs(theirs) or (theirs == things and not things[0].startswith("folder ")):
            return Undo(restore, restored, "as it was before")
        if theirs == things:
            done = None
        if not isinstance(work, str) or not isinstance(done, (str, type(None))):
            raise TypeError(f"{things}: what was there before needs an undo that is a script")
        if any(thing.startswith("folder ") and self._noted.get(thing) == "there" for thing in theirs):
            work = f"( {self._script('pause')} )\n{work}"  # what runs on our folder would write into what is deleted
        return Undo(f"( {work} )\n{restore}", f"{done or 'true'}\n{restored}", "as it was before")

    def finish(self) -> str | None:
        """After remove: what was there is as it was, the note and its copies go.

        Why not, or which unit of somebody's does not start; else None.
        """
        if not self._has_note:
            return None
        ok, said = self.host.ask(self._script("finish"), timeout=900)
        told = [line for line in said.splitlines() if line.startswith("theirs, as it was before: ")]
        return "\n".join(told) or None if ok else said

    def resume(self) -> None:
        """Where remove cannot go on: units of somebody's that rest run again, where all of theirs is back."""
        if self._has_note:
            with contextlib.suppress(RunbookError):  # why it cannot go on is what counts
                self.host.ask(self._script("resume"), timeout=600)

    def _script(self, verb: str, *words: str) -> str:
        return notes.script(self.chapter, verb, *words)


def _parts(thing: str) -> list[str]:
    """The parts of a thing's name, of which each may be a parameter's: a port and a name, or a path."""
    kind, _, name = thing.partition(" ")
    return name.split("/", 1) if kind in ("database", "role") else [name]


def _holds_theirs(theirs: Iterable[str]) -> bool:
    """Is one of what was here before a thing that an undo would take, and of which no copy is kept? A cluster's are."""
    return any(re.match("namespace |object .*/(deployment|daemonset)/", thing) for thing in theirs)


def _noted(said: str) -> dict[str, str]:
    """{thing: what it was before}, of the lines that tell the note."""
    lines = [line.split(" ", 2) for line in said.splitlines() if line.startswith("note ")]
    return {thing: was for _, was, thing in lines}
