"""Names and versions to engines, with real engines behind them."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.backends.opened import Opened
from foretell.catalog import LiveCatalog, Served, StaticCatalog
from foretell.columns import Batch
from foretell.config import ModelSettings
from foretell.engine.engine import Engine
from foretell.errors import InvalidSetting, ModelNotFound
from foretell.model import Context, Model
from foretell.model_names import check_name, check_version


class Echo(Model):
    def predict(self, batch: Batch, ctx: Context) -> Batch:
        return batch


def served(name: str = "digits", version: str = "1") -> Served:
    model = Echo()
    engine = Engine(model, ModelSettings(), name=name, version=version, digest="sha256:00")
    opened = Opened(model, name, "sha256:00", f"{name}.onnx", "onnx", 4, ())
    return Served(name, version, engine, opened)


Kind = type[StaticCatalog] | type[LiveCatalog]


@pytest.fixture(params=[StaticCatalog, LiveCatalog])
def kind(request: pytest.FixtureRequest) -> Kind:
    """What every catalogue does."""
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize("version", [None, "", "latest"])
def test_no_version_is_the_highest_number(kind: Kind, version: str | None) -> None:
    catalog = kind([served(version="9"), served(version="10"), served(version="2")])
    assert catalog.resolve("digits", version).version == "10"


def test_a_version_and_a_label_give_their_own_engine(kind: Kind) -> None:
    one, two = served(version="1"), served(version="2")
    catalog = kind([one, two], {"digits": {"stable": "1"}})
    assert catalog.resolve("digits", "2") is two
    assert catalog.resolve("digits", "stable") is one


def test_models_and_versions_are_listed_in_order(kind: Kind) -> None:
    catalog = kind([served("wine"), served("digits", "10"), served("digits", "9")])
    assert catalog.names() == ["digits", "wine"]
    assert catalog.versions("digits") == ["9", "10"]


def test_a_served_model_shows_what_its_engine_is() -> None:
    one = served("digits", "3")
    assert one.identity.name == "digits"
    assert one.identity.version == "3"
    assert one.spec is one.engine.spec


def test_an_unknown_model_is_answered_as_clients_match_it(kind: Kind) -> None:
    with pytest.raises(ModelNotFound) as caught:
        kind([served("digits")]).resolve("digit")
    assert str(caught.value) == "Request for unknown model: 'digit' is not found; did you mean 'digits'?"


def test_an_unknown_version_is_answered_as_clients_match_it(kind: Kind) -> None:
    with pytest.raises(ModelNotFound) as caught:
        kind([served("m", "1"), served("m", "2")]).resolve("m", "9")
    assert str(caught.value) == "Request for unknown model: 'm' version 9 is not found; known: 1, 2"


def test_versions_of_an_unknown_model(kind: Kind) -> None:
    with pytest.raises(ModelNotFound, match=r"^Request for unknown model: 'x' is not found"):
        kind([served()]).versions("x")


@pytest.mark.parametrize("text", ["x" * 100_000, "a\nb\x00c"])
def test_what_a_client_sent_is_repeated_short_and_printable(kind: Kind, text: str) -> None:
    catalog = kind([served()])
    for name, version in [(text, None), ("digits", text)]:
        with pytest.raises(ModelNotFound) as caught:
            catalog.resolve(name, version)
        assert len(str(caught.value)) < 300
        assert str(caught.value).isprintable()


def test_ready_follows_the_engines(kind: Kind) -> None:
    one, two = served("one"), served("two")
    catalog = kind([one, two])
    one.engine.load()
    assert not catalog.ready()
    two.engine.load()
    assert catalog.ready()
    two.engine.close()
    assert not catalog.ready()
    one.engine.close()


def test_an_empty_catalogue_is_not_ready(kind: Kind) -> None:
    assert not kind([]).ready()


def test_the_same_version_twice_is_refused(kind: Kind) -> None:
    with pytest.raises(InvalidSetting, match="'digits' version 1 is served twice"):
        kind([served(), served()])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"digit": {"stable": "1"}}, "unknown model 'digit'; did you mean 'digits'"),
        ({"digits": {"stable": "7"}}, "unknown version '7'"),
        ({"digits": {"latest": "1"}}, "'latest' cannot be a label"),
        ({"digits": {"2": "1"}}, "'2' cannot be a label"),
    ],
)
def test_a_label_must_name_what_there_is(kind: Kind, labels: dict[str, dict[str, str]], message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        kind([served()], labels)


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
        LiveCatalog().put(served(version=version))


def test_a_version_that_comes_is_found_and_can_be_the_newest() -> None:
    catalog = LiveCatalog([served("m", "1")])
    newer = served("m", "2")
    catalog.put(newer)
    assert catalog.resolve("m") is newer
    catalog.put(served("other"))
    assert catalog.names() == ["m", "other"]
    with pytest.raises(InvalidSetting, match="'m' version 2 is served twice"):
        catalog.put(served("m", "2"))


def test_a_version_that_goes_leaves_the_next_newest() -> None:
    one, two = served("m", "1"), served("m", "2")
    catalog = LiveCatalog([one, two], {"m": {"stable": "1", "next": "2"}})
    assert catalog.remove("m", "2") == [two]
    assert catalog.resolve("m") is one
    assert catalog.resolve("m", "stable") is one
    with pytest.raises(ModelNotFound, match=r"version next is not found; known: 1, stable$"):
        catalog.resolve("m", "next")
    catalog.put(two)
    assert catalog.resolve("m", "next") is two


def test_all_versions_of_a_model_go_in_one_step() -> None:
    one, two = served("m", "1"), served("m", "2")
    catalog = LiveCatalog([one, two, served("other")])
    assert catalog.remove("m") == [one, two]
    assert catalog.names() == ["other"]
    for name, version in (("m", None), ("m", "1"), ("other", "2"), ("other", "latest")):
        with pytest.raises(ModelNotFound, match=f"Request for unknown model: '{name}'"):
            catalog.remove(name, version)


def test_a_version_takes_the_place_of_the_same_one() -> None:
    old, new = served("m", "1"), served("m", "1")
    catalog = LiveCatalog([old])
    catalog.swap(old, new)
    assert catalog.resolve("m") is new
    with pytest.raises(ModelNotFound, match="'m' version 1 is not found"):
        catalog.swap(old, served("m", "1"))
    with pytest.raises(ModelNotFound, match="'m' version 2 is not found"):
        catalog.swap(new, served("m", "2"))


def test_a_live_catalogue_has_room_for_so_many() -> None:
    catalog = LiveCatalog([served("a")], most_models=2, most_versions=2)
    catalog.put(served("a", "2"))
    with pytest.raises(InvalidSetting, match="'a' has too many versions; expected at most 2, got 3"):
        catalog.put(served("a", "3"))
    catalog.put(served("b"))
    with pytest.raises(InvalidSetting, match="there are too many models; expected at most 2, got 3"):
        catalog.put(served("c"))
    assert [(name, catalog.versions(name)) for name in catalog.names()] == [("a", ["1", "2"]), ("b", ["1"])]
    with pytest.raises(InvalidSetting, match="too many models"):
        LiveCatalog([served("a"), served("b")], most_models=1)


def test_who_subscribed_is_told_of_each_change_once_it_can_be_seen() -> None:
    catalog, seen = LiveCatalog([served("a")]), []
    catalog.subscribe(lambda: seen.append(catalog.names()))
    catalog.put(served("b"))
    catalog.swap(catalog.resolve("a"), served("a"))
    catalog.remove("a")
    with pytest.raises(ModelNotFound):
        catalog.remove("a")
    assert seen == [["a", "b"], ["a", "b"], ["b"]]


def test_readers_see_all_of_a_change_or_none() -> None:
    """While versions 1 and 2 change places, a reader always finds one, and never the one that is gone."""
    one, two = served("m", "1"), served("m", "2")
    catalog, problems, stop = LiveCatalog([one]), list[object](), threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                found, versions = catalog.resolve("m"), catalog.versions("m")
                if found not in (one, two) or versions not in (["1"], ["1", "2"], ["2"]):
                    problems.append((found, versions))
            except ModelNotFound as error:
                problems.append(error)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    for _ in range(2000):
        catalog.put(two)
        catalog.remove("m", "1")
        catalog.put(one)
        catalog.remove("m", "2")
    stop.set()
    for reader in readers:
        reader.join(20)
    assert problems == []
