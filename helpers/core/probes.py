"""Bash probes that several chapters ask before they touch a host: ports, room on a disk, owners."""

from __future__ import annotations


def port_is_free(port: int, program: str) -> str:
    """Nobody listens on the port but the program of this name."""
    return f"! ss -Hltnp 'sport = :{port}' | grep -v '\"{program}\"' || exit 1"


def gib_are_free(path: str, gib: int) -> str:
    """So many GiB are free where the path lies, or will lie."""
    return (
        f"d={path}; while [ ! -d $d ]; do d=$(dirname $d); done\n"
        "free=$(df -BG --output=avail $d | tail -1 | tr -dc 0-9)\n"
        f'[ $free -ge {gib} ] || {{ echo "$free GiB free at $d"; exit 1; }}'
    )


def percent_is_free(path: str, percent: int) -> str:
    """More than so many percent of the disk below the path are free."""
    return (
        f"set -- $(df -P {path} | awk 'NR==2 {{print $2, $4}}'); free=$(( $2 * 100 / $1 ))\n"
        f'[ $free -ge {percent} ] || {{ echo "$free% free below {path}"; exit 1; }}'
    )


def belongs_to(path: str, owner: str, mode: str) -> str:
    """The path has this owner (user:group) and this mode (750)."""
    return f"[ \"$(stat -c '%a %U:%G' {path})\" = '{mode} {owner}' ] || {{ stat -c '%n is %a %U:%G' {path}; exit 1; }}"
