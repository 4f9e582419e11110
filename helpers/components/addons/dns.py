"""The add-on dns: CoreDNS with upstream servers that pods reach, and its configuration, the Corefile."""

from __future__ import annotations

import json
import re
from pathlib import Path

from helpers.components.kubernetes.kube import all_of, available
from helpers.core.shell import filled, script

_HERE = Path(__file__).parent
_SCRIPTS = _HERE / "scripts"
_PODS = available("kube-system", "deployment", "coredns")
_LEFT = "deployment,pod,service -l k8s-app=kube-dns -n kube-system"
#: the ConfigMap with the Corefile
_CONFIG = "configmap coredns -n kube-system"
#: lines without which CoreDNS does harm, as MicroK8s 1.20 has them (actions/coredns.yaml)
_PLUGINS = {"cache": "cache 30", "loop": "loop", "reload": "reload", "loadbalance": "loadbalance"}


def name_servers(servers):
    """A probe: pods can ask these servers, or the host's own when there are none. Sets the variable asked."""
    return script(_SCRIPTS / "name_servers.sh", *(servers or [""]))


def forwards_to(servers):
    """A probe: CoreDNS asks these servers, the host's own when there are none, and its configuration is whole."""
    return all_of(name_servers(servers), script(_SCRIPTS / "dns_forwards.sh"))


def enabled(kube, servers):
    """Action: CoreDNS, forwarding to these servers (the host's own when empty). Others later are applied, too."""
    probe = all_of(_PODS, forwards_to(servers))

    def addon(asked):
        return kube.addon("dns", asked.replace(" ", ","), probe, _LEFT)

    def apply():
        run = kube.ch.host.run
        run(script(_SCRIPTS / "dns_scale_up.sh"), what="scale CoreDNS up")
        asked = run(name_servers(servers) + '\necho "$asked"', what="find name servers that pods can ask").out.strip()
        _forward(kube, asked)
        addon(asked).apply()

    # `disable` restarts the kubelet, which then cannot end a pod whose ConfigMap is gone.
    ended = "microk8s kubectl delete pod -n kube-system -l k8s-app=kube-dns --force --grace-period=0"
    enable = addon(" ".join(servers))
    shown = "microk8s enable dns:" + (",".join(servers) or "<the host's name servers>")
    makes = [f"object kube-system/{name}" for name in ("deployment/coredns", "configmap/coredns")]
    return enable.but(shown=shown, apply=apply, makes=makes, undo=f"{enable.undo}\n{ended} >/dev/null 2>&1 || true")


def _forward(kube, asked):
    """CoreDNS, where it is, asks these servers for what it does not know."""
    now = kube.kubectl(f"get {_CONFIG} --ignore-not-found -o jsonpath='{{.data.Corefile}}'")
    text = corefile(now, asked)
    if now and text.strip() != now:
        # As JSON: YAML folds a line that ends in a blank, which this one has when `enable` wrote it.
        change = json.dumps({"data": {"Corefile": text}})
        kube.kubectl(f'patch {_CONFIG} --type merge -p "$(cat)"', stdin=change)
        again = script(_SCRIPTS / "pods_again.sh", "kube-system", "coredns")
        kube.ch.host.run(again, what="restart CoreDNS", timeout=300)


def corefile(now, asked):
    """This Corefile with these servers, and with the lines that it lost; MicroK8s' own where it is past mending."""
    main = re.search(r"^\.:53 *\{ *\n(?:(?!\}).*\n)*\}", now + "\n", re.M)
    forward = main and re.search(r"^( *)forward \. [^{}\n]*(\{?) *$", main.group(), re.M)
    if not forward or main.group().count("{") != main.group().count("}"):
        return filled(_HERE / "manifests" / "Corefile", SERVERS=asked)
    lost = [line for name, line in _PLUGINS.items() if not re.search(rf"^ *{name}\b", main.group(), re.M)]
    lines = [*lost, f"forward . {asked} {forward[2]}".rstrip()]
    block = main.group().replace(forward[0], "\n".join(forward[1] + line for line in lines), 1)
    return now.replace(main.group(), block, 1) + "\n"
