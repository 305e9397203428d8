"""The interruption: an exception that a signal handler raised amid a call, as for the time limit of a task.

Where whatever an application's own objects raise is let pass, this is not: who set the limit waits for it.
"""

from __future__ import annotations

__all__ = ["pass_on"]


def pass_on(error: BaseException) -> None:
    """Raises `error` again if a signal handler of this process raised it."""
    import signal  # `import whodid` stays light

    handlers = {getattr(signal.getsignal(number), "__code__", None) for number in signal.valid_signals()} - {None}
    at = error.__traceback__
    while at is not None:
        if at.tb_frame.f_code in handlers:
            raise error
        at = at.tb_next
