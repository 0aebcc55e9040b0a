"""What was drawn, as CSV: one file a variable, one row a value, every subject in it, coordinates beside the values."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

import lazy_loader as lazy

from probe.report import numbers

if TYPE_CHECKING:
    from xarray import DataArray, Dataset

np = lazy.load("numpy")

LARGEST = 600


@dataclass(frozen=True)
class Download:
    """One variable's numbers.

    Attributes
    ----------
    variable : str
    unit : str
    shape : str
        Its axes and their lengths, in words.
    link : str
        A data URI; empty where there are too many values, and then `elsewhere` names the file that holds them.
    """

    variable: str
    unit: str
    shape: str
    link: str = ""
    elsewhere: str = ""


def downloads(probe: str, measured: Mapping[str, Dataset], variables: Sequence[str]) -> list[Download]:
    """The variables of a panel that were measured on any subject; what is the same for all of them, as the truth is, once."""
    return [_download(probe, name, arrays) for name in variables if (arrays := _arrays(measured, name))]


def table(arrays: Mapping[str, DataArray]) -> str:
    """One variable of every subject as CSV in long format; complex values take two columns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head: list[str] = []
    for subject, array in arrays.items():
        columns = _columns(array)
        if ["subject", *columns] != head:
            # Subjects may differ in their coordinates: a second header is honest, a shifted column is not.
            head = ["subject", *columns]
            writer.writerow(head)
        writer.writerows([subject, *row] for row in zip(*columns.values(), strict=True))
    return text.getvalue()


def _arrays(measured: Mapping[str, Dataset], name: str) -> dict[str, DataArray]:
    found = {subject: dataset[name] for subject, dataset in measured.items() if name in dataset}
    every = list(found.values())
    return {"all": every[0]} if len(every) > 1 and all(every[0].equals(array) for array in every[1:]) else found


def _download(probe: str, name: str, arrays: Mapping[str, DataArray]) -> Download:
    example = next(iter(arrays.values()))
    shape = " × ".join(["subject", *(f"{axis} ({numbers.whole(length)})" for axis, length in example.sizes.items())])
    unit = numbers.unit(str(example.attrs.get("units", "")))
    if sum(array.size for array in arrays.values()) > LARGEST:
        return Download(name, unit, shape, elsewhere=f"{probe}.nc")
    return Download(name, unit, shape, "data:text/csv;charset=utf-8," + quote(table(arrays), safe=",:;/[]()^*+-="))


def _columns(array: DataArray) -> dict[str, list]:
    """Every coordinate that lies along the array, then its values, flattened alike."""
    columns: dict[str, list] = {}
    beside = [str(name) for name in array.coords if name not in array.dims and array[name].dims]
    for axis in [*(str(d) for d in array.dims), *beside]:
        # A dimension without coordinates gives its indices.
        spread = array[axis].broadcast_like(array).transpose(*array.dims)
        columns[_titled(axis, array[axis])] = [_cell(x) for x in spread.values.ravel()]
    values, title = array.values.ravel(), _titled(str(array.name), array)
    if np.iscomplexobj(values):
        return columns | {f"real {title}": [_cell(x) for x in values.real], f"imaginary {title}": [_cell(x) for x in values.imag]}
    return columns | {title: [_cell(x) for x in values]}


def _titled(name: str, array: DataArray) -> str:
    unit = str(array.attrs.get("units", ""))
    return f"{name} [{unit}]" if numbers.unit(unit) else name


def _cell(value: object) -> str:
    return f"{value:.7g}" if isinstance(value, np.floating | float) else str(value)
