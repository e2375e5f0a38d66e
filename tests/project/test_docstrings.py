"""Every example in a docstring runs and prints what it says; everything public says what it is."""

import ast
import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent / "didsim"
FILES = [path for path in sorted(ROOT.rglob("*.py")) if path.stem != "__main__"]


def module_name(path: Path) -> str:
    return ".".join(["didsim", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")


class Finder(doctest.DocTestFinder):
    """Finds wrapped functions too: the type checker of the test run puts its own wrapper around each."""

    def _from_module(self, module, object):
        return getattr(object, "__module__", None) == module.__name__ or super()._from_module(module, object)


WITH_EXAMPLES = [path for path in FILES if ">>> " in path.read_text()]


@pytest.mark.pages
@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=module_name)
def test_examples_run(path):
    module = importlib.import_module(module_name(path))
    tests = [test for test in Finder().find(module, module.__name__) if test.examples]
    assert sum(len(test.examples) for test in tests) == path.read_text().count(">>> "), "an example is not found"
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    report: list[str] = []
    for test in tests:
        runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)


def undocumented(source: str) -> list[str]:
    """Public functions and classes of a module, and the module itself, that have no docstring."""
    tree = ast.parse(source)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    public = [node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
    bare = [node.name for node in public if not ast.get_docstring(node)]
    return bare if ast.get_docstring(tree) else ["the module", *bare]


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_everything_public_is_documented(path):
    assert undocumented(path.read_text()) == []


def test_the_check_sees_a_bare_function():
    source = '"""Room."""\ndef f(): pass\nclass C:\n    """Said."""\ndef _own(): pass\nclass D: pass'
    assert undocumented(source) == ["f", "D"]
    assert undocumented("x = 1") == ["the module"]


def test_some_rooms_have_examples():
    assert {"didsim.did.algebra", "didsim.worlds.problems"} <= {module_name(path) for path in WITH_EXAMPLES}
