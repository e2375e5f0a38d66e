"""What does a text mean that a person typed for a value?"""


def read_value(text: str, between: str = ",") -> int | float | str | list:
    """The integer, floating-point number or list of such that a text spells; the text itself if it is none of them.

    Args:
        text: ``3``, ``0.5``, ``1e-3``, ``inf``, ``0,0,1`` or a word.
        between: what separates the entries of a list.
    """
    if between in text:
        return [read_value(part, between) for part in text.split(between) if part]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
