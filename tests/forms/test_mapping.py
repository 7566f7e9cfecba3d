"""The mapping rules: which columns become which inputs."""

import pytest

from foretell.errors import InvalidInput
from foretell.forms.mapping import plan
from foretell.types import DataType, ModelSpec, TensorSpec


def model(*inputs, features=None):
    return ModelSpec(tuple(TensorSpec(name, DataType.FP32, shape) for name, shape in inputs), features=features)


WIDE = model(("x", (3,)))
NAMED = model(("x", (3,)), features={"x": ("a", "b", "c")})
TWO = model(("n", (1,)), ("s", (1,)))


def choose(names, spec, mapping=None, ignore=(), text=()):
    return plan(names, lambda name: "other" if name in text else "number", spec, mapping, ignore)


def test_a_column_named_as_the_input_comes_first():
    assert choose(["x"], NAMED) == {"x": ("x",)}
    assert choose(["s", "n"], TWO) == {"n": ("n",), "s": ("s",)}


def test_feature_names_come_in_the_order_of_the_model():
    assert choose(["c", "a", "b"], NAMED) == {"x": ("a", "b", "c")}


def test_a_blank_may_be_an_underscore_in_the_model_unless_that_is_another_column():
    spelled = model(("x", (2,)), features={"x": ("a_b", "c")})
    assert choose(["c", "a b"], spelled) == {"x": ("a b", "c")}
    assert choose(["t n", "s"], model(("t_n", ()), ("s", ()))) == {"t_n": ("t n",), "s": ("s",)}
    with pytest.raises(InvalidInput, match=r"extra \['a b'\]"):
        choose(["c", "a b", "a_b"], spelled)


def test_numeric_columns_come_in_the_order_of_the_table():
    assert choose(["q", "p", "r"], WIDE) == {"x": ("q", "p", "r")}
    assert choose(["q", "t", "p", "r"], WIDE, text="t") == {"x": ("q", "p", "r")}
    assert choose(["q", "p", "r"], NAMED) == {"x": ("q", "p", "r")}


def test_booleans_are_numeric_columns_where_numbers_alone_are_not_enough():
    sorts = {"q": "number", "f": "flag", "p": "number", "t": "other", "u": "unknown"}

    def columns(names, width, datatype=DataType.FP32):
        spec = ModelSpec((TensorSpec("x", datatype, (width,)),))
        return "".join(plan(list(names), sorts.__getitem__, spec)["x"])

    assert columns("qfpt", 2) == "qp"
    assert columns("qfpt", 3) == columns("qfp", 3) == "qfp"
    assert columns("fu", 2) == columns("fu", 2, DataType.BOOL) == columns("qfu", 2, DataType.BOOL) == "fu"
    with pytest.raises(InvalidInput, match="exactly 4 numeric columns, got 2 numeric and 1 boolean of 4 columns"):
        columns("qfpt", 4)
    with pytest.raises(InvalidInput, match="exactly 2 boolean columns, got 1 boolean of 3 columns"):
        columns("qfp", 2, DataType.BOOL)


def test_the_key_is_no_input():
    assert choose(["id", "q", "p", "r"], WIDE, ignore=["id"]) == {"x": ("q", "p", "r")}
    assert choose(["id", "x"], WIDE, ignore=["id"]) == {"x": ("x",)}
    assert choose(["id", "y"], ModelSpec(), ignore=["id"]) == {"y": ("y",)}


def test_a_mapping_overrides_every_rule():
    names = ["x", "a", "b", "c", "d"]
    assert choose(names, NAMED, {"x": ["d", "b", "a"]}) == {"x": ("d", "b", "a")}
    assert choose(["n", "q"], TWO, {"s": ["q"]}) == {"n": ("n",), "s": ("q",)}
    assert choose(names, ModelSpec(), {"z": ["a", "b"]}) == {"z": ("a", "b")}


def test_every_column_is_an_input_where_inputs_are_not_known():
    assert choose(["q", "p"], ModelSpec()) == {"q": ("q",), "p": ("p",)}


@pytest.mark.parametrize(
    ("names", "spec", "mapping", "words"),
    [
        (["a", "b", "cc"], NAMED, None, r"missing \['c'\], extra \['cc'\].*got \['a', 'b', 'cc'\]"),
        (["a", "b", "c", "d"], NAMED, None, r"extra \['d'\]; expected the features of the model \['a', 'b', 'c'\]"),
        (["a", "b"], NAMED, None, r"missing \['c'\]"),
        (["p", "q"], NAMED, None, r"missing \['a', 'b', 'c'\], extra \['p', 'q'\]"),
        (["p", "q"], WIDE, None, r"'x' or exactly 3 numeric columns, got 2 numeric of 2 columns.*--map"),
        (["x", "y"], WIDE, None, r"extra \['y'\]"),
        (["n"], TWO, None, r"missing \['s'\]"),
        (["n", "s", "t"], TWO, None, r"extra \['t'\]"),
        (["p"], model(("x", (None,))), None, r"missing \['x'\], extra \['p'\]"),
        (["a", "b", "c"], NAMED, {"y": ["a"]}, "unknown input 'y'; known: x"),
        (["alpha", "b", "c"], NAMED, {"x": ["alpa", "b", "c"]}, "unknown column 'alpa'; did you mean 'alpha'"),
        (["a", "b", "c"], NAMED, {"x": ["a", "b"]}, "wrong number of columns; expected 3, got 2"),
        (["a"], NAMED, {"x": []}, "wrong number of columns"),
    ],
)
def test_columns_that_do_not_fit_show_both_sides(names, spec, mapping, words):
    with pytest.raises(InvalidInput, match=words):
        choose(names, spec, mapping)


def test_where_nobody_knows_how_wide_a_row_is_the_mapping_is_named():
    with pytest.raises(InvalidInput, match=r"--map x=a,b,c"):
        choose(["a1", "b1"], model(("x", None)))


def test_the_nearest_extra_column_is_named():
    spec = model(("x", (2,)), features={"x": ("petal_width", "petal_length")})
    with pytest.raises(InvalidInput, match="for 'petal_width', did you mean 'petal_widht'"):
        choose(["petal_length", "petal_widht"], spec)


def test_long_lists_of_columns_are_cut_short():
    with pytest.raises(InvalidInput, match="and 90 more"):
        choose([f"c{i}" for i in range(100)], WIDE)
