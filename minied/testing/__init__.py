"""The conformance kit: what is wrong with a world, its levels, a teacher or a score, before a GPU-day is lost on it.

    from minied.testing import check_env, check_level_space
    check_env(MyWorld()).require()
    check_level_space(MyWorld()).require()

`minied check` runs it from the command line.
"""

from minied.testing.environment import check_env as check_env
from minied.testing.levels import check_level_space as check_level_space
from minied.testing.report import Finding as Finding
from minied.testing.report import Report as Report
from minied.testing.score import check_score as check_score
from minied.testing.teacher import check_teacher as check_teacher
