"""What do trainers call each objective?  By trainer and version, as their public code reads.

An entry says what to set so that the trainer minimises that function; an objective without one has no equal there.  Where
one name stands for several functions, `KINDRED` says which are easily taken for each other.
"""

from typing import Any

from didsim.objectives.parts import OBJECTIVES

NEW, OLD = "TRL >= 0.29", "TRL <= 0.28"
FACTORY, OPEN, TUNE, TUNIX = "LLaMA-Factory", "OpenRLHF", "torchtune", "tunix"

ELSEWHERE: dict[str, dict[str, str]] = {
    "dpo": {
        NEW: "DPO: loss_type=sigmoid (ignores label_smoothing)",
        OLD: "DPO: loss_type=sigmoid, label_smoothing=0",
        FACTORY: "pref_loss=sigmoid, dpo_label_smoothing=0",
        OPEN: "DPOLoss(label_smoothing=0)",
        TUNE: "DPOLoss(label_smoothing=0)",
        TUNIX: "DPOTrainingConfig(label_smoothing=0)",
    },
    "cdpo": {
        OLD: "DPO: loss_type=sigmoid, label_smoothing=ε",
        FACTORY: "pref_loss=sigmoid, dpo_label_smoothing=ε",
        OPEN: "DPOLoss(label_smoothing=ε)",
        TUNE: "DPOLoss(label_smoothing=ε)",
        TUNIX: "DPOTrainingConfig(label_smoothing=ε)",
    },
    "robust": {NEW: "DPO: loss_type=robust", OLD: "DPO: loss_type=robust"},
    "dpo_norm": {NEW: "DPO: loss_type=sigmoid_norm"},
    "hinge": {NEW: "DPO: loss_type=hinge", OLD: "DPO: loss_type=hinge", FACTORY: "pref_loss=hinge", TUNE: "RSOLoss(gamma=β)"},
    "exo_pair": {NEW: "DPO: loss_type=exo_pair (∞ at label_smoothing=0)", OLD: "DPO: loss_type=exo_pair, label_smoothing > 0"},
    "exo_pair[clamped]": {OLD: "DPO: loss_type=exo_pair"},
    "discopop": {NEW: "DPO: loss_type=discopop", OLD: "DPO: loss_type=discopop"},
    "f-dpo[forward_kl]": {NEW: "DPO: f_divergence_type=forward_kl"},
    "f-dpo[js]": {NEW: "DPO: f_divergence_type=js_divergence", OLD: "DPO: f_divergence_type=js_divergence"},
    "f-dpo[alpha]": {NEW: "DPO: f_divergence_type=alpha_divergence"},
    "f-dpo[alpha_authors]": {OLD: "DPO: f_divergence_type=alpha_divergence"},
    "ipo[sum]": {NEW: "Online DPO: loss_type=ipo", OLD: "Online DPO: loss_type=ipo", OPEN: "DPOLoss(ipo=True)"},
    "ipo[token_mean]": {NEW: "DPO: loss_type=ipo", OLD: "DPO: loss_type=ipo", FACTORY: "pref_loss=ipo"},
    "ipo[reference_free]": {NEW: "CPO: loss_type=ipo, cpo_alpha=0; TPO: loss_type=ipo, tpo_alpha=0"},
    "hinge[reference_free]": {NEW: "CPO: loss_type=hinge, cpo_alpha=0"},
    "sppo_hard": {NEW: "DPO: loss_type=sppo_hard", OLD: "DPO: loss_type=sppo_hard"},
    "simpo": {
        NEW: "CPO: loss_type=simpo, cpo_alpha=0; TPO: loss_type=tpo-l, tpo_alpha=0",
        FACTORY: "pref_loss=simpo",
        TUNE: "SimPOLoss",
    },
    "alphapo": {NEW: "CPO: loss_type=simpo, alpha=α, cpo_alpha=0"},
    "cpo-simpo": {NEW: "CPO: loss_type=simpo (cpo_alpha is 1 unless set)"},
    "cpo[token_mean]": {NEW: "CPO: loss_type=sigmoid"},
    "orpo": {FACTORY: "pref_loss=orpo"},
    "orpo[prompt]": {NEW: "ORPO (its beta is the weight λ)"},
    "kto[example_mean]": {NEW: "KTO: loss_type=kto", OLD: "KTO: loss_type=kto", OPEN: "KTOLoss"},
    "nca_pair": {NEW: "DPO: loss_type=nca_pair", OLD: "DPO: loss_type=nca_pair"},
    "bco[none]": {NEW: "DPO: loss_type=bco_pair"},
    "bco[running]": {OLD: "DPO: loss_type=bco_pair", FACTORY: "bco_loss, one term of pref_bco_weight"},
    "apo_zero": {NEW: "DPO: loss_type=apo_zero", OLD: "DPO: loss_type=apo_zero"},
    "apo_zero[example_mean]": {NEW: "KTO: loss_type=apo_zero_unpaired", OLD: "KTO: loss_type=apo_zero_unpaired"},
    "apo_down": {NEW: "DPO: loss_type=apo_down", OLD: "DPO: loss_type=apo_down"},
    "aot": {NEW: "DPO: loss_type=aot", OLD: "DPO: loss_type=aot"},
    "aot_unpaired": {NEW: "DPO: loss_type=aot_unpaired", OLD: "DPO: loss_type=aot_pair"},
    "sft[token_mean]": {NEW: "DPO: loss_type=sft", OPEN: "SFTLoss(token_level_loss=True)"},
}

KINDRED: tuple[tuple[str, ...], ...] = (
    ("dpo", "cdpo", "robust", "dpo_norm", "r-dpo", "odpo[gap]", "dpop"),
    ("ipo[sum]", "ipo[token_mean]", "ipo[reference_free]", "ipo[margin]", "rebel", "sppo_hard"),
    ("hinge", "slic", "hinge[reference_free]"),
    ("exo_pair", "exo_pair[clamped]"),
    ("f-dpo[alpha]", "f-dpo[alpha_authors]", "f-dpo[forward_kl]", "f-dpo[js]", "chi-po"),
    ("simpo", "simpo[gamma_ratio]", "cpo-simpo", "alphapo", "cpo", "cpo[token_mean]"),
    ("orpo", "orpo[sum]", "orpo[prompt]"),
    ("bco[none]", "bco[batch]", "bco[running]", "nca_pair"),
    ("kto", "kto[example_mean]"),
    ("apo_zero", "apo_zero[example_mean]", "apo_down"),
    ("aot", "aot_unpaired", "dpo"),
    ("sft", "sft[token_mean]"),
)


def facts(name: str) -> dict[str, Any]:
    """What a reader of one objective wants beside its card: formula, names elsewhere, kindred objectives."""
    kind = OBJECTIVES[name]
    first = (kind.__doc__ or "").strip().split("``")
    formula = first[1] if len(first) > 1 and first[1] not in OBJECTIVES else kind.card.link
    return {"formula": formula, "names": ELSEWHERE.get(name, {}), "kindred": list(kindred(name))}


def kindred(name: str) -> tuple[str, ...]:
    """Objectives that are easily taken for this one, without itself."""
    return tuple(other for family in KINDRED if name in family for other in family if other != name)
