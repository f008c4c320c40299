"""Write the table of tested versions: ``python -m tests.vllm_versions.table``."""

from pathlib import Path

from .results import Result, Results, load, release

ROOT = Path(__file__).parents[2]
DOCUMENTS = (ROOT / "docs" / "vllm-versions.md", ROOT / "README.md")
BEGIN, END = "<!-- vllm versions: generated -->", "<!-- end of vllm versions -->"


def table(results: Results) -> str:
    """The results as Markdown, the newest version first."""
    lines = ["| vLLM | `qchat serve` | `qchat batch` offline | tested |", "|---|---|---|---|"]
    for version in sorted(results, key=release, reverse=True):
        uses = results[version]
        cells = (_cell(uses.get("serve")), _cell(uses.get("offline")))
        date = max(result.date for result in uses.values())
        lines.append(f"| {version} | {cells[0]} | {cells[1]} | {date} |")
    return "\n".join(lines)


def _cell(result: Result | None) -> str:
    if result is None:
        return "–"
    count = f"{result.passed} of {result.passed + result.failed} tests"
    if result.how == "tests":
        return count if result.failed else f"yes ({count})"
    return result.how


def replace_table(text: str, new: str) -> str:
    """The text with `new` between the marks. Raises ValueError without them."""
    before, begin, rest = text.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the marks {BEGIN} and {END} are missing")
    return f"{before}{begin}\n\n{new}\n\n{end}{after}"


def main() -> None:
    """Write the table into the documents."""
    new = table(load())
    for path in DOCUMENTS:
        path.write_text(replace_table(path.read_text("utf-8"), new), "utf-8")
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
