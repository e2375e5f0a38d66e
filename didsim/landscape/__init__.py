"""What can this sampler teach at all, how fast, from how many pairs, and where does gradient descent end?"""

from didsim.landscape.descent import descent_limit, off_support_factor, off_support_mass
from didsim.landscape.graph import comparison_graph, component_count, component_means, components
from didsim.landscape.laplacian import hessian_at_optimum, laplacian, laplacian_weights
from didsim.landscape.spectrum import descent_rate, null_space_dimension

__all__ = [
    "comparison_graph",
    "component_count",
    "component_means",
    "components",
    "descent_limit",
    "descent_rate",
    "hessian_at_optimum",
    "laplacian",
    "laplacian_weights",
    "null_space_dimension",
    "off_support_factor",
    "off_support_mass",
]
