"""Every figure of the probes of latent variables, held to what every figure is held to."""

from __future__ import annotations

import pytest

from probe.description import Representation
from probe.interface import run
from probe.zoo.latent_defects import Collapsed
from probe.zoo.oracles import Bottleneck
from tests.models import CUBE, LINE, SQUARE
from tests.representation.models import bottleneck
from tests.representation.test_traversal import swing
from tests.test_panels import (  # noqa: F401
    test_a_verdict_is_reached_in_every_dimension,
    test_every_panel_says_how_to_read_it_and_what_the_numbers_are,
    test_no_panel_is_empty_and_every_axis_is_labelled,
    test_what_is_stored_carries_its_unit,
)


def _collapsed(encoder, decoder):
    return Bottleneck(Collapsed(encoder), decoder)


MODELS = {
    "vectors, 3D": lambda: bottleneck(CUBE, "vector"),
    "2D": lambda: bottleneck(SQUARE),
    "1D": lambda: bottleneck(LINE),
    "collapsed": lambda: bottleneck(LINE, change=_collapsed),
    "curves of numbers": swing,
    "numbers": lambda: swing(conditioning={"t": {"default": 2.0}}),
    "layer": lambda: bottleneck(SQUARE, representation=Representation(layer="decoder")),
    "alone": lambda: bottleneck(LINE, representation=Representation("encoder", ("mean", "log_variance"), names=("a", "b", "c"))),
}


@pytest.fixture(scope="module", params=MODELS)
def results(request):
    asked = run(["latents", "traversal"], MODELS[request.param](), controls="none", settings={"traversal": {"points": 3}})
    assert not any(result.failure for result in asked.values())
    return list(asked.values())
