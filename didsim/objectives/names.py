"""What do trainers call each objective?  By trainer and version, as their public code reads.

An entry says what to set so that the trainer minimises that function; an objective without one has no equal there.  Where
one name stands for several functions, `KINDRED` says which are easily taken for each other.
"""

from typing import Any

from didsim.objectives.parts import OBJECTIVES

NEW, OLD = "TRL >= 0.29", "TRL <= 0.28"
HALOS, HALOS_OLD = "HALOs", "HALOs <= 2024-08"
OPEN, OPEN_OLD = "OpenRLHF", "OpenRLHF <= 0.9.5"
# Its trainer calls TRL's method without a loss type, which TRL <= 0.19 takes from the trainer and >= 0.20 takes for sigmoid.
FACTORY, FACTORY_OLD, FACTORY_NEW = "LLaMA-Factory", "LLaMA-Factory, TRL <= 0.19", "LLaMA-Factory, TRL >= 0.20"
TUNE, TUNE_5, TUNE_2 = "torchtune", "torchtune 0.3 to 0.5", "torchtune <= 0.2"
TUNIX, TUNIX_NEW = "tunix", "tunix > 0.1.7"
EASY = "EasyDeL"

ELSEWHERE: dict[str, dict[str, str]] = {
    "dpo": {
        NEW: "DPO: loss_type=sigmoid (ignores label_smoothing)",
        OLD: "DPO: loss_type=sigmoid, label_smoothing=0",
        HALOS: "DPOTrainer",
        OPEN: "DPOLoss(label_smoothing=0)",
        FACTORY: "pref_loss=sigmoid, dpo_label_smoothing=0",
        FACTORY_NEW: "pref_loss=hinge and kto_pair too",
        TUNE: "DPOLoss(label_smoothing=0)",
        TUNIX: "DPOTrainingConfig(label_smoothing=0)",
        EASY: "DPO: loss_type=sigmoid, label_smoothing=0",
    },
    "cdpo": {
        OLD: "DPO: loss_type=sigmoid, label_smoothing=ε",
        HALOS: "CDPOTrainer, epsilon=ε",
        OPEN: "DPOLoss(label_smoothing=ε)",
        FACTORY: "pref_loss=sigmoid, dpo_label_smoothing=ε",
        TUNE: "DPOLoss(label_smoothing=ε)",
        TUNIX: "DPOTrainingConfig(label_smoothing=ε)",
        EASY: "DPO: loss_type=sigmoid, label_smoothing=ε",
    },
    "robust": {NEW: "DPO: loss_type=robust", OLD: "DPO: loss_type=robust", EASY: "DPO: loss_type=robust"},
    "dpo_norm": {NEW: "DPO: loss_type=sigmoid_norm", FACTORY_NEW: "pref_loss=ipo"},
    "hinge": {
        NEW: "DPO: loss_type=hinge",
        OLD: "DPO: loss_type=hinge",
        FACTORY_OLD: "pref_loss=hinge",
        TUNE: "RSOLoss(gamma=β)",
        TUNE_2: "DPOLoss(loss_type=hinge)",
        EASY: "DPO: loss_type=hinge",
    },
    "exo_pair": {NEW: "DPO: loss_type=exo_pair (∞ at label_smoothing=0)", OLD: "DPO: loss_type=exo_pair, label_smoothing > 0"},
    "exo_pair[clamped]": {OLD: "DPO: loss_type=exo_pair"},
    "discopop": {NEW: "DPO: loss_type=discopop", OLD: "DPO: loss_type=discopop"},
    "f-dpo[forward_kl]": {NEW: "DPO: f_divergence_type=forward_kl"},
    "f-dpo[js]": {NEW: "DPO: f_divergence_type=js_divergence", OLD: "DPO: f_divergence_type=js_divergence"},
    "f-dpo[alpha]": {NEW: "DPO: f_divergence_type=alpha_divergence"},
    "f-dpo[alpha_authors]": {OLD: "DPO: f_divergence_type=alpha_divergence"},
    "ipo[sum]": {
        NEW: "Online DPO: loss_type=ipo",
        OLD: "Online DPO: loss_type=ipo",
        OPEN: "DPOLoss(ipo=True)",
        TUNE_2: "DPOLoss(loss_type=ipo)",
    },
    "ipo[token_mean]": {
        NEW: "DPO: loss_type=ipo",
        OLD: "DPO: loss_type=ipo",
        HALOS: "IPOTrainer, tau=β (NaN where policy and reference agree on every token)",
        FACTORY_OLD: "pref_loss=ipo",
        EASY: "DPO: loss_type=ipo",
    },
    "ipo[reference_free]": {
        NEW: "CPO: loss_type=ipo, cpo_alpha=0; TPO: loss_type=ipo, tpo_alpha=0",
        EASY: "CPO: loss_type=ipo, cpo_alpha=0",
    },
    "hinge[reference_free]": {NEW: "CPO: loss_type=hinge, cpo_alpha=0", EASY: "CPO: loss_type=hinge, cpo_alpha=0"},
    "slic": {HALOS_OLD: "SLiCTrainer, beta=δ, lambda_coef=λ"},
    "sppo_hard": {NEW: "DPO: loss_type=sppo_hard", OLD: "DPO: loss_type=sppo_hard", EASY: "DPO: loss_type=sppo_hard"},
    "simpo": {
        NEW: "CPO: loss_type=simpo, cpo_alpha=0; TPO: loss_type=tpo-l, tpo_alpha=0",
        FACTORY: "pref_loss=simpo",
        TUNE_5: "SimPOLoss",
        EASY: "CPO: loss_type=simpo, cpo_alpha=0",
    },
    "simpo[gamma_ratio]": {HALOS: "SimPOTrainer, gamma_beta_ratio=g"},
    "alphapo": {NEW: "CPO: loss_type=simpo, alpha=α, cpo_alpha=0", EASY: "CPO: loss_type=alphapo, alpha=α"},
    "cpo-simpo": {
        NEW: "CPO: loss_type=simpo (cpo_alpha is 1 unless set)",
        EASY: "CPO: loss_type=simpo (cpo_alpha is 1 unless set)",
    },
    "cpo": {
        TUNIX: "ref_model=None is it at nll_weight=0",
        EASY: "DPO: loss_type=sigmoid, reference_free=True is it at nll_weight=0",
    },
    "cpo[token_mean]": {NEW: "CPO: loss_type=sigmoid", EASY: "CPO: loss_type=sigmoid"},
    "orpo": {FACTORY: "pref_loss=orpo", TUNIX_NEW: "algorithm=orpo, enable_prompt_loss_orpo=False"},
    "orpo[sum]": {TUNIX_NEW: "algorithm=orpo, enable_prompt_loss_orpo=False, average_log_prob_orpo=False"},
    "orpo[prompt]": {
        NEW: "ORPO (its beta is the weight λ)",
        TUNIX_NEW: "algorithm=orpo with one pair a batch; of more pairs the mean of what each is alone",
        EASY: "ORPO (its beta is the weight λ)",
    },
    "kto[example_mean]": {
        NEW: "KTO: loss_type=kto",
        OLD: "KTO: loss_type=kto",
        HALOS: "KTOTrainer",
        OPEN_OLD: "KTOLoss",
        FACTORY: "stage=kto",
        EASY: "KTO: loss_type=kto",
    },
    "nca_pair": {NEW: "DPO: loss_type=nca_pair", OLD: "DPO: loss_type=nca_pair", EASY: "DPO: loss_type=nca_pair"},
    "bco[none]": {NEW: "DPO: loss_type=bco_pair"},
    "bco[running]": {OLD: "DPO: loss_type=bco_pair", FACTORY: "bco_loss, one term of pref_bco_weight"},
    "apo_zero": {NEW: "DPO: loss_type=apo_zero", OLD: "DPO: loss_type=apo_zero", EASY: "DPO: loss_type=apo_zero"},
    "apo_zero[example_mean]": {
        NEW: "KTO: loss_type=apo_zero_unpaired",
        OLD: "KTO: loss_type=apo_zero_unpaired",
        EASY: "KTO: loss_type=apo_zero_unpaired",
    },
    "apo_down": {NEW: "DPO: loss_type=apo_down", OLD: "DPO: loss_type=apo_down", EASY: "DPO: loss_type=apo_down"},
    "aot": {NEW: "DPO: loss_type=aot", OLD: "DPO: loss_type=aot", EASY: "DPO: loss_type=aot"},
    "aot_unpaired": {NEW: "DPO: loss_type=aot_unpaired", OLD: "DPO: loss_type=aot_pair", EASY: "DPO: loss_type=aot_pair"},
    "sft[token_mean]": {
        NEW: "DPO: loss_type=sft",
        HALOS: "SFTTrainer",
        OPEN: "SFTLoss(token_level_loss=True)",
    },
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
