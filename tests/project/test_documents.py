"""What the documents promise: every file, test and name in them exists, and every link leads on."""

import re
from pathlib import Path

import pytest

from tests.support.commands import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
OF_THE_CODE = [
    ROOT / "CONTRIBUTING.md",
    ROOT / "docs/ARCHITECTURE.md",
    ROOT / "docs/adding-a-model.md",
]
"""Documents about the code: what stands in backquotes there is code."""

NOT_FILES = {"servers/models/NAME.py"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def quoted(path: Path, pattern: str) -> list[str]:
    """Return what a document has in backquotes, of one pattern."""
    return re.findall(f"(?<!`)`({pattern})`(?!`)", path.read_text("utf-8"))


@pytest.fixture(scope="module")
def code() -> str:
    """Return all of the code that is not a test."""
    files = [path for name in ("servers", "loadtest") for path in (ROOT / name).rglob("*.py")]
    return "\n".join(path.read_text("utf-8") for path in files)


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_link_of_a_document_leads_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text("utf-8")):
        assert (path.parent / link).exists(), f"{name_of(path)} links to {link}"


@pytest.mark.parametrize("path", OF_THE_CODE, ids=name_of)
def test_every_test_that_a_document_names_exists(path: Path) -> None:
    for test in quoted(path, r"tests/\S+::\w+"):
        file, _, name = test.partition("::")
        assert (ROOT / file).exists(), test
        assert f"def {name}(" in (ROOT / file).read_text("utf-8"), test


@pytest.mark.parametrize("path", OF_THE_CODE, ids=name_of)
def test_every_file_that_a_document_names_exists(path: Path) -> None:
    for file in {*quoted(path, r"[\w.-]+/[\w./-]*"), *quoted(path, r"[\w-]+\.(?:py|toml|md|yml)")}:
        places = [ROOT, ROOT / "servers", ROOT / "loadtest"]
        assert file in NOT_FILES or any((place / file).exists() for place in places), file


@pytest.mark.parametrize("path", OF_THE_CODE, ids=name_of)
def test_every_class_and_function_that_a_document_names_exists(path: Path, code: str) -> None:
    for name in {*quoted(path, r"(?:\w+\.)*\w+(?=\(\))\(\)"), *quoted(path, r"[A-Z]\w+[a-z]\w*")}:
        word = name.removesuffix("()").rpartition(".")[2]
        known = rf"\b(?:def|class) {word}\b|\b{word} = |\.{word}\("
        assert re.search(known, code), f"{name_of(path)} names {name}"


def test_adding_a_model_names_a_test_for_each_duty() -> None:
    text = (ROOT / "docs/adding-a-model.md").read_text("utf-8")
    duties = re.split(
        r"^\d+\. ", text.partition("## 3.")[2].partition("## 4.")[0], flags=re.MULTILINE
    )
    assert len(duties) > 10
    assert [duty for duty in duties[1:] if "::test_" not in duty] == []
