"""What files may hold pairs of fields: each kind read bit for bit, one sample at a time, and refused in one sentence."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import sys
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import xarray as xr

from probe.data import Pairs, formats, open_cosmology, open_pairs
from probe.data.fingerprint import of_files
from probe.description import Cosmology, DataSource, Description
from probe.errors import InputError
from probe.fields import Quantity
from probe.grid import Grid
from probe.model import FieldModel
from tests.command import call

GRID = Grid((4, 5), (4.0, 5.0), "Mpc/h")
GIVEN, TRUTH = (Quantity("a", unit="K"), Quantity("v", "vector", unit="km/s")), (Quantity("b"),)
COUNT = 3
RNG = np.random.default_rng(1)
INPUTS, TARGETS = RNG.normal(size=(COUNT, 3, 4, 5)), RNG.normal(size=(COUNT, 1, 4, 5))

Write = Callable[[Path, dict[str, np.ndarray]], None]


def _h5(path: Path, arrays: dict[str, np.ndarray], **settings: Any) -> None:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(f"fields/{name}", data=array, **settings)


def _packed_h5(path: Path, arrays: dict[str, np.ndarray]) -> None:
    _h5(path, arrays, compression="gzip", shuffle=True, chunks=True)


def _named(array: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    return tuple(f"d{i}_{n}" for i, n in enumerate(array.shape)), array


def _nc(path: Path, arrays: dict[str, np.ndarray]) -> None:
    xr.Dataset({name: _named(array) for name, array in arrays.items()}).to_netcdf(path, engine="h5netcdf")


def _classic(path: Path, arrays: dict[str, np.ndarray]) -> None:
    xr.Dataset({name: _named(array) for name, array in arrays.items()}).to_netcdf(path, engine="scipy")


def _npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(path, **arrays)  # type: ignore[arg-type]


def _packed_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def _fortran_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    write = np.savez if len(path.stem) % 2 else np.savez_compressed
    write(path, **{name: np.asfortranarray(array) for name, array in arrays.items()})  # type: ignore[arg-type]


def _pt(path: Path, arrays: dict[str, np.ndarray]) -> None:
    torch.save(
        {"fields": {name: torch.from_numpy(array.astype(array.dtype.newbyteorder("="))) for name, array in arrays.items()}}, path
    )


def _zarr(path: Path, arrays: dict[str, np.ndarray], version: int = 3) -> None:
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(path), mode="w", zarr_format=version)
    for name, array in arrays.items():
        group.create_array(f"fields/{name}", data=array, chunks=(1, *array.shape[1:]))


def _old_zarr(path: Path, arrays: dict[str, np.ndarray]) -> None:
    _zarr(path, arrays, 2)


def _fits(path: Path, arrays: dict[str, np.ndarray]) -> None:
    fits = pytest.importorskip("astropy.io.fits")
    units = [fits.ImageHDU(array, name=name) for name, array in arrays.items()]
    fits.HDUList([fits.PrimaryHDU(), *units]).writeto(path)


def _packed_fits(path: Path, arrays: dict[str, np.ndarray]) -> None:
    fits = pytest.importorskip("astropy.io.fits")
    units = [fits.CompImageHDU(array, name=name, compression_type="GZIP_2", quantize_level=0.0) for name, array in arrays.items()]
    fits.HDUList([fits.PrimaryHDU(), *units]).writeto(path)


# Of each format: the end of its files' names, what writes one, and how a key is spelt.
FORMATS: dict[str, tuple[str, Write, str]] = {
    "npz": (".npz", _npz, "{}"),
    "packed npz": (".npz", _packed_npz, "{}"),
    "Fortran npz": (".npz", _fortran_npz, "{}"),
    "HDF5": (".h5", _h5, "/fields/{}"),
    "packed HDF5": (".hdf5", _packed_h5, "fields/{}"),
    "NetCDF4": (".nc", _nc, "{}"),
    "NetCDF3": (".nc", _classic, "{}"),
    "torch": (".pt", _pt, "fields/{}"),
    "zarr": (".zarr", _zarr, "/fields/{}"),
    "zarr 2": (".zarr", _old_zarr, "/fields/{}"),
    "FITS": (".fits", _fits, "{}"),
    "packed FITS": (".fits", _packed_fits, "{}"),
}
PLAIN = [name for name in FORMATS if "packed" not in name]


@pytest.fixture(params=FORMATS)
def kind(request: pytest.FixtureRequest) -> tuple[str, Write, str]:
    found: tuple[str, Write, str] = FORMATS[request.param]
    return found


def _described(given: str | tuple[str, ...], truth: str | tuple[str, ...], **more: Any) -> Description:
    return Description(GRID, GIVEN, TRUTH, data=DataSource("", given, truth, **more))


def _opened(folder: Path, kind: tuple[str, Write, str], **more: Any) -> Pairs:
    ending, _, key = kind
    return open_pairs(folder, _described(f"*{ending}:{key.format('x')}", f"*{ending}:{key.format('y')}", **more))


def _same(pairs: Pairs, inputs: np.ndarray = INPUTS, targets: np.ndarray = TARGETS) -> None:
    """The samples are those that were written, bit for bit."""
    assert len(pairs) == len(inputs)
    for i, (given, truth) in enumerate(pairs):
        for field, wanted in ((given, inputs), (truth, targets)):
            assert field.values.dtype == (torch.float32 if np.can_cast(wanted.dtype, np.float32) else torch.float64)
            assert field.values.numpy().tobytes() == wanted[i].astype(field.values.numpy().dtype).tobytes()


@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", ">f4", ">i2"])
def test_a_stack_is_read_as_it_was_written(kind: tuple[str, Write, str], dtype: str, tmp_path: Path) -> None:
    inputs, targets = ((100 * array).astype(dtype) for array in (INPUTS, TARGETS))
    kind[1](tmp_path / f"all{kind[0]}", {"x": inputs, "y": targets})
    pairs = _opened(tmp_path, kind)
    _same(pairs, inputs, targets)
    assert pairs.name(2) == "all 2"


def test_a_file_each_and_several_stacks_come_one_after_another(kind: tuple[str, Write, str], tmp_path: Path) -> None:
    _, write, _ = kind
    many, single = np.concatenate([INPUTS, INPUTS + 1]), np.concatenate([TARGETS, TARGETS + 1])
    for name, part in (("a", slice(0, 2)), ("b", slice(2, 3)), ("c", slice(3, 6))):
        write(tmp_path / f"{name}{kind[0]}", {"x": many[part], "y": single[part]})
    _same(_opened(tmp_path, kind), many, single)
    (tmp_path / "each").mkdir()
    for i in range(COUNT):
        write(tmp_path / "each" / f"{i}{kind[0]}", {"x": INPUTS[i], "y": TARGETS[i, 0]})
    pairs = _opened(tmp_path / "each", kind)
    _same(pairs)
    assert [pairs.name(i) for i in range(COUNT)] == ["0", "1", "2"]


def test_one_file_can_be_the_data(kind: tuple[str, Write, str], tmp_path: Path) -> None:
    for name in ("one", "other"):
        kind[1](tmp_path / f"{name}{kind[0]}", {"x": INPUTS, "y": TARGETS})
    _same(_opened(tmp_path / f"one{kind[0]}", kind))


def test_channels_may_come_last(kind: tuple[str, Write, str], tmp_path: Path) -> None:
    last = {"x": np.moveaxis(INPUTS, 1, -1).copy(), "y": np.moveaxis(TARGETS, 1, -1).copy()}
    kind[1](tmp_path / f"all{kind[0]}", last)
    _same(_opened(tmp_path, kind, channels="last"))
    with pytest.raises(InputError, match=r'of shape \(3, 4, 5, 3\); .*: if the channels come last, write channels = "last"'):
        _opened(tmp_path, kind)


def test_a_name_that_is_not_there_is_told_with_the_nearest(kind: tuple[str, Write, str], tmp_path: Path) -> None:
    kind[1](tmp_path / f"all{kind[0]}", {"density": INPUTS, "y": TARGETS})
    ending, _, key = kind
    known = "1 .DENSITY." if ending == ".fits" else key.format("density").lstrip("/")
    with pytest.raises(InputError, match=rf"holds no \w+ '.*denisty'.* there is /?{known}"):
        open_pairs(tmp_path, _described(f"*{ending}:{key.format('denisty')}", f"*{ending}:{key.format('y')}"))
    with pytest.raises(InputError, match=rf"holds /?{known}.*; say which \w+ behind the files' pattern, as in \"\*{ending}:"):
        open_pairs(tmp_path, _described(f"*{ending}", f"*{ending}:{key.format('y')}"))


@pytest.mark.parametrize(
    "wrong", [INPUTS.astype(complex), INPUTS[:, :2], INPUTS.swapaxes(0, 1)[:, :2], INPUTS[:0]], ids=["c", "w", "t", "0"]
)
def test_another_shape_or_kind_is_refused_from_the_header(kind: tuple[str, Write, str], wrong: np.ndarray, tmp_path: Path) -> None:
    ending, write, _ = kind
    if (np.iscomplexobj(wrong) and ending in (".fits", ".nc")) or (not wrong.size and ending in (".fits", ".zarr", ".nc", ".hdf5")):
        pytest.skip("it cannot be written")
    write(tmp_path / f"all{ending}", {"x": wrong, "y": TARGETS})
    says = (
        r"is a stack of no samples"
        if not wrong.size
        else rf"holds \S+ of shape {re.escape(str(wrong.shape))}; the description asks for"
    )
    with pytest.raises(InputError, match=says):
        _opened(tmp_path, kind)


def test_nan_in_one_sample_is_told_where(kind: tuple[str, Write, str], tmp_path: Path) -> None:
    bad = INPUTS.copy()
    bad[1, 0, 2, 2] = np.nan
    kind[1](tmp_path / f"all{kind[0]}", {"x": bad, "y": TARGETS})
    pairs = _opened(tmp_path, kind)
    assert len(pairs[0][0]) == len(pairs[2][0]) == 1
    with pytest.raises(InputError, match=rf"sample 1 of .*all\{kind[0]}:.* holds NaN or infinity"):
        pairs[1]


def _files(path: Path) -> Iterator[Path]:
    yield from (inner for inner in path.rglob("*") if inner.is_file()) if path.is_dir() else [path]


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.97])
def test_a_file_cut_short_is_refused(kind: tuple[str, Write, str], keep: float, tmp_path: Path) -> None:
    # Large enough that the end of the file is numbers.
    kind[1](tmp_path / f"all{kind[0]}", {"y": np.tile(TARGETS, (20, 1, 1, 1)), "x": RNG.normal(size=(60, 3, 4, 5))})
    for path in _files(tmp_path / f"all{kind[0]}"):
        if "c" in path.parts or path.name[0].isdigit() or path == tmp_path / f"all{kind[0]}":
            path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    with pytest.raises(InputError, match=r"cannot be read as|holds no|holds /"):
        list(_opened(tmp_path, kind))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_a_long_archive_is_read_in_little_memory(order: Any, write: Callable[..., None], tmp_path: Path) -> None:
    stack = np.asarray(RNG.normal(size=(200, 1, 100, 100)).round(1), order=order)
    write(tmp_path / "all.npz", x=stack)
    described = Description(Grid((100, 100), (1.0, 1.0)), TRUTH, TRUTH, data=DataSource("", "*.npz:x", "*.npz:x"))
    tracemalloc.start()
    try:
        given = open_pairs(tmp_path, described)[150][0]
        assert tracemalloc.get_traced_memory()[1] < stack.nbytes / 10
    finally:
        tracemalloc.stop()
    assert np.array_equal(given.values[0], stack[150])


def test_opening_reads_no_sample_and_reading_holds_one(tmp_path: Path) -> None:
    grid = Grid((64, 64), (1.0, 1.0))
    source = DataSource("", "*.h5:/x", "*.npy")
    with h5py.File(tmp_path / "all.h5", "w") as file:
        data = file.create_dataset("x", (1000, 1, 64, 64), "f8", chunks=(1, 1, 64, 64), compression="gzip")
        for i in range(1000):
            data[i] = i
    np.lib.format.open_memmap(tmp_path / "all.npy", mode="w+", dtype="f8", shape=(1000, 64, 64))[:] = 1  # type: ignore[no-untyped-call]
    sample = 64 * 64 * 8
    tracemalloc.start()
    try:
        pairs = open_pairs(tmp_path, Description(grid, TRUTH, TRUTH, data=source))
        assert len(pairs) == 1000
        assert tracemalloc.get_traced_memory()[1] < 20 * sample  # the header of both, and a thousand names
        tracemalloc.reset_peak()
        for i in range(0, 1000, 50):
            assert float(pairs[i][0].values[0, 0, 3, 3]) == i
        assert tracemalloc.get_traced_memory()[1] < 30 * sample
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", [FORMATS[name] for name in PLAIN], ids=PLAIN)
def test_opening_a_thousand_samples_touches_none(
    kind: tuple[str, Write, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = np.ones((1000, 3, 4, 5), np.float32)
    kind[1](
        tmp_path / f"all{kind[0]}",
        {"x": stack[:20] if kind[0] == ".zarr" else stack, "y": stack[: 20 if kind[0] == ".zarr" else None, :1]},
    )
    reads: list[int | None] = []
    read = formats.Stored.read
    monkeypatch.setattr(formats.Stored, "read", lambda self, index: (reads.append(index), read(self, index))[1])
    pairs = _opened(tmp_path, kind)
    assert not reads
    pairs[7]
    assert reads == [7, 7]


def test_numbers_of_half_and_brain_precision_are_widened(tmp_path: Path) -> None:
    inputs = torch.from_numpy(INPUTS)
    torch.save([inputs.half(), {"y": torch.from_numpy(TARGETS).bfloat16()}], tmp_path / "all.pth")
    pairs = open_pairs(tmp_path, _described("*.pth:0", "*.pth:1/y"))
    assert torch.equal(pairs[1][0].values[0], inputs[1].half().float())
    assert torch.equal(pairs[1][1].values[0], torch.from_numpy(TARGETS)[1].bfloat16().float())


def test_each_quantity_or_each_channel_may_have_a_name_of_its_own(tmp_path: Path) -> None:
    _h5(tmp_path / "all.h5", {"a": INPUTS[:, 0], "v": INPUTS[:, 1:], "vx": INPUTS[:, 1], "vy": INPUTS[:, 2], "b": TARGETS})
    keys = {name: f"all.h5:/fields/{name}" for name in ("a", "v", "vx", "vy", "b")}
    _same(open_pairs(tmp_path, _described((keys["a"], keys["v"]), keys["b"])))
    _same(open_pairs(tmp_path, _described((keys["a"], keys["vx"], keys["vy"]), (keys["b"],))))
    with pytest.raises(InputError, match="4 patterns for 2 quantities of 3 channels"):
        open_pairs(tmp_path, _described((keys["a"],) * 4, keys["b"]))
    _h5(tmp_path / "few.h5", {"a": INPUTS[:2, 0]})
    with pytest.raises(InputError, match=r"2 samples like few.h5:/fields/a, 3 samples like .*every sample needs each"):
        open_pairs(tmp_path, _described(("few.h5:/fields/a", keys["v"]), keys["b"]))


def test_pairs_are_matched_by_what_the_patterns_stand_for(tmp_path: Path) -> None:
    for i in (1, 2, 10):  # "10_in" stands before "1_in"; "out_1." before "out_10."
        np.save(tmp_path / f"{i}_in.npy", np.full((3, 4, 5), float(i)))
        np.save(tmp_path / f"out_{i}.npy", np.full((1, 4, 5), float(i)))
    source = _described("*_in.npy", "out_*.npy")
    assert [float(g.values.mean()) == float(t.values.mean()) for g, t in open_pairs(tmp_path, source)] == [True] * 3
    (tmp_path / "out_2.npy").rename(tmp_path / "out_3.npy")
    with pytest.raises(InputError, match=r"in .* (2_in|out_3).npy has no partner of its name"):
        open_pairs(tmp_path, source)


def test_other_cosmologies_are_read_from_the_same_kinds_of_files(tmp_path: Path) -> None:
    _h5(tmp_path / "all.h5", {"x": np.moveaxis(INPUTS, 1, -1), "low": np.moveaxis(TARGETS, 1, -1)})
    described = replace(_described("", "", channels="last", parameters="none.csv"), source=str(tmp_path / "m.probe.toml"))
    _same(open_cosmology(Cosmology("low", 0.2, "*.h5:/fields/x", "*.h5:/fields/low"), described))


# What a file states


@pytest.mark.parametrize("write", ["HDF5", "group", "NetCDF4", "NetCDF3", "zarr", "FITS"])
@pytest.mark.parametrize(
    ("says", "value", "sentence"),
    [
        ("BoxSize", 25.0, r"states a box of 25 \(BoxSize\), and the description one of 4, 5 Mpc/h"),
        ("box", [4.0, 6.0], r"states a box of 4, 6"),
        ("units", "m/s", r"states the unit 'm/s' \(\w+\), and the description says that that of 'a' is 'K'"),
        ("box", [4.0, 5.0], ""),
        ("comment", "box of 9", ""),
    ],
)
def test_what_a_file_states_is_held_against_the_description(
    write: str, says: str, value: Any, sentence: str, tmp_path: Path
) -> None:
    if write == "FITS":
        if isinstance(value, list):
            pytest.skip("a FITS header has no lists")
        fits = pytest.importorskip("astropy.io.fits")
        header = fits.Header({{"units": "BUNIT"}.get(says, says): value})
        units = [fits.ImageHDU(INPUTS, header, name="x"), fits.ImageHDU(TARGETS, name="y")]
        fits.HDUList([fits.PrimaryHDU(), *units]).writeto(tmp_path / "all.fits")
        sentence = sentence.replace("BoxSize", "BOXSIZE")
        kind = FORMATS["FITS"]
    elif write in ("HDF5", "group"):
        kind = FORMATS["HDF5"]
        _h5(tmp_path / "all.h5", {"x": INPUTS, "y": TARGETS})
        with h5py.File(tmp_path / "all.h5", "r+") as file:
            file["fields" if write == "group" and says != "units" else "fields/x"].attrs[says] = value
    elif write == "zarr":
        kind = FORMATS["zarr"]
        _zarr(tmp_path / "all.zarr", {"x": INPUTS, "y": TARGETS})
        pytest.importorskip("zarr").open_array(str(tmp_path / "all.zarr"), path="fields/x", mode="r+").attrs[says] = value
    else:
        kind = FORMATS[write]
        found = xr.Dataset({"x": _named(INPUTS), "y": _named(TARGETS)}).assign_attrs({} if says == "units" else {says: value})
        found["x"].attrs |= {says: value} if says == "units" else {}
        found.to_netcdf(tmp_path / "all.nc", engine="scipy" if write == "NetCDF3" else "h5netcdf")
    if sentence:
        with pytest.raises(InputError, match=sentence):
            _opened(tmp_path, kind)
    else:
        _same(_opened(tmp_path, kind))


def test_packed_numbers_are_unpacked_as_the_conventions_say(tmp_path: Path) -> None:
    stored = RNG.integers(-1000, 1000, (COUNT, 3, 4, 5)).astype("i2")
    data = xr.Dataset({"x": _named(stored * 0.25 + 8.0), "y": _named(TARGETS)})
    for engine in ("scipy", "h5netcdf"):
        data.to_netcdf(
            tmp_path / "all.nc",
            engine=engine,
            encoding={"x": {"dtype": "i2", "scale_factor": 0.25, "add_offset": 8.0, "_FillValue": -9999}},
        )
        _same(_opened(tmp_path, FORMATS["NetCDF4"]), stored * 0.25 + 8.0)
        hole = data.copy(deep=True)
        hole["x"][1, 0, 0, 0] = np.nan
        hole.to_netcdf(
            tmp_path / "all.nc",
            engine=engine,
            encoding={"x": {"dtype": "i2", "scale_factor": 0.25, "add_offset": 8.0, "_FillValue": -9999}},
        )
        with pytest.raises(InputError, match=r"sample 1 of .* holds NaN"):
            _opened(tmp_path, FORMATS["NetCDF4"])[1]
        (tmp_path / "all.nc").unlink()


# Files that are not what they seem


class _Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.path,)


def test_nothing_in_a_file_is_run(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    np.savez(tmp_path / "a.npz", x=np.array([_Trap(sprung)], dtype=object), y=TARGETS)
    torch.save({"fields": {"x": torch.from_numpy(INPUTS), "y": _Trap(sprung)}}, tmp_path / "a.pt")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "a.pt").write_bytes(pickle.dumps(_Trap(sprung)))
    with pytest.raises(InputError, match="holds Python objects, which only running a pickle would open"):
        _opened(tmp_path, FORMATS["npz"])
    with pytest.raises(InputError, match="loading it would run code"):
        _opened(tmp_path, FORMATS["torch"])
    with pytest.raises(InputError, match="cannot be read as a dict of tensors"):
        _opened(tmp_path / "old", FORMATS["torch"])
    assert not sprung.exists()


@pytest.mark.parametrize(("kind", "where"), [("<f8", "compressor"), ("<f8", "filters"), ("|O", "compressor"), ("|O", "filters")])
def test_a_zarr_store_of_pickles_is_refused(kind: str, where: str, tmp_path: Path) -> None:
    _old_zarr(tmp_path / "all.zarr", {"x": INPUTS, "y": TARGETS})
    plan, sprung = tmp_path / "all.zarr" / "fields" / "x" / ".zarray", tmp_path / "sprung"
    codec = {"id": "pickle"}
    packing = {"compressor": codec, "filters": None} if where == "compressor" else {"compressor": None, "filters": [codec]}
    plan.write_text(json.dumps(json.loads(plan.read_text()) | packing | {"dtype": kind}))
    for chunk in plan.parent.glob("[0-9]*"):
        if chunk.is_file():
            chunk.write_bytes(pickle.dumps(_Trap(sprung)))
    with pytest.raises(InputError, match=r"cannot be read as a zarr store|holds object of shape"):
        list(_opened(tmp_path, FORMATS["zarr 2"]))
    assert not sprung.exists()


def test_a_zarr_store_that_lacks_chunks_is_refused(tmp_path: Path) -> None:
    _zarr(tmp_path / "all.zarr", {"x": INPUTS, "y": TARGETS})
    shutil.rmtree(tmp_path / "all.zarr" / "fields" / "x" / "c" / "1")
    pairs = _opened(tmp_path, FORMATS["zarr"])
    assert len(pairs[0][0]) == len(pairs[2][0]) == 1
    with pytest.raises(InputError, match=r"fields/x lacks the chunk c/1/0/0/0, which would read as 0"):
        pairs[1]


def test_shards_of_a_zarr_store_are_read(tmp_path: Path) -> None:
    group = pytest.importorskip("zarr").open_group(str(tmp_path / "all.zarr"), mode="w")
    for name, array in (("x", INPUTS), ("y", TARGETS)):
        group.create_array(f"fields/{name}", data=array, chunks=(1, 1, 2, 5), shards=(2, *array.shape[1:]))
    _same(_opened(tmp_path, FORMATS["zarr"]))


def _linked(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["fields/x"] = h5py.ExternalLink("elsewhere.h5", "/x")


def _linked_twice(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["away"] = h5py.ExternalLink("elsewhere.h5", "/")
        file["fields/x"] = h5py.SoftLink("/away/x")


def _round(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["fields/x"] = h5py.SoftLink("/fields/x")


def _virtual(path: Path) -> None:
    layout = h5py.VirtualLayout(INPUTS.shape, "f8")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "x", INPUTS.shape)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("fields/x", layout)


def _stored_outside(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("fields/x", INPUTS.shape, "f8", external=[("/etc/passwd", 0, INPUTS.nbytes)])


def _unwritten(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("fields/x", INPUTS.shape, "f8", chunks=(1, 3, 4, 5))[0] = INPUTS[0]


def _filtered(path: Path) -> None:
    with h5py.File(path, "w") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk(INPUTS.shape)
        plan.set_filter(32099, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple(INPUTS.shape)
        group = file.create_group("fields")
        h5py.h5d.create(group.id, b"x", h5py.h5t.NATIVE_DOUBLE, space, plan).write(h5py.h5s.ALL, h5py.h5s.ALL, INPUTS)


def _huge(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.create_dataset("fields/x", (10**12,), "f8", chunks=(10**6,), compression="gzip")


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (_linked, r"is a link into another file .elsewhere.h5."),
        (_linked_twice, r"is a link into another file .elsewhere.h5."),
        (_round, "is a link that leads round in circles"),
        (_virtual, "only points at numbers in other files"),
        (_stored_outside, "only points at numbers in other files"),
        (_unwritten, "was never written to its end, and what is absent would read as 0"),
        (_filtered, "is packed by the HDF5 filter 32099 .*, which is not installed; write it with gzip"),
        (_huge, r"was never written to its end|of shape \(1000000000000,\); the description asks for"),
    ],
)
def test_an_hdf5_file_that_hides_something_is_refused(write: Callable[[Path], None], sentence: str, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "elsewhere.h5", "w") as file:
        file["x"] = INPUTS
    write(tmp_path / "all.h5")
    with pytest.raises(InputError, match=sentence):
        open_pairs(tmp_path, _described("all.h5:/fields/x", "elsewhere.h5:/x"))


def test_links_and_views_within_a_file_are_followed(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout(TARGETS.shape, "f8")
    layout[:] = h5py.VirtualSource(".", "fields/b", TARGETS.shape)
    _h5(tmp_path / "all.h5", {"a": INPUTS, "b": TARGETS})
    with h5py.File(tmp_path / "all.h5", "r+") as file:
        file["alias"] = h5py.SoftLink("/fields")
        file.create_virtual_dataset("view", layout)
    _same(open_pairs(tmp_path, _described("all.h5:/alias/a", "all.h5:/view")))


def test_what_unpacks_to_a_thousand_times_the_sample_is_refused() -> None:
    stored = formats.Stored((10**7, 3, 4, 5), np.dtype("f8"), None, chunk=3 * 2**30)
    with pytest.raises(InputError, match=r"packed in chunks of 3 GiB, each of which must be unpacked for a sample of"):
        stored.check_chunk("a.h5:/x", 480)
    replace(stored, chunk=2**29).check_chunk("a.h5:/x", 480)
    stored.check_chunk("a.h5:/x", 2**30)


def test_an_archive_that_unpacks_to_terabytes_is_refused_from_its_header(tmp_path: Path) -> None:
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    with zipfile.ZipFile(tmp_path / "all.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header + b"\n").to_bytes(2, "little") + header + b"\n")
        archive.writestr("y.npy", b"")
    tracemalloc.start()
    with pytest.raises(InputError, match=r"holds float64 of shape \(1000000000000,\); the description asks for"):
        _opened(tmp_path, FORMATS["npz"])
    assert tracemalloc.get_traced_memory()[1] < 1e7
    tracemalloc.stop()


def test_a_kind_of_file_that_is_not_read_is_told_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1,2")
    with pytest.raises(InputError, match=r"a.csv is of no kind that is read; give one of .npy, .npz, .h5"):
        open_pairs(tmp_path, _described("*.csv", "*.csv"))
    np.save(tmp_path / "a.npy", INPUTS)
    with pytest.raises(InputError, match="holds one array, and none named 'x'"):
        open_pairs(tmp_path, _described("*.npy:x", "*.npy"))


@pytest.mark.parametrize(("extra", "ending"), [("zarr", ".zarr"), ("astropy", ".fits")])
def test_a_missing_extra_is_told(extra: str, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (extra, "astropy.io", "astropy.io.fits"):
        monkeypatch.setitem(sys.modules, name, None)
    (tmp_path / f"a{ending}").mkdir()
    with pytest.raises(InputError, match=r"takes an extra: pip install 'fieldprobe\[(zarr|fits)\]'"):
        open_pairs(tmp_path, _described(f"*{ending}:x", f"*{ending}:y"))


# Numbers beside the fields


TABLE = {"Omega_m": np.array([0.1, 0.2, 0.3]), "seed": np.array([7.0, 8.0, 9.0])}
ROWS = np.array(list(zip(*TABLE.values(), strict=True)), [(name, "f8") for name in TABLE])


def _csv(path: Path) -> None:
    body = "".join(f"run {i}, {a!r}, {b!r}\n" for i, (a, b) in enumerate(ROWS.tolist()))
    path.write_text("name, Omega_m, seed\n" + body)


def _group(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name, column in TABLE.items():
            file[f"table/{name}"] = column


def _compound(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["table"] = ROWS


TABLES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "csv": ("t.csv", _csv),
    "npy": ("t.npy", lambda path: np.save(path, ROWS)),
    "npz": ("t.npz", lambda path: np.savez(path, **TABLE)),  # type: ignore[arg-type]
    "group": ("t.h5:/table", _group),
    "compound": ("t.h5:/table", _compound),
}


def _conditioned(folder: Path, **more: Any) -> Pairs:
    _npz(folder / "all.npz", {"x": INPUTS, "y": TARGETS})
    described = _described("*all.npz:x", "*all.npz:y", **more)
    return open_pairs(folder, replace(described, conditioning={"Omega_m": {"default": 0.31}}))


@pytest.mark.parametrize("kind", TABLES)
def test_each_pair_has_its_parameters_and_quantities(kind: str, tmp_path: Path) -> None:
    place, write = TABLES[kind]
    write(tmp_path / place.partition(":")[0])
    pairs = _conditioned(tmp_path, parameters=place, quantities=place)
    assert [pairs.parameters(i) for i in range(COUNT)] == [{"Omega_m": value} for value in (0.1, 0.2, 0.3)]
    assert [pairs.quantities(i) for i in range(COUNT)] == [{"Omega_m": a, "seed": b} for a, b in ROWS.tolist()]
    assert _conditioned(tmp_path).parameters(0) == {} == _conditioned(tmp_path).quantities(0)


def test_quantities_may_be_arrays(tmp_path: Path) -> None:
    mass = RNG.normal(size=(COUNT, 7))
    np.savez(tmp_path / "t.npz", mass=mass)
    assert np.array_equal(_conditioned(tmp_path, quantities="t.npz").quantities(2)["mass"], mass[2])


def test_the_model_is_called_with_the_parameters_of_the_pair(tmp_path: Path) -> None:
    _csv(tmp_path / "t.csv")
    pairs = _conditioned(tmp_path, parameters="t.csv")

    def network(values: torch.Tensor, Omega_m: torch.Tensor) -> torch.Tensor:
        return values[:, :1] * Omega_m.reshape(-1, 1, 1, 1)

    model = FieldModel(network, pairs.description, dtype=torch.float64)
    for i, (given, _) in enumerate(pairs):
        wanted = given.values[:, :1] * TABLE["Omega_m"][i]
        assert torch.equal(model(given).values, wanted)
        # What is made of the field goes on with it, and what was chosen for the model counts before all.
        assert torch.equal(model(given.with_values(2 * given.values)).values, 2 * wanted)
        assert torch.equal(model.at(Omega_m=0.5)(given).values, 0.5 * given.values[:, :1])
    assert model.parameters == {"Omega_m": 0.31} and model.passes == 2 * COUNT


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Omega_m\n0.1\n0.2\n", "has 2 rows and there are 3 pairs"),
        ("Omega_m\n0.1\n0.2\n0.3\n0.4\n", "has more rows and there are 3 pairs"),
        ("omega_m\n0.1\n0.2\n0.3\n", "holds no column 'Omega_m'; did you mean 'omega_m'"),
        ("Omega_m\n0.1\nhigh\n0.3\n", "'Omega_m' of .* holds no number"),
        ("Omega_m\n0.1\nnan\n0.3\n", "'Omega_m' of .* holds NaN or infinity"),
        ("Omega_m,b\n0.1,1\n0.2\n0.3,1\n", "row 2 of .* has 1 values for 2 columns"),
        ("", "has 0 rows"),
        ("\xff\xfe", "cannot be read as a .csv|has 0 rows"),
    ],
)
def test_what_is_wrong_with_a_table_is_told(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=sentence):
        _conditioned(tmp_path, parameters="t.csv")


def test_parameters_that_no_model_takes_are_refused(tmp_path: Path) -> None:
    _csv(tmp_path / "t.csv")
    _npz(tmp_path / "all.npz", {"x": INPUTS, "y": TARGETS})
    with pytest.raises(InputError, match=r"is what the model is called with, and it has none"):
        open_pairs(tmp_path, _described("*.npz:x", "*.npz:y", parameters="t.csv"))
    with pytest.raises(InputError, match=r"the table .*none.csv is not there"):
        _conditioned(tmp_path, parameters="none.csv")
    np.save(tmp_path / "u.npy", np.array([b"a", b"b", b"c"]))
    with pytest.raises(InputError, match="without named columns"):
        _conditioned(tmp_path, quantities="u.npy")


# Fingerprints


def test_the_fingerprint_follows_every_file(kind: tuple[str, Write, str], tmp_path: Path) -> None:
    kind[1](tmp_path / f"all{kind[0]}", {"x": INPUTS, "y": TARGETS})
    before = _opened(tmp_path, kind).fingerprint()
    assert _opened(tmp_path, kind).fingerprint() == before
    for path in _files(tmp_path / f"all{kind[0]}"):
        path.unlink()
    changed = INPUTS.copy()
    changed[2, 0, 0, 0] += 1e-9
    kind[1](tmp_path / f"all{kind[0]}", {"x": changed, "y": TARGETS})
    assert _opened(tmp_path, kind).fingerprint() != before


def test_the_fingerprint_follows_the_table(tmp_path: Path) -> None:
    _csv(tmp_path / "t.csv")
    before = _conditioned(tmp_path, parameters="t.csv").fingerprint()
    (tmp_path / "t.csv").write_text("Omega_m\n0.1\n0.2\n0.4\n")
    assert _conditioned(tmp_path, parameters="t.csv").fingerprint() != before != _conditioned(tmp_path).fingerprint()


def test_of_large_files_ends_and_dates_are_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(bytes(5 * 2**20))
    dated = path.stat().st_mtime_ns

    def changed_at(place: int, date: int) -> bytes:
        with path.open("r+b") as file:
            file.seek(place)
            file.write(b"x")
        os.utime(path, ns=(date, date))
        found = of_files([path], whole=2**20), of_files([path], whole=2**30)
        path.write_bytes(bytes(5 * 2**20))
        os.utime(path, ns=(dated, dated))
        return found

    home = of_files([path], whole=2**20), of_files([path], whole=2**30)
    middle, end, date = changed_at(2**21, dated), changed_at(5 * 2**20 - 1, dated), changed_at(2**21, dated + 1)
    assert middle[0] == home[0] and end[0] != home[0] and date[0] not in (home[0], end[0])
    assert len({home[1], middle[1], end[1]}) == 3 and middle[1] == date[1]  # where all bytes count, dates do not


# From the command line


def _asked(source: str, *words: str) -> tuple[int, str, str]:
    """`probe run transfer` on the network of the fixture `place`, with a table [data]."""
    text = Path("ckpt.probe.toml").read_text().partition("\n[data]")[0]
    Path("ckpt.probe.toml").write_text(f"{text}\n[data]\n{source}")
    return call("run", "transfer", "--model", "ckpt.pt", "--spec", "ckpt.probe.toml", *words)


def test_a_run_reads_inputs_and_targets_from_one_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("probe.contract.Result.panels", lambda self: [])
    fields = RNG.normal(size=(COUNT, 1, 16, 16))
    _h5(place / "all.h5", {"x": fields, "y": fields})
    source = 'input = "*.h5:/fields/x"\ntarget = "*.h5:/fields/y"\n'
    status, _, err = _asked(source, "--data", "all.h5", "--out", "new")
    assert status == 0, err
    document = json.loads((place / "new" / "run.json").read_text())
    assert document["data"] == {"pairs": COUNT, "names": ["all 0", "all 1", "all 2"]}
    assert document["probes"][0]["verdict"] == "pass"


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ('input = "a.h5:/fields/z"\ntarget = "a.h5:/fields/y"', "holds no dataset '/fields/z'"),
        ('input = "a.h5"\ntarget = "a.h5:/fields/y"', "say which dataset"),
        ('input = "*.txt"\ntarget = "*.txt"', r"notes.txt is of no kind that is read; give one of \.npy"),
        (
            'input = "cut.h5:/fields/x"\ntarget = "a.h5:/fields/y"',
            "cut.h5 cannot be read as an HDF5 file .*; write it again with h5py",
        ),
        (
            'input = "a.h5:/fields/x"\ntarget = "a.h5:/fields/y"\nchannels = "middle"',
            'channels in .data. is .middle.; expected one of "first"',
        ),
        ('input = ["a.h5:/fields/x", 3]\ntarget = "a.h5:/fields/y"', "expected a list of texts"),
        ('input = "a.h5:/fields/x"\ntarget = "a.h5:/fields/small"', r"of shape \(3, 1, 8, 8\); the description asks for"),
        (
            'input = "a.h5:/fields/x"\ntarget = "a.h5:/fields/few"',
            "3 samples like a.h5:/fields/x and 2 like a.h5:/fields/few; every input",
        ),
        (
            'input = "a.h5:/fields/boxed"\ntarget = "a.h5:/fields/y"',
            "states a box of 1 .box., and the description one of 16, 16 cell",
        ),
        ('input = "a.h5:/fields/nan"\ntarget = "a.h5:/fields/y"', "sample 0 of .*a.h5:/fields/nan holds NaN or infinity"),
        (
            'input = "a.h5:/fields/x"\ntarget = "a.h5:/fields/y"\nparameters = "p.csv"',
            "what the model is called with, and it has none",
        ),
        ('input = "a.h5:/fields/x"\ntarget = "a.h5:/fields/y"\nquantities = "p.csv"', "the table .*p.csv is not there"),
    ],
)
def test_bad_data_stop_a_run_with_one_sentence(place: Path, source: str, sentence: str) -> None:
    (place / "data").mkdir()
    good = np.ones((COUNT, 1, 16, 16), np.float32)
    wrong = {"small": good[..., :8, :8], "few": good[:2], "boxed": good, "nan": np.full_like(good, np.nan)}
    _h5(place / "data" / "a.h5", {"x": good, "y": good, **wrong})
    with h5py.File(place / "data" / "a.h5", "r+") as file:
        file["fields/boxed"].attrs["box"] = 1.0
    (place / "data" / "cut.h5").write_bytes((place / "data" / "a.h5").read_bytes()[:5000])
    (place / "data" / "notes.txt").write_text("")
    status, out, err = _asked(source, "--data", "data", "--out", "new")
    assert status == 2 and not out and err.startswith("probe: ") and err.count("\n") == 1, (status, out, err)
    assert re.search(sentence, err), err
    assert not (place / "new" / "run.json").exists()


# Data of others


DATA = Path(os.environ.get("PROBE_REALDATA", ""))
real = pytest.mark.skipif("PROBE_REALDATA" not in os.environ, reason="PROBE_REALDATA names no folder of networks and data")


def _real(path: str, description: Description, inputs: Any, targets: Any) -> None:
    _same(open_pairs(DATA / path, description), np.asarray(inputs), np.asarray(targets))


@real
@pytest.mark.realdata
def test_darcy_flow_is_read_from_tensors() -> None:
    data = torch.load(DATA / "darcy_burgers" / "darcy_test_16.pt", weights_only=True)
    source = DataSource("", "darcy_test_16.pt:x", "darcy_test_16.pt:y")
    described = Description(Grid((16, 16), (1.0, 1.0), boundary="zero"), TRUTH, TRUTH, data=source)
    _real("darcy_burgers", described, data["x"][:, None], data["y"][:, None])


@real
@pytest.mark.realdata
def test_an_ocean_is_read_from_one_archive() -> None:
    data = np.load(DATA / "ocean_closure" / "eddy_forcing.npz")
    source = DataSource("", "*.npz:q", "*.npz:S")
    layers = (Quantity("upper"), Quantity("lower"))
    described = Description(Grid((64, 64), (1000.0, 1000.0), "km"), layers, layers, data=source)
    _real("ocean_closure/eddy_forcing.npz", described, data["q"], data["S"])


@real
@pytest.mark.realdata
def test_a_cluster_is_read_from_fits() -> None:
    fits = pytest.importorskip("astropy.io.fits")
    folder = DATA / "mass_mapping"
    shear, convergence = fits.getdata(folder / "gamma200.fits"), fits.getdata(folder / "kappa200.fits")
    source = DataSource("", "gamma200.fits", "kappa200.fits")
    described = Description(Grid((200, 200), (1.0, 1.0)), (Quantity("one"), Quantity("two")), TRUTH, data=source)
    _real("mass_mapping", described, shear[None], convergence[None, None])


@real
@pytest.mark.realdata
def test_tomographic_maps_with_channels_last_are_read() -> None:
    maps = np.load(DATA / "mass_mapping" / "convergence_5bins_256.npy")
    bins = tuple(Quantity(f"bin {i}") for i in range(5))
    source = DataSource("", "convergence*.npy", "convergence*.npy", channels="last")
    described = Description(Grid((256, 256), (10.0, 10.0), "deg"), bins, bins, data=source)
    wanted = np.moveaxis(maps, -1, 0)[None]
    _real("mass_mapping", described, wanted, wanted)
