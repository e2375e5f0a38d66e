"""Which lists in a row are batches of pairs, and which are one value of it?"""

import numpy as np
import preference_logs as logs
import pytest

from didsim import diagnose

MEANINGLESS = {
    "no warnings": {"warnings": []},
    "tags": {"tags": ["a", "b"]},
    "messages": {"messages": [{"role": "user"}, {"role": "assistant"}]},
    "a trace called as steps are": {"steps": [{"text": "a"}, {"text": "b"}, {"text": "c"}]},
    "lists in a list": {"index": [[1, 2], [3]]},
}


@pytest.mark.parametrize("case", MEANINGLESS)
@pytest.mark.parametrize("every", [1, 7])
def test_a_list_that_means_nothing_neither_adds_nor_drops_a_row(tmp_path, few, case, every):
    more = [row | MEANINGLESS[case] if at % every == 0 else row for at, row in enumerate(few)]
    found, plain = (diagnose.diagnose(logs.written(tmp_path, rows), beta=1.0) for rows in (more, few))
    assert len(found.log.step) == len(few)
    assert found.dictionary == plain.dictionary


def test_lists_of_pairs_are_spread_and_others_stay(tmp_path, few):
    batches = [row | {"prompts": ["p"] * 20, "warnings": [], "tags": ["a", "b"]} for row in logs.batched(few)]
    assert diagnose.diagnose(logs.written(tmp_path, batches), beta=1.0).dictionary == (
        diagnose.diagnose(logs.written(tmp_path, few), beta=1.0).dictionary
    )
    arrays = [{k: np.array(v) if isinstance(v, list) else v for k, v in row.items()} for row in batches]
    assert len(diagnose.read(arrays).step) == len(few)
    names = {"chosen": "a", "rejected": "b", "ref_chosen": "c", "ref_rejected": "d"}
    own = [{names.get(name.removesuffix("_logps"), name): value for name, value in row.items()} for row in batches]
    assert len(diagnose.read(logs.written(tmp_path, own), names=names).step) == len(few)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"chosen_logps": []}, "run.jsonl, line 2: a list must have at least one entry, but 'chosen_logps' has none."),
        ({"rejected_logps": -3.0}, "line 2: column 'rejected_logps' must be a list, one entry a pair, as 'chosen_logps' is"),
        ({"rewards/chosen": 0.3}, "line 2: column 'rewards/chosen' must be a list, one entry a pair"),
        ({"chosen_length": [4, 5]}, "line 2: lists of a row must be equally long"),
    ],
)
def test_a_batch_that_is_none_is_refused(tmp_path, few, entries, message):
    rows = logs.batched(few)
    rows[1] |= entries
    with pytest.raises(diagnose.LogError) as error:
        diagnose.read(logs.written(tmp_path, rows))
    assert message in str(error.value)
