"""MicroK8s' stand-in on a sandbox host: snap's refusals, MicroK8s 1.20's answers and quirks, add-ons, removal."""

from __future__ import annotations

import base64
import json
import os
import re
import ssl
import subprocess
import sys
import time
import urllib.request

import httpx
import microk8s_host
import pytest
import stand_in
from microk8s_host import INSTALL, INSTALLED
from serving import until

from helpers.components.kubernetes import microk8s
from helpers.core.paths import REPO
from helpers.sandbox import needs

SNAP = REPO / "setup/sandbox/substitutes/microk8s/guest/usr/bin/snap"

pytestmark = pytest.mark.skipif(
    bool(needs.sandbox_lacks()), reason="this machine cannot host a sandbox: ./runbook doctor"
)


@pytest.fixture(scope="module")
def host():
    with microk8s_host.fresh() as host:
        yield host


@pytest.fixture(scope="module")
def node(host):
    """The host with a Ready node, and ubuntu in the group microk8s."""
    began = time.monotonic()
    host.ok(INSTALL, timeout=330)
    host.ok("sudo microk8s status --wait-ready --timeout 300", timeout=330)
    assert time.monotonic() - began < 600
    host.ok("sudo usermod -aG microk8s ubuntu")
    return host


@pytest.fixture(scope="module")
def addons(node):
    said = node.ok(f"microk8s enable dns:/etc/resolv.conf storage metallb:{node.pool}-{node.pool}")
    assert "DNS is enabled" in said and "Storage will be available soon" in said and "MetalLB is enabled" in said
    node.ok("microk8s kubectl wait --for=condition=available deploy --all -n kube-system --timeout=240s")
    node.ok("microk8s kubectl rollout status ds/speaker -n metallb-system --timeout=240s")
    return node


# snap -------------------------------------------------------------------------------------------------------------


def test_a_command_of_a_snap_begins_without_what_only_a_change_of_one_needs():
    """One verify runs `microk8s kubectl` a hundred times, and each import would be made a hundred times, too."""
    late = {"argparse", "datetime", "hashlib", "shutil", "textwrap", "urllib.request"}
    look = f"import runpy, sys; runpy.run_path({str(SNAP)!r}); print(*sorted({late} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-ISc", look], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    "command, said",
    [
        ("snap install microk8s --classic --channel=1.20/stable", "error: access denied (try with sudo)"),
        (
            "sudo snap install microk8s --classic --channel=1.99/stable",
            'snap "microk8s" is not available on 1.99/stable but is available to',
        ),
        ("sudo snap install microk8s --classic", 'snap "microk8s" is not available on latest/stable'),
        (
            "sudo snap install microk8s --classic --channel=1.20/stable/fix",
            'requested a non-existing branch on 1.20/stable for snap "microk8s": fix',
        ),
        (
            "sudo snap install microk8s --channel=1.20",
            "If you understand and want to proceed repeat the command including --classic.",
        ),
        ("sudo snap install no-such-snap", 'error: snap "no-such-snap" not found'),
        ("snap list microk8s", "error: no matching snaps installed"),
    ],
)
def test_snap_refuses(host, command, said):
    done = host(command)
    assert done.returncode == 1 and said in re.sub(r"\s+", " ", done.stderr)
    assert host("ls /snap /var/snap").stdout == ""


def test_removing_what_is_not_there_is_no_error(host):
    done = host("sudo snap remove --purge microk8s")
    assert done.returncode == 0 and 'snap "microk8s" is not installed' in done.stderr


def test_an_install_that_was_killed_is_made_good_by_the_next_and_two_at_once_are_refused(host):
    host("sudo timeout -s KILL 0.7 " + INSTALL.removeprefix("sudo "))
    assert "microk8s" not in host("snap list").stdout
    begun = "until sudo grep -qs install-snap /run/snapd.lock; do sleep 0.1; done"  # by the one, not the killed one
    host.ok("sudo truncate -s 0 /run/snapd.lock")
    done = host(f"{INSTALL} > /dev/null & timeout 60 bash -c '{begun}'; {INSTALL}; echo code $?; wait")
    assert 'error: snap "microk8s" has "install-snap" change in progress' in done.stderr and "code 1" in done.stdout
    host.ok("snap list microk8s")
    host.ok("sudo snap remove microk8s")


