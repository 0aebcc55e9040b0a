"""Which methods there are, and how their maps are made."""

from __future__ import annotations

from dataclasses import dataclass

SLOPES = ("gradient", "smoothgrad")
MEAN_SLOPES = ("input_x_gradient", "integrated_gradients", "gradient_shap", "deep_lift")
REMOVALS = ("occlusion", "feature_ablation")
METHODS = ("integrated_gradients", "gradient", "input_x_gradient", "smoothgrad", "gradient_shap", "deep_lift", *REMOVALS)
COMPLETE = ("integrated_gradients", "deep_lift")  # whose sum is f(x) - f(x0), not in the mean alone
DOUBLINGS = 3
AT_ONCE = 2**23  # numbers in the points held at once, unless a single one has more


@dataclass(frozen=True)
class Setting:
    """How the maps are made.

    Attributes
    ----------
    steps : int
        Nodes of the first quadrature of integrated gradients; doubled until complete, at most three times.
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
    """

    steps: int = 8
    tolerance: float = 0.01
    size: float = 0.0
    draws: int = 8
    noise: float = 0.1
    window: int = 4
