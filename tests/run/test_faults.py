"""The soak test of sweeps, which is run by hand: what it damages, and that it would notice a difference."""

import random
from pathlib import Path

from helpers import member, write_run

ROOT = Path(__file__).resolve().parents[2]
from benchmarks import disturbance, faults  # noqa: E402


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
    """The final comparison notices differences: otherwise the soak test could not fail."""
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
