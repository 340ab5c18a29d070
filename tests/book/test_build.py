"""What the build refuses, with one line per problem."""

import subprocess

import nbformat
import pytest
from conftest import ROOT
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from book import build


@pytest.fixture
def checkout(tmp_path):
    """A repository with one notebook, and its executed copy in `executed/`."""
    for folder in ("book", "notebooks", "executed"):
        (tmp_path / folder).mkdir()
    (tmp_path / "book" / "_toc.yml").write_text(
        "root: book/index\nparts:\n- chapters:\n  - file: notebooks/one\n- chapters:\n  - file: book/two\n"
    )
    save(tmp_path / "notebooks" / "one.ipynb", notebook(count=None))
    save(tmp_path / "executed" / "one.ipynb", notebook(count=1, injected=True))
    return tmp_path


def notebook(count, injected=False, outputs=(), source="1 + 1"):
    given = new_code_cell("# Parameters\na = 1", execution_count=1, metadata={"tags": ["injected-parameters"]})
    cells = [new_markdown_cell("# One"), *([given] if injected else [])]
    return new_notebook(cells=[*cells, new_code_cell(source, execution_count=count, outputs=list(outputs))])


def save(path, content):
    nbformat.write(content, path)


def refusal(checkout):
    with pytest.raises(build.BookError) as caught:
        build.check_notebooks(checkout, checkout / "executed")
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_check_accepts_a_notebook_that_papermill_executed(checkout):
    build.check_notebooks(checkout, checkout / "executed")


def test_check_refuses_an_error_output(checkout):
    error = new_output("error", ename="ValueError", evalue="no such thing\nmore", traceback=[])
    save(checkout / "executed" / "one.ipynb", notebook(1, outputs=[error]))
    assert "cell 2 failed with ValueError: no such thing" in refusal(checkout)


def test_check_refuses_papermills_exception(checkout):
    failed = notebook(1)
    failed.metadata["papermill"] = {"exception": True}
    save(checkout / "executed" / "one.ipynb", failed)
    assert "exception" in refusal(checkout)


def test_check_refuses_a_cell_that_was_not_executed(checkout):
    save(checkout / "executed" / "one.ipynb", notebook(None))
    assert "cell 2 was not executed" in refusal(checkout)


@pytest.mark.parametrize("source", ["1 + 2", ""])
def test_check_refuses_another_source(checkout, source):
    save(checkout / "executed" / "one.ipynb", notebook(1, source=source))
    assert "not that of one.ipynb as it is now" in refusal(checkout)


def test_check_refuses_a_cell_too_many(checkout):
    longer = notebook(1)
    longer.cells.append(new_markdown_cell("The end"))
    save(checkout / "executed" / "one.ipynb", longer)
    assert "has 3 cells, one.ipynb has 2" in refusal(checkout)


def test_check_refuses_a_missing_or_broken_copy(checkout):
    (checkout / "executed" / "one.ipynb").write_text("{")
    assert "cannot be read" in refusal(checkout)
    (checkout / "executed" / "one.ipynb").unlink()
    assert "one.ipynb is missing: execute it first" in refusal(checkout)


def test_check_refuses_copies_without_source_and_sources_without_page(checkout):
    save(checkout / "executed" / "two.ipynb", notebook(1))
    assert "two.ipynb has no source" in refusal(checkout)
    save(checkout / "notebooks" / "two.ipynb", notebook(None))
    assert "notebooks/two.ipynb is not in book/_toc.yml" in refusal(checkout)


def test_check_ignores_what_is_left_of_a_failed_execution(checkout):
    save(checkout / "executed" / "one.failed.ipynb", notebook(None))
    build.check_notebooks(checkout, checkout / "executed")


def test_check_refuses_missing_and_broken_verdicts(checkout):
    with pytest.raises(build.BookError, match=r"claims/one is missing: execute notebooks/one.ipynb again"):
        build.check_claims(checkout, checkout / "claims")
    (checkout / "claims" / "one").mkdir(parents=True)
    assert build.check_claims(checkout, checkout / "claims") == {checkout / "notebooks" / "one.ipynb": []}
    (checkout / "claims" / "one" / "broken.json").write_text("{}")
    with pytest.raises(build.BookError, match="not a claim's record"):
        build.check_claims(checkout, checkout / "claims")


def test_command_line_says_what_is_wrong(tmp_path):
    with pytest.raises(SystemExit) as ended:
        build.main(tmp_path, ROOT, "")
    lines = ended.value.code.splitlines()
    assert len(lines) == len(build.toc_notebooks(ROOT))
    assert all("is missing: execute it first" in line for line in lines)


def test_warnings_of_jupyter_book_are_errors_and_its_words_are_told(monkeypatch, tmp_path):
    said = []

    def run(command, **_):
        said.extend(command)
        return subprocess.CompletedProcess(command, 1, b"to nowhere")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(build.BookError, match=r"^to nowhere\njupyter-book failed; its log is "):
        build.run_jupyter_book(ROOT, tmp_path, tmp_path)
    assert {"-W", "-n", "--keep-going"} <= set(said)


def test_a_long_list_of_parameters_is_folded():
    few, many = ("\n".join(f"p{number}: int = None" for number in range(count)) for count in (10, 11))
    page = new_notebook(cells=[new_code_cell(one, metadata={"tags": ["parameters"]}) for one in (few, many)])
    build.fold_parameters(page)
    assert [cell.metadata.tags for cell in page.cells] == [["parameters"], ["parameters", "hide-input"]]
    assert page.cells[1].metadata["mystnb"]["code_prompt_show"] == "Show the parameters"
