"""The tables of the README, from the results that lie in `results/`.

python -m benchmarks._readme      writes them into the README, between their marks
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
README = _HERE.parent / "README.md"
RESULTS = _HERE / "results"

_COLUMNS = (
    ("`Exponential(1, 2)`", "Exponential(1, 2)", None),
    ("google-api-core", "google-api-core: 1 s x 1.5 up to 20 s, full jitter", None),
    ("fixed, best in hindsight", "Fixed, the best in hindsight", None),
    ("`Learned`, after 0 jobs", "Learned", 0),
    ("10", "Learned", 10),
    ("30", "Learned", 30),
    ("100", "Learned", 100),
    ("300", "Learned", 300),
)


def with_tables(text: str) -> str:
    """Return a text with the tables between their marks made anew."""
    document = json.loads((RESULTS / "schedules.json").read_text(encoding="utf-8"))
    table = schedules_table(document["results"]["schedules"]["workloads"])
    return re.sub(
        r"(<!-- schedules: begin -->\n).*?(<!-- schedules: end -->)",
        lambda marks: f"{marks[1]}{table}{marks[2]}",
        text,
        flags=re.DOTALL,
    )


def schedules_table(workloads: list[dict[str, Any]]) -> str:
    """Return the ratios to the optimum as a table."""
    lines = [
        f"| jobs last | {' | '.join(title for title, _, _ in _COLUMNS)} |",
        "|---" + "|--:" * len(_COLUMNS) + "|",
    ]
    for workload in workloads:
        ratios = {
            (row["name"], row["observed"]): row["ratio"]
            for row in workload["schedules"]
        }
        cells = [f"{ratios[name, observed]:.2f}" for _, name, observed in _COLUMNS]
        lines.append(f"| {workload['name']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
