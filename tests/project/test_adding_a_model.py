"""A new model costs one file and one registry entry: it is added to a copy of the tree, and tested.

The copy is a git repository, so that git tells what had to change.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.registry import module_of
from tests.support.commands import ROOT

LIMIT_S = 120

NAME = "dummy-threads"
"""With a dash, which is an underscore in the file's name."""

MODEL = """\
\"\"\"The threaded model under another name.\"\"\"

from servers.models.threaded import serve as serve
"""

ENTRY = """\
    "dummy-threads": Model(
        unit="thread", waits="a dummy thread waits", note="a dummy", pooled=True, needs="pytest"
    ),
"""

NOT_COPIED = shutil.ignore_patterns(
    ".*_cache", ".git", ".hypothesis", ".venv*", "__pycache__", "*.egg-info", "results"
)

pytestmark = [
    pytest.mark.xdist_group("adding"),
    pytest.mark.skipif(
        not (shutil.which("git") and shutil.which("make")), reason="needs git, make"
    ),
]


class Tree:
    """A copy of the repository, in which the model has been added."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, *argv: str) -> str:
        """Run a command at the root of the copy and return its output; it must succeed."""
        ended = subprocess.run(
            argv,
            cwd=self.root,
            env={
                key: value
                for key, value in os.environ.items()
                if not key.startswith(("GIT_", "MAKE"))
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert ended.returncode == 0, f"{argv}: {ended.stdout}"
        return ended.stdout

    def test(self, *argv: str) -> str:
        """Run tests of the copy, which must pass, in this interpreter's environment."""
        return self.run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *argv)

    def add(self) -> None:
        """Do what a new model costs: a file, an entry, make generate."""
        (self.root / f"{module_of(NAME).replace('.', '/')}.py").write_text(MODEL, "utf-8")
        registry = self.root / "servers" / "registry.py"
        text, count = re.subn(r"(?<=\n)\}\n", f"{ENTRY}}}\n", registry.read_text("utf-8"), count=1)
        assert count == 1
        registry.write_text(text, "utf-8")
        self.run("make", "generate", f"BIN={Path(sys.executable).parent}")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    tree = Tree(tmp_path_factory.mktemp("tree") / "copy")
    shutil.copytree(ROOT, tree.root, ignore=NOT_COPIED)
    (tree.root / ".venv").mkdir()
    (tree.root / ".venv" / "installed").touch()  # or make would install all of it anew
    tree.run("git", "init", "--quiet")
    tree.run("git", "add", "--all")
    author = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    tree.run("git", *author, "commit", "--quiet", "--no-verify", "--message", "as it was")
    tree.add()
    yield tree
    shutil.rmtree(tree.root)


def test_a_new_model_changes_its_file_its_entry_and_generated_text_only(tree: Tree) -> None:
    assert tree.run("git", "status", "--porcelain").splitlines() == [
        " M README.md",
        " M docker-compose.yml",
        " M servers/registry.py",
        f"?? servers/models/{NAME.replace('-', '_')}.py",
    ]
    taken_out = tree.run("git", "diff", "--numstat").split("\n")
    assert [line.split()[1] for line in taken_out if line] == ["0", "0", "0"]


def test_a_new_model_is_listed_in_readme_compose_and_help(tree: Tree) -> None:
    row = "| `dummy-threads` | a dummy thread waits; a fixed pool of threads; needs pytest |"
    assert f"\n{row} not measured yet | a dummy |\n" in (tree.root / "README.md").read_text("utf-8")
    compose = (tree.root / "docker-compose.yml").read_text("utf-8")
    assert "\n  dummy-threads:\n    <<: *variant\n" in compose
    listed = tree.run(sys.executable, "-m", "servers", "--list").splitlines()
    assert listed[-1].split()[:4] == ["dummy-threads", "a", "dummy", "thread"]


def test_a_new_model_passes_the_conformance_suite_over_tcp(tree: Tree) -> None:
    out = tree.test("tests/servers/test_conformance_over_tcp.py", "-k", NAME)
    conversations = len([*(ROOT / "tests" / "corpus").glob("*.txt")])
    assert re.search(rf"^{conversations + 2} passed", out, re.MULTILINE), out


def test_the_tests_of_the_project_take_a_new_model_up_without_a_change(tree: Tree) -> None:
    knowing = [path for path in (ROOT / "tests").rglob("test_*.py") if _reads_registry(path)]
    tree.test("--collect-only", *(str(path.relative_to(ROOT)) for path in knowing))
    tree.test(
        "tests/project/test_project.py",
        "tests/project/test_layers.py",
        "tests/project/test_containers.py",
        "tests/project/test_documents.py",
        "tests/servers/test_launcher.py::test_list_gives_every_model_a_line",
        "tests/loadtest/test_bench.py::test_every_model_runs_once_a_round_and_so_does_every_peer",
        "tests/loadtest/test_report.py::test_every_contender_has_its_own_look_and_a_model_keeps_its_look",
    )


def _reads_registry(path: Path) -> bool:
    return "servers.registry import" in path.read_text("utf-8")
