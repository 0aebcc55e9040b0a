"""A network that reads Omega_m and sigma_8 off a box of dark matter: weights, held-out boxes, recipe."""
