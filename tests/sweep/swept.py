"""What a sweep left: its members, its rows, its tables; and how often its program was traced."""

TABLES = ("table.json", "table.csv")
QUIET = ("--quiet", "--no-pictures")


def tables(sweep):
    return [(sweep / name).read_bytes() for name in TABLES]


def rows(sweep):
    return [[(path / name).read_bytes() for name in ("metrics.jsonl", "evaluations.jsonl")] for path in members(sweep)]


def members(sweep):
    return sorted((sweep / "members").iterdir())


class Counted:
    def __init__(self, function, seen):
        self.function, self.seen = function, seen

    def __call__(self, *arguments):
        self.seen.append("called")
        return self.function(*arguments)

    def lower(self, *arguments):
        self.seen.append("lowered")
        return self.function.lower(*arguments)