# the node ---------------------------------------------------------------------------------------------------------


def test_what_snap_says_of_it(node):
    assert re.search(r"^microk8s +v1\.20\.2 +\d+ +1\.20/stable +\S+ +classic$", node.ok("snap list"), re.M)
    assert "is already installed, see 'snap help refresh'" in node(INSTALL).stderr and node(INSTALL).returncode == 0
    info = node.ok("snap info microk8s")
    assert "tracking:     1.20/stable" in info and "microk8s.daemon-apiserver: simple, enabled, active" in info
    assert node.ok("sudo snap alias microk8s.kubectl kubectl") == "Added:\n  - microk8s.kubectl as kubectl"
    assert node.ok("sudo snap alias microk8s.kubectl kubectl") == ""
    assert "v1.20.2" in node.ok("kubectl version --short")
    assert node.ok("sudo snap unalias kubectl") == "Removed:\n  - microk8s.kubectl as kubectl"
    assert node("kubectl version").returncode == 127


def test_paths_ports_and_units(node):
    node.ok(
        "sudo test -f /var/snap/microk8s/current/credentials/client.config "
        "-a -f /var/snap/microk8s/current/credentials/known_tokens.csv "
        "-a -d /var/snap/microk8s/common/run -a -x /snap/bin/microk8s.kubectl"
    )
    assert (
        node.ok("sudo stat -c '%a %U:%G' /var/snap/microk8s/current/credentials/client.config") == "660 root:microk8s"
    )
    arguments = node.ok("pgrep -af bin/kube")
    assert (
        "--secure-port=16443" in arguments
        and "--service-cluster-ip-range=10.152.183.0/24" in arguments
        and "--cluster-cidr=10.1.0.0/16" in arguments
    )
    for daemon in [
        "apiserver",
        "controller-manager",
        "scheduler",
        "kubelet",
        "proxy",
        "containerd",
        "etcd",
        "apiserver-kicker",
    ]:
        assert node.ok(f"systemctl is-active snap.microk8s.daemon-{daemon}") == "active"


def test_its_programs_bring_their_libraries(node):
    """A host may be older than what they were built on, as Debian 11 is. The real ones are built on core18."""
    programs = "bin/{etcd,containerd,containerd-shim-runc-v2,ctr,runc,conntrack} sbin/ifconfig opt/cni/bin/*"
    each = f"for f in {programs}; do LD_TRACE_LOADED_OBJECTS=1 ./$f; done"
    loaded = re.findall(r"(?:^|=>)\s+(/\S+)", node.ok(f"cd /snap/microk8s/current; {each}"), re.M)
    assert len(loaded) >= 24, "the loader and the C library of each"
    assert {path for path in loaded if not path.startswith("/snap/microk8s/")} == set()


def test_only_the_group_may_use_it(node):
    done = node("sudo useradd -m stranger; sudo -u stranger /snap/bin/microk8s status")
    assert (
        done.returncode == 1
        and "Insufficient permissions to access MicroK8s." in done.stderr
        and "sudo usermod -a -G microk8s stranger" in done.stderr
    )
    done = node("sudo -u stranger /snap/bin/microk8s kubectl get node")
    assert done.returncode == 1 and "Insufficient permissions" in done.stderr


