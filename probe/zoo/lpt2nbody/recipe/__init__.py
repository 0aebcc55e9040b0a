"""How the network and the files beside it were made: `python -m probe.zoo.lpt2nbody.recipe WORK_FOLDER` does it all again."""
