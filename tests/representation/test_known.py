"""Physical quantities beside the samples: whatever they lie in, which axis is whose, what curves run along, what is a class."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from probe import latents
from probe.data import Known, call_pairs, known_from, read_known
from probe.description import DataSource, Description, Representation, parse_description
from probe.errors import InputError
from probe.fields import Quantity
from probe.grid import Grid
from probe.runner.subject import LocalSubject
from tests.models import SQUARE
from tests.representation.models import bottleneck, subject

LINE = Grid.cubic(8, 4.0, dimension=1, unit="m")
COUNT = 12
DRAW = np.random.default_rng(0)
FIELDS = DRAW.normal(size=(COUNT, 1, 8))
MASS, TYPE, CURVE = DRAW.normal(size=COUNT), np.arange(COUNT) % 3, DRAW.normal(size=(COUNT, 5))


def beside(columns, **said):
    """The quantities that a data function gives as a third item, by name."""
    described = Description(LINE, (Quantity("x"),), (Quantity("y"),), data=DataSource("made:pairs", **said))
    return dict(call_pairs(lambda: (FIELDS, FIELDS, columns), described).beside)


def test_a_third_item_of_the_data_function_is_quantities():
    found = beside({"mass": MASS, "type": TYPE, "curve": CURVE}, units={"mass": "Msun"}, categorical=("type",))
    assert found["mass"].unit == "Msun" and not found["mass"].categorical and found["type"].categorical
    assert np.array_equal(found["mass"].values, MASS) and found["mass"].coordinate is None
    along = found["curve"].coordinate
    assert np.array_equal(found["curve"].values, CURVE) and (along.name, along.values.tolist()) == ("index", [0, 1, 2, 3, 4])


def test_the_axis_of_the_samples_is_the_one_of_their_number():
    assert np.array_equal(beside({"curve": CURVE.T})["curve"].values, CURVE)
    with pytest.raises(InputError, match=r"'square' of made:pairs has shape \(12, 12\) and there are 12 samples, so that either"):
        beside({"square": np.zeros((COUNT, COUNT))})
    with pytest.raises(InputError, match=r"'other' of made:pairs has shape \(5, 7\) and there are 12 samples; give a row"):
        beside({"other": np.zeros((5, 7))})


def test_what_a_curve_runs_along_is_stated_or_lies_beside_it():
    radii = [0.1, 0.2, 0.4, 0.8, 1.6]
    stated = {"curve": {"name": "r", "unit": "Mpc/h", "values": radii}}
    lying = {"curve": {"unit": "Mpc/h", "values": "r"}}
    for columns, said in (({"curve": CURVE}, stated), ({"curve": CURVE, "r": np.array(radii)}, lying)):
        found = beside(columns, coordinates=said)
        assert list(found) == ["curve"]
        assert (found["curve"].coordinate.name, found["curve"].coordinate.unit) == ("r", "Mpc/h")
        assert found["curve"].coordinate.values.tolist() == radii


@pytest.mark.parametrize(
    "columns, said, sentence",
    [
        ({"m": MASS}, {"units": {"mas": "x"}}, r"\[data\] units names 'mas', which made:pairs does not hold"),
        ({"m": MASS}, {"categorical": ("type",)}, r"\[data\] categorical names 'type'"),
        ({"m": MASS}, {"coordinates": {"m": {"name": "r"}}}, "names 'm', which in made:pairs is no curve"),
        ({"c": CURVE}, {"coordinates": {"c": {"values": [1.0, 2.0]}}}, "has 5 points, and its coordinate 2"),
        ({"c": CURVE}, {"coordinates": {"c": {"values": "r"}}}, "of 'c' names 'r', which made:pairs does not hold"),
        ({"m": MASS * np.nan}, {}, "holds NaN or infinity"),
        ({"m": MASS * 1j}, {}, "holds complex128; expected numbers or words"),
        ([MASS], {}, "gave a list; expected a dict of arrays by name"),
        ({"m": MASS}, {"quantities": "t.csv"}, "quantities names 't.csv'; keep one of them"),
    ],
)
def test_what_does_not_fit_is_told(columns, said, sentence):
    with pytest.raises(InputError, match=sentence):
        beside(columns, **said)


def test_words_are_classes_and_names_of_samples_are_left_out():
    found = beside({"kind": np.array(["a", "b", "b"] * 4), "name": np.array([f"run {i}" for i in range(COUNT)])})
    assert list(found) == ["kind"] and found["kind"].categorical and found["kind"].at(1) == "b"


def test_a_table_on_disk_gives_the_same(tmp_path):
    np.savez(tmp_path / "t.npz", mass=MASS, curve=CURVE.T, r=np.arange(5.0), kind=np.array(["a", "b", "b"] * 4))
    np.save(tmp_path / "x.npy", FIELDS)
    model = bottleneck(SQUARE)
    source = DataSource(
        str(tmp_path), "x.npy", "x.npy", quantities="t.npz", coordinates={"curve": {"values": "r"}}, units={"mass": "Msun"}
    )
    described = Description(
        LINE, (Quantity("x"),), (Quantity("y", unit="K"),), data=source, representation=Representation("encoder")
    )
    model.description = described
    asked = subject(model)
    found = {one.name: one for one in latents.known(asked)}
    assert np.array_equal(found["mass"].values, MASS) and found["kind"].categorical
    assert np.array_equal(found["curve"].values, CURVE) and found["curve"].coordinate.name == "r"
    assert asked.pairs.quantities(1)["kind"] == "b" and asked.pairs.quantities(1)["mass"] == MASS[1]
    # The truth is a field on a line: a curve along it.
    assert found["y"].unit == "K" and found["y"].coordinate.unit == "m"
    np.testing.assert_allclose(found["y"].values, FIELDS[:, 0])
    np.testing.assert_allclose(found["y"].coordinate.values, np.arange(8) / 2)
    before = asked.pairs.fingerprint()
    np.savez(tmp_path / "t.npz", mass=MASS + 1, curve=CURVE.T, r=np.arange(5.0), kind=np.array(["a", "b", "b"] * 4))
    assert subject(model).pairs.fingerprint() != before


def test_a_function_may_give_the_quantities():
    model = bottleneck(SQUARE, data=DataSource("made:pairs", quantities="made:known"))
    model.code["made:known"] = lambda: {"size": np.arange(60.0)}
    assert [one.name for one in latents.known(subject(model))] == ["size"]
    assert "made:known" in model.description.code


def test_fields_in_more_dimensions_are_no_quantities():
    assert latents.known(subject(bottleneck(SQUARE))) == []


def test_numbers_among_the_truths_are_quantities():
    targets = MASS[:, None]
    described = Description(LINE, (Quantity("x"),), (Quantity("there", "number", unit="s"),), data=DataSource("made:pairs"))
    pairs = call_pairs(lambda: (FIELDS, targets), described)
    model = bottleneck(SQUARE)
    model.description = described
    (found,) = latents.known(LocalSubject("model", model, pairs, "default", 0, "latents"))
    np.testing.assert_allclose(found.values, MASS)
    assert (found.name, found.unit, found.coordinate) == ("there", "s", None)


def test_a_known_quantity_gives_the_value_of_a_sample():
    assert Known("m", MASS).at(3) == MASS[3] and np.array_equal(Known("c", CURVE).at(3), CURVE[3])
    one = known_from({"m": MASS}, DataSource(), COUNT, "here")["m"]
    assert replace(one, name="n").name == "n"


@pytest.mark.parametrize(
    "data, sentence",
    [
        ({"coordinates": {"c": {"valeus": [1]}}}, 'unknown key "valeus" in .data.coordinates.c.; did you mean "values"'),
        ({"coordinates": {"c": {"values": []}}}, "expected a list of numbers, or the name of a column"),
        ({"units": {"m": 3}}, "expected a text in quotes"),
        ({"categorical": "type"}, "expected a list of texts"),
    ],
)
def test_what_is_misspelt_is_told(data, sentence):
    table = {"schema": 1, "grid": {"shape": [8], "box": 1}, "input": [{}], "output": [{}], "data": data}
    with pytest.raises(InputError, match=sentence):
        parse_description(table, "x.toml")


# Tables as people write them


def table(folder, name, write):
    write(folder / name)
    return read_known(folder, DataSource("", quantities=name), COUNT)


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("m,n\n" + "1,2\n" * 6 + ",3\n" + "1,2\n" * 5, "row 7 of the column 'm' of .* holds no number but an empty cell"),
        ("m,n\n" + "1,n/a\n" + "1,2\n" * 11, "row 1 of the column 'n' of .* holds no number but 'n/a'"),
        ("m,m\n" + "1,2\n" * 12, "names two columns 'm'; give each a name of its own"),
        ("m;n\n" + "1;2\n" * 12, "has one column, 'm;n'; separate its columns by commas"),
    ],
)
def test_a_table_that_would_be_misread_is_refused(text, sentence, tmp_path):
    with pytest.raises(InputError, match=sentence):
        table(tmp_path, "t.csv", lambda path: path.write_text(text))


def test_an_index_without_a_name_is_left_out_and_words_stay_words(tmp_path):
    text = ",m,kind\n" + "".join(f"{i},{i / 2},{'ab'[i % 2]}\n" for i in range(COUNT))
    found = table(tmp_path, "t.csv", lambda path: path.write_text(text))
    assert list(found) == ["m", "kind"] and found["kind"].categorical and not found["m"].categorical


def test_words_in_hdf5_are_classes_and_groups_are_passed_over(tmp_path):
    import h5py

    def write(path):
        with h5py.File(path, "w") as file:
            file["kind"], file["m"] = ["disc", "bälle"] * 6, MASS
            file.create_group("more")["n"] = MASS

    found = table(tmp_path, "t.h5", write)
    assert found["kind"].categorical and found["kind"].at(1) == "bälle" and list(found) == ["kind", "m"]
    with pytest.raises(InputError, match=r"holds groups alone \(a\) and no columns; name one, as u.h5:/a"):
        table(tmp_path, "u.h5", lambda path: h5py.File(path, "w").create_group("a"))


def test_a_curve_without_points_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"has shape \(12, 0\) and holds nothing"):
        table(tmp_path, "t.npz", lambda path: np.savez(path, m=np.zeros((COUNT, 0))))
