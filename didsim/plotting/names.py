"""How is a registered name written in a picture?  ``ipo[token_mean]`` as IPO (token mean), ``mix_p_star`` as Mix-P*."""

import re

from didsim.plotting.typesetting import typeset

WRITTEN = {
    "dpo": "DPO", "online dpo": "online DPO", "cdpo": "cDPO", "robust": "robust DPO", "dpo_norm": "DPO, normalised",
    "r-dpo": "R-DPO", "odpo": "ODPO", "dpop": "DPOP", "exo_pair": "EXO", "discopop": "DiscoPOP", "f-dpo": "f-DPO",
    "chi-po": "χPO", "ipo": "IPO", "ipo[sum]": "IPO", "rebel": "REBEL", "sppo": "SPPO", "sppo_hard": "SPPO, hard",
    "slic": "SLiC", "hinge": "hinge", "simpo": "SimPO", "simpo γ=0": "SimPO, γ = 0", "simpo γ>0": "SimPO, γ > 0",
    "cpo-simpo": "CPO-SimPO", "alphapo": "AlphaPO", "cpo": "CPO", "orpo": "ORPO", "kto": "KTO", "nca_pair": "NCA", "bco": "BCO",
    "apo_zero": "APO-zero", "apo_down": "APO-down", "aot": "AOT", "sft": "SFT", "rlhf": "RLHF", "kldo": "KLDO", "hypo": "HyPO",
    "pro": "PRO", "dpo-rk": "DPO-RK", "dpo-d": "DPO-D", "auxdpo": "AuxDPO", "aot_unpaired": "AOT, unpaired",
    "forward_kl": "forward KL", "js": "JS", "kliep": "KLIEP", "lsif": "LSIF", "basu": "Basu", "alpha_authors": "α, authors'",
    "bpo": "BPO", "squaredpo": "SquaredPO", "adpo": "ADPO", "plackett-luce": "Plackett–Luce", "gvpo": "GVPO",
    "mix-R": "Mix-R", "mix-P": "Mix-P", "mix-P*": "Mix-P$^*$", "mix_r": "Mix-R", "mix_p": "Mix-P", "mix_p_star": "Mix-P$^*$",
    "mix-R, reward × 2": "Mix-R, 2r", "pilaf": "PILAF", "xpo": "XPO", "on_policy": "on-policy",
    "bradley_terry": "Bradley–Terry", "best_of_base": "best of K / reference", "best_of_both": "best of K, both",
    "log_ref": "log π_ref", "log_target": "log π*", "log_policy": "log π",
}  # fmt: skip


def name_of(name: object) -> str:
    """A registered name with its settings, as one writes it in a picture.

    Args:
        name: of an objective, a sampler, a label model or anything else.

    Example:
        >>> from didsim.plotting import name_of
        >>> print(name_of("ipo[token_mean]"), "and", name_of("best_worst:k=4"))
        IPO (token mean) and best worst, k = 4
    """
    text, _, settings = str(name).partition(":")
    if text not in WRITTEN and (variant := re.fullmatch(r"([^\[]+)\[(.+)\]", text)):
        words = f"{WRITTEN.get(variant[1], _plain(variant[1]))} ({WRITTEN.get(variant[2], _plain(variant[2]))})"
    else:
        words = WRITTEN.get(text, _plain(text))
    said = ", ".join(_plain(one.strip()).replace("=", " = ") for one in settings.split(",") if one)
    return typeset(f"{words}, {said}" if said else words)


def axis_of(name: str) -> tuple[str, str]:
    """An axis of a sweep in words, and the parts of the run that it moves: β of objective and world.

    Example:
        >>> from didsim.plotting.names import axis_of
        >>> print(*axis_of("objective.beta+world.beta"), sep="; ")
        $\\beta$; objective, world
    """
    paths = [path.rpartition(".") for path in name.split("+")]
    fields = dict.fromkeys(name_of(field) for _, _, field in paths)
    return ", ".join(fields), ", ".join(dict.fromkeys(name_of(owner) for owner, _, _ in paths if owner))


def _plain(text: str) -> str:
    for word, letter in (("beta", "β"), ("gamma", "γ"), ("alpha", "α"), ("tau", "τ")):
        text = re.sub(rf"\b{word}\b", letter, text)
    return re.sub(r"(?<=[a-z0-9])_(?=[a-z0-9])", " ", text)
