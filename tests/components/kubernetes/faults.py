"""What the story breaks of Kubernetes, and of the operator's way to it."""


def point_elsewhere(story, host):
    text = story.kubeconfig.read_text()
    story.kubeconfig.write_text(text.replace(f"https://{host.address}:16443", "https://192.0.2.7:16443"))


#: a tag on the node that leads elsewhere, as it does when the origin serves another image by it
OTHER_IMAGE = "microk8s ctr images tag --force k8s.gcr.io/pause:3.1 docker.io/library/busybox:1.35.0"

FAULTS = {
    "cluster": [
        (point_elsewhere, "points to https://192.0.2.7:16443"),
        (OTHER_IMAGE, "docker.io/library/busybox:1.35.0 on the node is another image than the origin serves"),
    ],
    "below": [("systemctl stop snap.microk8s.daemon-kubelet", "snap.microk8s.daemon-kubelet is inactive")],
}