def test_status_says_when_it_is_not_ready_and_exits_0(node):
    node.ok("sudo systemctl stop snap.microk8s.daemon-apiserver")
    try:
        done = node("microk8s status --wait-ready --timeout 2 --format yaml")
        assert done.returncode == 0 and "running: False" in done.stdout and "addons" not in done.stdout
    finally:
        node.ok("sudo systemctl start snap.microk8s.daemon-apiserver")
        node.ok("microk8s status --wait-ready --timeout 110")
    node.ok("microk8s stop")
    done = node("microk8s status")
    assert (done.returncode, done.stdout) == (0, "microk8s is not running, try microk8s start\n")
    assert node("microk8s kubectl get node").returncode == 1
    node.ok("microk8s start")
    assert "  running: True\n" in node.ok("microk8s status --wait-ready --timeout 110 --format yaml")


def test_config_works_from_outside(node):
    text = node.ok("microk8s config")
    assert f"server: https://{node.box.address}:16443" in text and "server: https://127.0.0.1:16443" in node.ok(
        "microk8s config -l"
    )
    authority = base64.b64decode(re.search("certificate-authority-data: (.*)", text)[1]).decode()
    token = re.search("token: (.*)", text)[1]
    request = urllib.request.Request(
        f"https://{node.box.address}:16443/api/v1/nodes", headers={"Authorization": "Bearer " + token}
    )
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cadata=authority)),
    )
    nodes = json.load(opener.open(request, timeout=10))["items"]
    assert [n["status"]["nodeInfo"]["kubeletVersion"] for n in nodes] == ["v1.20.2-34+00000000000000"]


def test_a_new_name_in_the_certificate_template_is_served_soon(node):
    node.ok(
        "sudo sed -i 's/^#MOREIPS/DNS.6 = mlops.example\\n#MOREIPS/' /var/snap/microk8s/current/certs/csr.conf.template"
    )
    node.until(
        "openssl s_client -connect 127.0.0.1:16443 < /dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName",
        "mlops.example",
        120,
    )
    node.ok("microk8s status --wait-ready --timeout 110")


def test_add_node_prints_how_to_join(node):
    assert re.search(
        rf"^microk8s join {re.escape(node.box.address)}:25000/[0-9a-f]{{32}}$", node.ok("microk8s add-node"), re.M
    )


# add-ons ----------------------------------------------------------------------------------------------------------


def test_addons_show_as_enabled_and_stay_as_they_were_made(addons):
    status = addons.ok("microk8s status --format short")
    assert {"dns: enabled", "storage: enabled", "metallb: enabled", "gpu: disabled"} <= set(status.splitlines())
    assert addons.ok("microk8s status -a dns") == "enabled" and addons.ok("microk8s status -a istio") == "disabled"
    # A changed range is not applied, in either way of asking.
    assert addons.ok("microk8s enable metallb:10.9.8.1-10.9.8.7") == "Addon metallb is already enabled."
    assert "MetalLB already enabled." in addons.ok("microk8s enable storage metallb:10.9.8.1-10.9.8.7")
    assert addons.pool in addons.ok("microk8s kubectl get cm config -n metallb-system -o jsonpath='{.data.config}'")
    # A script that fails does not show in the exit code; an unknown name does.
    done = addons("microk8s enable gpu")
    assert done.returncode == 0 and "Aborting: NVIDIA kernel module not loaded." in done.stdout
    done = addons("microk8s enable no-such-addon")
    assert done.returncode == 1 and "Nothing to do for `no-such-addon`." in done.stderr


def test_a_claim_binds_without_a_pod_and_its_data_outlives_pods(addons):
    addons.ok(
        "microk8s kubectl apply -f -",
        """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Mi}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: old, annotations: {volume.beta.kubernetes.io/storage-class: microk8s-hostpath}}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Mi}}}
""",
    )
    addons.until("microk8s kubectl get pvc data -o jsonpath='{.status.phase}'", "Bound")
    addons.until("microk8s kubectl get pvc old -o jsonpath='{.status.phase}'", "Bound")
    addons.ok("microk8s kubectl delete pvc old")
    pod = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: web
          image: busybox:1.35.0
          command: [sh, -c, "[ -s /data/index.html ] || echo kept > /data/index.html; exec httpd -f -p 8080 -h /data"]
          volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: data, persistentVolumeClaim: {claimName: data}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: LoadBalancer, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
