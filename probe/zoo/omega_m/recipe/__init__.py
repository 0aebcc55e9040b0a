"""How the network and the files beside it were made: `python -m probe.zoo.omega_m.recipe WORK_FOLDER` does it all again."""
