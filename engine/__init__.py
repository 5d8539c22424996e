"""Tickwright: replay recorded markets through strategies and a simulated broker.

from engine import Strategy, Wake, run
"""

from engine.broker.models import Account, BrokerConfig, RiskConfig
from engine.config import Config, build, load
from engine.instruments import Instrument
from engine.parent import ParentOrder
from engine.result import Result
from engine.run import KeptJournal, run, run_config
from engine.signals import Probe
from engine.strategy import HOUR, MICROSECOND, MILLISECOND, MINUTE, SECOND, Strategy, Wake
from engine.tape import Tape

__all__ = [
    "HOUR",
    "MICROSECOND",
    "MILLISECOND",
    "MINUTE",
    "SECOND",
    "Account",
    "BrokerConfig",
    "Config",
    "Instrument",
    "KeptJournal",
    "ParentOrder",
    "Probe",
    "Result",
    "RiskConfig",
    "Strategy",
    "Tape",
    "Wake",
    "build",
    "load",
    "run",
    "run_config",
]
