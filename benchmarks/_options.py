"""Options that nothing can be measured with."""

from __future__ import annotations


class BadOption(ValueError):
    """What was asked for is not allowed; the message names the option and what is.

    It is told as a fault of usage. No other error is: it has a traceback.
    """
