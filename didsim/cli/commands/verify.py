"""`didsim verify`: the ledger's claims put to the test."""

import time
from pathlib import Path
from typing import Annotated

import tyro

from didsim.cli import known
from didsim.cli.command import Command, Overwrite, command, words
from didsim.numerics import files

PROGRAMS_KEPT = 8  # claims


@command
class Verify(Command):
    """Put the theory's claims to the test, and leave out each hypothesis in turn."""

    claims: Annotated[tyro.conf.Positional[tuple[str, ...]], words("[CLAIM ...]")] = ()
    """Claims by id (D7.best-rejected), number (D7) or letter (D); all if none is named. Up to twelve are stated in full."""
    instances: int = 10_000
    """Random instances per claim."""
    attack: bool = False
    """Climb every residual on purpose, and try other numbers of responses."""
    certify: bool = False
    """Enclose the worst instances in ball arithmetic; needs python-flint."""
    seed: int = 0
    """Seed of the instances, 0 to 2^32-1."""
    dtype: str = "float64"
    """Precision, float64 or float32."""
    json: Path | None = None
    """File for the findings."""
    counterexamples: Path | None = None
    """File for the smallest instance on which each control fails; they are printed as well."""
    overwrite: Overwrite = False

    def check(self) -> None:
        """Refuses names and files before JAX is imported."""
        known.check_claims(self.claims)
        written = {"--json": self.json, "--json (manifest)": self._manifest, "--counterexamples": self.counterexamples}
        files.outputs(written, overwrite=self.overwrite)

    def run(self) -> int:
        """Judges claims one by one with a live bar, prints the table, writes files; 1 if one came out as it should not."""
        import jax
        from rich.markup import escape

        from didsim import claims
        from didsim.claims.ledger import chosen
        from didsim.cli import tables
        from didsim.cli.answers import verify as answers

        began = time.perf_counter()
        console, todo = tables.console(), chosen(self.claims)
        found: list[claims.Finding] = []
        with tables.counting_bar(console) as progress:
            task = progress.add_task("claims", total=len(todo))
            judged = claims.verify(
                self.claims,
                instances=self.instances,
                attack=self.attack,
                certified=self.certify,
                counterexamples=self.counterexamples is not None,
                seed=self.seed,
                dtype=self.dtype,
                watch=lambda claim: progress.update(task, description=f"{claim.id:24s}"),
            )
            for finding in judged:
                found.append(finding)
                progress.advance(task)
                if len(found) % PROGRAMS_KEPT == 0:
                    jax.clear_caches()  # a process can map only so many compiled programs
                if not finding.ok:
                    progress.console.print(f"[bold red]{escape(finding.claim.id)}: {escape(answers.complaint(finding))}[/]")
        answers.show(console, found, self)
        seconds = time.perf_counter() - began
        files.write_json("--json", self.json, [finding.to_json() for finding in found])
        files.write_json("--json", self._manifest, answers.manifest(self, seconds))
        files.write("--counterexamples", self.counterexamples, lambda file: claims.save(file, answers.examples(found)))
        print(answers.summary(found, len(todo), seconds))
        return 0 if all(finding.ok for finding in found) else 1

    @property
    def _manifest(self) -> Path | None:
        return None if self.json is None else self.json.with_suffix(".manifest.json")
