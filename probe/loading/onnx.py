"""ONNX models, run by onnxruntime on the CPU, without gradients.

An ONNX file is a graph of known operations and holds no code. Of what onnxruntime does with a hostile one, this was looked at:
operations of its own kind need a library that the program registers, which this one does not, so that the file is refused. Weights
may lie in other files: from 1.24.4 on they are read only from the model's own folder and what is below it, neither through
absolute paths, "..", nor links that lead out; versions up to 1.23.2 read any file, and places in memory, and are not used. Sizes
are held against the bytes that are there. Constants would be computed on loading, whatever their size: here they are not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from probe.description import Description
from probe.description.guess import description_of_shapes
from probe.errors import InputError
from probe.loading.anatomy import ExportedTensor
from probe.loading.fixed_batch import in_parts

if TYPE_CHECKING:
    import onnxruntime

_OLDEST = (1, 24, 4)
_DTYPES = {"float": np.float32, "float16": np.float16, "double": np.float64, "int64": np.int64, "int32": np.int32, "bool": np.bool_}


class OnnxNetwork:
    """The network in an ONNX file, as a function of tensors; its inputs are given in the file's order or by their names.

    Attributes
    ----------
    inputs, outputs : tuple of ExportedTensor
    dtype : torch.dtype
        What it is asked in: that of its first floating input.

    Raises
    ------
    InputError
        If onnxruntime is not installed, or cannot load the file.
    """

    def __init__(self, path: Path) -> None:
        self._session = _session(path)
        self.inputs, self.outputs = _signature(self._session.get_inputs()), _signature(self._session.get_outputs())
        self._types = {one.name: _dtype(one, path) for one in self._session.get_inputs()}
        floating = (kind for kind in self._types.values() if np.issubdtype(kind, np.floating))
        self.dtype = torch.from_numpy(np.zeros(0, next(floating, np.float32))).dtype
        first = self.inputs[0].shape if self.inputs else ()
        self._batch = first[0] if first else None  # a number where the file was written for so many samples at once

    def __call__(self, *arguments: Any, **keywords: Tensor) -> Any:
        """The answer: a tensor, or of several a dict by name."""
        given = self._by_name(arguments, keywords)
        answers: dict[str, Any] = in_parts(self._batch, self._run, given) if self._batch else self._run(given)
        return next(iter(answers.values())) if len(answers) == 1 else answers

    def describe(self, path: Path) -> Description:
        """A description by the shapes that the file states.

        Raises
        ------
        InputError
            If they do not tell one field in and one out.
        """
        if described := description_of_shapes(*([tensor.shape for tensor in side] for side in (self.inputs, self.outputs))):
            return described
        given, answered = (", ".join(f"{t.name} {t.shape}" for t in side) for side in (self.inputs, self.outputs))
        told = f"{path} does not state one field in and one out, both in full (it takes {given} and gives {answered})"
        raise InputError(f"{told}; describe it in a file and pass it with --spec")

    def _by_name(self, arguments: tuple[Any, ...], keywords: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The inputs by name, from arguments in order, a list of them, or a dict."""
        first = arguments[0] if len(arguments) == 1 else None
        ordered = [] if isinstance(first, Mapping) else list(first if isinstance(first, list) else arguments)
        named = {**(first if isinstance(first, Mapping) else {}), **keywords}
        given = {**dict(zip(self._types, ordered, strict=False)), **named}
        if len(ordered) > len(self._types) or set(given) != set(self._types):
            found = ", ".join([f"{len(ordered)} in order"] * bool(ordered) + list(named))
            told = f"the ONNX model takes the inputs {', '.join(self._types)}; found {found}"
            raise InputError(f"{told}: set `inputs` and `parameters` in [call] of its description")
        return given

    def _run(self, given: Mapping[str, Tensor]) -> dict[str, Any]:
        arrays = {name: values.detach().cpu().numpy().astype(self._types[name], copy=False) for name, values in given.items()}
        device = next(iter(given.values())).device
        answers = zip(self.outputs, self._session.run(None, arrays), strict=True)
        return {output.name: torch.as_tensor(answer, device=device) for output, answer in answers}


def _session(path: Path) -> onnxruntime.InferenceSession:
    wanted = "pip install 'fieldprobe[onnx]'"
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(f"{path} is an ONNX model, and onnxruntime, which runs them, is not installed; {wanted}") from error
    if tuple(map(int, re.findall(r"\d+", onnxruntime.__version__)[:3])) < _OLDEST:
        raise InputError(f"onnxruntime {onnxruntime.__version__} reads files anywhere if {path} says so; {wanted}")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"], disabled_optimizers=["ConstantFolding"])
    except Exception as error:  # onnxruntime has a dozen kinds, without a base of their own
        said = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error).strip()).partition("\n")[0][:200]
        raise InputError(f"{path} cannot be loaded by onnxruntime ({said}); export it again") from error


def _signature(tensors: list[Any]) -> tuple[ExportedTensor, ...]:
    sides = partial(map, lambda side: side if isinstance(side, int) else None)
    return tuple(ExportedTensor(one.name, tuple(sides(one.shape or ()))) for one in tensors)


def _dtype(tensor: Any, path: Path) -> type[np.generic]:
    kind = re.sub(r"tensor\((\w+)\)", r"\1", tensor.type)
    if kind not in _DTYPES:
        raise InputError(f"the input {tensor.name} of {path} is of type {tensor.type}; export it with one of {', '.join(_DTYPES)}")
    return _DTYPES[kind]
