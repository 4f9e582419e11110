"""What the story breaks of Kubernetes, and of the operator's way to it."""


def point_elsewhere(story, host):
    text = story.kubeconfig.read_text()
    story.kubeconfig.write_text(text.replace(f"https://{host.address}:16443", "https://192.0.2.7:16443"))


FAULTS = {
    "cluster": [(point_elsewhere, "points to https://192.0.2.7:16443")],
    "below": [("systemctl stop snap.microk8s.daemon-kubelet", "snap.microk8s.daemon-kubelet is inactive")],
}
