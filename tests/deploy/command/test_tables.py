"""Tables that fit a terminal, and texts that cannot steer it."""

from modelplane.deploy.command.api.tables import column, format_pairs, format_table, plain

ROWS = [
    {"name": "a", "text": "x" * 100, "count": 7, "is": True},
    {"name": "b" * 30, "text": "two\nlines", "count": 1234, "is": None},
]
COLUMNS = [
    column("NAME", "name"),
    column("TEXT", "text"),
    column("COUNT", "count"),
    column("IS", "is"),
]


def test_a_table_fits_a_line() -> None:
    lines = format_table(COLUMNS, ROWS, 80).splitlines()
    assert [len(line) <= 80 for line in lines] == [True] * 3
    assert lines[1].endswith("…      7  yes")
    assert "two lines" in lines[2]
    assert lines[2].endswith(" 1234  -")


def test_a_table_for_a_program_is_whole() -> None:
    assert "x" * 100 in format_table(COLUMNS, ROWS, None)


def test_columns_do_not_vanish() -> None:
    assert "b" * 7 + "…" in format_table(COLUMNS, ROWS, 10)


def test_of_a_value_nothing_is_left_out() -> None:
    pairs = {"name": "a", "why": "word " * 20, "nothing": ""}
    lines = format_pairs(pairs, 40).splitlines()
    assert lines[:2] == ["name  a", "why   word word word word word word word"]
    assert " ".join(lines).split().count("word") == 20
    assert all(len(line) <= 40 for line in lines)
    assert format_pairs(pairs, None).count("\n") == 2


def test_texts_of_others_do_not_steer_the_terminal() -> None:
    assert plain("a\x1b[2J\r\u202eb\tc\n") == "a\\x1b[2J\\r\\u202eb\tc\n"
    assert plain("Grüße 你好") == "Grüße 你好"
