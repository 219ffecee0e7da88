"""Rules that no single module can show: whose packages are imported, what stays light, what is never written down."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("schemas", "pipeline", "flows")
CODE = [path for folder in (*PACKAGES, "tests", "bench") for path in sorted((ROOT / folder).rglob("*.py"))]

# Each pattern is spelled so that it does not match itself. A path counts where no word or URL leads up to it.
MACHINE_PATH = re.compile(r"(?<![\w.~$}>*-])/(?:wor[k]|tm[p]|hom[e]|roo[t]|User[s]|mn[t])/[\w.-]")
REGISTRY_HOST = re.compile(
    r"pypi\.(?:org|python)|pythonhosted\.or[g]|registry\.npmj[s]|pytorch\.org/wh[l]|artifactor[y]|"
    r"(?:index|find-links|registry)[\w-]*[ =]+[\"']?https?:/[/]|devp[i]|/simpl[e]/",
    re.IGNORECASE,
)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_imported_package_is_this_repositorys_own(package: str) -> None:
    got = Path(str(importlib.import_module(package).__file__)).parent
    owners = importlib.metadata.packages_distributions().get(package, [])
    assert got == ROOT / package, (
        f"`import {package}` loads {got}, not {ROOT / package}. Installed distributions with a package of that name "
        f"are {owners or 'unknown'}: uninstall those that are not facescribe, then run `pip install --no-deps -e .`"
    )


def test_no_module_imports_vllm() -> None:
    importing = [str(path.relative_to(ROOT)) for path in CODE if "vllm" in imported_packages(path)]
    importing.remove("bench/serving_peer.py")  # runs vLLM's own benchmark client, in a process of its own
    assert not importing, f"{importing} import vllm: it is a program that is started and asked over HTTP"


def imported_packages(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(str(node.module))
    return {name.partition(".")[0] for name in names}


def test_schemas_stay_light() -> None:
    modules = [f"schemas.{path.stem}" for path in sorted((ROOT / "schemas").glob("[!_]*.py"))]
    script = f"import sys, {', '.join(modules)}; print(*{{'torch', 'pandas', 'prefect'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [], "importing the schemas must cost next to nothing: every worker and tool does it"


def test_no_folder_under_tests_is_a_package() -> None:
    found = [str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("__init__.py")]
    assert not found, f"{found}: tests/schemas/__init__.py would be imported in place of the real schemas"


def test_no_file_names_a_machine_path_or_a_registry() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match.group()}"
        for path in committed_files()
        for number, line in enumerate(text_of(path).splitlines(), start=1)
        for match in [MACHINE_PATH.search(line) or REGISTRY_HOST.search(line)]
        if match
    ]
    assert not found, "these hold for one machine only, name a variable or a relative path:\n" + "\n".join(found)


def committed_files() -> list[Path]:
    """The files that git tracks or would add; every file of the source folders where there is no git."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return [path for path in (*CODE, *ROOT.glob("*"), *(ROOT / "docs").rglob("*")) if path.is_file()]
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""  # not a text file
