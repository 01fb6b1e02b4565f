"""What does a run, valid as it is, probably not do that its user expects?"""

from minied.train.config import TrainConfig


def doubts(config: TrainConfig) -> list[str]:
    """Return a line for each doubt about what ``config`` says."""
    lines = []
    if config.num_steps < config.env.max_steps:
        lines.append(
            f"num_steps is {config.num_steps}, less than the world's max_steps = {config.env.max_steps}: longer episodes"
            " never finish in training and have no score"
        )
    if not config.env.has_rewards:
        lines.append(
            f"{type(config.env).__name__} rewards nothing, so that nothing is learnt: it is for `minied probe`, with a run"
            " of another world"
        )
    return lines
