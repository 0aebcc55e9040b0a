"""Mutual information from Gaussian mixtures: gmm-mi (Piras et al. 2023, MLST 4, 025006, arXiv:2211.00024), guarded.

gmm-mi fits a mixture to the joint density, with as many components as cross-validation asks for, and integrates; bootstrap gives
mean and error. Known of 0.8.2 and met here: it breaks with scikit-learn from 1.7 on; an estimator that was used once returns the
old answer, so each estimate makes its own; raw scales and heavy tails bias it (see `columns`); its categorical mode assumes classes
of equal size, so only its fits are used there. It is GPL-3 with a non-commercial condition, and no other module imports it.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import lazy_loader as lazy

from probe.information.columns import scores
from probe.information.estimate import UNKNOWN, Estimate

if TYPE_CHECKING:
    from numpy import ndarray

np = lazy.load("numpy")

_TOO_NEW = (1, 7)


@dataclass(frozen=True)
class Settings:
    """gmm-mi's own settings under its own names, and whether marginals are made Gaussian first."""

    gaussianised: bool = True
    threshold_fit: float = 1e-5
    reg_covar: float = 1e-15
    n_inits: int = 3
    n_folds: int = 2
    n_bootstrap: int = 50
    MC_samples: int = 100_000


def refusal() -> str:
    """An empty string, or why gmm-mi cannot be asked and what to do."""
    install = "install fieldprobe[mi]"
    try:
        version("gmm-mi")
    except PackageNotFoundError:
        return f"gmm-mi is not installed; {install}"
    found = version("scikit-learn")
    if tuple(int(part) for part in re.findall(r"\d+", found)[:2]) >= _TOO_NEW:
        return f"gmm-mi 0.8.2 breaks with scikit-learn {found}; {install}, which takes one below {_TOO_NEW[0]}.{_TOO_NEW[1]}"
    return ""


def estimated(x: ndarray, y: ndarray, categorical: bool = False, settings: Settings | None = None) -> Estimate:
    """MI of a number with a number or a class.

    Parameters
    ----------
    x : ndarray, (n,)
        As `columns.checked` gives it.
    y : ndarray, (n,)
        Numbers, or whole numbers from 0 with `categorical`.

    Returns
    -------
    Estimate
        Mean and standard deviation over bootstrap samples [nat], as gmm-mi states them; NaN where no mixture could be fitted.
    """
    settings = settings or Settings()
    if settings.gaussianised:
        x, y = scores(x), y if categorical else scores(y, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _of_classes(x, y, settings) if categorical else _of_numbers(x, y, settings)
        except (ValueError, np.linalg.LinAlgError):
            return UNKNOWN


def _fresh(settings: Settings) -> Any:
    """An estimator that was never used, without its bars of progress."""
    import gmm_mi.cross_validation
    import gmm_mi.mi
    from gmm_mi.param_holders import GMMFitParamHolder, SelectComponentsParamHolder

    gmm_mi.mi.tqdm = iter
    gmm_mi.cross_validation.initialize_parameters = _start
    return gmm_mi.mi.EstimateMI(
        gmm_fit_params=GMMFitParamHolder(threshold_fit=settings.threshold_fit, reg_covar=settings.reg_covar),
        select_components_params=SelectComponentsParamHolder(n_inits=settings.n_inits, n_folds=settings.n_folds),
    )


def _start(*given: Any, **named: Any) -> tuple[ndarray, ...]:
    """gmm-mi's start of a fit; of fewer than 32 samples its weights add up to 1 + 2e-16, which scikit-learn refuses."""
    from gmm_mi.initializations import initialize_parameters

    weights, *rest = initialize_parameters(*given, **named)
    return weights / weights.sum(), *rest


def _of_numbers(x: ndarray, y: ndarray, settings: Settings) -> Estimate:
    from gmm_mi.param_holders import MIDistParamHolder

    drawn, fitted = MIDistParamHolder(n_bootstrap=settings.n_bootstrap, MC_samples=settings.MC_samples), _fresh(settings)
    value, error = fitted.fit_estimate(np.stack([x, y], 1), mi_dist_params=drawn)
    return Estimate(float(value), float(error), int(fitted.best_components))


# I(z; c) = sum_c p_c KL(p(z|c) || p(z)), p(z) = sum_c p_c p(z|c), p_c the share of the samples that are of class c. All samples
# are drawn again together, so that the shares scatter as the sample does; each class starts from the mixture that
# cross-validation chose.
def _of_classes(x: ndarray, y: ndarray, settings: Settings) -> Estimate:
    from gmm_mi.single_fit import single_fit

    fitted = _fresh(settings)
    fitted.fit_categorical(x, y)
    found = []
    for number in range(settings.n_bootstrap):
        drawn = np.random.default_rng(number).integers(len(x), size=len(x))
        mixtures, shares = [], []
        for label, best in enumerate(fitted.category_best_params):
            own = x[drawn][y[drawn] == label]
            if len(own) <= best["bc"]:
                continue
            start = {"w_init": best["w"], "m_init": best["m"], "p_init": best["p"], "random_state": best["seed"]}
            tuned = {"reg_covar": settings.reg_covar, "threshold_fit": settings.threshold_fit}
            mixtures.append(single_fit(own[:, None], best["bc"], **start, **tuned))
            shares.append(len(own))
        found.append(of_mixtures(mixtures, np.array(shares) / sum(shares)))
    return Estimate(float(np.mean(found)), float(np.std(found, ddof=1)))


def of_mixtures(mixtures: list[Any], shares: ndarray) -> float:
    """MI of a number with a class from the densities p(z|c), Gaussian mixtures in one dimension, and the shares p_c [nat].

    The integral is a sum over places that lie close about every component.
    """
    means = np.concatenate([mixture.means_.ravel() for mixture in mixtures])
    widths = np.sqrt(np.concatenate([mixture.covariances_.ravel() for mixture in mixtures]))
    z = np.unique((means[:, None] + widths[:, None] * np.linspace(-8, 8, 641)).ravel())
    of_class = np.exp(np.stack([mixture.score_samples(z[:, None]) for mixture in mixtures]))
    together = shares @ of_class
    with np.errstate(divide="ignore", invalid="ignore"):
        integrand = np.where(of_class > 0, of_class * np.log(of_class / together), 0.0)
    return float(shares @ np.trapezoid(integrand, z))
