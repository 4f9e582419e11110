"""What MicroK8s 1.20's add-ons leave when they are disabled: taken away with them, and asked for afterwards."""

from __future__ import annotations

from pathlib import Path

from helpers.core.shell import script

_SCRIPTS = Path(__file__).with_name("scripts")


def with_leftovers(action, name, *arguments):
    """The action whose undo takes away what the add-on leaves, too: NAME_left_remove.sh and NAME_left_gone.sh.

    Its undo and absent have the functions of cluster.sh (see probes.with_cluster).
    """
    remove, gone = (script(_SCRIPTS / f"{name}_left_{what}.sh", *arguments) for what in ("remove", "gone"))
    return action.but(undo=f"{action.undo}\n{remove}", absent=f"{action.absent}\n{gone}")
