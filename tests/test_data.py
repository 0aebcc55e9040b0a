"""Pairs of fields on disk: read as they are, matched in order, refused in one sentence."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from probe.data import Pairs, call_pairs, open_pairs
from probe.description import DataSource, Description
from probe.errors import InputError
from probe.fields import Quantity
from probe.grid import Grid

GRID = Grid((4, 5), (4.0, 5.0))
SOURCE = DataSource("", "in_*.npy", "out_*.npy")
SCALAR, VECTOR = (Quantity("a"),), (Quantity("a"), Quantity("v", "vector"))
DESCRIPTION = Description(GRID, VECTOR, SCALAR, data=SOURCE)


def _given(i: int) -> np.ndarray:
    return np.arange(60, dtype=np.float32).reshape(3, 4, 5) + 1000 * i


def _truth(i: int) -> np.ndarray:
    return np.arange(20, dtype=np.float64).reshape(1, 4, 5) / 7 - i


def _written(folder: Path, names: tuple[str, ...] = ("0", "1", "2")) -> Pairs:
    for i, name in enumerate(names):
        np.save(folder / f"in_{name}.npy", _given(i))
        np.save(folder / f"out_{name}.npy", _truth(i))
    return open_pairs(folder, DESCRIPTION)


def test_pairs_are_read_as_they_were_written(tmp_path: Path) -> None:
    pairs = _written(tmp_path)
    assert len(pairs) == 3
    for i, (given, truth) in enumerate(pairs):
        assert given.quantities == VECTOR and truth.quantities == SCALAR
        assert given.grid == truth.grid == GRID
        assert np.array_equal(given.values.numpy(), _given(i)[None]) and given.values.dtype == torch.float32
        assert np.array_equal(truth.values.numpy(), _truth(i)[None]) and truth.values.dtype == torch.float64
    assert np.array_equal(pairs[1][0].values.numpy(), _given(1)[None])


def test_pairs_are_matched_in_sorted_order_whatever_the_order_of_writing(tmp_path: Path) -> None:
    pairs = _written(tmp_path, ("b", "c", "a"))
    assert [pairs.name(i) for i in range(3)] == ["out_a", "out_b", "out_c"]
    assert [int(given.values[0, 0, 0, 0]) for given, _ in pairs] == [2000, 0, 1000]
    assert [round(-float(truth.values[0, 0, 0, 0])) for _, truth in pairs] == [2, 0, 1]


def test_files_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    pairs = _written(tmp_path)
    (tmp_path / "in_2.npy").write_bytes(b"gone")
    assert len(pairs) == 3 and len(pairs[0][0]) == 1
    with pytest.raises(InputError, match=r"in_2\.npy cannot be read"):
        pairs[2]


def test_what_was_read_does_not_hang_on_the_file(tmp_path: Path) -> None:
    pairs = _written(tmp_path)
    pairs[0][0].values.add_(1)
    assert np.array_equal(np.load(tmp_path / "in_0.npy"), _given(0))


def test_a_scalar_may_come_without_its_channel(tmp_path: Path) -> None:
    pairs = _written(tmp_path)
    np.save(tmp_path / "out_0.npy", _truth(0)[0])
    assert np.array_equal(pairs[0][1].values.numpy(), _truth(0)[None])


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        (">f8", torch.float64),
        (">f4", torch.float32),
        ("<f2", torch.float32),
        ("<i4", torch.float64),
        (">i8", torch.float64),
        ("u1", torch.float32),
        ("?", torch.float32),
        (np.longdouble, torch.float64),
    ],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_real_numbers_of_every_kind_are_read_right(stored: str, read: torch.dtype, order: str, tmp_path: Path) -> None:
    pairs = _written(tmp_path)
    numbers = np.arange(20).reshape(1, 4, 5).astype(stored)
    np.save(tmp_path / "out_0.npy", np.asarray(numbers, order=order))  # type: ignore[call-overload]
    values = pairs[0][1].values
    assert values.dtype == read
    assert values.tolist() == [numbers.astype(float).tolist()]


@pytest.mark.parametrize("missing", ["folder", "file"])
def test_a_missing_folder_is_refused(missing: str, tmp_path: Path) -> None:
    path, says = tmp_path / "there", r"there is not there; give --data a folder of in_\*.npy"
    if missing == "file":
        path.write_text("")
        says = r"there is a file, and not one like in_\*.npy and out_\*.npy; give such a file, or a folder of them"
    with pytest.raises(InputError, match=says):
        open_pairs(path, DESCRIPTION)


@pytest.mark.parametrize("source", [DataSource(), DataSource("", "in_*.npy"), DataSource("", "", "out_*.npy")])
def test_missing_patterns_are_refused(source: DataSource, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not say which files are what: write \[data\]"):
        open_pairs(tmp_path, Description(GRID, VECTOR, SCALAR, data=source))


@pytest.mark.parametrize(
    ("left_out", "found"), [(("out_1",), "3 files like in_.* and 2"), (("in_0", "in_1"), "1 files like in_.* and 3")]
)
def test_an_input_without_its_target_is_refused(left_out: tuple[str, ...], found: str, tmp_path: Path) -> None:
    _written(tmp_path)
    for name in left_out:
        (tmp_path / f"{name}.npy").unlink()
    with pytest.raises(InputError, match=found):
        open_pairs(tmp_path, DESCRIPTION)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"0 files like in_.* and 0"):
        open_pairs(tmp_path, DESCRIPTION)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((4, 5)),
        np.zeros((2, 4, 5)),
        np.zeros((3, 5, 4)),
        np.zeros((1, 3, 4, 5)),
        np.zeros((3, 4, 5), complex),
        np.full((3, 4, 5), "a"),
        np.float64(1),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_arrays_of_another_shape_or_kind_are_refused(wrong: np.ndarray, tmp_path: Path) -> None:
    pairs = _written(tmp_path)
    np.save(tmp_path / "in_0.npy", wrong)
    with pytest.raises(InputError, match=r"in_0.npy (holds|cannot be read)"):
        pairs[0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["in_1", "out_1"])
def test_nan_and_infinity_are_refused(name: str, bad: float, tmp_path: Path) -> None:
    pairs = _written(tmp_path)
    array = np.load(tmp_path / f"{name}.npy")
    array[0, 2, 3] = bad
    np.save(tmp_path / f"{name}.npy", array)
    with pytest.raises(InputError, match=f"{name}.npy holds NaN or infinity"):
        pairs[1]
    assert len(pairs[0][0]) == 1


@pytest.mark.parametrize("keep", [0, 4, 60, 128, 130, -1])
def test_a_truncated_file_is_refused(keep: int, tmp_path: Path) -> None:
    pairs = _written(tmp_path)
    whole = (tmp_path / "in_0.npy").read_bytes()
    (tmp_path / "in_0.npy").write_bytes(whole[:keep])
    with pytest.raises(InputError, match=r"in_0\.npy cannot be read"):
        pairs[0]


@pytest.mark.parametrize("archive", ["npz", "broken zip"])
def test_an_archive_in_place_of_an_array_is_refused(archive: str, tmp_path: Path) -> None:
    pairs = _written(tmp_path)
    with (tmp_path / "in_0.npy").open("wb") as file:
        if archive == "npz":
            np.savez(file, a=_given(0))
        else:
            file.write(b"PK\x03\x04" + bytes(40))
    with pytest.raises(InputError, match=r"in_0\.npy cannot be read"):
        pairs[0]


class _Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("how", ["object array", "bare pickle"])
def test_pickles_are_refused_and_not_executed(how: str, tmp_path: Path) -> None:
    import pickle

    pairs, sprung = _written(tmp_path), tmp_path / "sprung"
    if how == "object array":
        np.save(tmp_path / "in_0.npy", np.array([_Trap(str(sprung))], dtype=object), allow_pickle=True)
    else:
        (tmp_path / "in_0.npy").write_bytes(pickle.dumps(_Trap(str(sprung))))
    with pytest.raises(InputError, match=r"in_0\.npy cannot be read"):
        pairs[0]
    assert not sprung.exists()
    if how == "object array":  # the trap would have sprung
        np.load(tmp_path / "in_0.npy", allow_pickle=True)
        assert sprung.exists()


def test_the_fingerprint_follows_names_and_contents(tmp_path: Path) -> None:
    first = _written(tmp_path).fingerprint()
    assert _written(tmp_path).fingerprint() == first and len(first) == 64
    changed = _truth(1)
    changed[0, 0, 0] += 1e-9
    np.save(tmp_path / "out_1.npy", changed)
    second = open_pairs(tmp_path, DESCRIPTION).fingerprint()
    for side in ("in", "out"):
        (tmp_path / f"{side}_1.npy").rename(tmp_path / f"{side}_11.npy")
    third = open_pairs(tmp_path, DESCRIPTION).fingerprint()
    assert len({first, second, third}) == 3


def _called(function: Callable[[], Any]) -> Pairs:
    return call_pairs(function, replace(DESCRIPTION, data=DataSource("mine:pairs")))


def test_pairs_can_come_from_a_function() -> None:
    given, truth = np.stack([_given(0), _given(1)]), np.stack([_truth(0), _truth(1)])
    pairs = _called(lambda: (given, truth))
    assert len(pairs) == 2 and pairs.name(1) == "pair 1"
    assert np.array_equal(pairs[1][0].values.numpy(), _given(1)[None])
    assert np.array_equal(pairs[1][1].values.numpy(), _truth(1)[None])
    assert pairs.fingerprint() == _called(lambda: (given.copy(), truth)).fingerprint()
    assert pairs.fingerprint() != _called(lambda: (given + 1, truth)).fingerprint()


def test_numbers_alone_need_not_be_repeated_at_every_point() -> None:
    numbers = replace(DESCRIPTION, outputs=(Quantity("n", "number"), Quantity("m", "number")))
    truth = call_pairs(lambda: (_given(0)[None], np.array([[1.5, -2.0]])), numbers)[0][1].values
    assert truth.shape == (1, 2, 4, 5) and (truth[0, 0] == 1.5).all() and (truth[0, 1] == -2.0).all()


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda: 1 / 0, "mine:pairs raised ZeroDivisionError .* mend it there"),
        (lambda: None, "gave a NoneType; expected"),
        (lambda: (np.zeros((2, 3, 4, 5)), np.zeros((1, 1, 4, 5))), "gave 2 inputs and 1 targets"),
        (lambda: (np.zeros((0, 3, 4, 5)), np.zeros((0, 1, 4, 5))), "gave 0 inputs"),
    ],
)
def test_what_a_function_of_pairs_does_wrong_is_told(function: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        _called(function)


def test_a_pair_of_another_shape_is_told_by_its_place() -> None:
    with pytest.raises(InputError, match=r"the input of pair 1 holds float64 of shape \(2, 4, 5\)"):
        _called(lambda: ([_given(0), np.zeros((2, 4, 5))], [_truth(0), _truth(1)]))[1]
