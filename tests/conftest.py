"""One thread: on small grids threads only wait for one another. Every run.json that a test writes is held to the published form.

And a folder with a small network in it.
"""

import itertools
import json
import os
import sys

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def published_form():
    """Whatever any test stores is of the form that is published."""
    from probe import record, store

    write = store.write_document

    def checked(folder, document):
        write(folder, document)
        told = record.fault(json.loads((folder / "run.json").read_text(encoding="utf-8")), "run")
        assert not told, told

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "write_document", checked)
        yield


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a small network's code and checkpoint, and a home of its own for permissions."""
    import probe
    from tests.command import NETWORK

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("smallnet", None)
    (tmp_path / "smallnet.py").write_text(NETWORK)
    import smallnet

    torch.manual_seed(0)
    probe.save(smallnet.Net(), tmp_path / "ckpt.pt", factory="smallnet:Net", grid=(16, 16), input="scalar", output="scalar")
    return tmp_path


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working folder with its own record of what is allowed."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


_modules = itertools.count()


@pytest.fixture
def module(home):
    """The name of a module with networks and functions, found only from the working folder."""
    from tests.mynet import CODE

    name = f"mynet_{os.getpid()}_{next(_modules)}"
    (home / f"{name}.py").write_text(CODE)
    return name
