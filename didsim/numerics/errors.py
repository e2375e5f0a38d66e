"""How do we say no?  One kind of error for everything that a user can get wrong; it costs nothing to import."""


class ArgumentError(ValueError):
    """An argument is not allowed; the message names it, shows it and says what is allowed."""
