"""What ``put`` and ``get`` promise, on every kind of host."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Any, cast

import pytest

from otto_docker_sync import ConfigError, FileProgress, OttoError, Status, TransferFailed

from .places import NAMES, NOT_UTF8, Place, make_tree, picture


def test_a_tree_arrives_as_it_is_and_twice_is_once(any_place: Place, local: Path) -> None:
    place = any_place
    tree = make_tree(local / "tree")
    for _ in range(2):
        result = place.host.put(tree, place.path).check()
        assert picture(place.root / "tree") == picture(tree)
    assert os.listdir(place.root) == ["tree"]
    assert result[str(tree)].size == 256 * 700 + 6 + 17
    assert result[str(tree)].destination == f"{place.path}/tree"


def test_a_tree_comes_back_as_it_was_and_twice_is_once(any_place: Place, local: Path) -> None:
    place = any_place
    if place.kind == "ssh":
        place.host.put(make_tree(local / "tree"), place.path).check()
        (place.root / "tree" / "sub" / "nobody").chmod(0o600)
    else:
        make_tree(place.root / "tree")
    (local / "back").mkdir()
    source = f"{place.path}/tree/"
    for _ in range(2):
        result = place.host.get(source, local / "back").check()
        assert picture(local / "back" / "tree") == picture(place.root / "tree")
    assert os.listdir(local / "back") == ["tree"]
    assert result[source].size == 256 * 700 + 6 + 17


def test_names_that_mean_something_elsewhere(any_place: Place, local: Path) -> None:
    place = any_place
    for number, name in enumerate(NAMES):
        (local / name).write_text(str(number))
    (local / "in").mkdir()
    for name in NAMES:
        shutil.copy(local / name, local / "in" / name)
    sources = [str(local / name) for name in NAMES]
    place.host.put([*sources, local / "in"], place.path).check()
    assert picture(place.root) | picture(local) == picture(local) | {".": picture(place.root)["."]}
    (local / "back").mkdir()
    result = place.host.get([f"{place.path}/{name}" for name in [*NAMES, "in"]], local / "back")
    refused = [each for each in result.values() if not each.ok]
    if place.kind in ("dash", "noshell"):
        assert [each.source for each in refused] == [f"{place.path}/{NOT_UTF8}"]
        assert "UTF-8" in refused[0].message
        (local / "back" / NOT_UTF8).touch()
    else:
        assert refused == []
    assert sorted(picture(local / "back")) == sorted(picture(place.root))
    assert (local / "back" / "in" / "*").read_text() == str(NAMES.index("*"))


def test_each_source_has_its_outcome_and_the_others_go_on(place: Place, local: Path) -> None:
    for name in ("first", "last"):
        (local / name).write_text(name)
    os.mkfifo(local / "fifo")
    (local / "tree").mkdir()
    os.mkfifo(local / "tree" / "pipe")
    (local / "other").mkdir()
    (local / "other" / "first").write_text("another")
    sources = [local / "first", local / "fifo", local / "tree", local / "other" / "first", local / "last"]
    result = place.host.put(sources, place.path)
    assert [each.status.name for each in result.values()] == ["SUCCESS", "FAILED", "SUCCESS", "FAILED", "SUCCESS"]
    assert "neither a file nor a directory" in result[local / "fifo"].message
    assert result[local / "tree"].message == "left out: pipe (a FIFO)"
    assert "same name" in result[local / "other" / "first"].message
    assert result.status is Status.FAILED
    assert os.listdir(place.root / "tree") == []
    (place.root / "tree").rmdir()
    assert {path.name: path.read_text() for path in place.root.iterdir()} == {"first": "first", "last": "last"}
    with pytest.raises(TransferFailed, match="2 of 5 not transferred"):
        result.check()


def test_each_fetched_source_has_its_outcome_and_the_others_go_on(any_place: Place, local: Path) -> None:
    place = any_place
    for name in ("first", "last"):
        (place.root / name).write_text(name)
    (place.root / "other").mkdir()
    (place.root / "other" / "first").write_text("another")
    os.mkfifo(place.root / "fifo")
    (place.root / "tree").mkdir()
    os.mkfifo(place.root / "tree" / "pipe")
    (local / "missing").write_text("stays")
    names = ["first", "fifo", "missing", "tree", "other/first", "other/..", "last"]
    result = place.host.get([f"{place.path}/{name}" for name in names], local)
    outcome = {each.source.removeprefix(f"{place.path}/"): each.status.name for each in result.values()}
    assert outcome == dict.fromkeys(names, "FAILED") | {"first": "SUCCESS", "last": "SUCCESS", "tree": "SUCCESS"}
    assert result[f"{place.path}/tree"].message == "left out: pipe (a FIFO)"
    (local / "tree").rmdir()
    assert {path.name: path.read_text() for path in local.iterdir()} == {
        "first": "first",
        "last": "last",
        "missing": "stays",
    }


def test_a_destination_that_does_not_exist(place: Place, local: Path) -> None:
    (local / "file").write_text("new")
    (place.root / "here").write_text("old")
    for wrong in ("not-there", "here"):
        result = place.host.put([local / "file"], f"{place.path}/{wrong}")
        assert result.status is Status.FAILED
        assert result[local / "file"].message
        result = place.host.get(f"{place.path}/here", local / "file" / wrong)
        assert result.status is Status.FAILED
    assert (place.root / "here").read_text() == "old"


def test_what_is_in_the_way_stays_and_a_link_is_replaced_not_followed(place: Place, local: Path) -> None:
    (local / "file").write_text("new")
    (local / "tree").mkdir()
    (local / "tree" / "file").write_text("new")
    (local / "linked").write_text("new")
    (place.root / "file").mkdir()
    (place.root / "tree").write_text("old")
    (place.root / "target").write_text("old")
    (place.root / "linked").symlink_to("target")
    result = place.host.put([local / "file", local / "tree", local / "linked"], place.path)
    assert [each.status.name for each in result.values()] == ["FAILED", "FAILED", "SUCCESS"]
    assert (place.root / "file").is_dir() and (place.root / "tree").read_text() == "old"
    assert (place.root / "target").read_text() == "old"
    assert not (place.root / "linked").is_symlink() and (place.root / "linked").read_text() == "new"


def test_what_is_in_the_way_of_a_fetched_source_stays(place: Place, local: Path) -> None:
    for name in ("file", "linked"):
        (place.root / name).write_text("new")
    (place.root / "tree").mkdir()
    (local / "file").mkdir()
    (local / "tree").write_text("old")
    (local / "target").write_text("old")
    (local / "linked").symlink_to("target")
    result = place.host.get([f"{place.path}/{name}" for name in ("file", "tree", "linked")], local)
    assert [each.status.name for each in result.values()] == ["FAILED", "FAILED", "SUCCESS"]
    assert (local / "file").is_dir() and (local / "tree").read_text() == (local / "target").read_text() == "old"
    assert not (local / "linked").is_symlink() and (local / "linked").read_text() == "new"


def test_trees_are_merged(place: Place, local: Path) -> None:
    (local / "tree" / "sub").mkdir(parents=True)
    (local / "tree" / "sub" / "new").write_text("new")
    (local / "tree" / "both").write_text("new")
    (place.root / "tree" / "sub").mkdir(parents=True)
    if place.kind == "ssh":
        for path in (place.root / "tree", place.root / "tree" / "sub"):
            shutil.chown(path, place.root.stat().st_uid, place.root.stat().st_gid)
    (place.root / "tree" / "sub" / "old").write_text("old")
    (place.root / "tree" / "both").write_text("old")
    place.host.put(local / "tree", place.path).check()
    found = {path.name: path.read_text() for path in place.root.rglob("*") if path.is_file()}
    assert found == {"new": "new", "old": "old", "both": "new"}
    (local / "tree" / "sub" / "mine").write_text("mine")
    place.host.get(f"{place.path}/tree", local).check()
    assert sorted(os.listdir(local / "tree" / "sub")) == ["mine", "new", "old"]


def test_a_link_given_as_source_is_followed(place: Place, local: Path) -> None:
    (local / "real").mkdir()
    (local / "real" / "file").write_text("content")
    (local / "tree").symlink_to("real")
    (local / "link").symlink_to("real/file")
    place.host.put([local / "tree", local / "link"], place.path).check()
    assert not (place.root / "tree").is_symlink() and not (place.root / "link").is_symlink()
    assert (place.root / "tree" / "file").read_text() == (place.root / "link").read_text() == "content"
    (place.root / "to-tree").symlink_to("tree")
    (place.root / "to-file").symlink_to("tree/file")
    place.host.get([f"{place.path}/to-tree", f"{place.path}/to-file"], local).check()
    assert (local / "to-tree" / "file").read_text() == (local / "to-file").read_text() == "content"
    assert not (local / "to-tree").is_symlink() and not (local / "to-file").is_symlink()


def test_mode_is_set_on_files_and_kept_without(place: Place, local: Path) -> None:
    make_tree(local / "tree")
    place.host.put(local / "tree", place.path, mode=0o604).check()
    modes = {path.name: stat.S_IMODE(path.lstat().st_mode) for path in place.root.rglob("*") if not path.is_symlink()}
    assert modes == {
        **dict.fromkeys(("tree", "sub", "deeper"), 0o755),
        "empty": 0o750,
        **dict.fromkeys(("script", "data", "nobody", "nothing"), 0o604),
    }


def test_progress_is_told_to_the_end_and_seldom(place: Place, local: Path) -> None:
    size = 20_000_000
    with open(local / "big", "wb") as file:
        file.truncate(size)
    (local / "small").write_text("12345")
    told: list[FileProgress] = []
    place.host.put([local / "big", local / "small"], place.path, progress=told.append).check()
    last = {each.source: each for each in told}
    assert last[str(local / "big")] == FileProgress(str(local / "big"), size, size)
    assert last[str(local / "small")] == FileProgress(str(local / "small"), 5, 5)
    assert len(told) < 100
    told.clear()
    place.host.get(f"{place.path}/big", local, progress=told.append).check()
    assert told[-1] == FileProgress(f"{place.path}/big", size, size)
    done = [each.done for each in told]
    assert done == sorted(done) and len(told) < 100


def test_bad_arguments_and_missing_files_are_raised(place: Place, local: Path) -> None:
    (local / "there").touch()
    for missing in ("not-there", "there/below"):
        with pytest.raises(OttoError, match=r"not-there|below") as raised:
            place.host.put([local / "there", local / missing], place.path)
        assert isinstance(raised.value, FileNotFoundError)
    for wrong in ("644", -1, True, 0o10000):
        with pytest.raises(ConfigError):
            place.host.put(local / "there", place.path, mode=cast(Any, wrong))
    for path in cast(Any, ("", "a\0b", 7, None, b"bytes", "lone \ud800")):
        with pytest.raises(ConfigError):
            place.host.put(path, place.path)
        with pytest.raises(ConfigError):
            place.host.get([path], local)
        with pytest.raises(ConfigError):
            place.host.put(local / "there", path)
    assert place.host.put("/", place.path).status is place.host.get("/", local).status is Status.FAILED
    assert os.listdir(place.root) == []
    assert place.host.put([], place.path).ok and place.host.get([], local).ok


def test_a_timeout_of_zero_is_an_error_result(place: Place, local: Path) -> None:
    (local / "file").touch()
    place.host.get("/not-there", local)  # or it would not even be connected
    place.host.default_timeout = 0  # for commands
    result = place.host.put(local / "file", place.path, timeout=0)
    assert result.status is Status.ERROR and "timed out" in result[local / "file"].message
    assert place.host.get(f"{place.path}/file", local, timeout=0).status is Status.ERROR
    assert os.listdir(place.root) == []
