"""A fingerprint is the same for the same inputs anywhere, and another for any other."""

from nightfold import fingerprint
from nightfold.fingerprint import digest, of_files


def test_the_same_parts_give_the_same_digest_in_any_process():
    assert digest("grocery", "2017-12-03", {"b": [1, 2.5], "a": None}) == "6370b7c368e1e65d"


def test_the_order_of_a_mappings_keys_is_no_input():
    assert digest({"a": 1, "b": {"c": 2, "d": 3}}) == digest({"b": {"d": 3, "c": 2}, "a": 1})


def test_everything_else_is_an_input():
    parts = [(), ("a",), ("a", "b"), ("ab",), (["a", "b"],), ("b", "a"), (1,), ("1",), (None,), ({},), ("ä",)]
    assert len({digest(*part) for part in parts}) == 11


def test_a_digest_is_sixteen_hex_digits():
    assert len(digest()) == 16
    assert set(digest()) <= set("0123456789abcdef")


def test_files_count_by_name_below_the_root_and_by_content_not_by_place_or_order(tmp_path):
    def folder(name: str, **contents: str) -> str:
        root = tmp_path / name
        root.mkdir()
        for file, text in contents.items():
            (root / file).write_text(text)
        return of_files(sorted(root.iterdir(), reverse=True), root=root)

    first = folder("one", a="1", b="2")
    assert folder("two", b="2", a="1") == first
    assert folder("three", a="2", b="1") != first
    assert folder("four", a="1", c="2") != first
    assert folder("five", a="1") != first


def test_the_code_counts_the_package_the_jobs_and_the_lock_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr("nightfold.settings.ROOT", tmp_path)
    for path in ("nightfold/a.py", "nightfold/spark/b.py", "spark_jobs/c.py", "requirements.lock", "dags/d.py", "nightfold/e.txt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("1")

    def code() -> str:
        fingerprint.code.cache_clear()
        return fingerprint.code()

    try:
        before = code()
        for path in ("dags/d.py", "nightfold/e.txt"):
            (tmp_path / path).write_text("2")
            assert code() == before, path
        for path in ("nightfold/a.py", "nightfold/spark/b.py", "spark_jobs/c.py", "requirements.lock"):
            (tmp_path / path).write_text("2")
            now = code()
            assert now != before, path
            before = now
    finally:
        fingerprint.code.cache_clear()


def test_some_modules_alone_do_not_change_with_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr("nightfold.settings.ROOT", tmp_path)
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "b.py").write_text("1")
    fingerprint.code_of.cache_clear()
    before = fingerprint.code_of("a.py")
    (tmp_path / "b.py").write_text("2")
    fingerprint.code_of.cache_clear()
    assert fingerprint.code_of("a.py") == before
    (tmp_path / "a.py").write_text("2")
    fingerprint.code_of.cache_clear()
    assert fingerprint.code_of("a.py") != before
    fingerprint.code_of.cache_clear()
