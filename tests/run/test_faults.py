"""The soak of sweeps, small: a kill, damage, and locks of the dead change nothing."""

import json
import random
import sys
from pathlib import Path

import pytest
from helpers import member, write_run

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import disturbance, faults  # noqa: E402


@pytest.mark.slow
def test_soak_ends_with_the_results_of_an_undisturbed_sweep(tmp_path, monkeypatch):
    monkeypatch.setattr(faults.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(faults.signal, "signal", lambda *_: None)
    output, size = tmp_path / "faults.json", {"seeds": 1, "epochs": [2], "members": 2}
    faults.main(kills=1, seed=1, **size, gap=1.0, minutes=5.0, disks=False, output=output)
    assert list(tmp_path.iterdir()) == [output]
    content = json.loads(output.read_text())
    targets = {target["what"]: target for target in content["targets"]}
    assert all(target["met"] for target in targets.values())
    compared = [what for what in targets if "results that differ" in what]
    assert len(compared) == 2
    # Three checkpoints of two members, two verdicts and a table.
    assert all(what.endswith("of 9") for what in compared)
    assert sum(row["max"] for row in content["rows"] if row["case"] == "killed with -9") == 1
    damaged = {row["what"] for row in content["rows"] if row["case"] in ("byte flip", "truncation")}
    assert {"configuration", "checkpoint", "derived arrays", "executed notebook", "verdict"} <= damaged


def test_damage_is_a_bit_or_an_end(tmp_path):
    path, whole, seen = tmp_path / "file", bytes(range(200)), set()
    for seed in range(40):
        path.write_bytes(whole)
        how = disturbance.damage(path, random.Random(seed))
        found = path.read_bytes()
        seen.add(how)
        if how == "truncation":
            assert found == whole[: len(found)] != whole
        else:
            changed = [bin(one ^ other).count("1") for one, other in zip(found, whole, strict=True)]
            assert sum(changed) == 1
    assert seen == {"truncation", "byte flip"}


def test_results_tell_one_flipped_bit(tmp_path):
    """What is compared at the end: otherwise the soak could not fail."""
    found = []
    for name in ("one", "other"):
        folder = write_run(tmp_path / name, member(epochs=2))
        output = tmp_path / name / "output"
        (output / "claims" / "cell-0").mkdir(parents=True)
        (output / "claims" / "cell-0" / "a.json").write_text('{"value": 1}')
        (output / "results.csv").write_text("cell,value\na,1\n")
        found.append(faults.results(tmp_path / name, output))
    assert found[0] == found[1]
    path = folder / "epoch_001.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    (output / "claims" / "cell-0" / "a.json").write_text('{"value": 2}')
    (output / "results.csv").write_text("cell,value\na,2\n")
    changed = faults.results(tmp_path / "other", output)
    differ = {name for name in found[0].keys() | changed.keys() if found[0].get(name) != changed.get(name)}
    assert "results.csv" in differ
    assert "verdict cell a.json" in differ
    assert any(name.startswith("checkpoint") for name in differ)
