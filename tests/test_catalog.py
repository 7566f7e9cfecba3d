"""Names and versions to engines, with real engines behind them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.backends.opened import Opened
from foretell.catalog import Served, StaticCatalog, check_name, check_version
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.engine.engine import Engine
from foretell.errors import InvalidSetting, ModelNotFound
from foretell.model import Context, Model


class Echo(Model):
    def predict(self, batch: Batch, ctx: Context) -> Batch:
        return batch


def served(name: str = "digits", version: str = "1") -> Served:
    model = Echo()
    engine = Engine(model, ModelSettings(), name=name, version=version, digest="sha256:00")
    opened = Opened(model, name, "sha256:00", f"{name}.onnx", "onnx", 4, ())
    return Served(name, version, engine, opened)


@pytest.mark.parametrize("version", [None, "", "latest"])
def test_no_version_is_the_highest_number(version: str | None) -> None:
    catalog = StaticCatalog([served(version="9"), served(version="10"), served(version="2")])
    assert catalog.resolve("digits", version).version == "10"


def test_a_version_and_a_label_give_their_own_engine() -> None:
    one, two = served(version="1"), served(version="2")
    catalog = StaticCatalog([one, two], {"digits": {"stable": "1"}})
    assert catalog.resolve("digits", "2") is two
    assert catalog.resolve("digits", "stable") is one


def test_models_and_versions_are_listed_in_order() -> None:
    catalog = StaticCatalog([served("wine"), served("digits", "10"), served("digits", "9")])
    assert catalog.names() == ["digits", "wine"]
    assert catalog.versions("digits") == ["9", "10"]


def test_a_served_model_shows_what_its_engine_is() -> None:
    one = served("digits", "3")
    assert one.identity.name == "digits"
    assert one.identity.version == "3"
    assert one.spec is one.engine.spec


def test_an_unknown_model_is_answered_as_clients_match_it() -> None:
    with pytest.raises(ModelNotFound) as caught:
        StaticCatalog([served("digits")]).resolve("digit")
    assert str(caught.value) == "Request for unknown model: 'digit' is not found; did you mean 'digits'?"


def test_an_unknown_version_is_answered_as_clients_match_it() -> None:
    with pytest.raises(ModelNotFound) as caught:
        StaticCatalog([served("m", "1"), served("m", "2")]).resolve("m", "9")
    assert str(caught.value) == "Request for unknown model: 'm' version 9 is not found; known: 1, 2"


def test_versions_of_an_unknown_model() -> None:
    with pytest.raises(ModelNotFound, match=r"^Request for unknown model: 'x' is not found"):
        StaticCatalog([served()]).versions("x")


@pytest.mark.parametrize("text", ["x" * 100_000, "a\nb\x00c"])
def test_what_a_client_sent_is_repeated_short_and_printable(text: str) -> None:
    catalog = StaticCatalog([served()])
    for name, version in [(text, None), ("digits", text)]:
        with pytest.raises(ModelNotFound) as caught:
            catalog.resolve(name, version)
        assert len(str(caught.value)) < 300
        assert str(caught.value).isprintable()


def test_ready_follows_the_engines() -> None:
    one, two = served("one"), served("two")
    catalog = StaticCatalog([one, two])
    one.engine.load()
    assert not catalog.ready()
    two.engine.load()
    assert catalog.ready()
    two.engine.close()
    assert not catalog.ready()
    one.engine.close()


def test_an_empty_catalogue_is_not_ready() -> None:
    assert not StaticCatalog([]).ready()


def test_the_same_version_twice_is_refused() -> None:
    with pytest.raises(InvalidSetting, match="'digits' version 1 is served twice"):
        StaticCatalog([served(), served()])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"digit": {"stable": "1"}}, "unknown model 'digit'; did you mean 'digits'"),
        ({"digits": {"stable": "7"}}, "unknown version '7'"),
        ({"digits": {"latest": "1"}}, "'latest' cannot be a label"),
        ({"digits": {"2": "1"}}, "'2' cannot be a label"),
    ],
)
def test_a_label_must_name_what_there_is(labels: dict[str, dict[str, str]], message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        StaticCatalog([served()], labels)


@pytest.mark.parametrize("name", ["m", "Kreditprüfung", "my model-2.1", "_x", "7", "a..b", "x" * 128])
def test_names_that_a_model_may_have(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "../up", "a/b", "a\\b", "a\0", "a\n", " a", "a ", "a.", "-flag", "a%2e", "x" * 129],
)
def test_names_that_a_model_may_not_have(name: str) -> None:
    with pytest.raises(InvalidSetting, match="cannot be the name of a model"):
        check_name(name)


@given(st.text(max_size=20))
def test_an_accepted_name_is_one_plain_path_segment(name: str) -> None:
    try:
        check_name(name)
    except InvalidSetting:
        return
    assert not set(name) & set('/\\\0:*?"<>|%')
    assert name.isprintable()
    assert name == name.strip()
    assert name not in {".", ".."}


@pytest.mark.parametrize("version", ["0", "01", "-1", "1.0", "v1", "", "one", "1 ", "1\n", "٣", "9" * 19])
def test_a_version_is_a_positive_whole_number(version: str) -> None:
    with pytest.raises(InvalidSetting, match="cannot be a version"):
        check_version(version)
    with pytest.raises(InvalidSetting, match="cannot be a version"):
        StaticCatalog([served(version=version)])
