"""What can go wrong at the edges, as one small tree.

    TickwrightError
    ├── ConfigError      a config file, a key in it, or an argument of a constructor
    ├── TapeError        a tape, or a file that was to become one
    ├── StrategyError    a strategy raised, or asked for something that cannot be
    └── RunError         a run folder, its disk, or a run that does not verify

Refusals by the market or by a risk limit are not errors: they are ``Rejected`` events with a reason.
"""


class TickwrightError(Exception):
    """Something the user can cure; its message says what was wrong, where, and what to do."""


class ConfigError(TickwrightError):
    """A config, a key of it, or a constructor's argument is wrong."""


class TapeError(TickwrightError):
    """A tape, or a file that was to become one, breaks a rule."""


class StrategyError(TickwrightError):
    """A strategy raised, or asked its desk for something that cannot be."""


class RunError(TickwrightError):
    """A run folder cannot be written or read, or does not verify."""
