"""Grid files as cells: GitHub's own examples of include and exclude, lists that are values, one line for the rest."""

import pytest
import yaml

from lib.errors import ConfigError
from lib.sweep import grid
from lib.sweep.grid import MOST_CELLS, Grid, cells, read_grid

FRUIT = dict.fromkeys(("fruit", "animal", "color", "shape"), "str")
PLATFORM = {"os": "str", "version": "int", "environment": "str"}
PAGE = {"preset": "str", "architectures": "list", "num_members": "int", "learning_rate": "float", "flag": "bool"}


@pytest.fixture
def read(tmp_path):
    def reader(text):
        path = tmp_path / "grid.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_grid(path)

    return reader


def test_include_as_in_the_documentation_of_github_actions(read):
    content = read("""
fruit: [apple, pear]
animal: [cat, dog]
include:
  - color: green
  - color: pink
    animal: cat
  - fruit: apple
    shape: circle
  - fruit: banana
  - fruit: banana
    animal: cat
""")
    assert cells(content, FRUIT) == [
        {"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"},
        {"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"},
        {"fruit": "pear", "animal": "cat", "color": "pink"},
        {"fruit": "pear", "animal": "dog", "color": "green"},
        {"fruit": "banana"},
        {"fruit": "banana", "animal": "cat"},
    ]


def test_exclude_as_in_the_documentation_of_github_actions(read):
    content = read("""
os: [macos-latest, windows-latest]
version: [12, 14, 16]
environment: [staging, production]
exclude:
  - os: macos-latest
    version: 12
    environment: production
  - os: windows-latest
    version: 16
""")
    left = cells(content, PLATFORM)
    assert len(left) == 9
    assert {"os": "macos-latest", "version": 12, "environment": "production"} not in left
    assert not [one for one in left if (one["os"], one["version"]) == ("windows-latest", 16)]


def test_include_adds_back_what_exclude_took():
    content = Grid({"num_members": [2, 3]}, include=[{"num_members": 2}], exclude=[{"num_members": 2}])
    assert cells(content, PAGE) == [{"num_members": 3}, {"num_members": 2}]


def test_include_alone_is_a_cell_an_entry():
    content = Grid({"preset": "smoke"}, include=[{"num_members": 2}, {"num_members": 3, "preset": "quick"}])
    assert cells(content, PAGE) == [{"preset": "smoke", "num_members": 2}, {"preset": "quick", "num_members": 3}]


def test_single_value_is_in_all_cells_and_those_of_include():
    content = Grid({"preset": "smoke", "num_members": [2, 3]}, include=[{"num_members": 9}])
    assert cells(content, PAGE) == [{"preset": "smoke", "num_members": count} for count in (2, 3, 9)]


def test_exclude_matches_single_values_too():
    content = Grid({"preset": "smoke", "num_members": [2, 3]}, exclude=[{"preset": "smoke", "num_members": 2}])
    assert cells(content, PAGE) == [{"preset": "smoke", "num_members": 3}]


def test_true_is_not_one():
    assert len(cells(Grid({"flag": [True, False]}, exclude=[{"flag": 1}]), PAGE)) == 2


def test_cells_that_are_the_same_are_one():
    assert cells(Grid({"num_members": [2, 3, 2]}, include=[{"num_members": 3}]), PAGE) == [
        {"num_members": 2},
        {"num_members": 3},
    ]


def test_parameter_file_is_a_grid_of_one_cell(read):
    content = {"preset": "smoke", "architectures": ["small_cnn", "resnet8_v1"], "num_members": None}
    assert cells(read(yaml.safe_dump(content)), PAGE) == [content]


def test_list_of_lists_is_an_axis_of_lists():
    content = Grid({"architectures": [["small_cnn"], ["small_cnn", "resnet8_v1"], None]})
    assert [one["architectures"] for one in cells(content, PAGE)] == [["small_cnn"], ["small_cnn", "resnet8_v1"], None]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("num_member: [2]", "unknown parameter 'num_member'; did you mean 'num_members'?"),
        ("num_members: [2]\ninclude: [{num_member: 2}]", "unknown parameter 'num_member'; did you mean 'num_members'?"),
        ("num_members: []", "the axis of num_members has no values"),
        ("num_members: [[2], [3]]", "num_members takes one value, so that its axis is [first, second]"),
        ("architectures: [[a], b]", "architectures takes a list, so that its axis is a list of lists, as in archi"),
        ("num_members: [2]\nexclude: [{num_members: 2}]", "the grid has no cells: exclude leaves nothing"),
        ("num_members: [2]\nexclude: [{flag: true}]", "exclude names 'flag', of which the grid says nothing"),
    ],
)
def test_grid_that_does_not_fit_the_notebook_is_one_line(read, text, line):
    with pytest.raises(ConfigError) as caught:
        cells(read(text), PAGE)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "a grid has lines `name: value`"),
        ("- 1", "a grid has lines `name: value`"),
        ("num_members", "a grid has lines `name: value`"),
        ("num_members: [2", "is not YAML"),
        ("a: 1\n\tb: 2", "is not YAML"),
        (b"\xff\xfe\x00", "is not YAML"),
        (b"a: \xc3\x28", "is not YAML"),
        ("a: !!python/object/apply:os.system [ls]", "is not YAML"),
        ("a: !!bool maybe", "is not YAML"),
        ("a: !!timestamp soon", "is not YAML"),
        ("- " * 5000, "is not YAML"),
        ("[" * 500, "is not YAML"),
        ("a: 1\na: 2", "'a' is there twice"),
        ("include: [{a: 1, a: 2}]", "'a' is there twice"),
        ("a: &x [1]\nb: *x", "an alias (*x) is not allowed"),
        ("1: 2", "a parameter's name must be text, got 1"),
        ("a: 2026-11-25", "a must be text, a number, true, false, null or a list of these"),
        ("a: {b: 1}", "a must be text, a number"),
        ("a: [.nan]", "a must be text, a number"),
        ("a: .inf", "a must be text, a number"),
        ("a: [[[1]]]", "a must be text, a number"),
        ('a: "one\\ntwo"', "a must be printable text"),
        ('a: "\\ud800"', "a must be printable text"),
        ("include: {a: 1}", "include must be a list of `- name: value`"),
        ("exclude: [a]", "exclude must be a list of `- name: value`"),
        ("exclude: [{}]", "exclude must be a list of `- name: value`"),
        ("include: [{a: {b: 1}}]", "include of 'a' must be text"),
        (f"a: {'9' * 5000}", "is not YAML"),
        (f"a: {'9' * 400}", "a must have at most 64 bits, got 9999"),
        ("a: " + "x" * grid.MOST_BYTES, "it is larger than 100,000 bytes"),
    ],
)
def test_file_that_is_no_grid_is_one_line(read, text, part):
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert part in str(caught.value)
    assert "grid.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


def test_file_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"^cannot read .*none\.yaml: No such file"):
        read_grid(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match=r"^cannot read .*: Is a directory"):
        read_grid(tmp_path)


def test_huge_grid_is_refused_before_it_is_made():
    names = [f"p{number}" for number in range(30)]
    content = Grid({name: list(range(100)) for name in names})
    with pytest.raises(ConfigError, match=f"more than {MOST_CELLS:,}$"):
        cells(content, dict.fromkeys(names, "int"))
    assert len(cells(Grid({"a": list(range(100)), "b": list(range(100))}), {"a": "int", "b": "int"})) == MOST_CELLS
