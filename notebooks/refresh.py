"""Executes notebooks in place; what is kept reads without a kernel and hardly changes.

python notebooks/refresh.py [NOTEBOOK ...]       all of this folder if none is named
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
}
LANGUAGE = {"language_info": {"name": "python"}}
LIVE = "application/vnd.jupyter.widget-view+json"  # a slider is dead without its kernel


def refresh(path: Path) -> None:
    """Executes one notebook and writes it back."""
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources=where
    ).execute()
    tidy(notebook)
    nbformat.write(notebook, path)


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Forgets times, versions and live widgets; cells are numbered by their place."""
    notebook.metadata = nbformat.from_dict({**KERNEL, **LANGUAGE})
    notebook.nbformat_minor = 5
    for place, cell in enumerate(notebook.cells):
        cell.metadata = nbformat.from_dict({})
        cell.id = f"cell-{place:02d}"
        if cell.cell_type == "code":
            cell.outputs = [
                output for output in cell.outputs if LIVE not in output.get("data", {})
            ]
            for output in cell.outputs:
                if "metadata" in output:
                    output.metadata = nbformat.from_dict({})


if __name__ == "__main__":
    for path in [Path(name) for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb")):
        refresh(path)
        print(f"{path.name}: {path.stat().st_size / 1024:.0f} KiB")
