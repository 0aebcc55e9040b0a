"""A description as the text of a file to be filled in: every key there is, what is known written, the rest commented out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from probe.description.guess import about
from probe.description.parts import AXES, Description
from probe.description.writing import as_toml
from probe.toml import toml_value

_COLUMN = 40  # where comments begin

_HEAD = """\
# How {name} is called, and what its channels mean. Written by `probe init`; `probe run` finds it beside the checkpoint.
#
# A key behind a # is for you to fill in: take the # away. A line marked "guessed" was taken from the weights: mend it or leave
# it, and delete its sentence from the list `guessed`. What still stands there stands in every report as confirmed by nobody.
# Units, lengths and laws are never guessed; without them the probes that need them are not applicable.
"""

# Of each section: its header, what it is for, and its keys, each with an example and what it says.
_Rows = tuple[tuple[str, str, str], ...]

_TOP: _Rows = (
    ("name", '"emulator"', "what reports call the model; by default the file's name"),
    ("factory", '"mynet:UNet"', "what builds the network: module:class or module:function"),
    ("factory_arguments", "{ width = 32 }", "what the factory is called with"),
    ("weights", '"ema"', "which set of weights, where the file holds several: a dotted path in it"),
    ("adapter", '"mynet:adapter"', "adapter(network, x, **parameters) -> y, where the table [call] does not suffice"),
)

_GRID: _Rows = (
    ("shape", "[32, 32, 32]", "points along each axis"),
    ("box", "128.0", "length of the sides in `unit`: one number, or a list of one an axis"),
    ("unit", '"Mpc/h"', "unit of length: figures show it, wavenumbers have its inverse"),
    ("boundary", '"periodic"', '"periodic", "zero", "reflect" or "none": what lies beyond the box'),
)

_QUANTITY: _Rows = (
    ("name", '"density"', "a name of your own"),
    ("kind", '"scalar"', '"scalar", "pseudoscalar", "vector", "pseudovector" (a channel an axis), "number" (no field)'),
    ("quantity", '"displacement"', '"displacement", "density", ...: which physical truths apply; none without it'),
    ("unit", '"Mpc/h"', "its unit"),
    ("rms", "1.0", "typical root mean square, per component, in that unit: the size of made inputs"),
    ("shift", "0.0", "the network sees (x - shift) / scale, and of its answer y means y * scale + shift"),
    ("scale", "1.0", "either may be a list of one number a channel"),
    ("growth", "{ redshift = 0.0, omega_m = 0.31 }", "scale is multiplied by the growth factor D; or names from [conditioning]"),
    ("transform", '"mynet:log"', "transform(x, **parameters) in the place of shift and scale"),
    ("redshift_space", "0.01", "of a velocity: 1/(aH), how far redshift space moves matter for one unit, in the box's unit"),
)

_CALL: _Rows = (
    (
        "inputs",
        '"channels"',
        '"channels" of one tensor; each quantity one of "arguments", "keywords", "list", "dict", "time"',
    ),
    ("channels", '"first"', '"first" or "last": where the network has its axis of channels'),
    ("parameters", '"keywords"', 'of [conditioning]: "keywords", "arguments", "vector" (batch, n), "channels", "none"'),
    ("output", "0", "which item of a tuple (its place) or dict (its name) is the answer"),
    ("residual", "true", "the network's answer is to be added to the first channels of its input"),
)

_TRUTH: _Rows = (
    ("law", '"gravity"', '"gravity", or "mynet:simulate": the right answer to any input, in physical units'),
    ("growth_ratio", "1.0", "D(out)/D(in)"),
    ("omega_m", "0.31", "Omega_m at the time of the output"),
    ("answers", '"answers.npz"', "the simulator's answers to made inputs, a file beside this one"),
)

_CONSTRAINTS: _Rows = (
    ("zero_mean", '["psi"]', "outputs, by name, whose mean over the box is zero"),
    ("conserved_mean", '["density"]', "outputs whose mean is that of the input of the same kind, quantity and unit"),
    ("conserved_mean", '["u"]', "outputs whose mean is that of the input of the same kind, quantity and unit"),
    ("positive", '["density"]', "outputs that are nowhere below zero"),
    ("divergence_free", '["velocity"]', "vectors among the outputs"),
    ("curl_free", '["psi"]', "vectors among the outputs"),
    ("residual", '"mynet:residual"', "residual(given, answer, **parameters): the terms of an equation, whose sum is to be zero"),
)

_CONDITIONING: _Rows = (
    ("Omega_m", "{ default = 0.31, bounds = [0.1, 0.5] }", "a number that the network is conditioned on, by its name"),
)

_REPRESENTATION: _Rows = (
    ("encoder", '"encoder"', "a submodule or method of the network, or mynet:encode(network, values, **parameters)"),
    (
        "gives",
        '["mean", "log_variance"]',
        "items or blocks of channels, in order; also std, log_std, variance; else the mean",
    ),
    ("decoder", '"mynet:decode"', "the same for (batch, latent); by default the network with that submodule's output replaced"),
    ("layer", '"coarse"', "without an encoder: a submodule, whose principal components are the latent variables"),
    ("components", "4", "how many of them are kept; by default those of 95 % of the variance, eight at most"),
    ("mean", '"latent_mean.npy"', "recorded: (sample, latent), a file beside this one, or mynet:mean, a function that gives it"),
    ("std", '"latent_std.npy"', "their standard deviations"),
    ("names", '["A", "B"]', "what they are called"),
    ("prior", '"normal"', '"normal": each was drawn towards N(0, 1) in training; or "none"'),
)

_DATA: _Rows = (
    ("path", '"heldout"', 'a folder or file beside this one; or "mynet:pairs", a function that gives (inputs, targets)'),
    ("input", '"za_*.npy"', 'which files are inputs; behind a colon which array in them: "run_*.h5:/fields/za"'),
    ("target", '"nbody_*.npy"', "the right answers, in the same order; either may be a list, one for each quantity or channel"),
    ("channels", '"first"', '"first" or "last": where the files have their axis of channels'),
    ("parameters", '"params.csv"', "a table in the folder, a row for each pair: the values of [conditioning] there"),
    ("quantities", '"measured.csv"', "the same for physical quantities beside the fields; or mynet:measured, a function"),
    ("categorical", '["type"]', "those whose whole numbers are names"),
    ("units", '{ mass = "Msun/h" }', "their units"),
    ("coordinates", '{ density = { name = "r", unit = "Mpc/h", values = [0.1, 0.2] } }', "what those that are curves run along"),
)


_COSMOLOGY: _Rows = (
    ("name", '"A_s x 0.2"', "what reports call it"),
    ("amplitude", "0.2", "A_s: power of its inputs over training's; without pairs they are the model's own times its root"),
    ("input", '"za_*.npy"', "which files are inputs there, from this file's folder"),
    ("target", '"0.2/nbody_*.npy"', "which are the right answers there, in the same order"),
    ("input_factor", "1.0", "what the stored inputs are multiplied with"),
    ("parameters", "{ Omega_m = 0.2 }", "values of [conditioning] there"),
    ("growth_ratio", "1.0", "D(out)/D(in) there; by default that of [truth]"),
    ("omega_m", "0.31", "Omega_m there; by default that of [truth]"),
)

_RIVAL: _Rows = (
    ("name", '"U-Net of 2019"', "what reports and --controls call it"),
    ("answers", '"unet_*.npy"', "files of its answers to the inputs of the pairs, in their order, from this file's folder"),
    ("model", '"other.pt"', "in the place of answers: a checkpoint of the same inputs and outputs; its description lies beside it"),
)


@dataclass(frozen=True)
class _Section:
    """A table of the file; one that is not `open` says something by being there, and is commented out as a whole."""

    header: str
    purpose: str
    rows: _Rows
    open: bool = True


def template(description: Description, name: str) -> str:
    """The text of a file that reads back as the description, with a comment at every key, and each guess marked as one.

    Parameters
    ----------
    name : str
        Of the checkpoint, for the comments.

    Raises
    ------
    InputError
        If an argument of the factory has no form in TOML.
    """
    said, guesses = _lines_said(as_toml(description)), _guesses(description)
    lines = [*_HEAD.format(name=toml_value(name)).splitlines(), "", "schema = 1", *_keys(_TOP, said.pop(("", 0)), "", guesses)]
    if description.guessed:
        lines += ["guessed = [", *(f"    {toml_value(guess)}," for guess in description.guessed), "]"]
    for section in _sections(description.grid.dimension):
        lines += _section(section, said, guesses)
    return "\n".join(lines) + "\n"


def _sections(dimension: int) -> Iterator[_Section]:
    axes = toml_value(AXES[:dimension])
    turns = '"full", "none", or the axes about which' if dimension == 3 else '"full" or "none"'
    symmetries: _Rows = (
        ("translation", axes, "along which axes every place is like every other"),
        ("rotation", '"full"', f"{turns}: whether every direction is like every other"),
        ("reflection", "true", "true, false, or a list of axes: whether the mirror image is as good"),
    )
    yield _Section("[grid]", "The grid of the network's inputs and answers.", _GRID)
    yield _Section("[[input]]", "One [[input]] for each quantity that goes in, in the order of the channels.", _QUANTITY)
    yield _Section("[[output]]", "One [[output]] for each quantity that comes out, in the order of the channels.", _QUANTITY)
    yield _Section("[call]", "How the network is called, where it is not given one tensor (batch, channel, *grid).", _CALL)
    yield _Section("[truth]", "Where right answers come from; without it, only symmetries are asked about.", _TRUTH)
    without = "Without it those of empty space are assumed, and verdicts say so."
    yield _Section("[symmetries]", f"Which symmetries hold; take the # of its header away too. {without}", symmetries, open=False)
    yield _Section("[constraints]", "What the answer keeps whatever the input.", _CONSTRAINTS)
    yield _Section("[conditioning]", "Numbers that the network takes beside its fields, each with a default.", _CONDITIONING)
    yield _Section("[representation]", "Where its latent variables are.", _REPRESENTATION)
    yield _Section("[data]", "Pairs of inputs and right answers that it was not trained on.", _DATA)
    elsewhere = "One [[cosmology]] for each universe (amplitude, viscosity, ...) that it was not trained on; take the # away too."
    yield _Section("[[cosmology]]", elsewhere, _COSMOLOGY, open=False)
    beside = "One [[rival]] for each other answer that the model's are laid beside; take the # away too."
    yield _Section("[[rival]]", beside, _RIVAL, open=False)


def _section(section: _Section, said: dict[tuple[str, int], dict[str, str]], guesses: dict[str, str]) -> Iterator[str]:
    """The lines of one section; of the second quantity on, only what is said."""
    place = section.header.strip("[]")
    tables = [lines for (header, _), lines in said.items() if header == section.header] or [{}]
    yield from ("", f"# {section.purpose}")
    for number, table in enumerate(tables):
        if number:
            yield ""
        header = section.header if section.open or table else f"# {section.header}"
        yield _marked(header, guesses.get(place, ""))
        rows = tuple(row for row in section.rows if row[0] in table) if number else section.rows
        yield from _keys(rows, table, place, guesses)


def _keys(rows: _Rows, said: dict[str, str], place: str, guesses: dict[str, str]) -> Iterator[str]:
    """One line a key: as it is said, else its example behind a #. What no row is about follows as it is."""
    for key, example, meaning in rows:
        line = said.get(key, f"# {key} = {example}")
        if guess := guesses.get(f"{place}.{key}".lstrip("."), ""):
            yield f"# {meaning}"
            yield _marked(line, guess)
        else:
            yield f"{line:<{_COLUMN - 2}}  # {meaning}"
    known = {key for key, _, _ in rows}
    yield from (line for key, line in said.items() if key not in known)


def _marked(line: str, guess: str) -> str:
    return f"{line:<{_COLUMN - 2}}  # guessed: {guess}" if guess else line


def _guesses(description: Description) -> dict[str, str]:
    """What was guessed about each key."""
    found: dict[str, list[str]] = {}
    for guess in description.guessed:
        found.setdefault(about(guess), []).append(guess)
    return {key: "; ".join(sentences) for key, sentences in found.items()}


def _lines_said(text: str) -> dict[tuple[str, int], dict[str, str]]:
    """The lines of a description by their key, for each section by its header and its number; a unit of cells is none."""
    header, here = "", dict[str, str]()
    said = {(header, 0): here}
    for line in text.splitlines():
        if line.startswith("["):
            header, here = line, {}
            said[header, len(said)] = here
        elif line and not line.startswith(("schema = ", "guessed = ")) and (header, line) != ("[grid]", 'unit = "cell"'):
            here[line.partition(" = ")[0]] = line
    return said
