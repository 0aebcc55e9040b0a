"""How the network and the files beside it were made: `python -m probe.zoo.ive_halos.recipe WORK_FOLDER` does it all again."""
