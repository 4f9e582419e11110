"""Steps of chapter 09, as far as a host's words decide them."""

import re

import pytest
import yaml

from helpers.components.seldon.install import Install
from helpers.components.seldon.serving import SETUP_FOLDER
from helpers.core.errors import CommandFailed


def install(seldon):
    return Install(seldon, None, None)


def test_a_gateway_is_ours_when_it_selects_and_listens_as_written(made):
    ours = yaml.safe_load((SETUP_FOLDER / "gateway.yaml").read_text())
    get = "get gateways.networking.istio.io seldon-gateway -n istio-system"
    assert install(made({get: ours})).gateway().probe() is None
    ours["spec"]["selector"]["istio"] = "another"
    assert install(made({get: ours})).gateway().probe() == 'selector.istio is "another", not "ingressgateway"'
    missing = 'Error from server (NotFound): gateways.networking.istio.io "seldon-gateway" not found'
    assert install(made({get: missing})).gateway().probe() == missing


def test_no_line_that_is_shown_has_the_key_of_minio(made):
    action = install(made()).key()
    assert action.shown == [
        "kubectl create, or replace, -f -   (Secret models/minio: MinIO's address and key, on standard input)"
    ]
    assert action.undo.endswith("microk8s kubectl delete secret minio -n models --ignore-not-found")


def test_a_model_is_gone_when_nothing_of_it_is_left(made):
    gone = {"get crd": {}, "get deployment,service,pod": {}}
    assert install(made(gone)).model(1).absent() is None
    left = dict(gone, **{"get crd": {"a": 1}, "get seldondeployment": {"kind": "SeldonDeployment"}})
    assert install(made(left)).model(1).absent() == "the SeldonDeployment is there"


def test_a_cluster_that_does_not_answer_says_nothing_of_models(made):
    away = made({"get": "The connection to the server was refused"})
    with pytest.raises(CommandFailed, match="was refused"):
        install(away).model(1).absent()
    assert re.search("cannot tell whether others are served: .*was refused", away.why_others_are_served(), re.S)


@pytest.mark.parametrize(
    "kind, gateway, gone",
    [("", "", True), ("crd/gateways", "", True), ("crd/gateways", "gateway/seldon-gateway", False)],
)
def test_the_gateway_is_gone_when_the_cluster_says_so(made, bash, kind, gateway, gone):
    action = install(made()).gateway()
    answers = f'case "$*" in *"get crd"*) echo {kind} ;; *) [ -n "{kind}" ] && echo {gateway} ;; esac'
    assert (bash(action.absent, answers)[0] == 0) == gone
    assert bash(action.absent, "echo was refused >&2; exit 1")[0] != 0


def test_another_ones_model_is_told(made):
    assert made({"get crd": {"a": 1}, "get seldondeployments": {}}).why_others_are_served() is None
