"""Grid files as cells: lists are multiplied unless they are values, and a file that is no grid is a one-line error."""

import pytest

from lib.errors import ConfigError
from lib.sweep.grid import combinations, read_grid

PAGE = {"preset": "str", "architectures": "list", "num_members": "int", "learning_rate": "float", "flag": "bool"}


@pytest.fixture
def read(tmp_path):
    def reader(text):
        path = tmp_path / "grid.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_grid(path)

    return reader


def cells(grid):
    return [cell for mapping in grid for cell in combinations(mapping, PAGE)]


def test_lists_are_multiplied_and_values_are_in_all_cells(read):
    grid = read("preset: smoke\nnum_members: [2, 3]\nflag: [true, false]")
    expected = [{"preset": "smoke", "num_members": count, "flag": flag} for flag in (True, False) for count in (2, 3)]
    assert cells(grid) == expected


def test_list_of_mappings_is_one_after_the_other(read):
    grid = read("- {preset: smoke, num_members: [2, 3]}\n- {preset: quick}")
    assert cells(grid) == [
        {"preset": "smoke", "num_members": 2},
        {"preset": "smoke", "num_members": 3},
        {"preset": "quick"},
    ]


def test_flat_list_is_one_value_of_a_parameter_that_is_a_list(read):
    assert cells(read("architectures: [a, b]\nnum_members: null")) == [
        {"architectures": ["a", "b"], "num_members": None}
    ]
    several = cells(read("architectures: [[a], [a, b], null]"))
    assert [one["architectures"] for one in several] == [["a"], ["a", "b"], None]


def test_numbers_without_a_dot_are_numbers(read):
    (cell,) = cells(read("learning_rate: 1e-2"))
    assert cell == {"learning_rate": 0.01}
    (several,) = read("a: [1E3, -2e+1, .5e1, 1e, e2, 1e2x, '1e2']")
    assert several["a"] == [1000.0, -20.0, 5.0, "1e", "e2", "1e2x", "1e2"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "a grid is lines `name: value`"),
        ("[]", "a grid is lines `name: value`"),
        ("- 1", "a grid is lines `name: value`"),
        ("num_members", "a grid is lines `name: value`"),
        ("num_members: [2", "is not YAML"),
        ("a: 1\n\tb: 2", "is not YAML"),
        (b"a: \xc3\x28", "is not YAML"),
        ("a: 2026-13-45", "is not YAML"),
        ("[" * 500, "is not YAML"),
        (f"a: {'9' * 5000}", "is not YAML"),
        ("a: !!python/object/apply:os.system [ls]", "is not YAML"),
        ("a: 1\na: 2", "'a' appears twice"),
        ("- {a: 1, a: 2}", "'a' appears twice"),
    ],
)
def test_file_that_is_no_grid_is_one_line(read, text, part):
    with pytest.raises(ConfigError, match=part) as caught:
        read(text)
    assert "grid.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_file_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"^cannot read .*none\.yaml: No such file"):
        read_grid(tmp_path / "none.yaml")


def test_list_without_values_is_one_line(read):
    with pytest.raises(ConfigError, match=r"^num_members has no values"):
        cells(read("num_members: []"))
