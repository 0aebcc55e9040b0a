"""What is raised when the trouble is in what was given, not in the program."""


class InputError(Exception):
    """Bad input, told in one sentence: what was found, what was expected, what to do."""
