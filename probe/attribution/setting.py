"""Which methods there are, and how their maps are made."""

from __future__ import annotations

from dataclasses import dataclass

SLOPES = ("gradient", "smoothgrad")
REMOVALS = ("occlusion", "feature_ablation")
METHODS = ("integrated_gradients", "gradient", "input_x_gradient", "smoothgrad", "gradient_shap", "deep_lift", *REMOVALS)
COMPLETE = ("integrated_gradients", "deep_lift")  # whose sum is f(x) - f(x0), not in the mean alone
AT_ONCE = 2**23  # numbers in the points held at once, unless a single one has more

_NAMES = {
    "integrated_gradients": "integrated gradients",
    "input_x_gradient": "input x gradient",
    "gradient_shap": "GradientSHAP",
    "smoothgrad": "SmoothGrad",
    "deep_lift": "DeepLift",
    "feature_ablation": "feature ablation",
}


@dataclass(frozen=True)
class Setting:
    """How the maps are made.

    Attributes
    ----------
    steps : int
        Nodes of the first quadrature of integrated gradients; doubled until complete.
    tolerance : float
        Of completeness, relative to |f(x) - f(x0)|, or to `size` where that is larger.
    size : float
        What a difference of the scalar typically is, in its unit.
    draws : int
        Of SmoothGrad and GradientSHAP.
    noise : float
        Of SmoothGrad, over each channel's scatter.
    window : int
        Cells along each axis that occlusion and ablation set to the baseline at once.
    doublings : int
        How often the nodes are doubled at most.
    """

    steps: int = 8
    tolerance: float = 0.01
    size: float = 0.0
    draws: int = 8
    noise: float = 0.1
    window: int = 4
    doublings: int = 3


def method_name(method: object) -> str:
    """A method as a reader knows it: 'integrated gradients'."""
    return _NAMES.get(str(method), str(method))
