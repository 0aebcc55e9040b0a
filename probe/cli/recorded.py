"""What `probe inspect` says of latent variables that were recorded, where a description alone is the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from probe.data import Known
    from probe.loading.arguments import ModelArguments

_CLASSES = 8  # that a line names


def document(given: ModelArguments) -> dict[str, Any]:
    """What was recorded, and what can be asked of it, as plain values for JSON.

    Returns
    -------
    dict
        "samples", "latents", "quantities" and "probes" are None where code would have to be run that the user did not name.

    Raises
    ------
    InputError
        If the description is of a network, or what it names cannot be read.
    """
    from dataclasses import replace

    from probe.loading.load import description_of_recorded

    description = description_of_recorded(given.source, given.spec)
    where = description.representation
    told: dict[str, Any] = {
        "path": given.source,
        "name": description.name,
        "mean": where.mean,
        "std": where.std,
        "quantities_from": description.data.quantities,
        **dict.fromkeys(("samples", "latents", "quantities", "probes")),
        "missing": [],
    }
    if description.code and given.spec is None:
        allowed = replace(given, spec=given.source)
        lack = f"what is recorded is given by code ({', '.join(description.code)}), and inspect runs none that a file names"
        return told | {"missing": [f"{lack}: pass --spec {given.source}"], "next_command": allowed.command("inspect")}
    return told | _opened(given)


def _opened(given: ModelArguments) -> dict[str, Any]:
    from probe import latents
    from probe.cli.catalogue import reasons
    from probe.loading import load
    from probe.runner import make_pairs
    from probe.runner.subject import LocalSubject

    model = load(given.source, given.spec)
    subject = LocalSubject("model", model, make_pairs(model, None), "default", 0, "inspect")
    found, probes = latents.latents_of(subject), [name for name, reason in reasons(model).items() if not reason]
    return {
        "samples": len(found.mean),
        "latents": list(found.names),
        "quantities": [_quantity(one) for one in latents.known(subject)],
        "probes": probes,
        "next_command": given.command(" ".join(["run", *probes, "--model"])),
    }


def _quantity(one: Known) -> dict[str, Any]:
    along = one.coordinate
    numbers = None if one.categorical else [float(one.values.min()), float(one.values.max())]
    classes = sorted({str(value) for value in one.values.ravel().tolist()}) if one.categorical else None
    about = along and {"name": along.name, "unit": along.unit, "values": along.values.tolist()}
    return {"name": one.name, "unit": one.unit, "range": numbers, "classes": classes, "coordinate": about}


def lines(told: Mapping[str, Any]) -> Iterator[str]:
    """The same as text."""
    yield f"{told['path']}: latent variables that were recorded, and no network"
    if told["samples"] is not None:
        each = "mean and standard deviation" if told["std"] else "a mean, no standard deviation"
        names = ", ".join(told["latents"])
        yield f"{told['samples']} samples of {len(told['latents'])} latent variables ({names}), of each {each}"
        yield from _quantity_lines(told)
        yield f"probes that can be asked: {', '.join(told['probes'])}"
    yield from (f"missing: {lack}" for lack in told["missing"])
    yield f"next: {told['next_command']}"


def _quantity_lines(told: Mapping[str, Any]) -> Iterator[str]:
    if not told["quantities"]:
        yield "no quantities beside them, so that nobody can tell what they know: write quantities = ... in [data]"
        return
    yield f"quantities of each sample, from {told['quantities_from']}"
    width = min(40, max(len(one["name"]) for one in told["quantities"]))
    yield from (f"  {one['name']:<{width}}  {_words(one)}" for one in told["quantities"])


def _words(one: Mapping[str, Any]) -> str:
    """'-1.2 to 3.4 Msun, 13 points along r, 0.1 to 0.8 Mpc/h', or '3 classes: a, b, c'."""
    if one["classes"] is not None:
        more = ", ..." if len(one["classes"]) > _CLASSES else ""
        return f"{len(one['classes'])} classes: {', '.join(one['classes'][:_CLASSES])}{more}"
    words = _range(one["range"], one["unit"])
    if along := one["coordinate"]:
        ends = [min(along["values"]), max(along["values"])]
        words += f", {len(along['values'])} points along {along['name']}, {_range(ends, along['unit'])}"
    return words


def _range(ends: list[float], unit: str) -> str:
    return f"{ends[0]:.4g} to {ends[1]:.4g} {unit}".rstrip()
