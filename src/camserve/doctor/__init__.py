"""What this host can do: the facts about it, what it is ready for, and what is broken.

Nothing here imports a framework in this process, and no fact that cannot be found out is an error.
"""

from camserve.doctor.faults import find_faults
from camserve.doctor.host import Host
from camserve.doctor.problem import Problem
from camserve.doctor.purposes import PURPOSES, Verdict, judge

__all__ = ["PURPOSES", "Host", "Problem", "Verdict", "find_faults", "judge"]