"""
    addons.ok("microk8s kubectl apply -f -", pod)
    addons.ok("microk8s kubectl wait --for=condition=available deploy/web --timeout=240s")
    folder = addons.ok("ls /var/snap/microk8s/common/default-storage")
    assert folder.startswith("default-data-pvc-")
    addons.ok(f"echo changed | sudo tee /var/snap/microk8s/common/default-storage/{folder}/index.html")
    addons.ok("microk8s kubectl delete pod -l app=web")
    addons.ok("microk8s kubectl wait --for=condition=available deploy/web --timeout=240s")
    addons.until("microk8s kubectl exec deploy/web -- wget -qO- http://127.0.0.1:8080", "changed")


def answers(host, seconds=120):
    """What the Service's address answers on this machine."""
    url = f"http://{host.pool}"
    return until("an answer", lambda: [httpx.get(url, timeout=5, trust_env=False).text], timeout=seconds)[0]


def test_names_services_and_an_address_from_the_pool(addons):
    addons.until(
        "microk8s kubectl exec deploy/web -- nslookup web.default.svc.cluster.local", "Address: 10.152.183.", 120
    )
    assert (
        addons.ok("microk8s kubectl exec deploy/web -- timeout 5 wget -qO- http://web") == "changed"
    )  # its own Service: a hairpin
    assert addons.pool in addons.ok("microk8s kubectl get svc web -o jsonpath='{.status.loadBalancer.ingress[0].ip}'")
    assert answers(addons) == "changed\n"


def test_enabled_is_only_a_word_in_a_list(addons):
    addons.ok("microk8s kubectl scale deploy/coredns -n kube-system --replicas=0")
    try:
        addons.until("microk8s status -a dns", "disabled")
    finally:
        addons.ok("microk8s kubectl scale deploy/coredns -n kube-system --replicas=1")
    addons.ok("microk8s kubectl set image deploy/coredns -n kube-system coredns=coredns/coredns:no-such-tag")
    assert addons.ok("microk8s status -a dns") == "enabled"
    addons.ok("microk8s kubectl rollout undo deploy/coredns -n kube-system")


def test_an_image_that_nobody_has_is_named_soon(addons):
    addons.ok("microk8s kubectl run missing --image=no-such/image:1 --restart=Never")
    addons.until("microk8s kubectl get pod missing", "ImagePull", 120)  # ErrImagePull and ImagePullBackOff by turns
    addons.ok("microk8s kubectl delete pod missing --force --grace-period=0")


def test_dashboard_and_metrics(addons):
    assert "dashboard" in addons.ok("microk8s enable dashboard")
    addons.ok("microk8s kubectl wait --for=condition=available deploy --all -n kube-system --timeout=240s")
    page = addons.ok(
        "microk8s kubectl get --raw /api/v1/namespaces/kube-system/services/https:kubernetes-dashboard:/proxy/"
    )
    assert "<title>Kubernetes Dashboard</title>" in page and "stand-in" in page
    addons.until(
        "microk8s kubectl top node",
        "CPU(cores)",
        180,
        "microk8s kubectl get apiservice v1beta1.metrics.k8s.io -o jsonpath='{.status}'; "
        "microk8s kubectl logs -n kube-system deploy/metrics-server --tail=15",
    )


def test_host_access_gives_pods_an_address_of_the_host(addons):
    addons.ok("microk8s enable host-access:ip=192.0.2.7")
    assert addons("microk8s kubectl exec deploy/web -- nc -w 3 192.0.2.7 22").stdout.startswith("SSH-")


