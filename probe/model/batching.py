"""Running a network over many samples: as many at once as fit, fewer when memory runs out, one by one where it must be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from probe.errors import InputError

# Numbers in one batch of inputs. A GPU is filled, while a network's activations, some hundred times as many, still fit; a CPU
# gains nothing from batches whose activations leave its cache.
_AUTO = {"cuda": 2**23, "cpu": 2**16}


def choose_device(device: str, network: object = None) -> torch.device:
    """The device of a name; "auto" is where the network's weights are, else a GPU if there is one.

    Raises
    ------
    InputError
        If there is no such device on this machine.
    """
    if device == "auto":
        if isinstance(network, nn.Module):
            return next((p.device for p in network.parameters()), torch.device("cpu"))
        return torch.device("cuda" if network is None and torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise InputError(f'{device!r} is no device; give "auto", "cpu" or "cuda"') from error
    if chosen.type == "cuda" and (not torch.cuda.is_available() or (chosen.index or 0) >= torch.cuda.device_count()):
        raise InputError(f"{device} was asked for and this machine has {torch.cuda.device_count()} CUDA devices; use --device cpu")
    return chosen


@contextmanager
def evaluating(network: object) -> Iterator[None]:
    """A module in eval mode, and afterwards as it was."""
    training = [m for m in network.modules() if m.training] if isinstance(network, nn.Module) else []
    for module in training:
        module.training = False
    try:
        yield
    finally:
        for module in training:
            module.training = True


class Batches:
    """The one loop over batches.

    Parameters
    ----------
    size : int or None
        Samples at once; None: found, from the size of a sample.

    Attributes
    ----------
    notes : list of str
        What it had to change, in sentences.
    """

    def __init__(self, size: int | None = None) -> None:
        if size is not None and size < 1:
            raise InputError(f'the batch size is {size}; give a whole number from 1 up, or "auto"')
        self.size = size
        self.notes: list[str] = []

    def run(self, function: Callable[..., Tensor], values: Tensor, *beside: Tensor) -> Tensor:
        """`function` over all samples, and over what goes with each, joined along the first axis.

        Raises
        ------
        InputError
            If a single sample does not fit into memory, or the function raises on one.
        """
        answers: list[Tensor] = []
        start = 0
        while start < len(values):
            size = self.size or max(1, _AUTO.get(values.device.type, 2**16) // max(1, values[0].numel()))
            batch = [each[start : start + size] for each in (values, *beside)]
            if (answer := self._attempt(function, batch)) is not None:
                answers.append(answer)
                start += len(batch[0])
        return torch.cat(answers)

    def _attempt(self, function: Callable[..., Tensor], batch: list[Tensor]) -> Tensor | None:
        """The answer; None where the batch size was lowered and it is to be tried again."""
        try:
            return function(*batch)
        except Exception as error:
            if is_out_of_memory(error):
                self._halve(batch[0], error)
            elif len(batch[0]) == 1:
                raise error if isinstance(error, InputError) else _raised(error, batch[0]) from error
            else:
                self._go_one_by_one(function, batch, error)
        if batch[0].device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    def _halve(self, batch: Tensor, error: Exception) -> None:
        if len(batch) == 1:
            shape = tuple(batch.shape[1:])
            raise InputError(f"memory ran out on a single sample of shape {shape}; use a smaller grid") from error
        self.size = len(batch) // 2
        self.notes.append(f"memory ran out with {len(batch)} samples at once; went on with {self.size}")

    def _go_one_by_one(self, function: Callable[..., Tensor], batch: list[Tensor], error: Exception) -> None:
        first = [each[:1] for each in batch]
        try:
            function(*first)
        except Exception as single:
            # What goes wrong on a single sample is the clearer message.
            raise single if isinstance(single, InputError) else _raised(single, first[0]) from single
        self.size = 1
        self.notes.append(f"the model takes one sample at a time ({_first_line(error)})")


def is_out_of_memory(error: Exception) -> bool:
    """Whether an exception says that memory ran out, on a GPU or not."""
    return isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and ("out of memory" in str(error) or "can't allocate memory" in str(error))
    )


def _raised(error: Exception, batch: Tensor) -> InputError:
    found = f"the model raised {type(error).__name__} ({_first_line(error)}) on an input of shape {tuple(batch.shape)}"
    return InputError(f"{found}; check the channels and the grid in its description")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0][:200]
