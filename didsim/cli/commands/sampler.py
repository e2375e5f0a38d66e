"""`didsim sampler`: what a sampler teaches, how fast, and from how many pairs."""

from pathlib import Path
from typing import Annotated

import tyro

from didsim.cli import known
from didsim.cli.command import Command, Overwrite, Single, command, words
from didsim.numerics import files


@command
class Sampler(Command):
    """Say what a sampler teaches DPO, how fast, and from how many pairs."""

    sampler: Annotated[tyro.conf.Positional[tuple[str, ...]], words("[NAME ...]")] = ()
    """Samplers, with numbers as best_of_base:k=8; a choice of them if neither a name nor --pairs is given."""
    pairs: Path | None = None
    """Your own law of pairs: probabilities, n × n, first response on the row; .npy, or text with commas, as all files here."""
    reward: Path | None = None
    """Your own rewards, n numbers; standard normal if missing."""
    reference: Path | None = None
    """Your own reference law: n probabilities; uniform if missing."""
    beta: float = 1.0
    """Inverse temperature of the implicit reward."""
    accuracy: float = 0.01
    """Share of the error, and error in nats, that steps and pairs are counted for."""
    n: int = 20
    """Responses, where no reward is given."""
    seed: int = 0
    """Seed of the reward, where none is given."""
    json: Path | None = None
    """File for all numbers."""
    single: Single = False
    overwrite: Overwrite = False

    def check(self) -> None:
        """Refuses names and files before JAX is imported."""
        known.check_parts("sampler", "samplers", self.sampler)
        given = {"--pairs": self.pairs, "--reward": self.reward, "--reference": self.reference}
        for option, path in given.items():
            files.readable(option, path)
        files.writable("--json", self.json, overwrite=self.overwrite, read=given)

    def run(self) -> int:
        """Surveys the samplers on the user's reward and reference, prints what each can teach, and writes the numbers."""
        from rich.console import Console

        from didsim.cli.answers import sampler as answers
        from didsim.landscape.survey import survey

        world = answers.given_world(self)
        found = {name: survey(world, one, accuracy=self.accuracy) for name, one in answers.given_samplers(self, world).items()}
        print(answers.world_line(world, self))
        if len(found) > 1:
            Console(width=max(Console().width, answers.WIDTH)).print(answers.comparison(found))
            print(answers.legend(self.accuracy))
        else:
            for name, one in found.items():
                print("\n".join(answers.in_words(name, one, self.accuracy)))
        files.write_json("--json", self.json, {name: answers.to_json(one) for name, one in found.items()})
        return 0
