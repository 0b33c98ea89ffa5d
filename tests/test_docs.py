"""What the pages say is true: their commands run, their links lead somewhere, they stay short."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.commands import run_here
from tests.processes import ROOT, Ended

DOCS = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/*.md"))
PAGES = ["CHANGELOG.md", "CONTRIBUTING.md", "README.md", *DOCS]


def text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def fences(page: str) -> list[str]:
    """Return the fenced blocks of a page that are meant for a shell."""
    return re.findall(r"^```(?:bash|sh|shell|console)\n(.*?)^```$", text(page), re.M | re.S)


def sweep_commands(page: str) -> list[list[str]]:
    """Return every `python -m sweep…` of a page's shell blocks, in order, as arguments.

    Lines that end in a backslash are one; a comment and a prompt are left out.
    """
    commands = []
    for block in fences(page):
        for line in block.replace("\\\n", " ").splitlines():
            for part in line.split("&&"):
                words = shlex.split(part, comments=True)
                words = words[1:] if words[:1] == ["$"] else words
                if words[:2] == ["python", "-m"] and words[2].partition(".")[0] == "sweep":
                    commands.append(words[2:])
    return commands


def block_after(page: str, mark: str) -> str:
    """Return the fenced block that follows a comment alone on its line."""
    found = re.search(rf"^<!-- {mark} -->\n+```\w*\n(.*?)^```$", text(page), re.M | re.S)
    assert found, f"{page} has no block after <!-- {mark} -->"
    return found[1].strip()


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Ended]]:
    """Run the README's commands one after the other in one folder, as a reader would."""
    folder = tmp_path_factory.mktemp("reader")
    return [
        (shlex.join(words), run_here(words[1:], folder, module=words[0]))
        for words in sweep_commands("README.md")
    ]


@pytest.mark.slow
def test_readme_commands_run(executed: list[tuple[str, Ended]]) -> None:
    assert executed
    failed = [f"{command}: {ended}" for command, ended in executed if ended.code != 0]
    assert not failed, "\n".join(failed)


def shape(line: str) -> str:
    """Return a line without its numbers and ids, which differ from machine to machine."""
    line = re.sub(r"\d{8}-\d{6}-[0-9a-z]{4}", "ID", " ".join(line.split()))
    return re.sub(r"\d[\d.e+-]*", "#", line)


@pytest.mark.slow
def test_readme_sample_output_has_the_form_of_the_output(executed: list[tuple[str, Ended]]) -> None:
    command, ended = executed[0]
    assert command == "sweep -m"
    sample = re.search(r"^```text\n(Sweep .*?)^```$", text("README.md"), re.M | re.S)
    assert sample
    printed = [shape(line) for line in ended.out.splitlines()]
    for line in sample[1].splitlines():
        start = shape(line.removesuffix("..."))
        assert any(whole.startswith(start) for whole in printed), line


def named_commands(page: str) -> list[list[str]]:
    """Return every `python -m sweep…` of a page's code, fenced, indented or in a line."""
    joined = text(page).replace("\\\n", " ")
    code = "\n".join(
        re.findall(r"^(?:    +|\$ )?python -m sweep.*$|`python -m sweep[^`]*`", joined, re.M)
    )
    found = re.findall(r"python -m (sweep[^`\n]*)", code)
    return [shlex.split(command, comments=True) for command in found]


@pytest.fixture
def users_folder(tmp_path: Path) -> Path:
    """Return a folder with the files that the commands of the pages on data and trainers name."""
    rows = [f"{n};{n * 7 % 5};{n % 3 + 3}" for n in range(40)]
    (tmp_path / "wine.csv").write_text("\n".join(['"acid";"sugar";"quality"', *rows, ""]))
    (tmp_path / "descent.py").write_text(
        "def train(lr):\n    w = 1.0\n    while True:\n"
        "        yield {'error': w * w, 'accuracy': 1 - w}\n        w -= lr * 2 * w\n"
    )
    trainers = tmp_path / "my_conf" / "trainer"
    trainers.mkdir(parents=True)
    for name in ("descent", "mine"):
        (trainers / f"{name}.yaml").write_text("_target_: descent.train\n")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    return tmp_path


def is_plan(words: list[str]) -> bool:
    """Whether a command names a sweep that can be planned in an empty folder on any machine."""
    elsewhere = ("resume=", "tracking=server", "hydra/launcher=", "hydra.launcher.backend=")
    return words[0] == "sweep" and not any(word.startswith(elsewhere) for word in words)


@pytest.mark.parametrize("page", [page for page in DOCS if page != "docs/grids.md"])
@pytest.mark.slow
def test_sweeps_of_the_pages_can_be_planned(page: str, users_folder: Path) -> None:
    for words in filter(is_plan, named_commands(page)):
        more = [] if "--config-dir" in words else ["--config-dir", "my_conf"]
        ended = run_here([*words[1:], *more, "dry_run=true"], users_folder)
        assert ended.code == 0, (words, ended)


def test_readme_counts_no_tests() -> None:
    assert not re.search(r"\d+ (passed|tests)", text("README.md"))


def test_ci_runs_the_commands_of_the_pages() -> None:
    assert block_after("README.md", "test command").endswith("python -m pytest")
    assert block_after("CONTRIBUTING.md", "check command").endswith("scripts/check")


def test_readme_is_short() -> None:
    assert len(text("README.md").splitlines()) <= 150


def test_contributing_is_one_page() -> None:
    assert len(text("CONTRIBUTING.md").splitlines()) <= 70


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page: str) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", text(page)) + re.findall(r'src="([^"]+)"', text(page))
    local = [target for target in targets if not target.startswith(("http:", "https:"))]
    missing = [target for target in local if not (ROOT / page).parent.joinpath(target).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_paths_in_code_exist(page: str) -> None:
    """`sweep/config.py` and the like: every file or folder of the checkout that a page names."""
    named = re.findall(r"`((?:conf|docs|hydra_plugins|scripts|sweep|tests)/[\w./-]*)`", text(page))
    missing = [name for name in named if not (ROOT / name).exists()]
    assert not missing


def test_pages_name_no_machine() -> None:
    for page in PAGES:
        assert not re.search(r"/(?:home|root|work)/", text(page)), page


def test_every_picture_of_the_docs_is_small() -> None:
    for picture in (ROOT / "docs").rglob("*.png"):
        assert picture.stat().st_size < 300_000, Path(picture).name