def test_the_registry_takes_an_image_and_pods_get_it(addons):
    assert "higher or equal to 20Gi" in addons.ok("microk8s enable registry:size=5Gi")
    assert not addons("microk8s kubectl get ns container-registry").stdout
    assert "The registry is enabled" in addons.ok("microk8s enable registry:size=21Gi")
    addons.ok("microk8s kubectl wait --for=condition=available deploy/registry -n container-registry --timeout=240s")
    assert (
        addons.ok(
            "microk8s kubectl get pvc registry-claim -n container-registry -o jsonpath='{.status.capacity.storage}'"
        )
        == "21Gi"
    )
    addons.until("curl -si http://localhost:32000/v2/", "Docker-Distribution-Api-Version: registry/2.0")
    addons.ok("microk8s kubectl run once --image=busybox:1.35.0 --restart=Never -- true")  # the node has the image then
    addons.until("microk8s kubectl get pod once -o jsonpath='{.status.phase}'", "Succeeded")
    addons.ok(
        "microk8s ctr images tag docker.io/library/busybox:1.35.0 localhost:32000/box:1 && "
        "microk8s ctr images push --plain-http localhost:32000/box:1 && "
        "microk8s ctr images rm localhost:32000/box:1"
    )
    addons.ok(
        "microk8s kubectl run box --image=localhost:32000/box:1 --image-pull-policy=Always --restart=Never -- true"
    )
    addons.until(
        "microk8s kubectl get pod box -o jsonpath='{.status.phase}'",
        "Succeeded",
        120,
        "microk8s kubectl describe pod box",
    )
    addons.ok("microk8s kubectl delete pod box once; microk8s disable registry")
    assert "hostpath" not in addons.ok("microk8s kubectl get pv | grep registry-claim || true")


def test_everything_is_back_after_a_reboot(addons):
    addons.box.reboot()
    addons.ok("microk8s status --wait-ready --timeout 110")
    assert answers(addons) == "changed\n"
    addons.until(
        "microk8s kubectl exec deploy/web -- nslookup kubernetes.default.svc.cluster.local",
        "Address: 10.152.183.1",
        120,
    )
    assert "lo:microk8s" in addons.ok("ip addr show lo")


# removal, by chapter 03 -------------------------------------------------------------------------------------------


@pytest.fixture
def chapter03(host, monkeypatch):
    """chapter03(what): the step of the snap does its `undo` on the host, or asks whether it is `absent`."""
    cluster = microk8s.MicroK8s(stand_in.chapter(monkeypatch, "kubernetes", lambda script, _: "ubuntu\n"))
    action = cluster.snap("1.20/stable")
    as_root = 'script=$(cat); export PATH=$PATH:/usr/sbin:/sbin:/snap/bin; sudo bash -euo pipefail -c "$script"'
    monkeypatch.undo()
    return lambda what: host(as_root, getattr(action, what))


#: whatever of a cluster still does something on a host: empty chains of rules, groups and logs stay until the next boot
LEFT = """
ls /snap /snap/bin /var/snap /run/netns /run/containerd /var/lib/cni /etc/systemd/system 2> /dev/null |
  grep -i -e microk8s -e kube -e cni- -e '^s$'
ls -d /var/lib/cni /var/lib/kubelet 2> /dev/null
systemctl list-units --all --no-legend 'snap.*'
grep -e microk8s -e cni- /proc/self/mountinfo
sudo iptables-save | grep -e '-j KUBE-[ESNP]' -e '-j CNI' -e MicroK8s
ip -o link | grep -e veth -e cni
for group in $(find /sys/fs/cgroup -maxdepth 3 -type d -name kubepods); do
  find $group -name cgroup.procs -exec cat {} +
done
pgrep -a 'kube|etcd|containerd|pause|coredns'
true"""


def test_remove_leaves_nothing(addons, chapter03):
    assert "KUBE-SVC-" in addons.ok("sudo iptables-save") and "/pause" in addons.ok("pgrep -a pause")
    addons.ok("microk8s disable host-access")  # chapter 04 does, before
    said = chapter03("absent")
    assert said.returncode == 1
    said = chapter03("undo")
    assert (said.returncode, said.all) == (0, "microk8s removed\n")
    assert chapter03("absent").all == "" and addons.ok(LEFT) == ""


