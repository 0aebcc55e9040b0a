"""One thread: on small grids threads only wait for one another."""

import torch

torch.set_num_threads(1)
