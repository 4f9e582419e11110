"""`./runbook artifacts`: the list for whoever brings an installation to a place without the internet."""

from click.testing import CliRunner

from helpers.command.artifacts import pieces
from helpers.command.main import main
from helpers.core import catalogue, notebooks


def test_it_names_every_image_file_chart_and_snap_of_all_chapters(own_home):
    everything = list(pieces(list(catalogue.load())))
    where = {piece.where for piece in everything}
    assert {
        "docker.io/calico/node:v3.13.2",
        "gcr.io/knative-releases/knative.dev/eventing/cmd/webhook:v0.13.0",
        "https://github.com/istio/istio/releases/download/1.5.1/istio-1.5.1-linux.tar.gz",
        "https://get.helm.sh/helm-v3.5.4-darwin-amd64.tar.gz",
        "https://storage.googleapis.com/seldon-charts/seldon-core-operator-1.7.0.tgz",
        "docker.io/seldonio/seldon-core-executor:1.7.0",
        "core --channel=stable",
        "postgresql",
    } <= where
    assert "https://get.helm.sh/helm-v3.5.4-darwin-arm64.tar.gz" not in where
    assert len(everything) == len(where), "each once"
    assert all(len(p.sha256) == 64 for p in everything if p.artifact == "helm")
    of_chapters = [name for n in notebooks.load_all().values() for name in n.artifacts]
    assert {p.artifact for p in pieces(of_chapters)} == set(catalogue.load()), "a chapter's list is what it pulls"


def test_what_the_bundle_has_is_marked_in_any_spelling(own_home, tmp_path, monkeypatch):
    monkeypatch.setenv("RUNBOOK_BUNDLE", str(tmp_path))
    chart = tmp_path / "storage.googleapis.com/seldon-charts/seldon-core-operator-1.7.0.tgz"
    for path in (chart, tmp_path / "images/operator.tar"):
        path.parent.mkdir(parents=True)
        path.write_text("real")
    (tmp_path / "images.txt").write_text("operator.tar index.docker.io/seldonio/seldon-core-operator:1.7.0\n")
    said = CliRunner().invoke(main, ["artifacts", "seldon"], catch_exceptions=False).output.splitlines()
    marked = [line.split()[1] for line in said if line.endswith("+")]
    assert marked == ["seldon-core", "seldon-operator"]