def test_the_kicker_waits_while_new_authorities_are_made(tmp_path):
    """It found csr.conf away, restarted what `refresh-certs` was about to stop, and that ended with `Job canceled`."""
    for name in ("certs/ca.crt", "certs/csr.conf", "credentials/client.config", "var/lock/ha-cluster", "var/log/old"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    made = 'touch "$SNAP_DATA/certs/ca.crt"; flock -n "$SNAP_DATA/certs" echo kicked; return 10'
    script = f'. "$SNAP/lib.sh"; produce_certs() {{ {made}; }}; secured() {{ :; }}; refreshed; echo code $?'
    env = dict(os.environ, SNAP=str(SNAP.parents[3] / "snap"), SNAP_DATA=str(tmp_path))
    said = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True).stdout
    assert "kicked" not in said and said.endswith("code 0\n")


def test_remove_that_was_cut_off_is_finished_where_its_snap_is_gone(host, chapter03):
    """Shims end with the real one's containerd: then nothing but its root tells whose a container is."""
    host.ok(INSTALLED, timeout=300)
    host.ok("sudo microk8s kubectl run lives --image=busybox:1.35.0 -- sleep 86399")
    host.ok("sudo microk8s kubectl wait --for=condition=ready pod/lives --timeout=240s")
    host.ok("sudo snap remove --purge microk8s; sudo pkill -KILL -x containerd-shim")
    said = chapter03("absent")
    assert said.returncode == 1 and "MicroK8s' pods still run: pause sleep" in said.all
    assert chapter03("undo").returncode == 0
    assert chapter03("absent").all == "" and "sleep 86399" not in host("pgrep -ax sleep").all
    assert host.ok("ls -d /run/netns/cni-* /var/lib/cni /var/lib/kubelet 2> /dev/null || true") == ""


def test_remove_leaves_another_kubernetes_what_it_has(host, chapter03):
    """A stand-in of one: a kubelet, a pod's process in a group of the same name, rules, and libcni's folder."""
    host.ok(INSTALLED, timeout=300)
    host.ok("sudo microk8s kubectl run lives --image=busybox:1.35.0 -- sleep 86399")
    host.ok("sudo microk8s kubectl wait --for=condition=ready pod/lives --timeout=240s")
    host.ok("""
sudo systemctl stop snap.microk8s.daemon-kubelet # it kills what is in a group of no pod of its own
cp /bin/sleep /tmp/kubelet
sudo systemd-run -q --unit=another-kubelet /tmp/kubelet 4444
sudo systemd-run -q --unit=another-pod sleep 5555
sleep .5
pid=$(systemctl show -p MainPID --value another-pod)
for group in /sys/fs/cgroup/{pids,systemd,unified,memory,.}; do
  [ -e $group/cgroup.procs ] || continue
  group=$group/kubepods/besteffort/pod01234567-89ab-cdef-0123-456789abcdef
  sudo mkdir -p $group && echo $pid | sudo tee $group/cgroup.procs > /dev/null || true
done
grep -q :/kubepods/ /proc/$pid/cgroup""")
    try:
        said = chapter03("undo")
        assert said.returncode == 0 and "left: iptables' KUBE-*" in said.all and "left: /run/netns/cni-*" in said.all
        running = host.ok("pgrep -ax 'sleep|kubelet'")
        assert "4444" in running and "5555" in running and "86399" not in running
        assert "KUBE-SERVICES" in host.ok("sudo iptables-save") and host.ok("sudo ls /var/lib/cni")
        assert chapter03("absent").all == ""
    finally:
        host.ok("sudo systemctl stop another-kubelet another-pod")
    said = chapter03("absent")
    assert said.returncode == 1 and "still there: /run/netns/cni-" in said.all and "k8s-pod-network" in said.all
    assert chapter03("undo").returncode == 0 and chapter03("absent").all == ""
