"""The names and the body of the MSR Action3D data set (Li et al. 2010, Action recognition based on a bag of 3D points).

A file `a02_s05_e01_skeleton3D.txt` is action 2 by subject 5, the first take.
"""

import re

from rnn_core.errors import DataError
from rnn_core.motion.keypoints import Body

ACTIONS = (
    *("high arm wave", "horizontal arm wave", "hammer", "hand catch", "forward punch", "high throw", "draw x"),
    *("draw tick", "draw circle", "hand clap", "two hand wave", "side boxing", "bend", "forward kick", "side kick"),
    *("jogging", "tennis swing", "tennis serve", "golf swing", "pick up and throw"),
)
POINTS = 20
# 0 and 1 shoulders, 2 neck, 3 spine, 4 and 5 hips, 6 their middle, 7 to 12 elbows, wrists, hands, 13 to 18 knees,
# ankles, feet, 19 head; one side first.
BODY = Body(
    centre=6,
    bones=(
        *((2, 3), (3, 6), (2, 0), (2, 1), (0, 7), (1, 8), (7, 9), (8, 10)),
        *((4, 13), (5, 14), (13, 15), (14, 16)),
    ),
    across=((0, 1), (4, 5)),
)
_NAME = re.compile(r"a(\d\d)_s(\d\d)_e\d\d_skeleton3D\.txt")


def action_and_subject(name: str) -> tuple[str, int]:
    """From the name of a file.

    Raises:
        DataError: a name of another form.
    """
    match = _NAME.fullmatch(name)
    if not match or not 1 <= int(match[1]) <= len(ACTIONS):
        raise DataError(name, "not a name of this data set", f"a01_s01_e01_skeleton3D.txt, actions to {len(ACTIONS)}")
    return ACTIONS[int(match[1]) - 1], int(match[2])
