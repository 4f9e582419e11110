"""The operator's webhook and its certificate, as kubectl and openssl tell of them."""

import base64

import pytest

from helpers.components.seldon.operator import why_no_days
from helpers.components.seldon.proofs import Proofs
from helpers.core.errors import Unmet
from tests.certificates import self_signed

REFUSED = (
    'Error from server: error when creating STDIN: admission webhook "v1.vseldondeployment.kb.io" '
    "denied the request: ... Can't find container for Predictive Unit"
)


@pytest.mark.parametrize(
    "answer, words",
    [
        (REFUSED, None),
        ("Error from server (InternalError): failed calling webhook: connection refused", "connection refused"),
        ({}, "no webhook looks at it"),
    ],
)
def test_the_webhook_answers_when_it_refuses_in_its_own_words(made, answer, words):
    why = made({"apply --dry-run=server": answer}).why_webhook_silent()
    assert why is None if words is None else words in why


@pytest.mark.parametrize("answer, words", [(REFUSED, None), ({}, "no webhook looks at it")])
def test_a_webhook_that_cannot_be_asked_for_a_trial_is_asked_for_real(made, answer, words):
    dry = 'admission webhook "v1.vseldondeployment.kb.io" does not support dry run'
    why = made({"apply --dry-run=server": dry, "create": answer, "delete": {}}).why_webhook_silent()
    assert why is None if words is None else words in why


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """{days: a certificate that ends then, as the chart's Secret has it}."""
    folder, found = tmp_path_factory.mktemp("certificates"), {}
    for days in (365, 5):
        found[days] = base64.b64encode(self_signed(folder, days=days)[0].read_bytes()).decode()
    return found


def test_a_certificate_is_told_in_time(made, certificates):
    def seldon(ca, own):
        return made({"get secret": {"data": {"ca.crt": certificates[ca], "tls.crt": certificates[own]}}})

    assert seldon(365, 5).operator.certificate()[0] == "tls.crt"
    assert seldon(5, 365).operator.certificate()[0] == "ca.crt", "the first that ends counts"
    assert Proofs(seldon(365, 365)).certificate_is_good(30).startswith("until 2")
    assert Proofs(seldon(365, 5)).certificate_is_good(3)
    with pytest.raises(Unmet) as e:
        Proofs(seldon(365, 5)).certificate_is_good(30)
    assert "(tls.crt) ends soon, on 2" in e.value.saw and e.value.entry == "seldon-cert"


def test_a_certificate_of_one_year_has_days_to_ask_for():
    assert why_no_days(1) is None and why_no_days(364) is None
    assert "one year" in why_no_days(365) and "it is 0" in why_no_days(0)


# -- the definition, by the metadata that helm 3.5.4 and `kubectl apply` leave ---------------------


@pytest.mark.parametrize(
    "annotations, says",
    [
        ({"meta.helm.sh/release-name": "seldon-core", "meta.helm.sh/release-namespace": "seldon-system"}, None),
        (
            {"meta.helm.sh/release-name": "seldon", "meta.helm.sh/release-namespace": "ml"},
            "of Helm's release seldon in ml",
        ),
        ({"kubectl.kubernetes.io/last-applied-configuration": "{}"}, "not made by Helm"),
        (None, "not made by Helm"),
    ],
)
def test_a_definition_of_another_tool_is_told(made, annotations, says):
    crd = {"metadata": {"name": "x"}}
    if annotations is not None:
        crd["metadata"]["annotations"] = annotations
    said = made({"get crd": crd}).operator.why_anothers()
    assert said is None if says is None else says in said
    assert made({"get crd": {}}).operator.why_anothers() is None
