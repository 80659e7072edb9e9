"""Folders and files of results: a folder per run, and files whole or absent."""

import json
from pathlib import Path

import pytest

from loadtest.host.files import replacing
from loadtest.host.machine import new_folder, write_json


@pytest.mark.parametrize("suffix", ["", "-run"])
def test_runs_that_begin_in_the_same_second_have_folders_of_their_own(
    tmp_path: Path, suffix: str
) -> None:
    folders = [new_folder(tmp_path / "results", suffix) for _ in range(50)]
    assert len({*folders}) == 50
    assert all(folder.is_dir() and folder.name.endswith(suffix) for folder in folders)
    assert {*(tmp_path / "results").iterdir()} == {*folders}


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_file_is_unchanged_after_a_failed_write(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "cell.json"
    write_json(path, {"a": 1})

    def fail() -> None:
        with replacing(path) as file:
            file.write("half")
            raise error

    with pytest.raises(error):
        fail()
    assert json.loads(path.read_text("utf-8")) == {"a": 1}
    assert [*tmp_path.iterdir()] == [path]
