"""API keys: told once, kept hashed, taken away."""

import json
from concurrent.futures import ThreadPoolExecutor

from nightfold import api_keys
from nightfold.errors import BadInput

import pytest


def test_a_key_is_told_once_and_only_its_hash_is_kept_for_its_owner_alone(tmp_path):
    file = tmp_path / "deep" / "keys.json"
    key, text = api_keys.add(file, "shop", pipelines=["grocery"], scopes=["lists"])
    assert file.stat().st_mode & 0o777 == 0o600
    assert text.split("_", 2)[2] not in file.read_text()
    assert api_keys.load(file).find(text) == key
    assert (key.allows("grocery", "lists"), key.allows("films", "lists"), key.allows("grocery", "baskets")) == (True, False, False)
    assert key.allows(None, "lists")


def test_what_is_not_exactly_a_key_is_nobodys(tmp_path):
    file = tmp_path / "keys.json"
    _, text = api_keys.add(file, "shop", pipelines=["*"], scopes=["lists"])
    _, other = api_keys.add(file, "other", pipelines=["*"], scopes=["lists"])
    keys = api_keys.load(file)
    mixed = "_".join([*text.split("_")[:2], other.split("_", 2)[2]])
    for wrong in (
        "",
        text[:-1],
        text + "x",
        text.upper(),
        mixed,
        f" {text}",
        f"{text}\n",
        "nf__",
        "nf_" + "0" * 12 + "_" + "A" * 43,
    ):
        assert keys.find(wrong) is None, wrong


def test_a_key_that_is_revoked_is_gone_and_the_others_stay(tmp_path):
    file = tmp_path / "keys.json"
    one, text = api_keys.add(file, "one", pipelines=["*"], scopes=["lists"])
    _, other = api_keys.add(file, "other", pipelines=["*"], scopes=["lists"])
    assert api_keys.revoke(file, one.id) == one
    assert api_keys.load(file).find(text) is None
    assert api_keys.load(file).find(other) is not None
    with pytest.raises(BadInput, match=f"no key '{one.id}'; there are: "):
        api_keys.revoke(file, one.id)


def test_no_file_is_no_keys_and_a_broken_one_is_refused(tmp_path):
    assert api_keys.load(tmp_path / "none.json").by_id == {}
    broken = tmp_path / "keys.json"
    for content in ("{", json.dumps({"keys": [{"id": "x"}]}), json.dumps({"other": []})):
        broken.write_text(content)
        with pytest.raises(BadInput, match="is no file of API keys: `nightfold keys add NAME` makes one") as caught:
            api_keys.load(broken)
        assert "\n" not in str(caught.value)
    broken.write_bytes(b'{"keys": "\xff"}')
    with pytest.raises(BadInput, match="is no file of API keys"):
        api_keys.load(broken)
    with pytest.raises(BadInput, match=r"cannot be read \(Is a directory\): it must be a file of who reads it here"):
        api_keys.load(tmp_path)
    with pytest.raises(BadInput, match="scope 'write': there are: lists, "):
        api_keys.add(tmp_path / "new.json", "x", pipelines=["*"], scopes=["write"])
    assert not (tmp_path / "new.json").exists()


def test_of_many_changes_at_once_none_is_lost(tmp_path):
    file = tmp_path / "keys.json"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: api_keys.add(file, f"n{n}", pipelines=["*"], scopes=["lists"]), range(40)))
    assert set(api_keys.load(file).by_id) == {key.id for key, _ in made}
