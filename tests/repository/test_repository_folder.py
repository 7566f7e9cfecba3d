"""Folders of models as people have them, good and bad."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretell.errors import InvalidModel, InvalidSetting, UnsafeModel
from foretell.repository.folder import Found, holds_versions, scan, scan_model


def is_artefact(path: Path) -> bool:
    return path.suffix.lower() in (".onnx", ".skops", ".py")


def put(root: Path, *files: str, text: str = "") -> Path:
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def found(root: Path) -> list[Found]:
    return scan(root, is_artefact)


def refusal(root: Path) -> str:
    with pytest.raises(InvalidModel) as caught:
        found(root)
    return str(caught.value).replace(str(root), "REPO")


def test_every_version_of_every_model_is_found_in_order(tmp_path: Path) -> None:
    put(tmp_path, "wine/1/model.skops", "digits/10/model.onnx", "digits/9/net.ONNX")
    assert [(one.name, one.version, one.path.name) for one in found(tmp_path)] == [
        ("digits", "9", "net.ONNX"),
        ("digits", "10", "model.onnx"),
        ("wine", "1", "model.skops"),
    ]


def test_a_clean_repository_has_no_notes_and_no_settings(tmp_path: Path) -> None:
    put(tmp_path, "digits/1/model.onnx", "digits/1/model.onnx.data", "digits/labels.txt", "README.md")
    (one,) = found(tmp_path)
    assert one.notes == ()
    assert one.layers == ()


def test_hidden_and_system_entries_are_passed_over(tmp_path: Path) -> None:
    put(tmp_path, ".git/x", "lost+found/x", "m/.old/model.onnx", "m/1/.model.onnx", "m/1/__pycache__/model.py")
    put(tmp_path, "m/1/model.py")
    assert [one.path for one in found(tmp_path)] == [tmp_path / "m/1/model.py"]


def test_the_one_called_model_is_served_and_the_others_are_mentioned(tmp_path: Path) -> None:
    put(tmp_path, "m/1/model.py", "m/1/helpers.py")
    (one,) = found(tmp_path)
    assert one.path.name == "model.py"
    assert [note.replace(str(tmp_path), "REPO") for note in one.notes] == [
        "REPO/m/1/helpers.py: not served, since model.py is"
    ]


def test_a_triton_repository_is_found_and_its_configuration_mentioned(tmp_path: Path) -> None:
    put(tmp_path, "m/1/model.onnx", "m/config.pbtxt", text="max_batch_size: 8")
    (one,) = found(tmp_path)
    assert one.layers == ()
    assert one.notes[0].endswith("config.pbtxt: not read; settings go into model.toml")


def test_the_nearer_model_toml_comes_first(tmp_path: Path) -> None:
    put(tmp_path, "m/1/model.onnx", "m/2/model.onnx")
    put(tmp_path, "m/model.toml", text="threads = 2")
    put(tmp_path, "m/2/model.toml", text="threads = 1")
    first, second = found(tmp_path)
    assert [layer.values for layer in first.layers] == [{"threads": 2}]
    assert [layer.values for layer in second.layers] == [{"threads": 1}, {"threads": 2}]


def test_an_unknown_key_in_model_toml_names_file_and_nearest(tmp_path: Path) -> None:
    put(tmp_path, "m/1/model.onnx")
    put(tmp_path, "m/model.toml", text="max_batch_sise = 8")
    with pytest.raises(InvalidSetting, match=r"m/model\.toml: unknown setting 'max_batch_sise'; did you mean"):
        found(tmp_path)


@pytest.mark.parametrize("text", ["allow_pickle = true", "trust = ['os.system']"])
def test_a_model_cannot_vouch_for_itself(tmp_path: Path, text: str) -> None:
    put(tmp_path, "m/1/model.skops")
    put(tmp_path, "m/1/model.toml", text=text)
    with pytest.raises(UnsafeModel, match=r"beside the model it would trust; set it by flag, by FORETELL_"):
        found(tmp_path)


def test_an_empty_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path).startswith("REPO: there is no model in this folder; expected NAME/VERSION/artefact")


def test_no_folder_at_all(tmp_path: Path) -> None:
    put(tmp_path, "file")
    assert refusal(tmp_path / "nowhere").startswith("REPO: there is no such folder")
    assert refusal(tmp_path / "file").startswith("REPO: this is not a folder")


def test_a_model_without_versions(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    assert refusal(tmp_path).startswith("REPO/m: there is no version in this folder")


def test_a_version_without_a_model(tmp_path: Path) -> None:
    put(tmp_path, "m/1/notes.txt")
    assert refusal(tmp_path) == (
        "REPO/m/1: there is no model in this folder; expected NAME/VERSION/artefact, such as digits/1/model.onnx, "
        "got notes.txt"
    )


@pytest.mark.parametrize("place", ["m.onnx", "m/model.onnx"])
def test_a_model_outside_a_version(tmp_path: Path, place: str) -> None:
    put(tmp_path, place)
    assert refusal(tmp_path).startswith(f"REPO/{place}: this model lies outside a version's folder; expected NAME/")


def test_artefacts_that_compete(tmp_path: Path) -> None:
    put(tmp_path, "m/1/a.onnx", "m/1/b.skops")
    assert (
        refusal(tmp_path)
        == "REPO/m/1: a.onnx and b.skops compete; expected one artefact; name the one to serve model.*"
    )
    put(tmp_path, "n/1/model.onnx", "n/1/model.skops")
    assert "compete" in refusal(tmp_path)


@pytest.mark.parametrize("version", ["v1", "0", "latest"])
def test_a_version_that_is_no_number(tmp_path: Path, version: str) -> None:
    put(tmp_path, f"m/{version}/model.onnx")
    assert refusal(tmp_path) == (
        f"REPO/m/{version}: '{version}' cannot be a version; expected a positive whole number, such as 1; "
        "name the folder by its number, or hide it with a leading dot"
    )


def test_a_name_that_cannot_be(tmp_path: Path) -> None:
    put(tmp_path, "a%2e/1/model.onnx")
    assert refusal(tmp_path).startswith("REPO/a%2e: 'a%2e' cannot be the name of a model")


@pytest.mark.parametrize("link", ["m", "m/1", "m/1/model.onnx", "m/1/model.onnx.data", "m/model.toml"])
def test_a_link_that_leaves_the_repository(tmp_path: Path, link: str) -> None:
    outside = put(tmp_path / "outside", "1/model.onnx", "model.onnx")
    root = put(tmp_path / "repo", "m/2/model.onnx")
    path = root / link
    if link == "m":
        path = root / "n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(outside if path.suffix == "" else outside / "model.onnx")
    assert (
        refusal(root) == f"REPO/{path.relative_to(root)}: the link leaves the repository; copy what it points to here"
    )


def test_a_link_inside_the_repository_and_a_linked_repository(tmp_path: Path) -> None:
    root = put(tmp_path / "real", ".data/model.onnx")
    (root / "m/1").mkdir(parents=True)
    (root / "m/1/model.onnx").symlink_to(root / ".data/model.onnx")
    (tmp_path / "repo").symlink_to(root)
    assert [one.name for one in found(tmp_path / "repo")] == ["m"]


@pytest.mark.parametrize("target", ["nowhere", "model.onnx"])
def test_a_link_that_leads_nowhere(tmp_path: Path, target: str) -> None:
    (tmp_path / "m/1").mkdir(parents=True)
    (tmp_path / "m/1/model.onnx").symlink_to(target)
    assert refusal(tmp_path) == "REPO/m/1/model.onnx: the link leads nowhere; remove or mend it"


def test_one_model_of_a_repository_is_read_like_the_whole(tmp_path: Path) -> None:
    put(tmp_path, "m/2/model.onnx", "m/10/model.onnx", "other/1/model.onnx")
    put(tmp_path, "m/model.toml", text="threads = 2")
    assert scan_model(tmp_path / "m", is_artefact) == [one for one in found(tmp_path) if one.name == "m"]
    assert [one.version for one in scan_model(tmp_path / "m", is_artefact)] == ["2", "10"]


def test_one_model_may_link_inside_its_repository_and_not_outside(tmp_path: Path) -> None:
    root = put(tmp_path / "repo", ".data/model.onnx")
    put(tmp_path, "outside.onnx")
    (root / "m/1").mkdir(parents=True)
    link = root / "m/1/model.onnx"
    link.symlink_to(root / ".data/model.onnx")
    assert len(scan_model(root / "m", is_artefact)) == 1
    link.unlink()
    link.symlink_to(tmp_path / "outside.onnx")
    with pytest.raises(InvalidModel, match="leaves the repository"):
        scan_model(root / "m", is_artefact)


@pytest.mark.parametrize(
    ("files", "path", "held"),
    [
        (["m/1/model.onnx"], "m", True),
        (["m/1/model.onnx"], ".", False),
        (["7/1/model.onnx"], ".", False),
        (["m/v1/model.onnx"], "m", False),
        (["m/1/notes.txt"], "m", False),
        (["m/1/model.onnx", "m/best.onnx"], "m", False),
        (["m"], "m", False),
        ([], "nowhere", False),
    ],
)
def test_a_folder_of_versions_is_told_from_one_of_models(
    tmp_path: Path, files: list[str], path: str, held: bool
) -> None:
    put(tmp_path, *files)
    assert holds_versions(tmp_path / path, is_artefact) is held
