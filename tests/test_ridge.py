"""Samples predicted from the others: against scikit-learn's ridge regression, and where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from probe.ridge import PENALTIES, held_out


def test_every_prediction_is_that_of_scikit_learn_on_the_other_samples():
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import LeaveOneOut, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    draw = np.random.default_rng(0)
    for count, width in ((12, 3), (9, 20)):
        features = draw.normal(size=(count, width)) * np.logspace(-3, 3, width) + 5.0
        target = features @ draw.normal(size=width) + draw.normal(size=count)
        theirs = make_pipeline(StandardScaler(), RidgeCV((count - 1) * PENALTIES))
        expected = cross_val_predict(theirs, features, target, cv=LeaveOneOut())
        # Where features are more than samples theirs goes through X X^T, which squares 1 / the least penalty: 1e-16 x 1e6 x 1e3.
        np.testing.assert_allclose(held_out(features, target), expected, rtol=0, atol=1e-7 * np.abs(target).max())


def test_what_is_linear_in_the_features_is_predicted_to_the_least_penalty():
    features = np.random.default_rng(1).normal(size=(20, 4))
    target = 3.0 + features @ [1.0, -2.0, 0.5, 0.0]
    # A penalty of 10^-6 of the samples takes about 10^-6 off each coefficient.
    np.testing.assert_allclose(held_out(features, target), target, rtol=0, atol=1e-4)


def test_what_has_nothing_to_do_with_the_features_is_predicted_by_about_its_mean():
    draw = np.random.default_rng(2)
    features, target = draw.normal(size=(60, 10)), draw.normal(size=60)
    error = np.mean((held_out(features, target) - target) ** 2) / target.var()
    assert 0.9 < error < 1.3


def test_a_feature_that_never_changes_says_nothing():
    features = np.random.default_rng(3).normal(size=(10, 2))
    beside = np.concatenate([features, np.full((10, 1), 7.0)], 1)
    np.testing.assert_allclose(held_out(beside, features[:, 0]), held_out(features, features[:, 0]), rtol=1e-12)
    assert held_out(np.ones((10, 2)), np.arange(10.0)) == pytest.approx([(45 - i) / 9 for i in range(10)])
