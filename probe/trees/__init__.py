"""Which features of a field around a point predict what stands at the point: gradient-boosted trees, and what of them they use.

Features are the density contrast in spheres, and ellipticity and prolateness of the tidal shear in them (`probe.spheres`).

Trees are grown on one simulation and asked about each of the others, all in turn, so that what is found holds beyond the field that
it was found on: no point is asked about whose neighbours, or whose box's long waves, the trees have seen. What is sampled are the
simulations (see `between_simulations`). Two importances are told (Lucie-Smith et al. 2018, sec. 5; Breiman 2001, Machine Learning
45, 5):

    impurity      the share of the fall of squared error, summed over all splits in training, that each feature brought;
    permutation   by how much the squared error on an unseen simulation grows, over the target's variance there, when the rows of a
                  group of features are exchanged among its points. Features that say nearly the same, such as neighbouring
                  scales, must be exchanged together: one alone is made up for by the next.

The first exists for scikit-learn's GradientBoostingRegressor and not for its histogram-based sister.
"""

from probe.trees import pictures as pictures
from probe.trees.features import Group as Group
from probe.trees.features import Sampling as Sampling
from probe.trees.features import groups as groups
from probe.trees.growing import FeatureTable as FeatureTable
from probe.trees.growing import Fold as Fold
from probe.trees.growing import apart as apart
from probe.trees.growing import between_simulations as between_simulations
from probe.trees.growing import compared as compared
from probe.trees.growing import measured as measured
from probe.trees.growing import profile as profile
