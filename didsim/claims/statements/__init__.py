"""The project's own claims, a file for each part of the theory's statements; importing one registers its claims."""

# In the order in which the ledger shows them.
# isort: off
from didsim.claims.statements import d_evidence as d_evidence, d_learning as d_learning, d_displacement as d_displacement
from didsim.claims.statements import d_entropy as d_entropy, s_graphs as s_graphs, s_speed as s_speed, s_signal as s_signal
from didsim.claims.statements import s_online as s_online, l_shared as l_shared, k_computing as k_computing
from didsim.claims.statements import f_numbers as f_numbers, f_losses as f_losses
from didsim.claims.statements import f_labels as f_labels, f_games as f_games
