"""Who runs which source on what kind of machine: tags of every run."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sweep.config.spec import RunSpec

__all__ = ["git_commit", "platform_tags", "run_tags", "tags"]


@cache
def tags() -> dict[str, str]:
    """Return the tags of MLflow that say by whom and from which source a run was made."""
    found = {
        "mlflow.user": _user(),
        "mlflow.source.name": "python -m sweep",
        "mlflow.source.type": "LOCAL",
    }
    commit = git_commit(Path(__file__).resolve().parents[2])
    return found | ({"mlflow.source.git.commit": commit} if commit else {})


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have a number only
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


def git_commit(folder: Path) -> str | None:
    """Return the commit that is checked out in `folder`, None where it is no checkout.

    Read from Git's files: its program may be missing, and starting it costs more.
    """
    git = folder / ".git"
    try:
        if git.is_file():  # a linked work tree
            git = (folder / git.read_text().strip().removeprefix("gitdir: ")).resolve()
        head = (git / "HEAD").read_text().strip()
        if head.startswith("ref: "):
            common = git / "commondir"
            root = (git / common.read_text().strip()).resolve() if common.exists() else git
            head = _reference(root, head.removeprefix("ref: "))
    except OSError:
        return None
    return head if re.fullmatch(r"[0-9a-f]{40,64}", head) else None


def _reference(git: Path, name: str) -> str:
    loose = git / name
    if loose.is_file():
        return loose.read_text().strip()
    for line in (git / "packed-refs").read_text().splitlines():
        commit, _, packed = line.partition(" ")
        if packed == name:
            return commit
    return ""


@cache
def platform_tags() -> Mapping[str, str]:
    """Return the tags that say on what kind of machine and with which versions a run trained."""
    import platform
    from importlib.metadata import version

    libraries = ("numpy", "numba", "llvmlite", "scipy", "pandas", "mlflow", "hydra-core")
    versions = {name: version(name) for name in libraries}
    kind = [platform.machine(), platform.system(), f"Python {platform.python_version()}"]
    kind += [f"NumPy {versions['numpy']}", f"numba {versions['numba']}"]
    kind += [f"llvmlite {versions['llvmlite']}"]  # the LLVM that compiles small networks
    kind += [f"SciPy {versions['scipy']}"]  # its BLAS is the one that compiled kernels call
    return {
        "sweep.platform": ", ".join(kind),
        "sweep.versions": ", ".join(f"{name} {text}" for name, text in versions.items()),
    }


def run_tags(spec: RunSpec) -> dict[str, str]:
    """Return the tags of a run that its specification, this machine and its user determine."""
    data = {"sweep.data": spec.data_summary} if spec.data_summary else {}
    return {
        "sweep.role": "run",
        "sweep.signature": spec.signature,
        **data,
        **platform_tags(),
        **tags(),
    }
