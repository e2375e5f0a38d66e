"""What can this sampler teach at all, how fast, from how many pairs, and where does gradient descent end?"""

from didsim.landscape.credit import state_values
from didsim.landscape.descent import descent_limit, off_support_factor, off_support_mass
from didsim.landscape.designs import optimal_design, optimal_designs
from didsim.landscape.finite_sample import (
    asymptotic_covariance,
    effective_resistance,
    mean_margin_error,
    score_covariance,
    value_error,
)
from didsim.landscape.floors import bco_floor, dpo_floor, kldo_floor, loss_floor
from didsim.landscape.graph import comparison_graph, component_count, component_means, components
from didsim.landscape.hessian import hessian_at_optimum, laplacian, laplacian_weights, null_space_dimension, product_laplacian
from didsim.landscape.lanczos import extreme_eigenvalues
from didsim.landscape.proxies import gold_slope, turning_point
from didsim.landscape.rates import best_step, descent_rate, fit_order, fit_rate, slope_ratio_bound

__all__ = [
    "asymptotic_covariance",
    "bco_floor",
    "best_step",
    "comparison_graph",
    "component_count",
    "component_means",
    "components",
    "descent_limit",
    "descent_rate",
    "dpo_floor",
    "effective_resistance",
    "extreme_eigenvalues",
    "fit_order",
    "fit_rate",
    "gold_slope",
    "hessian_at_optimum",
    "kldo_floor",
    "laplacian",
    "laplacian_weights",
    "loss_floor",
    "mean_margin_error",
    "null_space_dimension",
    "off_support_factor",
    "off_support_mass",
    "optimal_design",
    "optimal_designs",
    "product_laplacian",
    "score_covariance",
    "slope_ratio_bound", "state_values",
   
    "turning_point",
    "value_error",
]  # fmt: skip
