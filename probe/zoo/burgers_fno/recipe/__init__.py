"""How the network and the files beside it were made: `python -m probe.zoo.burgers_fno.recipe` does it all again."""
