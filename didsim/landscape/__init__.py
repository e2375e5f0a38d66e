"""What can this sampler teach at all, how fast, from how many pairs, and where does gradient descent end?"""

from didsim.landscape.descent import descent_limit, off_support_factor, off_support_mass
from didsim.landscape.designs import (
    Design,
    design_bounds,
    design_sampler,
    equal_weights_are_best,
    optimal_design,
    optimal_designs,
)
from didsim.landscape.finite_sample import (
    asymptotic_covariance,
    effective_resistance,
    margin_variances,
    mean_margin_error,
    score_covariance,
    value_error,
)
from didsim.landscape.graph import comparison_graph, component_count, component_means, components
from didsim.landscape.lanczos import Extremes, extreme_eigenvalues
from didsim.landscape.laplacian import (
    ProductLaplacian,
    hessian_at_optimum,
    laplacian,
    laplacian_weights,
    policy_hessian,
    product_laplacian,
)
from didsim.landscape.rates import RateFit, best_step, fit_order, fit_rate, is_quadratic, local_rate, slope_ratio_bound
from didsim.landscape.spectrum import descent_rate, null_space_dimension, pseudo_inverse

__all__ = [
    "Design",
    "Extremes",
    "ProductLaplacian",
    "RateFit",
    "asymptotic_covariance",
    "best_step",
    "comparison_graph",
    "component_count",
    "component_means",
    "components",
    "descent_limit",
    "descent_rate",
    "design_bounds",
    "design_sampler",
    "effective_resistance",
    "equal_weights_are_best",
    "extreme_eigenvalues",
    "fit_order",
    "fit_rate",
    "hessian_at_optimum",
    "is_quadratic",
    "laplacian",
    "laplacian_weights",
    "local_rate",
    "margin_variances",
    "mean_margin_error",
    "null_space_dimension",
    "off_support_factor",
    "off_support_mass",
    "optimal_design",
    "optimal_designs",
    "policy_hessian",
    "product_laplacian",
    "pseudo_inverse",
    "score_covariance",
    "slope_ratio_bound",
    "value_error",
]
