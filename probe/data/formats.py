"""Which kind of file an array lies in, told by the end of its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from probe.data.fits_files import open_fits
from probe.data.hdf5 import open_hdf5
from probe.data.netcdf import open_netcdf
from probe.data.numpy_files import open_npy, open_npz
from probe.data.stored import Stored
from probe.data.torch_files import open_torch
from probe.data.zarr_stores import open_zarr
from probe.errors import InputError


@dataclass(frozen=True)
class Format:
    """A kind of file: how it is called, what writes it, how an array in it is opened."""

    name: str
    writer: str
    open: Callable[[Path, str], AbstractContextManager[Stored]]


_NPY = Format("a .npy array", "numpy.save", open_npy)
_HDF5 = Format("an HDF5 file", "h5py", open_hdf5)
_NETCDF = Format("a NetCDF file", "xarray's to_netcdf", open_netcdf)
_TORCH = Format("a dict of tensors", "torch.save", open_torch)
_FITS = Format("a FITS file", "astropy.io.fits", open_fits)
FORMATS = {
    ".npy": _NPY,
    ".npz": Format("an .npz archive", "numpy.savez", open_npz),
    **dict.fromkeys((".h5", ".hdf5", ".hdf", ".he5"), _HDF5),
    **dict.fromkeys((".nc", ".nc4", ".cdf"), _NETCDF),
    **dict.fromkeys((".pt", ".pth"), _TORCH),
    ".zarr": Format("a zarr store", "zarr", open_zarr),
    **dict.fromkeys((".fits", ".fit", ".fts"), _FITS),
}


@contextmanager
def opened(path: Path, key: str) -> Iterator[Stored]:
    """An array in a file, for as long as it is looked at.

    Parameters
    ----------
    path : Path
    key : str
        Which array of the file; empty where it holds but one.

    Raises
    ------
    InputError
        If files of that name are not read, the file is damaged, or there is no such array.
    """
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise InputError(f"{path} is of no kind that is read; give one of {', '.join(FORMATS)}, or a function that reads it")
    try:
        with kind.open(path, key) as stored:
            yield stored
    except InputError:
        raise
    except Exception as fault:  # on damaged files the libraries raise anything
        told = (str(fault).strip().splitlines() or [type(fault).__name__])[0]
        raise InputError(f"{path} cannot be read as {kind.name} ({told}); write it again with {kind.writer}") from None
