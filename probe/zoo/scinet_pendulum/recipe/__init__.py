"""How the network and the files beside it were made: `python -m probe.zoo.scinet_pendulum.recipe WORK_FOLDER` does it all again."""
