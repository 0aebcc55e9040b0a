"""Which features of a field around a point predict what stands at the point: gradient-boosted trees, and what of them they use.

Features are the density contrast in spheres, and ellipticity and prolateness of the tidal shear in them (`probe.spheres`).

Trees are grown on one simulation and asked about all others, each simulation in turn, so that what is found holds beyond the field
that it was found on. Two importances are told (Lucie-Smith et al. 2018, sec. 5; Breiman 2001, Machine Learning 45, 5):

    impurity      the share of the fall of squared error, summed over all splits in training, that each feature brought;
    permutation   by how much the squared error on the unseen simulations grows, over the target's variance there, when the rows of
                  a group of features are exchanged among themselves. Features that say nearly the same, such as neighbouring
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
from probe.trees.growing import measured as measured
from probe.trees.growing import profile as profile
