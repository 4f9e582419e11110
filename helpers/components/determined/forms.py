"""What chapter 08's parameters may look like, asked before anything is touched."""

from __future__ import annotations

import re

from helpers.components.minio import why_bad_buckets
from helpers.core.secrets import variable

#: (parameter, what it is, pattern of its whole text, an example)
FORMS = [
    ("release", "a name that Kubernetes takes", "[a-z]([a-z0-9-]{0,30}[a-z0-9])?", "determined"),
    (
        "namespace",
        "a name that Kubernetes takes, and none of its own",
        "(?!kube-|default$)[a-z0-9]([a-z0-9-]{0,60}[a-z0-9])?",
        "determined",
    ),
    ("user", "not one of Determined's own", "(?!admin$|determined$)[a-z][a-z0-9-]{0,30}", "operator"),
    ("cpu", "a number of CPUs", "[0-9]+m?", "100m"),
    ("memory", "a number of Mi or Gi", "[0-9]+[MG]i", "256Mi"),
]


def require_names(ch, prefix=""):
    """Those of FORMS that the chapter has, by these names behind `prefix`, fit. BadInput when one does not."""
    for name, what, pattern, example in FORMS:
        mine = prefix + name
        if mine in ch.values:
            do = f"For example: -p {ch.notebook.id}.{mine}={example}"
            ch.require(f"{mine} is {what}", _why_unlike, ch.values[mine], pattern, do=do, modes="any")


def require(ch):
    """The chapter's parameters have the forms that Kubernetes, S3 and Determined take. BadInput when one has not."""
    require_names(ch)
    ch.require(
        "bucket is a name that S3 takes",
        why_bad_buckets,
        [ch.values["bucket"]],
        do="For example: -p determined.bucket=detai",
        modes="any",
    )
    ch.require(
        "node_port is one of a node's",
        _why_no_node_port,
        ch.values["expose"],
        ch.values["node_port"],
        do="From 30000 to 32767: -p determined.node_port=30880",
        modes="any",
    )
    ch.require(
        "max_slots_per_pod is 1 or more",
        _why_under_one,
        ch.values["max_slots_per_pod"],
        do="For example: -p determined.max_slots_per_pod=1",
        modes="any",
    )


def require_password(ch, secret):
    """The database's password is read by the master as it is: 0.15.3 writes it into a URL without a word of escape."""
    ch.require(
        "the database's password may stand in a URL",
        _why_no_url,
        secret,
        do=f"Of letters, digits and !()*+,.:;=@_~- alone: {variable(secret.name)}=... ./runbook up",
        modes=("install", "plan"),
    )


def _why_no_url(secret):
    """None when it may; else why not, without the value."""
    fits = re.fullmatch(r"[A-Za-z0-9!()*+,.:;=@_~-]+", secret.reveal())
    return None if fits else f"{secret.name} has one of / # ? % [ ] ^ | {{ }} in it, and no database would answer"


def _why_unlike(value, pattern):
    return None if re.fullmatch(pattern, value) else f"it is {value!r}"


def _why_no_node_port(expose, port):
    return None if expose != "node" or 30000 <= port <= 32767 else f"it is {port}"


def _why_under_one(number):
    return None if number >= 1 else f"it is {number}"
