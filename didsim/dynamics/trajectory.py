"""What is left of a training run when it is over?"""

from typing import Any, final

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from didsim.dynamics.labels import inner_dims, provenance, variable_attrs
from didsim.landscape.solvers import Status
from didsim.landscape.solvers.result import evidence
from didsim.numerics import checks
from didsim.numerics.brief import called
from didsim.numerics.pytrees import pytree, static


@final
@pytree
class Trajectory:
    """One training run.

    Attributes:
        moments: numbers of the recorded steps, the first 0; part of the structure, the same for all runs of a batch.
        metrics: name to values, each of shape (records,) or (records, ...).
        log_policy: log-probabilities at the end, shape (prompts, n).
        params: parameters at the end.
        gradient_norm: Euclidean norm of the gradient at the end.
        steps_taken: steps until the end or the early stop.
        status: a `Status`: CONVERGED if the early stop was reached, OUT_OF_STEPS if not, NOT_FINITE on NaN.
    """

    moments: tuple[int, ...] = static()
    metrics: dict[str, Array]
    log_policy: Float[Array, "... prompts n"]
    params: Any
    gradient_norm: Float[Array, "..."]
    steps_taken: Int[Array, "..."]
    status: Int[Array, "..."]

    def __repr__(self) -> str:
        return called(
            "Trajectory", evidence(self.status, self.gradient_norm), steps=self.moments[-1], records=len(self.moments),
            log_policy=self.log_policy, metrics=len(self.metrics),
        )  # fmt: skip

    @property
    def steps(self) -> Int[np.ndarray, " records"]:
        """Numbers of the recorded steps, the first 0."""
        return np.asarray(self.moments, np.int32)

    @property
    def variables(self) -> dict[str, Array]:
        """What a dataset holds of a run, by name."""
        at_end = ("log_policy", "gradient_norm", "steps_taken", "status")
        return {**self.metrics, **{name: getattr(self, name) for name in at_end}}

    def to_dataset(self) -> Any:
        """The run as a labelled `xarray.Dataset`: what a sweep of this one run gives, without its dimension ``seed``.

        Dimensions are ``record`` (with the coordinate ``step``), ``prompt`` and ``response``; long names, units and
        provenance lie in the attributes.

        Raises:
            ArgumentError: this is a batch of runs.
        """
        import xarray as xr  # half a second that a run without a dataset does not need

        if np.ndim(self.status):
            raise checks.ArgumentError(
                f"Argument `trajectory` must be one run, but is a batch of shape {np.shape(self.status)}; "
                "didsim.sweep gives the dataset of many."
            )
        variables = {
            name: xr.Variable(inner_dims(name, np.ndim(value)), np.asarray(value), variable_attrs(name))
            for name, value in self.variables.items()
        }
        return xr.Dataset(variables, coords={"step": ("record", np.asarray(self.moments))}, attrs=provenance())


def ended(
    moments: tuple[int, ...],
    metrics: dict[str, Array],
    log_policy: Float[Array, "prompts n"],
    params: Any,
    gradient_norm: Float[Array, ""],
    steps_taken: Int[Array, ""],
    stopped: Bool[Array, ""],
) -> Trajectory:
    """The trajectory of a run that is over, with the status that its end deserves."""
    status = jnp.where(stopped, Status.CONVERGED, Status.OUT_OF_STEPS)
    status = jnp.where(jnp.any(jnp.isnan(log_policy)), Status.NOT_FINITE, status)
    return Trajectory(moments, metrics, log_policy, params, gradient_norm, steps_taken, status)
