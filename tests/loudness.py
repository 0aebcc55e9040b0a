"""A small probe of another package, as the tests of pytest's face ask it: one pass, an answer in closed form, every verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader as lazy

from probe import figures
from probe.contract import Check, Measured, Panel, Probe, Subject, judgement, measurement
from probe.intervals import Interval

if TYPE_CHECKING:
    from xarray import Dataset

torch = lazy.load("torch")
xr = lazy.load("xarray")


class Loudness(Probe):
    """Does the answer keep the size of the input?

    A field of Gaussian noise goes in; what comes out is compared with it in rms.
    """

    suite, version = "tests", 1
    checks = ("gain", "narrow_gain", "offset", "spectrum", "colour")
    controls = ("identity",)
    size = measurement(1.0, "rms of the input", low=1e-3)
    bound = judgement(0.1, "how far the gain may be from one", low=0.0)

    def measure(self, subject: Subject) -> Dataset:
        values = torch.randn(1, subject.description.channels_in, *subject.grid.shape, generator=subject.rng("noise"))
        given = (self.size * values / values.std()).to(subject.model.device, subject.model.physical_dtype)
        answer = subject.map(_ask, [given])[0]
        gain = float(answer.std() / given.std())
        return xr.Dataset({"gain": gain, "offset": float(answer.mean())}, attrs={"unit": "psi"})

    def judge(self, measured: Measured) -> list[Check]:
        gain = float(measured["model"].gain)
        allowed = (1 - self.bound, 1 + self.bound)
        told = f"The answer is {gain:.6g} times as loud as its input."
        return [
            Check.judged("gain", gain, allowed, told, bound_from="a convention of this test"),
            Check.judged(
                "narrow_gain", Interval(gain, gain - 1, gain + 1), allowed, "One field is too few.", bound_from="the same"
            ),
            Check.info("offset", float(measured["model"].offset), "Its mean is what it is.", unit="psi"),
            Check.not_applicable("spectrum", "noise has no spectrum to speak of"),
        ]

    def draw(self, measured: Measured) -> list[Panel]:
        picture, axes = figures.figure()
        axes[0, 0].bar(list(measured), [float(data.gain) for data in measured.values()])
        axes[0, 0].set(xlabel="subject", ylabel="gain")
        text = f"The gain is {float(measured['model'].gain):.3g}."
        return [Panel("Gain", [("gain", picture)], "Each bar is the gain of one subject; one is right.", text, ("gain",))]


def _ask(subject: Subject, given: torch.Tensor) -> torch.Tensor:
    from probe.fields import Field

    return subject.model(Field(given, subject.grid, subject.description.inputs)).values
