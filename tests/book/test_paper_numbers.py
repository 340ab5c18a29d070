"""The paper's numbers beside ours."""

import math

import pandas as pd
import pytest
import yaml
from conftest import ROOT

from book import paper_numbers, reference

GROUPS = [
    {
        "title": "Figure 9",
        "read": "digitised",
        "error": 0.01,
        "ours": {"table": "page/finding/estimates", "number": "divergence"},
        "series": [{"what": "independent", "ours": {"method": "independent"}, "paper": [0.5, 0.6, 0.7]}],
    },
    {"title": "Text", "read": "text", "rows": [{"what": "one", "paper": [0.2, 0.3], "ours": {"table": "none"}}]},
]


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / reference.KEPT / "claims" / "page" / "finding"
    folder.mkdir(parents=True)
    ours = [("0", 0.55, 0.505, 0.6), ("1", 0.64, 0.62, 0.66), ("2", 0.7, math.nan, math.nan)]
    table = pd.DataFrame(ours, columns=["severity", "value", "low", "high"])
    table.assign(method="independent", number="divergence", size=4).to_csv(folder / "estimates.csv", index=False)
    (tmp_path / "book" / "paper_numbers.yaml").write_text(yaml.safe_dump(GROUPS, sort_keys=False))
    return tmp_path


def test_numbers_agree_in_size_where_the_widened_interval_holds_the_papers(root):
    found = paper_numbers.numbers(root)
    assert list(found["agrees"]) == [True, False, None, None]  # the third has no interval, the last no value
    assert list(found["difference"][:3].round(3)) == [0.05, 0.04, 0]
    text = paper_numbers.section("Figure 9", found[:3])
    assert "**1 of 2 agree in size.**" in text
    assert "| independent, severity 0 | 0.500 | 0.550 (0.505&nbsp;to&nbsp;0.600) | +0.050 | ✓ yes |" in text
    assert "not run yet" in paper_numbers.section("Text", found[3:])


def test_a_sum_is_the_average_times_the_networks(root):
    summed = [GROUPS[0] | {"title": "Figure 9, as a sum", "sum": True}]
    (root / "book" / "paper_numbers.yaml").write_text(yaml.safe_dump([*GROUPS, *summed], sort_keys=False))
    found = paper_numbers.numbers(root)
    assert found["value"].iloc[-3] == pytest.approx(4 * 0.55)
    assert "are an average over networks: as an average ours are 0.030 from" in paper_numbers.divergence_fits(found)


def test_every_number_of_the_paper_has_a_place_for_ours(clean_style):
    found = paper_numbers.numbers(ROOT)
    assert len(found) > 200
    assert (found["low"] <= found["high"]).all()
    pages = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")} | {"official"}
    for group in yaml.safe_load((ROOT / "book" / "paper_numbers.yaml").read_text()):
        for row in group.get("rows") or group["series"]:
            place = group.get("ours", {}) | row["ours"]
            assert "claim" in place or place["table"].split("/")[0] in pages
    assert set(paper_numbers.fragments(ROOT)) >= {"paper_numbers.md", "paper_numbers_shift.svg"}
