"""Ten thousand online runs as one file, which the README prints: sampler × K × quality of the reference × β × seeds."""

TEXT = """
steps = 100
records = 10
seeds = 50

[world]
name = "random_reward"
n = 20
reference_scale = 0.3

[objective]
name = "dpo"

[sampler]
name = "best_of_base"
base = "policy"

[labels]
name = "bradley_terry"

[optimiser]
name = "sgd"
learning_rate = 4.0

[axes]
sampler = [{ name = "best_of_base", base = "policy" }, { name = "best_of_both", base = "policy" }]
"sampler.k" = [1, 2, 4, 8, 16]
"world.reference_skill" = [-1.6, -0.8, 0.0, 0.8, 1.6]
"objective.beta+world.beta" = [0.25, 0.5, 1.0, 2.0]
"""
