"""What pytest's command line and configuration ask of a model."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import file_digest
from pathlib import Path
from typing import Any, cast

import pytest

from probe.contract import Effort
from probe.errors import InputError
from probe.parameters import batch_size_of, settings_of
from probe.pytest_plugin import LISTS, TEXTS, key
from probe.testing.beside import HeldToBaseline, held_to
from probe.testing.checks import ProbeCheck, checks_of, reasons_of
from probe.zoo import entries

_PATHS = ("model", "spec", "data", "out", "baseline")
_EFFORTS = ("quick", "default", "full")


def checks_wanted(config: pytest.Config) -> tuple[list[ProbeCheck], dict[str, str], HeldToBaseline | None]:
    """The checks of the model that is named, why those that are expected to fail do, and their baseline; no model is loaded.

    Raises
    ------
    InputError
        If what is asked can be seen to be wrong before anything is loaded.
    """
    text = {name: _text(config, name) for name in TEXTS}
    controls, effort, seed = text["controls"] or "all", text["effort"] or "default", text["seed"] or "0"
    if effort not in _EFFORTS:
        raise InputError(f"--probe-effort is one of {', '.join(_EFFORTS)}; found {effort!r}")
    if not seed.isdigit():
        raise InputError(f"--probe-seed is a whole number from 0; found {seed!r}")
    checks = checks_of(
        _model(text["model"]),
        _given(config, "names") or ["all"],
        settings_of(tuple(_given(config, "set"))),
        bool(_given(config, "strict")),
        spec=text["spec"] or None,
        factory=text["factory"] or None,
        data=text["data"] or None,
        out=text["out"] or "auto",
        controls=controls if controls in ("all", "none") else controls.split(","),
        effort=cast(Effort, effort),
        device=text["device"] or "auto",
        batch_size=batch_size_of(text["batch-size"] or "auto"),
        seed=int(seed),
        trust_pickle=bool(_given(config, "trust-pickle")),
        resume=bool(_given(config, "resume")),
        overwrite=bool(_given(config, "overwrite")),
    )
    reasons, update = reasons_of(checks, _expected(config)), bool(_given(config, "baseline-update"))
    if not text["baseline"]:
        if update:
            raise InputError("--probe-baseline-update records a run in a file; name it with --probe-baseline FILE")
        return checks, reasons, None
    checks, known, held = held_to(text["baseline"], checks, update, _tolerance(text["baseline-tolerance"] or "0.01"))
    return checks, known | reasons, held


def under_test(checks: Sequence[ProbeCheck]) -> str:
    """The model, its hash, and the probes it is asked, in one line."""
    run = checks[0].run
    return f"{run.name}{_hash(str(run.model))}, {len(checks)} checks of {', '.join(probe.name() for probe in run.probes)}"


def _model(name: str) -> str:
    if ":" not in name and not Path(name).exists():
        raise InputError(f"the model {name} is not there; --probe-model takes a checkpoint, `module:function` or `zoo:NAME`")
    return name


def _given(config: pytest.Config, name: str) -> Any:
    """What the command line says, else the configuration."""
    given = config.getoption(key(name))
    return config.getini(key(name)) if given is None else given


def _text(config: pytest.Config, name: str) -> str:
    """The same; a path of the configuration is seen from where that stands."""
    given = config.getoption(key(name))
    if given is not None:
        return str(given)
    text = str(config.getini(key(name)) or "")
    here = text and name in _PATHS and ":" not in text and config.inipath
    return str(config.inipath.parent / text) if here and config.inipath else text


def _tolerance(text: str) -> float:
    try:
        if 0 <= (tolerance := float(text)) <= 1:
            return tolerance
    except ValueError:
        pass
    raise InputError(f"--probe-baseline-tolerance is a number from 0 to 1; found {text!r}")


def _expected(config: pytest.Config) -> dict[str, str]:
    told = {}
    for item in _given(config, "expect"):
        name, equals, reason = item.partition("=")
        if not equals:
            raise InputError(f"--probe-expect takes {LISTS['expect'][0]}; found {item!r}")
        told[name.strip()] = reason.strip()
    return told


def _hash(model: str) -> str:
    """The first digits of a checkpoint's sha256; nothing for what is no file."""
    entry = entries().get(model.removeprefix("zoo:")) if model.startswith("zoo:") else None
    path = entry.weights if entry else Path(model)
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return f" (sha256 {file_digest(file, 'sha256').hexdigest()[:8]})"
